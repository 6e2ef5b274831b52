"""What a scan hands to its caller, and how a reading of cur/ is held against the uid list."""

from __future__ import annotations

from array import array

from maildir import names
from maildir.nametable import NameTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.uidlist import UidList


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


class Snapshot:
    r"""What a folder holds at one moment; treat it as read-only.

    uids (ascending), flags and table run parallel; table has file names in cur/.  fresh has the uids that this scan was
    the first to give: they are \Recent for its caller.
    """

    __slots__ = ("flags", "fresh", "table", "uidnext", "uids", "uidvalidity")

    def __init__(self, uid_list: UidList, match: Match, fresh: set[int]) -> None:
        self.uidvalidity = uid_list.uidvalidity
        self.uidnext = uid_list.uidnext
        self.uids: array[int] = match.uids
        self.table = NameTable(match.names)
        self.flags = names.flags_of_all(match.names)
        self.fresh = fresh

    @property
    def names(self) -> list[bytes]:
        """The file names as a list of its own."""
        return list(self.table)

    def bases(self) -> dict[bytes, int]:
        """The uids by base name, made anew each time."""
        return dict(zip(map(names.base, self.table), self.uids, strict=True))


class Status:
    """The counts that IMAP's STATUS asks for."""

    __slots__ = ("messages", "recent", "uidnext", "uidvalidity", "unseen")

    def __init__(self, messages: int, recent: int, uidnext: int, uidvalidity: int, unseen: int) -> None:
        self.messages = messages
        self.recent = recent
        self.uidnext = uidnext
        self.uidvalidity = uidvalidity
        self.unseen = unseen
