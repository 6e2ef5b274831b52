"""Columns of values by uid, in blocks of 128 consecutive uids: how the index keeps what it remembers of messages.

    crc32        4 octets, little-endian, of all that follows; it begins with the block's seal
    lengths      128 times 4 octets, little-endian: length of the value + 1, 0 where there is none
    values       one behind the other

A block's seal is a number that says where it belongs: one that is found elsewhere is not what was written there.

Pure: knows neither files nor what the values mean.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from itertools import accumulate
from zlib import crc32

SHIFT = 7
SPAN = 1 << SHIFT  # uids in a block
MASK = SPAN - 1
MAX_VALUE = 16 << 10  # octets; longer ones are not remembered

_HEAD = 4 + 4 * SPAN
_SWAP = sys.byteorder == "big"

Values = list[bytes | None]


class Damaged(Exception):
    """A block is not what was written."""


def seal(kind: bytes, block: int) -> int:
    """The seal of a block of a column."""
    return crc32(b"%d %b" % (block, kind))


def encode(values: Values, seal: int) -> bytes:
    """A block of the values of SPAN uids."""
    lengths = array("I", [0 if value is None else len(value) + 1 for value in values])
    if _SWAP:
        lengths.byteswap()
    body = lengths.tobytes() + b"".join([value for value in values if value is not None])
    return crc32(body, seal).to_bytes(4, "little") + body


def _lengths(block: bytes, seal: int) -> array[int]:
    if not isinstance(block, bytes) or len(block) < _HEAD:
        raise Damaged
    if crc32(memoryview(block)[4:], seal) != int.from_bytes(block[:4], "little"):
        raise Damaged
    lengths = array("I")
    lengths.frombytes(block[4:_HEAD])
    if _SWAP:
        lengths.byteswap()
    return lengths


def _bounds(block: bytes, lengths: array[int]) -> list[int]:
    """Where each value begins, and where the last one ends."""
    ends = list(accumulate([length - 1 if length else 0 for length in lengths], initial=_HEAD))
    if ends[-1] != len(block):
        raise Damaged
    return ends


def decode(block: bytes, seal: int) -> Values:
    """The values of SPAN uids.  Raises Damaged."""
    lengths = _lengths(block, seal)
    ends = _bounds(block, lengths)
    return [block[start:end] if length else None for length, start, end in zip(lengths, ends, ends[1:], strict=False)]


def holding(block: bytes, seal: int, text: bytes) -> tuple[list[int], list[int]]:
    """The slots (uid & MASK) whose value holds the text, and those without a value.  Raises Damaged.

    All values are looked through at once, so the text must not be one that can begin in one value and end in the next.
    """
    lengths = _lengths(block, seal)
    absent = [slot for slot, length in enumerate(lengths) if not length] if 0 in lengths else []
    at = block.find(text, _HEAD)
    if at < 0:
        return [], absent
    found = []
    ends = _bounds(block, lengths)
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
