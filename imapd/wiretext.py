"""Octets on disk as they go over the wire: each LF that stands without a CR becomes CRLF, nothing else changes.

    Piece(octets, start, end, line_ends=None)   a stretch of octets on disk (bytes or an mmap)
        .size(partial=None) -> int              octets on the wire
        .chunks(partial=None) -> Iterator[bytes]   the octets on the wire, at most MAX_CHUNK at a time

partial is (start, count) in octets on the wire, count None for all the rest (RFC 3501 §6.4.5); what lies beyond the
end is left out.  With the message's LineEnds the partials of a large body, asked for one after the other, do not count
what is before them again.
"""

from __future__ import annotations

from maildir.lineends import LineEnds, let_go

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from maildir.lineends import Octets

    Partial = tuple[int, int | None]

MAX_CHUNK = 1 << 17

# Octets on disk, all of which may be LF.  Twice as many would cost three times as much: malloc() maps what is larger
# than 128 KiB anew each time.
_BLOCK = MAX_CHUNK // 2

_KEPT = 1 << 20  # what is not larger is converted once, and its size is that of the result
_CR = 13
_LF = 10


class Piece:
    """See the module."""

    __slots__ = ("_wire", "end", "line_ends", "octets", "start")

    def __init__(self, octets: Octets, start: int, end: int, line_ends: LineEnds | None = None) -> None:
        self.octets = octets
        self.start = start
        self.end = end
        self.line_ends = line_ends or LineEnds(octets)
        self._wire: list[bytes] | None = None  # all of a small one, converted

    def size(self, partial: Partial | None = None) -> int:
        """Octets on the wire."""
        if partial is None and self.end - self.start <= _KEPT:
            return sum(map(len, self._converted()))
        whole = self.line_ends.wire_octets(self.start, self.end)
        if partial is None:
            return whole
        start, count = partial
        rest = max(whole - start, 0)
        return rest if count is None else min(rest, count)

    def chunks(self, partial: Partial | None = None) -> Iterator[bytes]:
        """The octets on the wire."""
        if partial is None and self.end - self.start <= _KEPT:
            yield from self._converted()
            return
        first, left = partial or (0, None)
        at, before = self.line_ends.before(self.start, self.end, first)
        skip = first - before
        while at < self.end and left != 0:
            end = min(at + _BLOCK, self.end)
            chunk = _converted(self.octets, at, end)
            let_go(self.octets, at, end)
            at = end
            if skip:
                chunk, skip = chunk[skip:], max(skip - len(chunk), 0)
            if left is not None:
                chunk = chunk[:left]
                left -= len(chunk)
            if chunk:
                yield chunk

    def _converted(self) -> list[bytes]:
        if self._wire is None:
            blocks = range(self.start, self.end, _BLOCK)
            self._wire = [_converted(self.octets, at, min(at + _BLOCK, self.end)) for at in blocks]
            let_go(self.octets, self.start, self.end)
        return self._wire


def _converted(octets: Octets, start: int, end: int) -> bytes:
    chunk = octets[start:end]
    if b"\r" in chunk:
        chunk = chunk.replace(b"\r\n", b"\n")
    chunk = chunk.replace(b"\n", b"\r\n")
    # The CR of a first LF may be the last octet before.
    return chunk[1:] if start > 0 and octets[start] == _LF and octets[start - 1] == _CR else chunk
