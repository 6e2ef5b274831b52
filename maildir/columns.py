"""Columns of values by uid, in blocks of 128 consecutive uids: how the index keeps what it remembers of messages.

    crc32        4 octets, little-endian, of all that follows; it begins with the block's seal
    lengths      128 times 4 octets, little-endian: of the value, ABSENT where there is none
    values       one behind the other

A block's seal is a number that says where it belongs: one that is found elsewhere is not what was written there.

Pure: knows neither files nor what the values mean.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from struct import Struct
from zlib import crc32

SHIFT = 7
SPAN = 1 << SHIFT  # uids in a block
MASK = SPAN - 1
MAX_VALUE = 16 << 10  # octets; longer ones are not remembered

ABSENT = 0xFFFFFFFF

_LENGTHS = Struct(f"<{SPAN}I")
_HEAD = 4 + _LENGTHS.size
_APART = "%ds" * SPAN  # what takes the values apart, all at once

Values = list[bytes | None]


class Damaged(Exception):
    """A block is not what was written."""


def seal(kind: bytes, block: int) -> int:
    """The seal of a block of a column."""
    return crc32(b"%d %b" % (block, kind))


def encode(values: Values, seal: int) -> bytes:
    """A block of the values of SPAN uids."""
    lengths = [ABSENT if value is None else len(value) for value in values]
    body = _LENGTHS.pack(*lengths) + b"".join([value for value in values if value is not None])
    return crc32(body, seal).to_bytes(4, "little") + body


def _lengths(block: bytes, seal: int) -> tuple[tuple[int, ...], list[int]]:
    """The lengths, 0 where there is no value, and the slots where there is none."""
    if not isinstance(block, bytes) or len(block) < _HEAD:
        raise Damaged
    if crc32(memoryview(block)[4:], seal) != int.from_bytes(block[:4], "little"):
        raise Damaged
    lengths: tuple[int, ...] = _LENGTHS.unpack_from(block, 4)
    absent: list[int] = []
    if ABSENT in lengths:
        absent = [slot for slot, length in enumerate(lengths) if length == ABSENT]
        lengths = tuple([0 if length == ABSENT else length for length in lengths])
    if sum(lengths) != len(block) - _HEAD:
        raise Damaged
    return lengths, absent


def decode(block: bytes, seal: int) -> Values:
    """The values of SPAN uids.  Raises Damaged."""
    lengths, absent = _lengths(block, seal)
    values: Values = list(Struct(_APART % lengths).unpack_from(block, _HEAD))
    for slot in absent:
        values[slot] = None
    return values


def holding(block: bytes, seal: int, text: bytes) -> tuple[list[int], list[int]]:
    """The slots (uid & MASK) whose value holds the text, and those without a value.  Raises Damaged.

    All values are looked through at once, so the text must not be one that can begin in one value and end in the next.
    """
    lengths, absent = _lengths(block, seal)
    at = block.find(text, _HEAD)
    if at < 0:
        return [], absent
    found = []
    ends = list(accumulate(lengths, initial=_HEAD))
    while at >= 0:
        slot = bisect_right(ends, at) - 1
        found.append(slot)
        at = block.find(text, ends[slot + 1])
    return found, absent


def merge(block: bytes | None, seal: int, changes: dict[int, bytes | None]) -> bytes:
    """The block with other values at some slots (uid & MASK); None takes one away.  Raises Damaged."""
    values: Values = [None] * SPAN if block is None else decode(block, seal)
    for slot, value in changes.items():
        values[slot] = value
    return encode(values, seal)
