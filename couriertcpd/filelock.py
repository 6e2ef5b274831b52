"""A lock file that keeps two runs of a tool apart, waited for with a deadline.

The file stays behind (removing it would let a third run lock another file of the same name); only the lock counts, and
the kernel releases it when its holder is gone.  flock(2), as the original's tools: theirs and ours exclude each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.05


class Busy(Exception):
    """Somebody else has held the lock for the whole time; the text is for people."""


@contextlib.contextmanager
def exclusive(path: str, mode: int = 0o600, seconds: float | None = None) -> Iterator[None]:
    """Hold the lock file, creating it with mode (less the umask).  Raises Busy after `seconds`, OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        _wait(descriptor, path, time.monotonic() + (WAIT_SECONDS if seconds is None else seconds))
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Busy(f"{path}: still locked by another run; try again when it has ended") from None
        time.sleep(_POLL_SECONDS)
