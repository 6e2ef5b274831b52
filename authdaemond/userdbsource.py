"""The text of userdb, as people and the userdb program write it: `name<TAB>field=value|field=value`.

A line whose name ends in `=` leads from a uid back to a name.  Empty lines and lines that begin with # are nothing.
Only makeuserdb is strict about the rest; an edit leaves every line alone but the one that it is about.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from couriertcpd import filelock

MAX_LINE = 65536  # octets
_MAX_DEPTH = 32  # folders within folders

Fields = dict[bytes, bytes]


class BadSource(Exception):
    """A source that cannot be used; the text is one line that names file, line and remedy."""


class Record(NamedTuple):
    """One account (or reverse entry) and where it stands."""

    place: str  # FILE:LINE
    location: bytes  # what userdb needs before the name to find this file: its path below the source, with `/`, or b""
    name: bytes
    fields: list[bytes]  # `field=value` each, in the order of the file


def files(source: str) -> Iterator[str]:
    """The files of a source: itself, or all in that folder and the folders in it, hidden ones left out, by name.

    Raises BadSource, OSError.
    """
    if not os.path.isdir(source):
        yield source
        return
    yield from _files_below(source, frozenset())


def _files_below(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above or len(above) >= _MAX_DEPTH:
        raise BadSource(f"{folder}: folders within folders without end; remove the symbolic link that leads back")
    folders = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            folders.append(entry.path)
        else:
            yield entry.path
    for inner in folders:
        yield from _files_below(inner, above | {here})


def records(source: str) -> Iterator[Record]:
    """Every record of a source.  Raises BadSource, OSError."""
    for path in files(source):
        below = os.path.relpath(path, source) if path != source else ""
        location = os.fsencode(below) + b"/" if below else b""
        for place, line in _lines(path):
            record = _record(place, location, line)
            if record is not None:
                yield record


def _lines(path: str) -> Iterator[tuple[str, bytes]]:
    """The lines of a file without LF, each with its place."""
    with _opened(path) as descriptor, open(descriptor, "rb", closefd=False) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE + 1), b""), 1):
            place = f"{path}:{number}"
            if len(line) > MAX_LINE:
                raise BadSource(f"{place}: longer than {MAX_LINE} octets; shorten it")
            yield place, line.removesuffix(b"\n")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    # O_NONBLOCK: a named pipe must not make the tool wait for ever; for a file it means nothing.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadSource(f"{path}: not a file.")
        yield descriptor
    finally:
        os.close(descriptor)


def _record(place: str, location: bytes, line: bytes) -> Record | None:
    if not line.strip() or line.startswith(b"#"):
        return None
    if b"\0" in line:
        raise BadSource(f"{place}: holds a NUL octet, so this is no text; remove the file or repair it")
    if line.endswith(b"\r"):
        raise BadSource(f"{place}: ends with a carriage return; convert the file to LF line ends")
    name, tab, rest = line.partition(b"\t")
    if not name:
        raise BadSource(f"{place}: no name before the TAB; write NAME<TAB>field=value|field=value")
    if not tab and any(character in name for character in b" =|"):
        raise BadSource(f"{place}: no TAB after the name; write NAME<TAB>field=value|field=value")
    if b"\t" in rest:
        raise BadSource(f"{place}: more than one TAB; leave only the one after the name")
    return Record(place, location, name, [field for field in rest.split(b"|") if field])


def split(line: bytes) -> tuple[bytes, list[bytes]]:
    """The name of any line (b"" of a comment or an empty line) and its `field=value` texts."""
    name, _, rest = line.removesuffix(b"\n").partition(b"\t")
    return (b"" if name.startswith(b"#") else name), rest.split(b"|") if rest else []


def listing(path: str) -> Iterator[tuple[bytes, list[bytes]]]:
    """The names of one file, with their fields, in the file's order; a missing file has none.

    Raises BadSource, OSError.
    """
    try:
        for _, line in _lines(path):
            name, fields = split(line)
            if name:
                yield name, fields
    except FileNotFoundError:
        return


def set_fields(path: str, name: bytes, given: Fields) -> None:
    """Replace and add fields of a record, or append the record; a missing file is made.

    Values in `given` begin with `=`, or are b"" for a field that is a name alone.  Raises BadSource, Busy, OSError.
    """

    def change(fields: Fields | None) -> bytes:
        return _joined(name, {**(fields or {}), **given})

    _edit(path, name, change)


def unset_fields(path: str, name: bytes, unwanted: list[bytes]) -> None:
    """Remove fields of a record; without the record nothing happens.  Raises BadSource, Busy, OSError."""

    def change(fields: Fields | None) -> bytes | None:
        if fields is None:
            return None
        return _joined(name, {field: value for field, value in fields.items() if field not in unwanted})

    _edit(path, name, change)


def delete(path: str, name: bytes) -> None:
    """Remove a record; without it nothing happens.  Raises BadSource, Busy, OSError."""
    _edit(path, name, lambda fields: None if fields is None else b"")


def assigned(text: bytes) -> tuple[bytes, bytes]:
    """A field and what follows it, with the `=`, of `field=value`."""
    field, equals, value = text.partition(b"=")
    return field, equals + value


def _joined(name: bytes, fields: Fields) -> bytes:
    texts = b"|".join(field + value for field, value in fields.items())
    return name + b"\t" + texts + b"\n" if texts else name + b"\n"


def _edit(path: str, name: bytes, change: Callable[[Fields | None], bytes | None]) -> None:
    """Replace the first line of name by what change makes of its fields (None: there is no such line; append then).

    When change answers None the file stays as it is.
    """
    path = os.path.realpath(path)
    folder, base = os.path.split(path)
    with filelock.exclusive(os.path.join(folder, f".lock.{base}")):
        before, status = _contents(path)
        at = next((number for number, line in enumerate(before) if split(line)[0] == name), None)
        line = change(None if at is None else dict(map(assigned, split(before[at])[1])))
        if line is None:
            return
        if at is None:
            after = [*before, line]
        else:
            after = [*before[:at], line, *before[at + 1 :]]
        _replace(path, os.path.join(folder, f".tmp.{base}"), after, status)


def _contents(path: str) -> tuple[list[bytes], os.stat_result | None]:
    try:
        return [line + b"\n" for _, line in _lines(path)], os.stat(path)
    except FileNotFoundError:
        return [], None


def _replace(path: str, temporary: str, text: list[bytes], status: os.stat_result | None) -> None:
    """Put text in place of the file at once, with the owner and permission bits that it had, or 0600."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as stream:
            stream.writelines(text)
            stream.flush()
            if status is not None:
                if os.geteuid() == 0:
                    os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & 0o777)
            os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
