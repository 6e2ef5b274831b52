"""From octets to commands (RFC 1939 section 3)."""

from __future__ import annotations

import re
from collections import deque

MAX_LINE = 8192  # octets; what is behind them on a longer line is thrown away, as in the original
MAX_DIGITS = 18  # of a number

_NAME = re.compile(rb"[ \t]*([^ \t]*)[ \t]?")


class Lines:
    """Cuts what arrives into lines; feed(), then next_line() until it gives None."""

    __slots__ = ("_lines", "_partial")

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._partial = b""

    def feed(self, octets: bytes) -> None:
        """Take in octets as they come."""
        *whole, rest = octets.split(b"\n")
        if whole:
            whole[0] = self._partial + whole[0]
            self._partial = b""
            self._lines.extend(whole)
        self._partial = (self._partial + rest)[: MAX_LINE + 1]

    def next_line(self) -> bytes | None:
        """The next line without its line end; None when there is no whole one."""
        return self._lines.popleft().removesuffix(b"\r")[:MAX_LINE] if self._lines else None

    def forget(self) -> None:
        """Throw away what has come."""
        self._lines.clear()
        self._partial = b""


def split(line: bytes) -> tuple[bytes, bytes]:
    """The command's name, in capitals, and the rest of the line behind the one blank that follows it."""
    match = _NAME.match(line)
    assert match is not None  # noqa: S101
    return match[1].upper(), line[match.end() :]


def number(word: bytes) -> int | None:
    """A number as a client writes it; None for anything else."""
    return int(word) if word.isdigit() and len(word) <= MAX_DIGITS else None
