"""Scanning a busy folder again: by what differs from the scan before, which mostly is a flag or two."""

from __future__ import annotations

from maildir import listing, names
from maildir.nametable import NameTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from maildir.snapshot import Snapshot
    from maildir.uidcolumns import UidColumns


class Renamed:
    """The flags in order of uid, the names, and whether the reading had them all."""

    __slots__ = ("flags", "names", "whole")

    def __init__(self, flags: bytes, found: frozenset[bytes], whole: bool) -> None:
        self.flags, self.names, self.whole = flags, found, whole


class Before:
    """A scan, the uid list that it was made by, and the names that it has found; base and flags gave each of them."""

    __slots__ = ("listed", "names", "snapshot")

    def __init__(self, snapshot: Snapshot, listed: UidColumns, found: Collection[bytes]) -> None:
        self.snapshot = snapshot
        self.listed = listed
        self.names = found

    def table(self) -> NameTable:
        """The names, which base and flags give."""
        return self.snapshot.file_names.table or NameTable(self.listed.keys, True)

    def renamed(self, directory: bytes, seen: list[bytes]) -> Renamed | None:
        """What is in the directory by another reading of it; None when not just a few messages have other flags.

        What has no file in this reading, because it was being renamed, is looked for by the names that it can have.
        """
        known, now = frozenset(self.names), frozenset(seen)
        gone, come = known - now, now - known
        by_base = {names.base(name): name for name in come}
        missing = set(map(names.base, gone))
        if len(gone) > listing.GUESSED or len(by_base) < len(come) or len(now) < len(seen):
            return None
        if not by_base.keys() <= missing:
            return None
        missing -= by_base.keys()
        guessed = listing.guess(directory, missing)
        if len(guessed) < len(missing):
            return None
        flags = bytearray(self.snapshot.flags)
        for base, name in (by_base | guessed).items():
            bits = names.flags_of(name)
            if name != base + names.SUFFIXES[bits]:
                return None
            flags[self.listed.keys.index(base)] = bits
        return Renamed(bytes(flags), now.union(guessed.values()) if guessed else now, not missing)
