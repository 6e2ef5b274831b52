"""Line ends, and the size that octets on disk have on the wire.

On disk a line ends in LF, but a file may hold CRLF, lone CRs and NULs as well.  On the wire each LF that stands without
a CR before it becomes CRLF, and nothing else changes.

    newlines(octets, start, end) -> int        number of LF
    wire_octets(octets, start, end) -> int     size on the wire
    find(octets, what, start, end) -> int      where something begins, in little memory
    let_go(octets, start, end)                 gives back the memory of a mapped file
    LineEnds(octets).newlines(start, end), .wire_octets(start, end)
        the same, with a memory: ranges that overlap (each level of a nested message, each partial of one large body)
        do not count the same octets again
"""

from __future__ import annotations

from bisect import bisect_right
from mmap import MADV_DONTNEED, PAGESIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap

    Octets = bytes | mmap

_BLOCK = 1 << 18  # octets between two remembered counts, and of an mmap copied at once


def newlines(octets: Octets, start: int, end: int) -> int:
    """The number of LF in octets[start:end]."""
    if isinstance(octets, bytes):
        return _lf(octets[start:end])
    return _count(octets, b"\n", start, end)


def wire_octets(octets: Octets, start: int, end: int) -> int:
    """The size of octets[start:end] on the wire; a CR just before start still belongs to the LF at start."""
    return end - start + _bare(octets, start, end) if start < end else 0


class LineEnds:
    """Counts over one message's octets, each octet of which is counted once and a bit."""

    __slots__ = ("_bare", "_is_plain", "_last", "_lf", "octets")

    def __init__(self, octets: Octets) -> None:
        self.octets = octets
        self._lf = [0]  # LFs before block n
        self._bare = [0]  # of these, the ones without CR
        self._last = (0, 0, 0)  # a range, and its LFs: the two questions are mostly asked about the same one
        self._is_plain: bool | None = None  # whether no CR is in it at all

    def newlines(self, start: int, end: int) -> int:
        """The number of LF in octets[start:end]."""
        if end - start <= 2 * _BLOCK:
            known_start, known_end, found = self._last
            if known_start != start or known_end != end:
                found = newlines(self.octets, start, end)
                self._last = start, end, found
            return found
        first, last = self._between(start, end)
        near = newlines(self.octets, start, first * _BLOCK) + newlines(self.octets, last * _BLOCK, end)
        return self._lf[last] - self._lf[first] + near

    def wire_octets(self, start: int, end: int) -> int:
        """The size of octets[start:end] on the wire."""
        octets = self.octets
        if end - start <= 2 * _BLOCK:
            if start >= end:
                return 0
            size = end - start + self.newlines(start, end)
            if self._is_plain is None:
                self._is_plain = isinstance(octets, bytes) and b"\r" not in octets
            return size if self._is_plain else size - _crlf(octets, start, end)
        first, last = self._between(start, end)
        near = _bare(octets, start, first * _BLOCK) + _bare(octets, last * _BLOCK, end)
        return end - start + self._bare[last] - self._bare[first] + near

    def before(self, start: int, end: int, wire: int) -> tuple[int, int]:
        """A place in octets[start:end] not far before the wire-th octet on the wire: its offset, and its own count."""
        if end - start <= 2 * _BLOCK or wire <= 0:
            return start, 0
        first, last = self._between(start, end)
        # The size up to a border grows with the border: the last one that is not behind the place.
        border = bisect_right(range(first, last + 1), wire, key=lambda block: self.wire_octets(start, block * _BLOCK))
        at = start if border == 0 else (first + border - 1) * _BLOCK
        return at, self.wire_octets(start, at)

    def _between(self, start: int, end: int) -> tuple[int, int]:
        """The first and last block border between start and end, with the counts up to there known."""
        last = end // _BLOCK
        for block in range(len(self._lf) - 1, last):
            at = block * _BLOCK
            lf = _count(self.octets, b"\n", at, at + _BLOCK)
            self._lf.append(self._lf[block] + lf)
            self._bare.append(self._bare[block] + lf - _crlf(self.octets, at, at + _BLOCK))
            # The octet before a block brings some pages of the block before back.
            let_go(self.octets, max(at - _BLOCK, 0), at + _BLOCK)
        return -(-start // _BLOCK), last


def _bare(octets: Octets, start: int, end: int) -> int:
    """LFs without a CR before them."""
    return _count(octets, b"\n", start, end) - _crlf(octets, start, end)


def _crlf(octets: Octets, start: int, end: int) -> int:
    """LFs with a CR before them, which may be the octet before start."""
    return _count(octets, b"\r\n", max(start - 1, 0), end) if start < end else 0


def _count(octets: Octets, what: bytes, start: int, end: int) -> int:
    if isinstance(octets, bytes):
        return _count_in(octets, what, start, end)
    # An mmap has no count().  Blocks overlap by what an occurrence could reach into the next one.
    over = len(what) - 1
    count = 0
    for at in range(start, end, _BLOCK):
        block = octets[at : min(at + _BLOCK + over, end)]
        count += _count_in(block, what, 0, len(block))
        let_go(octets, at, min(at + _BLOCK, end))
    return count


def _count_in(octets: bytes, what: bytes, start: int, end: int) -> int:
    if what == b"\n":
        return _lf(octets[start:end])
    # Mail on disk has hardly ever a CR, and one octet is found faster than two.
    return octets.count(what, start, end) if octets.find(b"\r", start, end) >= 0 else 0


def _lf(octets: bytes) -> int:
    # count() looks at each octet, replace() leaps from one to the next.
    return len(octets) - len(octets.replace(b"\n", b""))


def find(octets: Octets, what: bytes, start: int, end: int) -> int:
    """As octets.find(what, start, end), without keeping what was searched of a mapped file in memory."""
    if isinstance(octets, bytes):
        return octets.find(what, start, end)
    over = len(what) - 1
    for at in range(start, end, _BLOCK):
        found = octets.find(what, at, min(at + _BLOCK + over, end))
        if found >= 0:
            return found
        let_go(octets, at, min(at + _BLOCK, end))
    return -1


def let_go(octets: Octets, start: int, end: int) -> None:
    """Give back the memory of octets that have been looked at, if they are a mapped file; they can be read again."""
    if not isinstance(octets, bytes) and start < end:
        first = start - start % PAGESIZE
        octets.madvise(MADV_DONTNEED, first, end - first)
