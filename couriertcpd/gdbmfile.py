"""A GDBM file built from nothing and put in place at once.

Records are the bytes themselves, without the trailing NUL that some users of GDBM add: that is what the original's
programs store and look up.  Readers see the old file until publish(), then the new one, never half of one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any


class CannotBuild(Exception):
    """The file cannot be made; the text is one line for people."""


class DuplicateKey(CannotBuild):
    """The key is in the file already; the text is the original's."""


class NewFile:
    """A GDBM file under construction at `temporary`, with exactly the permission bits of `mode`."""

    def __init__(self, temporary: str, mode: int) -> None:
        self.temporary = temporary
        self._mode = mode
        self._database: Any = _create(temporary, mode)

    def add(self, key: bytes, value: bytes) -> None:
        """Store one record.  Raises DuplicateKey, or CannotBuild when the disk is full."""
        complaint = f"Cannot store record for {os.fsdecode(key)} - duplicate or out of disk space."
        if key in self._database:
            raise DuplicateKey(complaint)
        try:
            self._database[key] = value
        except OSError as error:
            raise CannotBuild(f"{complaint} ({error.strerror or error})") from error

    def finish(self) -> None:
        """Bring everything to the disk; what is left is publish().  Raises CannotBuild."""
        try:
            self._database.sync()
            self._database.close()
            descriptor = os.open(self.temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.fchmod(descriptor, self._mode)  # whatever the umask says
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise CannotBuild(f"{self.temporary}: cannot be written: {error.strerror or error}") from error

    def publish(self, target: str) -> None:
        """Replace target by the finished file.  Raises CannotBuild."""
        try:
            os.rename(self.temporary, target)
            directory = os.open(os.path.dirname(target) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise CannotBuild(f"{target}: cannot be replaced: {error.strerror}") from error

    def abandon(self) -> None:
        """Close and remove the temporary file; after publish() there is none."""
        self._database.close()
        with contextlib.suppress(OSError):
            os.unlink(self.temporary)


@contextlib.contextmanager
def building(temporary: str, mode: int) -> Iterator[NewFile]:
    """A NewFile that is gone at the end of the block unless it was published.  Raises CannotBuild."""
    new = NewFile(temporary, mode)
    try:
        yield new
    finally:
        new.abandon()


def _create(temporary: str, mode: int) -> Any:
    try:
        import dbm.gnu
    except ImportError:
        raise CannotBuild("this Python has no dbm.gnu; install its GDBM module (Debian: python3-gdbm)") from None
    try:
        # A file left by a run that was killed, or a symbolic link that somebody planted: never written into.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
        return dbm.gnu.open(temporary, "nf", mode)
    except OSError as error:
        raise CannotBuild(f"Cannot create {temporary}: {error.strerror or error}") from error
