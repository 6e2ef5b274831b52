"""Replacing a file so that readers, and a crash, find the old content or the new, never a part."""

from __future__ import annotations

from maildir import fs, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Replacement:
    """A new version of a file, written in a tmp/ directory of the same file system.

    A context manager: what was not put in place when the block ends is removed.
    """

    __slots__ = ("_fd", "_path", "mtime")

    def __init__(self, tmp: bytes, label: bytes, mode: int = 0o644) -> None:
        """Start a new version in the directory tmp; label goes into the temporary name."""
        self._path = tmp + b"/" + names.temporary(label)
        self._fd = fs.create(self._path, mode)
        try:
            self.mtime = int(fs.fstat(self._fd).st_mtime)  # when it was made, by the file server's clock
        except OSError:
            self._discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path:
            self._discard()

    def put(self, data: bytes) -> None:
        """Write the next bytes."""
        fs.write(self._fd, data)

    def replace(self, target: bytes, directory: bytes = b"") -> None:
        """Make it the file target, on the disk when this returns if the directory that target is in is given."""
        fs.sync(self._fd)
        fs.rename(self._path, target)
        self._path = b""
        fd, self._fd = self._fd, -1
        fs.close(fd)
        if directory:
            fs.sync_directory(directory)

    def _discard(self) -> None:
        try:
            if self._fd >= 0:
                fs.close(self._fd)
        finally:
            self._fd = -1
            _forget(self._path)


def _forget(path: bytes) -> None:
    try:
        fs.unlink(path)
    except OSError:
        return  # the purge of tmp/ finds it later
