"""Reading the directory of messages while others rename files in it.

A directory that changes while it is read may show a file twice, under its old and its new name, or not at all.  So what
was not seen is not gone: it is gone when it is missing from a reading during which nothing changed, or from several.
"""

from __future__ import annotations

import time

from maildir import fs, names

READINGS = 5  # in so many readings a file cannot be missed each time by chance
SETTLED_NS = 2_000_000_000  # a directory unchanged for so long has no change hidden in the grain of its clock


class Listing:
    """One reading: file name by base; `settled` when nothing can have been missed; `twins` are bases seen twice."""

    __slots__ = ("by_base", "settled", "twins")

    def __init__(self, by_base: dict[bytes, bytes], settled: bool, twins: list[tuple[bytes, bytes]]) -> None:
        self.by_base = by_base
        self.settled = settled
        self.twins = twins


def read(directory: bytes) -> Listing:
    """Read a directory of messages once; names that begin with a dot are none."""
    before = time.time_ns(), fs.stat(directory).st_mtime_ns
    found = [name for name in fs.listdir(directory) if name[:1] != b"."]
    settled = before[0] - before[1] > SETTLED_NS and fs.stat(directory).st_mtime_ns == before[1]
    by_base = {name.rpartition(b":")[0] or name: name for name in found}
    twins = [] if len(by_base) == len(found) else _settle_twins(directory, found, by_base)
    return Listing(by_base, settled, twins)


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


def find(directory: bytes, bases: set[bytes]) -> dict[bytes, bytes]:
    """Look for messages until they are found or certainly gone; return the names of those that are there."""
    found: dict[bytes, bytes] = {}
    missing = bases
    for _ in range(READINGS):
        listing = read(directory)
        found.update({base: listing.by_base[base] for base in missing if base in listing.by_base})
        missing = missing - found.keys()
        if listing.settled or not missing:
            break
    return found
