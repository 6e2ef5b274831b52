"""One message while it is looked at: its file, its header, its structure, each read when first asked for."""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap

from imapd.feature import CONTENT, FILE
from maildir import rfc822

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from imapd.view import View
    from maildir.rfc822 import Header, Octets
    from maildir.rfc2045 import Part

# Larger files are mapped, so that no session holds a whole large message in memory.
READ_OCTETS = 1 << 20


class Message:
    """The message at an index of a view; a context manager that closes the file.

    Everything that reads the file raises FileNotFoundError when the message is gone.
    """

    __slots__ = ("_descriptor", "_header", "_octets", "_part", "_stat", "index", "view")

    def __init__(self, view: View, index: int) -> None:
        self.view = view
        self.index = index
        self._descriptor = -1
        self._stat: os.stat_result | None = None
        self._octets: Octets | None = None
        self._header: Header | None = None
        self._part: Part | None = None

    def __enter__(self) -> Message:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._octets, mmap):
            self._header = self._part = None
            self._octets.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def uid(self) -> int:
        """Its unique identifier."""
        return self.view.uids[self.index]

    def open(self) -> None:
        """Open the file, under whatever name it has now."""
        if self._descriptor < 0:
            names = self.view.names
            self._descriptor, names[self.index] = self.view.folder.open_message(names[self.index])
            self._stat = os.fstat(self._descriptor)

    def need(self, what: int) -> None:
        """Look at what feature.FILE or feature.CONTENT stand for, so that a failure comes now and not later."""
        if what >= FILE:
            self.open()
        if what >= CONTENT:
            _ = self.octets

    @property
    def mtime(self) -> float:
        """The internal date, in seconds since the epoch."""
        self.open()
        assert self._stat is not None  # noqa: S101
        return self._stat.st_mtime

    @property
    def octets(self) -> Octets:
        """The message as it is on disk."""
        if self._octets is None:
            self.open()
            assert self._stat is not None  # noqa: S101
            if self._stat.st_size > READ_OCTETS:
                self._octets = mmap(self._descriptor, 0, access=ACCESS_READ)
            else:
                self._octets = self._read(self._stat.st_size)
        return self._octets

    def _read(self, size: int) -> bytes:
        octets = os.read(self._descriptor, size)
        while len(octets) < size:
            more = os.read(self._descriptor, size - len(octets))
            if not more:
                break
            octets += more
        return octets

    @property
    def wire_size(self) -> int:
        """The size in octets as the client gets it."""
        return rfc822.wire_octets(self.octets, 0, len(self.octets))

    @property
    def header(self) -> Header:
        """The scanned header."""
        if self._header is None:
            self._header = rfc822.scan(self.octets)
        return self._header

    @property
    def part(self) -> Part:
        """The MIME structure."""
        if self._part is None:
            from maildir import rfc2045

            self._part = rfc2045.parse(self.octets)
        return self._part
