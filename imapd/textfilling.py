"""Putting the texts of a folder's messages into its full-text index: while the client is silent, or all at once."""

from __future__ import annotations

import time
from bisect import bisect_left

from imapd.filling import PAUSE_SECONDS, SLICE_SECONDS
from imapd.message import Message
from maildir import bodytext, columns, fulltext, heap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imapd.view import View

_SLICE_CHARACTERS = 40_000  # are written in about half a slice
_MERGE_EACH = 8  # writes between two merges
_MOST_OCTETS = 1 << 20  # of a message that is read while a client may come back any moment
_MOST_CHARACTERS = 60_000


class TextFilling:
    """The filling of one folder's full-text index for the messages of a view, as long as these are the same.

    thorough is for who does not mind that one message takes long.
    """

    __slots__ = ("_is_done", "_is_thorough", "_steps", "_view", "_writes", "looked_at")

    def __init__(self, view: View, thorough: bool = False) -> None:
        self._view = view
        self._is_thorough = thorough
        self._is_done = False
        self._steps: Iterator[int] | None = None
        self._writes = 0
        self.looked_at = 0  # messages

    def go_on(self) -> float | None:
        """Work for a moment; returns after how many seconds there is more, None when nothing is left."""
        if self._is_done:
            return None
        if self._steps is None:
            self._steps = self.steps()
        until = time.monotonic() + SLICE_SECONDS / 2  # for the last step goes beyond it
        for _ in self._steps:
            if time.monotonic() >= until:
                return PAUSE_SECONDS
        self._is_done = True
        if self.looked_at:
            self._view.folder.full_text.close()  # what writes it holds much memory
            heap.give_back()
        return None

    def steps(self) -> Iterator[int]:
        """Work through the messages, newest first; a step gives how many messages are left."""
        full_text, view = self._view.folder.full_text, self._view
        full_text.tidy(view.uidvalidity, len(view))
        end = len(view)
        while end:
            start = bisect_left(view.uids, view.uids[end - 1] & ~columns.MASK)
            documents = full_text.documents(view.uidvalidity, view.uids[start:end], view.bases(start, end))
            if documents is None:
                return
            for position in range(end - 1, start - 1, -1):
                if documents[position - start] == fulltext.NOT_IN:
                    self._take(position)
                    yield position
                    yield from self._write(_SLICE_CHARACTERS, position)
            yield from self._write(1, start)
            end = start
            yield end
        yield from self._merge(0)

    def _write(self, least: int, left: int) -> Iterator[int]:
        full_text = self._view.folder.full_text
        if full_text.buffered >= least:
            full_text.flush()
            self._writes += 1
            yield left
            if self._writes % _MERGE_EACH == 0:
                yield from self._merge(left)

    def _merge(self, left: int) -> Iterator[int]:
        while self._view.folder.full_text.merge():
            yield left

    def _take(self, position: int) -> None:
        view = self._view
        self.looked_at += 1
        with Message(view, position) as message:
            try:
                message.open(search=False)
                content = message.content
            except OSError:  # gone meanwhile, or no readable file
                return
            if not self._is_thorough and len(content.octets) > _MOST_OCTETS:
                return
            texts = bodytext.folded_texts(content, fulltext.MAX_TEXT if self._is_thorough else _MOST_CHARACTERS)
        if texts is None and not self._is_thorough:
            return
        view.folder.full_text.put(view.uidvalidity, view.uids[position], view.base(position), texts)
