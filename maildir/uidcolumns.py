"""A uid list as columns, read without looking at its lines one by one.

Only for lists that are in order, which nearly all are: what is odd in any way is left to uidlist, which repairs it.
"""

from __future__ import annotations

from array import array
from itertools import compress, islice
from operator import lt

from maildir import uidlist


class UidColumns:
    """The uids, ascending, and the keys of a list in parallel; uidvalidity is 0 when there is no list yet."""

    __slots__ = ("keys", "uidnext", "uids", "uidvalidity")

    def __init__(self, uidvalidity: int, uidnext: int, uids: array[int], keys: list[bytes]) -> None:
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.uids = uids
        self.keys = keys

    def without(self, vanished: set[bytes]) -> UidColumns:
        """The list without some keys."""
        stay = [key not in vanished for key in self.keys]
        uids = array("I", compress(self.uids, stay))
        return UidColumns(self.uidvalidity, self.uidnext, uids, list(compress(self.keys, stay)))

    def with_more(self, arrived: list[bytes]) -> UidColumns:
        """The list with new keys, which get the next uids in their order.  Raises Exhausted."""
        uidnext = self.uidnext + len(arrived)
        if uidnext > uidlist.MAX_UID + 1:
            raise uidlist.Exhausted
        uids = self.uids + array("I", range(self.uidnext, uidnext))
        return UidColumns(self.uidvalidity, uidnext, uids, self.keys + arrived)

    def render(self) -> bytes:
        """The file's content."""
        head = b"1 %d %d\n" % (self.uidvalidity, self.uidnext)
        return head + b"".join(map(b"%d %b\n".__mod__, zip(self.uids, self.keys, strict=True)))


def parse(data: bytes) -> UidColumns | None:
    """The columns of a uid list's octets; None for one that is not wholly in order.

    That no key is there twice is left to the caller.
    """
    head = uidlist.head_of(data)
    if head is None or data[-1:] != b"\n" or b"\0" in data:
        return None
    uidvalidity, uidnext = head
    lines = data.count(b"\n") - 1
    # Each line break stays at the front of the number behind it, which shows that every line has two words.
    words = data.replace(b"\n", b" \n").split(b" ")
    digits = words[3:-1:2]
    joined = b"".join(digits)
    if len(words) != 4 + 2 * lines or joined.count(b"\n") != lines or (lines and not _digits_alone(joined)):
        return None
    try:
        uids = array("I", map(int, digits))
    except (ValueError, OverflowError):
        return None
    if not uids:
        return UidColumns(uidvalidity, uidnext, uids, [])
    if uids[0] < 1 or uids[-1] >= uidnext or not all(map(lt, uids, islice(uids, 1, None))):
        return None
    keys = words[4:-1:2]
    return UidColumns(uidvalidity, uidnext, uids, keys) if all(keys) else None


def _digits_alone(octets: bytes) -> bool:
    """True for nothing but digits and line breaks."""
    return octets.replace(b"\n", b"").isdigit()
