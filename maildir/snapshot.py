"""What a scan hands to its caller, and how a reading of cur/ is held against the uid list."""

from __future__ import annotations

from array import array
from itertools import repeat
from operator import add, ne, sub

from maildir import names
from maildir.nametable import FileNames, NameTable


class Match:
    """A reading of cur/ held against a uid list: the listed messages in order of uid, and what does not fit."""

    __slots__ = ("names", "uids", "unlisted", "vanished")

    def __init__(self, known: dict[bytes, int], by_base: dict[bytes, bytes]) -> None:
        unlisted = dict(by_base)
        take = unlisted.pop
        self.uids = array("I")
        self.names: list[bytes] = []
        self.vanished: list[bytes] = []  # keys without a file
        for key, uid in known.items():
            name = take(key, None)
            if name is None:
                self.vanished.append(key)
            else:
                self.uids.append(uid)
                self.names.append(name)
        self.unlisted = unlisted  # files without a uid, by base

    @property
    def exact(self) -> bool:
        """True when every file has a uid and every uid a file."""
        return not (self.unlisted or self.vanished)


class Parts:
    """The names of a directory taken apart, in the order of the directory: bases, and the flags that they carry."""

    __slots__ = ("bases", "flags", "found", "plain")

    def __init__(self, found: list[bytes], bases: list[bytes], flags: bytes, plain: bool) -> None:
        self.found = found
        self.bases = bases
        self.flags = flags
        self.plain = plain  # base and flags give the name

    def table(self) -> NameTable:
        """The names in the order in which they are here."""
        return NameTable(self.bases, True) if self.plain else NameTable(self.found)

    def lacking(self, keys: list[bytes]) -> list[bytes] | None:
        """Keys that have no name here; None when there are names without a key."""
        here = set(self.bases)
        missing = [key for key in keys if key not in here]
        return missing if len(here) + len(missing) == len(keys) else None

    def twice(self) -> bool:
        """Whether a base is here more than once."""
        return len(set(self.bases)) < len(self.bases)

    def with_more(self, more: Parts) -> Parts:
        """These names and others."""
        plain = self.plain and more.plain
        return Parts(self.found + more.found, self.bases + more.bases, self.flags + more.flags, plain)

    def in_order(self, keys: list[bytes]) -> tuple[bytes, NameTable] | None:
        """Flags and names of the messages with these keys; None when these are not all of them, each once."""
        if len(self.bases) != len(keys):
            return None
        flags_of = dict(zip(self.bases, self.flags, strict=True))
        if len(flags_of) < len(keys):
            return None
        name_of = None if self.plain else dict(zip(self.bases, self.found, strict=True))
        try:
            flags = bytes(map(flags_of.pop, keys))
        except KeyError:
            return None
        return flags, NameTable(keys, True) if name_of is None else NameTable([name_of[key] for key in keys])


def take_apart(found: list[bytes]) -> Parts | None:
    """Take names apart at their colons, all at once; None when one has not exactly one, or no `2,` behind it."""
    pieces = b"/".join(found).replace(b":", b"/").split(b"/") if found else []
    if len(pieces) != 2 * len(found):
        return None
    bases, infos = pieces[::2], pieces[1::2]
    # Where one name has too many and another too few, the lengths do not agree.
    lengths = map(add, map(len, bases), map(len, infos))
    if any(map(ne, map(sub, map(len, found), lengths), repeat(1))):
        return None
    bits = {info: names.flags_of(b":" + info) for info in set(infos)}
    if not all(info.startswith(b"2,") for info in bits):
        return None
    plain = all(b":" + info == names.SUFFIXES[flags] for info, flags in bits.items())
    return Parts(found, bases, bytes(map(bits.__getitem__, infos)), plain)


class Snapshot:
    r"""What a folder holds at one moment; treat it as read-only.

    uids (ascending) and flags run parallel; file_names has the files in cur/.  fresh has the uids that this scan was
    the first to give: they are \Recent for its caller.
    """

    __slots__ = ("file_names", "flags", "fresh", "uidnext", "uids", "uidvalidity")

    def __init__(
        self,
        uidvalidity: int,
        uidnext: int,
        uids: array[int],
        flags: bytes,
        file_names: FileNames,
        fresh: frozenset[int] = frozenset(),
    ) -> None:
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.uids = uids
        self.flags = flags
        self.file_names = file_names
        self.fresh = fresh

    @property
    def names(self) -> list[bytes]:
        """The file names as a list of its own."""
        return [self.file_names.name(position, flags) for position, flags in enumerate(self.flags)]

    def bases(self) -> dict[bytes, int]:
        """The uids by base name, made anew each time."""
        return dict(zip(self.file_names.bases(0, len(self.uids)), self.uids, strict=True))


class Status:
    """The counts that IMAP's STATUS asks for."""

    __slots__ = ("messages", "recent", "uidnext", "uidvalidity", "unseen")

    def __init__(self, messages: int, recent: int, uidnext: int, uidvalidity: int, unseen: int) -> None:
        self.messages = messages
        self.recent = recent
        self.uidnext = uidnext
        self.uidvalidity = uidvalidity
        self.unseen = unseen
