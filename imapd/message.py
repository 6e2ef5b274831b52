"""One message of a view while it is looked at: its file, opened and read when first asked for."""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap

from imapd.feature import CONTENT, FILE, HEADER
from maildir import rfc822
from maildir.message import Message as Content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from imapd.view import View

# Larger files are mapped, so that no session holds a whole large message in memory.
READ_OCTETS = 1 << 20

# Most headers end within so many octets; for questions about the header no more is read then.
HEAD_OCTETS = 1 << 12


class Message:
    """The message at an index of a view; a context manager that closes the file.

    Everything that reads the file raises FileNotFoundError when the message is gone.
    """

    __slots__ = ("_content", "_descriptor", "_head", "_stat", "index", "view")

    def __init__(self, view: View, index: int) -> None:
        self.view = view
        self.index = index
        self._descriptor = -1
        self._stat: os.stat_result | None = None
        self._content: Content | None = None
        self._head: Content | None = None

    def __enter__(self) -> Message:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._content is not None and isinstance(self._content.octets, mmap):
            self._content.octets.close()
            self._content = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def uid(self) -> int:
        """Its unique identifier."""
        return self.view.uids[self.index]

    def open(self, search: bool = True) -> None:
        """Open the file, under whatever name it has now; or, without search, if it has the name that is known."""
        if self._descriptor < 0:
            name = self.view.name(self.index)
            self._descriptor, name_now = self.view.folder.open_message(name, search)
            if name_now != name:
                self.view.renamed(self.index, name_now)
            self._stat = os.fstat(self._descriptor)

    def need(self, what: int) -> None:
        """Look at what feature.FILE, HEADER or CONTENT stand for, so that a failure comes now and not later."""
        if what >= FILE:
            self.open()
        if what >= CONTENT:
            _ = self.content
        elif what == HEADER:
            _ = self.head

    @property
    def mtime(self) -> float:
        """The internal date, in seconds since the epoch."""
        self.open()
        assert self._stat is not None  # noqa: S101
        return self._stat.st_mtime

    @property
    def content(self) -> Content:
        """Its octets, and all that can be asked about them."""
        if self._content is None:
            self.open()
            assert self._stat is not None  # noqa: S101
            size = self._stat.st_size
            mapped = size > READ_OCTETS
            self._content = Content(mmap(self._descriptor, 0, access=ACCESS_READ) if mapped else self._read(size))
        return self._content

    @property
    def head(self) -> Content:
        """What answers questions about the header of the message as `content` does, and may end somewhere behind it."""
        if self._content is not None:
            return self._content
        if self._head is None:
            self.open()
            assert self._stat is not None  # noqa: S101
            if self._stat.st_size <= HEAD_OCTETS:
                return self.content
            octets = os.pread(self._descriptor, HEAD_OCTETS, 0)
            header = rfc822.scan(octets)
            # A header that may go on behind what was read takes the whole message.
            self._head = Content(octets, header) if header.body < len(octets) else self.content
        return self._head

    def _read(self, size: int) -> bytes:
        octets = os.read(self._descriptor, size)
        while len(octets) < size:
            more = os.read(self._descriptor, size - len(octets))
            if not more:
                break
            octets += more
        return octets
