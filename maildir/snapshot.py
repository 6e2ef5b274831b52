"""What a scan hands to its caller, and how a reading of cur/ is held against the uid list."""

from __future__ import annotations

from array import array

from maildir import names
from maildir.nametable import FileNames, NameTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.uidcolumns import UidColumns


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


def fits(listed: UidColumns, found: list[bytes]) -> tuple[bytes, NameTable] | None:
    """Flags and names of the listed messages, when these files are they, all of them and no others.

    Quick, as this is what a folder nearly always is; None also for names of an unusual form, which Match sorts out.
    """
    if len(found) != len(listed.keys):
        return None
    parts = b"/".join(found).replace(b":", b"/").split(b"/") if found else []
    if len(parts) != 2 * len(found):
        return None
    infos = parts[1::2]
    bits = {info: names.flags_of(b":" + info) for info in set(infos)}
    if not all(info.startswith(b"2,") for info in bits):
        return None
    # As no key begins with "2," (see uidcolumns), parts that are all keys, each once, cannot have changed places.
    by_base = dict(zip(parts[::2], map(bits.__getitem__, infos), strict=True))
    if len(by_base) != len(found):
        return None
    if all(b":" + info == names.SUFFIXES[flags] for info, flags in bits.items()):
        try:
            return bytes(map(by_base.pop, listed.keys)), NameTable(listed.keys, plain=True)
        except KeyError:
            return None
    whole = dict(zip(parts[::2], found, strict=True))
    try:
        in_order = list(map(whole.pop, listed.keys))
    except KeyError:
        return None
    return bytes(map(by_base.__getitem__, listed.keys)), NameTable(in_order)


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
