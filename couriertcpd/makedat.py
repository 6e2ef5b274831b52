"""makedat(1): a GDBM file from a text file, or from the files of a directory.

Each line is KEY<TAB>VALUE; a key alone gets the value 1; empty lines and lines that begin with # are nothing.  With
-cidr a key may also be a block of addresses.  The file that is being replaced stays until the new one is complete.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from couriertcpd import filelock, gdbmfile, netblock

MAX_LINE = 65536  # octets

# What package managers leave beside a file that they would not overwrite: a person has to choose.
_UNRESOLVED = re.compile(r"\.(dpkg-[a-z]+|rpmsave|rpmnew)$")

_BLOCK = re.compile(rb"([0-9a-fA-F:./-]+)(?:\s+(.*))?", re.DOTALL)


class BadSource(Exception):
    """A source that cannot be used; the text names file, line and remedy."""


class Entry(NamedTuple):
    """One record, and where it stands."""

    place: str  # FILE:LINE
    key: bytes
    value: bytes


def sources(path: str) -> list[str]:
    """The files to read: path itself, or the files directly in that directory, by name.  Raises BadSource, OSError."""
    if not os.path.isdir(path):
        return [path]
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
    unresolved = [name for name in names if _UNRESOLVED.search(name)]
    if unresolved:
        raise BadSource(
            f"{path}/{unresolved[0]}: left by a package upgrade; merge it into the file it belongs to, then remove it"
        )
    return [
        os.path.join(path, name)
        for name in names
        # NAME.dist is what was shipped, and counts only as long as nobody has written a NAME.
        if not name.endswith("~") and not (name.endswith(".dist") and name.removesuffix(".dist") in names)
    ]


def lines(stream: BinaryIO, name: str) -> Iterator[tuple[str, bytes]]:
    """The lines of a text, without LF, each with its place.  Raises BadSource."""
    for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE + 1), b""), 1):
        place = f"{name}:{number}"
        if len(line) > MAX_LINE:
            raise BadSource(f"{place}: longer than {MAX_LINE} octets; split it")
        if b"\0" in line:
            raise BadSource(f"{place}: holds a NUL octet, so this is no text; remove the file or repair it")
        yield place, line.removesuffix(b"\n")


def entry(place: str, line: bytes) -> Entry | None:
    """The record of one line, or None when it is empty or a comment."""
    key, _, value = line.partition(b"\t")
    if not line.strip() or not key or line.startswith(b"#"):
        return None
    return Entry(place, key, value or b"1")


def expanded(place: str, line: bytes) -> Iterator[Entry]:
    """The records of one line whose key may be a block of addresses.  Raises BadSource."""
    match = _BLOCK.fullmatch(line)
    if match is None or not netblock.is_block(match[1].decode("ascii")):
        single = entry(place, line)
        if single is not None:
            yield single
        return
    try:
        keys = netblock.keys(match[1].decode("ascii"))
    except netblock.BadBlock as error:
        raise BadSource(f"{place}: {error}") from error
    for key in keys:
        yield Entry(place, key.encode("ascii"), match[2] or b"1")


def entries(source: str, cidr: bool) -> Iterator[Entry]:
    """Every record of a file or directory.  Raises BadSource, OSError."""
    for name in sources(source):
        with open(name, "rb") as stream:
            for place, line in lines(stream, name):
                if line == b".":
                    raise BadSource(
                        f"{place}: a dot alone would hide what follows from other makedat programs; remove it"
                    )
                if cidr:
                    yield from expanded(place, line)
                elif (single := entry(place, line)) is not None:
                    yield single


def build(records: Iterable[Entry], temporary: str, target: str) -> None:
    """Make the file `target` of the records by way of `temporary`.

    Raises CannotBuild, BadSource, Busy, OSError; then the old file is untouched.
    """
    mode = 0o664 & ~_umask()
    directory, name = os.path.split(target)
    lock = filelock.exclusive(os.path.join(directory, f".lock.{name}"))
    with lock, gdbmfile.building(temporary, mode) as new:
        _store(new, records)
        new.finish()
        new.publish(target)


def _store(new: gdbmfile.NewFile, records: Iterable[Entry]) -> None:
    places: dict[bytes, str] = {}
    for record in records:
        try:
            new.add(record.key, record.value)
        except gdbmfile.DuplicateKey as error:
            where = f"{record.place}: the same key as {places[record.key]}; remove one of the two"
            raise gdbmfile.DuplicateKey(f"{error}\n{where}") from error
        places[record.key] = record.place


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def hang_up(pidfile: str) -> None:
    """Tell the daemon of a pid file to read its database again; without a file, or a daemon, nothing.

    Raises BadSource when the file holds no pid.
    """
    try:
        with open(pidfile, encoding="ascii", errors="replace") as stream:
            text = stream.read(32).strip()
    except FileNotFoundError:
        return
    if not re.fullmatch("[1-9][0-9]{0,9}", text):
        raise BadSource(f"{pidfile}:1: holds no process id; start the daemon again")
    try:
        os.kill(int(text), signal.SIGHUP)
    except ProcessLookupError:
        return  # it will read the new file when it starts


def main(argv: list[str]) -> int:
    """Run makedat."""
    options = dict.fromkeys(("src", "file", "tmp", "hup", "cidr"), "")
    for word in argv[1:]:
        name, equals, value = word.removeprefix("-").partition("=")
        if not word.startswith("-") or name not in options or bool(equals) == (name == "cidr"):
            return _usage(argv[0])
        options[name] = value if equals else "yes"
    if not (options["src"] and options["file"] and options["tmp"]):
        return _usage(argv[0])
    try:
        build(entries(options["src"], bool(options["cidr"])), options["tmp"], options["file"])
        if options["hup"]:
            hang_up(options["hup"])
    except (BadSource, gdbmfile.CannotBuild, filelock.Busy) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or options['src']}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _usage(program: str) -> int:
    print(f"Usage: {program} -src=src -file=file -tmp=tmpfile -hup=hupfile [-cidr]", file=sys.stderr)
    return 1
