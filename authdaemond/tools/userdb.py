"""userdb(8): change and show the records of a userdb text file.

Values that the command line must not show are read from standard input.
"""

from __future__ import annotations

import json
import os
import sys

from authdaemond import userdbsource
from authdaemond.tools import terminal
from couriertcpd import filelock, installed


class _Misused(Exception):
    """The command line makes no sense."""


class _Request:
    """A command line, taken apart."""

    def __init__(self, argv: list[str]) -> None:
        words = argv[1:]
        self.show = self.json = False
        while words and words[0] in ("-show", "--json"):
            self.show |= words[0] == "-show"
            self.json |= words.pop(0) == "--json"
        self.default = not (words and words[0] == "-f")
        self.path = installed.USERDB
        if not self.default:
            self.path = words[1] if len(words) > 1 else ""
            del words[:2]
        name = words.pop(0) if words else ""
        if self.default and "/" in name:
            folder, _, name = name.rpartition("/")
            self.path = f"{self.path}/{folder}"
            if self.show and not name and words:
                name = words.pop(0)
        self.name = os.fsencode(name)
        self.verb = words.pop(0) if words and not self.show else ""
        self.words = [os.fsencode(word) for word in words]
        self._check()

    def _check(self) -> None:
        if not self.path or (self.show and self.words) or (self.json and not self.show):
            raise _Misused
        if not self.show and not (self.name and self.verb in ("set", "unset", "del")):
            raise _Misused
        if (self.verb == "del" and self.words) or (self.verb == "set" and not self.words):
            raise _Misused


def main(argv: list[str]) -> int:
    """Run userdb."""
    try:
        request = _Request(argv)
    except _Misused:
        return _usage(argv[0])
    if os.path.islink(installed.USERDB):
        terminal.complain(f"ERROR: Wrong userdb command.\n       ({installed.USERDB} is a symbolic link)")
        return 1
    if not request.show and not _valid(request):
        terminal.complain("Invalid field or value.")
        return 1
    try:
        if request.show:
            _show(request)
        else:
            _change(request)
    except (userdbsource.BadSource, filelock.Busy, terminal.Unanswered) as error:
        if str(error):
            terminal.complain(str(error))
        return 1
    except OSError as error:
        terminal.complain(f"{error.filename or request.path}: {error.strerror}")
        return 1
    return 0


def _valid(request: _Request) -> bool:
    """No text would break the line or the record that it becomes part of."""
    if any(character in request.name for character in b"\t\n|\0") or request.name.startswith(b"#"):
        return False
    return not any(character in word for word in request.words for character in b"|\n\t\0")


def _change(request: _Request) -> None:
    if request.verb == "set":
        given = dict(userdbsource.assigned(_complete(request, word)) for word in request.words)
        userdbsource.set_fields(request.path, request.name, given)
    elif request.verb == "unset":
        userdbsource.unset_fields(request.path, request.name, request.words)
    else:
        userdbsource.delete(request.path, request.name)


def _complete(request: _Request, word: bytes) -> bytes:
    """A word of the command line, with its value from standard input when it has none."""
    if b"=" in word:
        return word
    secret = word.endswith(b"pw")
    value = terminal.ask(f"{os.fsdecode(request.name)}.{os.fsdecode(word)}: ", echo=not secret)
    if any(character in value for character in b"|\t\0"):
        raise terminal.Unanswered("Invalid value.")
    return word + b"=" + value


def _show(request: _Request) -> None:
    records = userdbsource.listing(request.path)
    if not request.name:
        names = [name for name, _ in records]
        terminal.write(_json(list(map(os.fsdecode, names))) if request.json else [name + b"\n" for name in names])
        return
    fields = next((fields for name, fields in records if name == request.name), None)
    if request.json:
        parted = None if fields is None else dict(map(_parted, fields))
        terminal.write(_json({"name": os.fsdecode(request.name), "fields": parted}))
    else:
        terminal.write(field + b"\n" for field in fields or ())


def _parted(field: bytes) -> tuple[str, str | None]:
    name, equals, value = os.fsdecode(field).partition("=")
    return name, value if equals else None


def _json(value: object) -> list[bytes]:
    return [json.dumps(value, indent=2).encode("ascii"), b"\n"]


def _usage(program: str) -> int:
    path = "[path/.../ | -f file ]"
    print(f"Usage: {program} {path}name set field=value field=value...")
    print(f"       {program} {path}name unset field field...")
    print(f"       {program} {path}name del")
    print(f"       {program} -show [--json] [path/... | -f file ] [name]")
    sys.stdout.flush()
    return 1
