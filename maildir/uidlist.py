"""The uid list, `courierimapuiddb`: which uid each message of a folder has, for ever.

    1 795202663 6                                   version, uidvalidity, next uid
    1 1795202663.M787089P27358V...I....host,S=35    uid and key (the name without flags), ascending

Format and rules are the original's, so that its server and ours can take turns.  A damaged list is read for all that
can be believed: no uid ever comes to mean another message.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE = b"courierimapuiddb"
MAX_BYTES = 64 << 20  # a list of some 800,000 messages
MAX_UID = (1 << 32) - 1
EPOCH = 1_000_000_000  # what the original takes from the time to make a uidvalidity

_BLOCK = 1 << 20


class Exhausted(Exception):
    """There are no uids left below 2^32: the folder needs a new uidvalidity."""


class UidList:
    """The content of one list; `uids` maps key to uid and is ordered by uid."""

    __slots__ = ("fault", "uidnext", "uids", "uidvalidity")

    def __init__(self, uidvalidity: int, uidnext: int = 1, uids: dict[bytes, int] | None = None) -> None:
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.uids: dict[bytes, int] = {} if uids is None else uids
        self.fault = ""  # what was wrong with the file it was read from

    def number(self, keys: Iterable[bytes]) -> list[int]:
        """Give these keys the next uids, in this order."""
        given = []
        for key in keys:
            if self.uidnext > MAX_UID:
                raise Exhausted
            self.uids[key] = self.uidnext
            given.append(self.uidnext)
            self.uidnext += 1
        return given

    def copy(self) -> UidList:
        """Another list with the same content."""
        return UidList(self.uidvalidity, self.uidnext, dict(self.uids))

    def head(self) -> bytes:
        """The first line of the file."""
        return b"1 %d %d\n" % (self.uidvalidity, self.uidnext)

    def lines(self, keys: Iterable[bytes]) -> bytes:
        """The lines for these keys."""
        uids = self.uids
        return b"".join([b"%d %s\n" % (uids[key], key) for key in keys])

    def render(self) -> bytes:
        """The file's content."""
        return self.head() + self.lines(self.uids)


def first_uidvalidity(mtime: int) -> int:
    """The uidvalidity of a list that is first written at this time."""
    return min(max(mtime - EPOCH, 1), MAX_UID)


def head_of(data: bytes) -> tuple[int, int] | None:
    """Uidvalidity and next uid from the first line; None when it is not the first line of a uid list."""
    first, newline, _ = data[:64].partition(b"\n")
    fields = first.split(b" ")
    if not newline or len(fields) < 3 or not all(len(field) <= 10 and field.isdigit() for field in fields[:3]):
        return None
    version, uidvalidity, uidnext = (int(field) for field in fields[:3])
    if version != 1 or not 1 <= uidvalidity <= MAX_UID or not 1 <= uidnext <= MAX_UID + 1:
        return None
    return uidvalidity, uidnext


def parse(data: bytes) -> UidList | None:
    """Read a list; None when the first line gives no uidvalidity.  What was wrong is in `fault`."""
    head = head_of(data)
    if head is None:
        return None
    uid_list = UidList(*head)
    astray = _read_in_order(data, data.index(b"\n") + 1, uid_list)
    if not data.endswith(b"\n"):
        uid_list.fault = uid_list.fault or "the last line is cut off"
    if astray:
        _take_in(astray, uid_list)
    highest = next(reversed(uid_list.uids.values()), 0)
    if uid_list.uidnext <= highest:
        uid_list.uidnext = highest + 1
        uid_list.fault = uid_list.fault or "line 1: the next uid is in use"
    return uid_list


def _read_in_order(data: bytes, start: int, uid_list: UidList) -> list[tuple[int, bytes]]:
    """Take in all lines that ascend; return the others that have a uid and a key, which may be out of order."""
    uids, last, number = uid_list.uids, 0, 1
    astray = []
    suspect = b"\0" in data
    for line in _lines(data, start):
        number += 1
        digits, _, key = line.partition(b" ")
        if digits.isdigit() and len(digits) <= 10 and key and not (suspect and b"\0" in key):
            uid = int(digits)
            if last < uid <= MAX_UID and key not in uids:
                uids[key] = last = uid
                continue
            if 0 < uid <= MAX_UID:
                astray.append((uid, key))
        uid_list.fault = uid_list.fault or f"line {number}"
    return astray


def _lines(data: bytes, start: int) -> Iterator[bytes]:
    # In blocks, so that a file of newlines alone does not become a list of millions.
    while start < len(data):
        end = data.rfind(b"\n", start, start + _BLOCK)
        if end < 0:
            end = data.find(b"\n", start + _BLOCK)
        if end < 0:
            end = len(data)
        yield from data[start:end].split(b"\n")
        start = end + 1


def _take_in(astray: list[tuple[int, bytes]], uid_list: UidList) -> None:
    """Add lines that were out of order, unless their uid or their key is spoken for: the first line to say so wins."""
    taken = set(uid_list.uids.values())
    for uid, key in astray:
        if uid not in taken and key not in uid_list.uids:
            uid_list.uids[key] = uid
            taken.add(uid)
    uid_list.uids = dict(sorted(uid_list.uids.items(), key=lambda entry: entry[1]))
