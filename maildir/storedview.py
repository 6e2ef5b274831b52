r"""A folder's view in octets, as the index keeps it twice: as a row of the database, and in a small file beside it.

    courierimapindex-view-little CRC BODY-CRC GENERATION UIDVALIDITY UIDNEXT MESSAGES UNSEEN MARKS\n
    MESSAGES times 4 octets (uids, in the byte order of the machine), MESSAGES octets (flags)

The first line is the head, the rest the body.  CRC is of all that is behind it in the head, BODY-CRC of the body.

Pure: knows no files.
"""

from __future__ import annotations

import sys
from array import array
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maildir.columns import Values

MAX_HEAD = 512  # octets
_UID_OCTETS = 4
_MAGIC = b"courierimapindex-view-%b " % sys.byteorder.encode()


class Stored:
    """The folder as the scan found it that was stored last; uids and flags are as they are in memory."""

    __slots__ = ("flags", "generation", "messages", "uidnext", "uids", "uidvalidity", "unseen")

    def __init__(self, generation: int, uidvalidity: int, uidnext: int, messages: int, unseen: int) -> None:
        self.generation = generation
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.messages = messages
        self.unseen = unseen
        self.uids: array[int] = array("I")
        self.flags = b""


class Reading:
    """A scan that is to be stored.

    marks are what the folder had when it began, b"" when a change may hide behind them; origin is the mark of the uid
    list that the bases are from, b"" when it may hide one.  blocks gives (uid >> SHIFT, bases of its uids), ascending;
    odd gives the names that do not follow from base and flags, by uid.
    """

    __slots__ = ("blocks", "flags", "marks", "odd", "origin", "uidnext", "uids", "uidvalidity", "unseen")

    def __init__(
        self,
        uidvalidity: int,
        uidnext: int,
        uids: array[int],
        flags: bytes,
        unseen: int,
        marks: bytes,
        origin: bytes,
        blocks: Callable[[], Iterator[tuple[int, Values]]],
        odd: Callable[[], dict[int, bytes]],
    ) -> None:
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.uids = uids
        self.flags = flags
        self.unseen = unseen
        self.marks = marks
        self.origin = origin
        self.blocks = blocks
        self.odd = odd


def head_and_body(generation: int, reading: Reading) -> tuple[bytes, bytes]:
    """A scan in octets."""
    body = reading.uids.tobytes() + bytes(reading.flags)
    counted = Stored(generation, reading.uidvalidity, reading.uidnext, len(reading.flags), reading.unseen)
    return head_of(body, counted, reading.marks), body


def head_of(body: bytes, counted: Stored, marks: bytes) -> bytes:
    """The head that goes with a body."""
    rest = b"%d %d %d %d %d %d %b\n" % (
        crc32(body), counted.generation, counted.uidvalidity, counted.uidnext, counted.messages, counted.unseen, marks,
    )  # fmt: skip
    return b"%b%d %b" % (_MAGIC, crc32(rest), rest)


def head_length(octets: bytes) -> int:
    """How much of the octets is the head, 0 when there is none."""
    return octets.find(b"\n", 0, MAX_HEAD) + 1


def numbers(head: bytes, marks: bytes) -> Stored | None:
    """What the head says; None when it is of other marks, or not what was written."""
    found = of_body(head, marks)
    return None if found is None else found[1]


def whole(head: bytes, body: memoryview, marks: bytes) -> Stored | None:
    """The view; None when it is of other marks, or not what was written."""
    found = of_body(head, marks)
    if found is None:
        return None
    crc, stored = found
    if len(body) != body_octets(stored.messages):
        return None
    stored.uids.frombytes(body[: _UID_OCTETS * stored.messages])
    stored.flags = bytes(body[_UID_OCTETS * stored.messages :])
    return stored if is_body(stored, crc) else None


def body_octets(messages: int) -> int:
    """The length of the body for so many messages."""
    return (_UID_OCTETS + 1) * messages


def is_body(stored: Stored, crc: int) -> bool:
    """Whether uids and flags are what was written, by the checksum that of_body() gave."""
    return len(stored.flags) == len(stored.uids) and crc32(stored.flags, crc32(stored.uids)) == crc


def of_body(head: bytes, marks: bytes) -> tuple[int, Stored] | None:
    """The checksum of the body, and the numbers; None when it is of other marks, or not what was written."""
    magic, crc, rest = head[: len(_MAGIC)], *head[len(_MAGIC) :].partition(b" ")[::2]
    if magic != _MAGIC or crc != b"%d" % crc32(rest):
        return None
    *fields, its_marks = rest.split(b" ", 6)
    if its_marks != marks + b"\n":
        return None
    body_crc, generation, uidvalidity, uidnext, messages, unseen = map(int, fields)
    return body_crc, Stored(generation, uidvalidity, uidnext, messages, unseen)
