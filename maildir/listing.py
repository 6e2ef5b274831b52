"""Reading the directory of messages while others rename files in it.

A directory that changes while it is read may show a file twice, under its old and its new name, or not at all.  So what
was not seen is not gone: it is gone when it is missing from a reading during which nothing changed, or from several.
"""

from __future__ import annotations

import time
from operator import itemgetter

from maildir import fs, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_DOT = ord(".")
_FIRST = itemgetter(0)
GUESSED = 16  # messages that are looked for by the names that they can have, which costs less than a large directory
READINGS = 5  # in so many readings a file cannot be missed each time by chance
SETTLED_NS = 2_000_000_000  # a directory unchanged for so long has no change hidden in the grain of its clock


class Listing:
    """One reading of a directory of messages; `settled` when nothing can have been missed."""

    __slots__ = ("_by_base", "_directory", "_twins", "names", "settled")

    def __init__(self, directory: bytes, names: list[bytes], settled: bool) -> None:
        self._directory = directory
        self.names = names
        self.settled = settled
        self._by_base: dict[bytes, bytes] | None = None
        self._twins: list[tuple[bytes, bytes]] = []

    @property
    def by_base(self) -> dict[bytes, bytes]:
        """File name by base."""
        if self._by_base is None:
            self._by_base = {name.rpartition(b":")[0] or name: name for name in self.names}
            if len(self._by_base) < len(self.names):
                self._twins = _settle_twins(self._directory, self.names, self._by_base)
        return self._by_base

    @property
    def twins(self) -> list[tuple[bytes, bytes]]:
        """Pairs of different files that have one base."""
        return self._twins if self.by_base else []


def read(directory: bytes) -> Listing:
    """Read a directory of messages once; names that begin with a dot are none."""
    before = time.time_ns(), fs.stat(directory).st_mtime_ns
    found = fs.listdir(directory)
    if _DOT in bytes(map(_FIRST, found)):
        found = [name for name in found if name[0] != _DOT]
    settled = before[0] - before[1] > SETTLED_NS and fs.stat(directory).st_mtime_ns == before[1]
    return Listing(directory, found, settled)


def _settle_twins(directory: bytes, found: list[bytes], by_base: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Choose among names with one base the one that is there; return the pairs that both are there and differ."""
    twins = []
    for name in found:
        chosen = by_base[names.base(name)]
        if chosen == name:
            continue
        first, second = _inode(directory + b"/" + chosen), _inode(directory + b"/" + name)
        if first is None and second is not None:
            by_base[names.base(name)] = name
        elif first is not None and second is not None and first != second:
            twins.append((chosen, name))
    return twins


def _inode(path: bytes) -> int | None:
    try:
        return fs.lstat(path).st_ino
    except FileNotFoundError:
        return None


def guess(directory: bytes, bases: Collection[bytes]) -> dict[bytes, bytes]:
    """Look for a few messages by each name that mail servers give them; those that are not found may be there yet."""
    return {base: name for base in bases if (name := _guess(directory, base)) is not None}


def _guess(directory: bytes, base: bytes) -> bytes | None:
    for suffix in names.SUFFIXES:
        try:
            fs.lstat(b"%b/%b%b" % (directory, base, suffix))
        except FileNotFoundError:
            continue
        return base + suffix
    return None


def find(directory: bytes, bases: set[bytes]) -> dict[bytes, bytes]:
    """Look for messages until they are found or certainly gone; return the names of those that are there."""
    found = guess(directory, bases) if len(bases) <= GUESSED else {}
    missing = bases - found.keys()
    for _ in range(READINGS if missing else 0):
        listing = read(directory)
        found.update({base: listing.by_base[base] for base in missing if base in listing.by_base})
        missing = missing - found.keys()
        if listing.settled or not missing:
            break
    return found
