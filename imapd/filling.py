"""Working out, while the client is silent, what it and others ask for in a folder, for the messages that lack it.

The newest messages come first, for those are what a client asks about next.  How far that has come is remembered in the
index, so that no session looks for gaps where another has closed them; what could not be read or written is not tried
again.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from zlib import crc32

from imapd.indexvalues import Maker
from imapd.message import Message
from maildir import columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imapd.view import View

SLICE_SECONDS = 0.01  # after which it is looked whether the client has sent something
PAUSE_SECONDS = 0.005  # between two slices: others may have more urgent work
_FILLED = b"filled"  # the answer in the index: checksum of the kinds, and the uid up to which no message lacks one


class Filling:
    """The filling of one folder's index for the messages of a view, as long as these are the same."""

    __slots__ = ("_kinds", "_maker", "_steps", "_view")

    def __init__(self, view: View) -> None:
        self._view = view
        self._kinds: set[bytes] = set()  # those that have been gone through, or are
        self._steps: Iterator[None] | None = None
        self._maker: tuple[tuple[bytes, ...], Maker] = (), Maker(())  # most messages lack the same

    def go_on(self) -> float | None:
        """Work for a moment; returns after how many seconds there is more, None when nothing is left."""
        if self._steps is None:
            self._view.index.flush()
            kinds = set(self._view.index.kinds())
            if kinds == self._kinds:
                return None
            self._kinds, self._steps = kinds, self._fill(kinds)
        until = time.monotonic() + SLICE_SECONDS
        for _ in self._steps:
            if time.monotonic() >= until:
                break
        else:
            self._steps = None
        return PAUSE_SECONDS

    def _fill(self, asked: set[bytes]) -> Iterator[None]:
        """Work through the messages, newest first; a step is one message, or the end of a block."""
        kinds = sorted(asked.difference(Maker(asked).unknown))
        uids, index = self._view.uids, self._view.index
        checksum = crc32(b"\n".join(kinds))
        filled = _filled(index.answer(_FILLED), checksum)
        first, end = bisect_left(uids, filled + 1), len(uids)
        if not kinds or first == end:
            return
        complete = True
        while first < end:
            start = max(first, bisect_left(uids, uids[end - 1] & ~columns.MASK))
            for position, lacking in self._lacking(kinds, start, end):
                complete = self._make(position, lacking) and complete
                yield
            index.flush()
            end = start
            yield
        if complete:
            index.remember_answer(_FILLED, array("I", (checksum, uids[-1])).tobytes())

    def _lacking(self, kinds: list[bytes], start: int, end: int) -> list[tuple[int, tuple[bytes, ...]]]:
        """What is not known of which messages between two positions, the newest first."""
        uids = self._view.uids[start:end]
        known = [self._view.index.values(kind, uids) for kind in kinds]
        gaps = [
            (position, tuple([kind for kind, value in zip(kinds, values, strict=True) if value is None]))
            for position, values in zip(range(start, end), zip(*known, strict=True), strict=True)
            if None in values
        ]
        return gaps[::-1]

    def _make(self, position: int, kinds: tuple[bytes, ...]) -> bool:
        """Remember what is lacking of one message; False when its file is not where it was.

        It is not searched for: many may have been renamed, and this view does not know it yet.
        """
        if self._maker[0] != kinds:
            self._maker = kinds, Maker(kinds)
        with Message(self._view, position) as message:
            try:
                message.open(search=False)
                values = self._maker[1].values(message)
            except FileNotFoundError:
                return False
            except OSError:
                return True
        for kind, value in values.items():
            self._view.index.remember(kind, message.uid, value)
        return True


def _filled(answer: bytes | None, checksum: int) -> int:
    """The uid up to which nothing is lacking of these kinds."""
    noted = array("I", answer or b"")
    return noted[1] if len(noted) == 2 and noted[0] == checksum else 0
