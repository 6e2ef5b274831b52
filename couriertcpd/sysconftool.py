"""sysconftool: brings a configuration file up to date with its .dist file, keeping what the administrator set.

A configuration file is a row of sections, each begun by a line `##NAME: name:revision`, then comments, then setting
lines.  A section whose revision is still that of the .dist file keeps its old setting lines; one with another revision
gets the new ones, with the old ones as comments.  The man page, sysconftool(8), has the rules in full.
"""

import os
import shutil
import stat
import sys
from collections.abc import Iterator

HEADER_LINES = 20  # ##VERSION must stand in the first so many lines
NO_HEADER = 9  # exit status: the .dist file is not one of ours

USAGE = """Usage: {0} [-f] [-n] [-v] FILE[.dist] ...
  -f  even when FILE has the version of FILE.dist already
  -n  only say what would be done
  -v  say so when there is nothing to do"""


class Section:
    """One `##NAME` section: comments as they stand, and setting lines (all others, blank ones too)."""

    __slots__ = ("comments", "marker", "name", "revision", "settings")

    def __init__(self, marker: str) -> None:
        self.marker = marker
        name, _, revision = marker.removeprefix("##NAME:").partition(":")
        self.name, self.revision = name.strip(), revision.strip()
        self.comments: list[str] = []
        self.settings: list[str] = []


class File:
    """A configuration file, taken apart.  Lines carry no line ends."""

    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        self.version = next((line for line in lines[:HEADER_LINES] if line.startswith("##VERSION:")), None)
        self.preamble: list[str] = []
        self.sections: list[Section] = []
        for line in lines:
            if line.startswith("##NAME:"):
                self.sections.append(Section(line))
            elif not self.sections:
                self.preamble.append(line)
            elif line.startswith("#"):
                self.sections[-1].comments.append(line)
            else:
                self.sections[-1].settings.append(line)


def merge(dist: str, old: str | None, dist_name: str) -> tuple[str, list[tuple[str, str]]]:
    """The new file's text, and (section, `new` | `unchanged` | `UPDATED`) for each of its sections.

    An old text without ##VERSION, or None, gives the .dist text as it is.
    """
    new = File(dist)
    known = File(old) if old is not None else None
    if known is None or known.version is None:
        return dist, [(section.name, "new") for section in new.sections]
    before = {section.name: section for section in known.sections}
    lines, report = list(new.preamble), []
    for section in new.sections:
        was = before.get(section.name)
        outcome, text = _merge_section(section, was, dist_name)
        lines += text
        report.append((section.name, outcome))
    return "\n".join(lines) + "\n", report


def _merge_section(section: Section, was: Section | None, dist_name: str) -> tuple[str, list[str]]:
    head = [section.marker, *section.comments]
    if was is None:
        return "new", [*head, *section.settings]
    if was.revision != section.revision:
        previous = _as_comments("Previous setting (inserted by sysconftool):", was.settings)
        return "UPDATED", [*head, *previous, *section.settings]
    default = _as_comments(f"DEFAULT SETTING from {dist_name}:", section.settings)
    return "unchanged", [*head, *default, *was.settings]


def _as_comments(title: str, settings: list[str]) -> list[str]:
    if not any(line.strip() for line in settings):
        return []  # there was nothing but blank lines
    return ["#", f"# {title}", *(f"#{line}" for line in settings)]


def update(path: str, force: bool, dry_run: bool, verbose: bool) -> int:
    """Bring one file (named without .dist) up to date; returns the exit status.  Raises OSError."""
    dist_path = f"{path}.dist"
    dist = _read(dist_path)
    version = File(dist).version
    if version is None:
        text = f"no ##VERSION in its first {HEADER_LINES} lines: not a file for sysconftool"
        print(f"{dist_path}: {text}", file=sys.stderr)
        return NO_HEADER
    old = _read(path) if os.path.exists(path) else None
    if old is not None and File(old).version == version and not force:
        if verbose:
            print(f"{path}:\n  is up to date")
        return 0
    text, report = merge(dist, old, os.path.basename(dist_path))
    if not dry_run:
        _replace(path, text, os.stat(dist_path), keep=old is not None)
    print(f"{path}:")
    for name, outcome in report:
        print(f"  {name}: {outcome}")
    return 0


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def _replace(path: str, text: str, like: os.stat_result, keep: bool) -> None:
    """Put text in place of path, with like's owner and mode; with keep, the old file stays as path.bak."""
    new = f"{path}.new"
    if os.path.lexists(new):
        os.unlink(new)  # left by a run that was killed
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if os.geteuid() == 0:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    if keep:
        # A copy, not a rename: at no moment is there no configuration.
        shutil.copy2(path, f"{path}.bak.new")
        os.replace(f"{path}.bak.new", f"{path}.bak")
    os.replace(new, path)
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _options(arguments: list[str]) -> Iterator[str]:
    while arguments and arguments[0].startswith("-") and arguments[0] != "-":
        option = arguments.pop(0)
        if option == "--":
            return
        yield option


def main(argv: list[str]) -> int:
    """Run the program; the exit status is that of the last file that failed, or 0."""
    arguments = argv[1:]
    options = set(_options(arguments))
    if not arguments or options - {"-f", "-n", "-v"}:
        print(USAGE.format(argv[0]), file=sys.stderr)
        return 1
    status = 0
    for argument in arguments:
        try:
            outcome = update(argument.removesuffix(".dist"), "-f" in options, "-n" in options, "-v" in options)
        except OSError as error:
            print(f"{error.filename}: {error.strerror}", file=sys.stderr)
            outcome = 1
        status = outcome or status
    return status
