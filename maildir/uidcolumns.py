"""A uid list as columns, read without looking at its lines one by one.

Only for lists that are in order, which nearly all are: what is odd in any way is left to uidlist, which repairs it.
"""

from __future__ import annotations

from array import array
from itertools import islice
from operator import lt

from maildir import uidlist

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class UidColumns:
    """The uids, ascending, and the keys of a list in parallel."""

    __slots__ = ("keys", "uidnext", "uids", "uidvalidity")

    def __init__(self, uidvalidity: int, uidnext: int, uids: array[int], keys: Sequence[bytes]) -> None:
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.uids = uids
        self.keys = keys


def parse(data: bytes) -> UidColumns | None:
    """The columns of a uid list's octets; None for one that is not wholly in order.

    That no key is there twice is left to the caller.
    """
    head = uidlist.head_of(data)
    if head is None or data[-1:] != b"\n" or b"\0" in data:
        return None
    uidvalidity, uidnext = head
    start, lines = data.index(b"\n") + 1, data.count(b"\n") - 1
    if not lines:
        return UidColumns(uidvalidity, uidnext, array("I"), [])
    words = data[start:-1].replace(b"\n", b" ").split(b" ")
    digits = words[::2]
    # With one blank in each line every second word is a key; b" 2," would be a key that looks like the flags of one.
    if len(words) != 2 * lines or not b"".join(digits).isdigit() or b" 2," in data:
        return None
    try:
        uids = array("I", map(int, digits))
    except (ValueError, OverflowError):
        return None
    if uids[0] < 1 or uids[-1] >= uidnext or not all(map(lt, uids, islice(uids, 1, None))):
        return None
    keys = words[1::2]
    return UidColumns(uidvalidity, uidnext, uids, keys) if all(keys) else None
