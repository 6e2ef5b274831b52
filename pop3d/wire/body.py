"""Messages on their way to the client: line ends, dots, and the parts that are asked for (RFC 1939 section 3).

On disk a line ends in LF; on the wire each LF that stands without a CR becomes CRLF, a line that begins with a dot
gets another one, and a last line without end gets one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Body:
    """Turns octets on disk into those on the wire, piece by piece."""

    __slots__ = ("_cr", "_line_start")

    def __init__(self) -> None:
        self._line_start = True
        self._cr = False  # a CR at the end of the last piece, which may belong to an LF

    def feed(self, octets: bytes) -> bytes:
        """The next octets."""
        if self._cr:
            octets = b"\r" + octets
        self._cr = octets.endswith(b"\r")
        if self._cr:
            octets = octets[:-1]
        if not octets:
            return b""
        dot = self._line_start and octets.startswith(b".")
        self._line_start = octets.endswith(b"\n")
        if b"\r\n" in octets:
            octets = octets.replace(b"\r\n", b"\n")
        if b"\n." in octets:
            octets = octets.replace(b"\n.", b"\n..")
        octets = octets.replace(b"\n", b"\r\n")
        return b"." + octets if dot else octets

    def end(self) -> bytes:
        """What comes behind the last piece."""
        rest = b"\r" if self._cr else b""
        return rest + (b".\r\n" if self._line_start and not self._cr else b"\r\n.\r\n")


def first_lines(pieces: Iterable[bytes], lines: int, body_start: Callable[[bytes], int]) -> Iterator[bytes]:
    """The header of a message and so many lines of its body (TOP).

    body_start says where the body begins in the beginning of a message, its length when it is not in there.
    """
    header: bytes | None = b""
    for piece in pieces:
        if header is not None:
            header += piece
            start = body_start(header)
            if start == len(header):
                continue
            yield header[:start]
            piece, header = header[start:], None
        if not lines:
            return
        found = piece.count(b"\n")
        if found < lines:
            lines -= found
            yield piece
            continue
        end = 0
        for _ in range(lines):
            end = piece.index(b"\n", end) + 1
        yield piece[:end]
        return
    if header:
        yield header
