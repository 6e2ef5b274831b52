"""A message on its way into a folder: a file in tmp/ that no client can see yet."""

from __future__ import annotations

import re

from maildir import fs, names
from maildir.keywordlist import NONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

# The CR of a line end, but not one behind another CR: read back, that LF would not be taken for a line end of ours, so
# CR CR LF stays as it is and comes back as it was sent.
_LINE_END = re.compile(rb"(?<!\r)\r\n")

_made = 0  # messages begun by this process, for their names


class Incoming:
    """A message being written; write(), then commit(), then Folder.store() or abort().

    A context manager: a message that was not stored when the block ends is removed.
    """

    __slots__ = ("_fd", "_tail", "_temporary", "_tmp", "bytes_on_disk", "flags", "keywords", "name")

    def __init__(self, folder: bytes) -> None:
        """Begin a message in the folder's tmp/."""
        global _made
        self._tmp = folder + b"/tmp/"
        self._temporary = names.temporary(b"%d" % _made)
        _made += 1
        self._fd = fs.create(self._tmp + self._temporary)
        self._tail = b""  # a CR at the end that is not written yet, with the CR before it
        self.bytes_on_disk = 0
        self.flags = 0
        self.keywords = NONE
        self.name = b""  # the base name it will have, once committed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @property
    def path(self) -> bytes:
        """The file in tmp/; b"" when it has been stored or aborted."""
        return self._tmp + self._temporary if self._temporary else b""

    def write(self, chunk: bytes) -> None:
        """Add bytes as they come over the wire; CRLF becomes LF, all else stays."""
        data = self._tail + chunk
        known = len(self._tail) // 2  # the first of two CRs is written and only there for context
        if data.endswith(b"\r"):
            self._tail = b"\r\r" if data.endswith(b"\r\r") else b"\r"
            data = data[:-1]
        else:
            self._tail = b""
        self.write_stored(_unwired(data, known))

    def write_stored(self, data: bytes) -> None:
        """Add bytes as they are stored, from another folder's file."""
        fs.write(self._fd, data)
        self.bytes_on_disk += len(data)

    def commit(self, flags: int = 0, mtime: float | None = None, keywords: frozenset[bytes] = NONE) -> None:
        """End the message and bring it to the disk; mtime is the internal date in seconds."""
        if self._tail:
            self.write_stored(b"\r")
            self._tail = b""
        if mtime is not None:
            fs.utime(self._tmp + self._temporary, mtime)
        fs.sync(self._fd)
        found = fs.fstat(self._fd)
        fd, self._fd = self._fd, -1
        fs.close(fd)
        self.flags = flags
        self.keywords = keywords
        self.name = names.unique(self._temporary, found.st_dev, found.st_ino, self.bytes_on_disk)

    def abort(self) -> None:
        """Forget the message, unless it is stored."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            fs.close(fd)
        self.forget_temporary()

    def forget_temporary(self) -> None:
        """Remove the file in tmp/; what cannot be removed is left to the purge."""
        path, self._temporary = self.path, b""
        if path:
            try:
                fs.unlink(path)
            except OSError:
                return


def _unwired(data: bytes, skip: int) -> bytes:
    """Wire bytes as they are stored, without the first skip bytes, which only say what came before."""
    if b"\r\r\n" in data:
        return _LINE_END.sub(b"\n", data)[skip:]
    return data[skip:].replace(b"\r\n", b"\n")
