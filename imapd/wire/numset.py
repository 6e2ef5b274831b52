"""Sets of message numbers: sequence numbers or uids (RFC 3501 §9).

    sequence-set = (seq-number / seq-range) *("," sequence-set)
    seq-range    = seq-number ":" seq-number     ; in either order: 4:2 is 2:4, and *:4 is 4:*
    seq-number   = nz-number / "*"               ; * is the largest number in use

A set is kept as ranges and never written out number by number: 1:4294967295 costs as much as 1.  What `*` means is
known only when the set is resolved against a mailbox.  Of several ranges that reach `*` the one that begins lowest
holds the others, so one number is enough to remember them all.
"""

import re
from bisect import bisect_left, bisect_right

from imapd.wire.malformed import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_RANGES = 10_000  # in one set, before adjoining ones are merged
LARGEST_NUMBER = 0xFFFFFFFF

_RANGE = re.compile(rb"([0-9]+|\*)(?::([0-9]+|\*))?\Z")


class SequenceSet:
    """What a client named: `ranges` (low, high), ascending, merged; and everything from `star_from` to `*`.

    star_from is None when the set names no `*`, and LARGEST_NUMBER + 1 for `*` alone.
    """

    __slots__ = ("ranges", "star_from")

    def __init__(self, ranges: "Iterable[tuple[int, int]]" = (), star_from: int | None = None) -> None:
        self.ranges = _merged(ranges)
        self.star_from = star_from

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SequenceSet):
            return NotImplemented
        return self.ranges == other.ranges and self.star_from == other.star_from

    def __hash__(self) -> int:
        return hash((tuple(self.ranges), self.star_from))

    def __repr__(self) -> str:
        return f"SequenceSet({self.octets!r})"

    @property
    def octets(self) -> bytes:
        """The set as a client would write it; empty when it names nothing."""
        texts = [b"%d" % low if low == high else b"%d:%d" % (low, high) for low, high in self.ranges]
        if self.star_from is not None:
            texts.append(b"*" if self.star_from > LARGEST_NUMBER else b"%d:*" % self.star_from)
        return b",".join(texts)

    def bounds(self, largest: int) -> list[tuple[int, int]]:
        """The ranges, ascending and merged, when `*` is largest; with largest 0 (nothing there) `*` names nothing.

        Ranges of explicit numbers are given as they are, also beyond largest.
        """
        if self.star_from is None or largest == 0:
            return self.ranges
        return _merged([*self.ranges, (min(self.star_from, largest), largest)])

    def indexes_of_uids(self, uids: "Sequence[int]") -> "list[int] | range":
        """Positions (from 0) in uids, which ascend, of those that the set names; uids that do not exist are no matter.

        RFC 3501 §6.4.8: with uids `*` is the highest one there is, so that 999:* always names that one.
        """
        spans = []
        for low, high in self.bounds(uids[-1] if uids else 0):
            start = bisect_left(uids, low)
            end = bisect_right(uids, high, start)
            if start < end:
                spans.append(range(start, end))
        return _flattened(spans)

    def sequence_numbers(self, count: int) -> "tuple[list[int] | range, list[int]]":
        """The numbers named that exist in a mailbox of count messages, and those that do not.

        Both ascend.  Of a range that reaches beyond the mailbox only the first number outside is told.
        """
        spans = []
        outside = []
        for low, high in self.bounds(count):
            if low <= count:
                spans.append(range(low, min(high, count) + 1))
            if high > count:
                outside.append(max(low, count + 1))
        if count == 0 and self.star_from is not None and not outside:
            outside.append(1)  # `*` of an empty mailbox
        return _flattened(spans), outside


def parse(text: bytes) -> SequenceSet:
    """Parse a whole sequence-set.  Raises Malformed."""
    parts = text.split(b",", MAX_RANGES)
    if len(parts) > MAX_RANGES:
        raise Malformed(f"Message set of more than {MAX_RANGES} ranges")
    ranges = []
    star_from = LARGEST_NUMBER + 2
    for part in parts:
        match = _RANGE.match(part)
        if match is None:
            raise Malformed("Message set: expected numbers above 0, * and ranges of them, with commas between")
        low = _number(match[1])
        high = low if match[2] is None else _number(match[2])
        if low > high:
            low, high = high, low
        if high > LARGEST_NUMBER:
            star_from = min(star_from, low)
        else:
            ranges.append((low, high))
    return SequenceSet(ranges, star_from if star_from <= LARGEST_NUMBER + 1 else None)


def compact(numbers: "Iterable[int]") -> bytes:
    """Write numbers as a set in their own order, runs that ascend by one as ranges (RFC 4315 §3: the order counts)."""
    texts: list[bytes] = []
    first = last = -1
    for number in numbers:
        if number == last + 1 and first >= 0:
            last = number
            continue
        if first >= 0:
            texts.append(_run(first, last))
        first = last = number
    if first >= 0:
        texts.append(_run(first, last))
    return b",".join(texts)


def _run(first: int, last: int) -> bytes:
    return b"%d" % first if first == last else b"%d:%d" % (first, last)


def _number(text: bytes) -> int:
    """nz-number of 32 bits; `*` is one above the largest, so that it orders last."""
    if text == b"*":
        return LARGEST_NUMBER + 1
    digits = text.lstrip(b"0")
    if not digits or len(digits) > 10 or int(digits) > LARGEST_NUMBER:
        raise Malformed(f"Message set: numbers are 1 to {LARGEST_NUMBER}")
    return int(digits)


def _merged(ranges: "Iterable[tuple[int, int]]") -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged


def _flattened(spans: "list[range]") -> "list[int] | range":
    """One range as it is, so that 1:* of a large mailbox is not written out; several as a list."""
    if not spans:
        return range(0)
    if len(spans) == 1:
        return spans[0]
    return [number for span in spans for number in span]
