"""A message on its way into a folder: a file in tmp/ that no client can see yet, or the file of another folder."""

from __future__ import annotations

import errno
import os
import re
import stat
import time

from maildir import fs, names
from maildir.keywordlist import NONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self, TypeVar

    from maildir.folder import Folder

    Result = TypeVar("Result")

# The CR of a line end, but not one behind another CR: read back, that LF would not be taken for a line end of ours, so
# CR CR LF stays as it is and comes back as it was sent.
_LINE_END = re.compile(rb"(?<!\r)\r\n")

# Errors of making a link after which a message can still be copied.
UNLINKABLE = frozenset((errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES))

# After so long the kernel has written a file out by itself (30 s), whoever wrote it.
_WRITTEN_OUT_SECONDS = 60

_ATTEMPTS = 100  # how often a message may be renamed while it is being linked

_made = 0  # messages begun by this process, for their names


class Incoming:
    """A message being written; write(), then commit(), then Folder.store() or abort().

    A context manager: a message that was not stored when the block ends is removed.
    """

    __slots__ = ("_fd", "_tail", "_temporary", "_tmp", "bytes_on_disk", "flags", "keywords", "name")

    def __init__(self, folder: bytes) -> None:
        """Begin a message in the folder's tmp/."""
        self._tmp = folder + b"/tmp/"
        self._temporary = _new_name()
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

    def place(self, directory: bytes, placed: list[bytes]) -> None:
        """Give the message its name in a directory, which is added to placed first."""
        name = names.with_flags(self.name, self.flags)
        placed.append(name)  # an error from link() need not mean that it did nothing
        fs.link(self.path, directory + name)

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


class Linked:
    """A message that is in another folder, to be stored by Folder.store() as another name of the same file.

    FileNotFoundError when it is gone, one of UNLINKABLE when it has to be copied.
    """

    __slots__ = ("_name_there", "_source", "keywords", "name")

    def __init__(self, source: Folder, name: bytes, keywords: frozenset[bytes]) -> None:
        self._source = source
        self._name_there = name
        self.keywords = keywords
        found = self._following(lambda path: fs.lstat(path))
        # A file of somebody else's would stay theirs, and a symbolic link is not the message.
        if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EXDEV, "cannot be linked", name)
        if _is_fresh(name, found):
            self._following(_sync)
        self.name = names.unique(_new_name(), found.st_dev, found.st_ino, found.st_size)

    def place(self, directory: bytes, placed: list[bytes]) -> None:
        """As Incoming.place(), with the flags that the message has now."""

        def link(path: bytes) -> None:
            name = names.with_flags(self.name, names.flags_of(self._name_there))
            placed.append(name)
            fs.link(path, directory + name)

        self._following(link)

    def abort(self) -> None:
        """Nothing of it is in tmp/."""

    def forget_temporary(self) -> None:
        """Nothing of it is in tmp/."""

    def _following(self, act: Callable[[bytes], Result]) -> Result:
        """Do something with the file, under whatever name it has now."""
        for _ in range(_ATTEMPTS):
            try:
                return act(self._source.path + b"/cur/" + self._name_there)
            except FileNotFoundError:
                self._name_there = self._source.find(self._name_there)
        raise OSError(errno.EAGAIN, "the message is being renamed all the time", self._name_there)


def _new_name() -> bytes:
    global _made
    _made += 1
    return names.temporary(b"%d" % (_made - 1))


def _is_fresh(name: bytes, found: os.stat_result) -> bool:
    """Whether the octets of a message may be in memory only."""
    # Any change of flags, and any copy, changes the ctime of a file.  But its octets are as old as its name and its
    # mtime say, if these agree: a file that was put back from somewhere has at least one of the three.
    border = time.time() - _WRITTEN_OUT_SECONDS
    return found.st_ctime > border and max(found.st_mtime, names.sort_key(name)[0]) > border


def _sync(path: bytes) -> None:
    fd = fs.open_message(path)
    try:
        fs.sync_octets(fd)
    finally:
        fs.close(fd)


def _unwired(data: bytes, skip: int) -> bytes:
    """Wire bytes as they are stored, without the first skip bytes, which only say what came before."""
    if b"\r\r\n" in data:
        return _LINE_END.sub(b"\n", data)[skip:]
    return data[skip:].replace(b"\r\n", b"\n")
