"""The dot-lock of a folder, `tmp/courier.lock`, as the original takes it, so that its server and ours exclude each
other.

It holds `PID:HOSTNAME` and is made with link(), which works over NFS.  A lock whose process is gone, or one of another
host that is older than two minutes, is removed, and taken after a pause in which whoever else saw the dead lock can
remove it too.  Unlike the original nobody waits for ever: OSError with ETIMEDOUT ends it.

`IMAP_USELOCKS` set to anything that does not begin with 1 switches locking off.  The lock is only ever held around a
few file operations, never while a client is being waited for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from couriertcpd import environ, log
from maildir import fs, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = b"/tmp/courier.lock"

WAIT_SECONDS = 60.0  # then the attempt ends with ETIMEDOUT
FOREIGN_SECONDS = 120  # a lock of another host, or one that cannot be read, is dead when older than this
PAUSE_SECONDS = 5.0  # after the removal of a dead lock
_FIRST_STEP, _LONGEST_STEP = 0.0005, 0.05


@contextlib.contextmanager
def held(folder: bytes) -> Iterator[None]:
    """Hold the lock of a folder for the length of a with block."""
    if environ.is_set("IMAP_USELOCKS") and not environ.text("IMAP_USELOCKS").startswith("1"):
        yield
        return
    _take(folder)
    try:
        yield
    finally:
        _release(folder + FILE)


def _take(folder: bytes) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    step = _FIRST_STEP
    while True:
        taken, now = _attempt(folder)
        if taken:
            return
        if _remove_if_dead(folder + FILE, now):
            wait = PAUSE_SECONDS
        else:
            wait, step = step, min(step * 2, _LONGEST_STEP)
        if time.monotonic() + wait > deadline:
            raise TimeoutError(errno.ETIMEDOUT, _who_holds(folder + FILE), folder + FILE)
        time.sleep(wait)


def _attempt(folder: bytes) -> tuple[bool, float]:
    """Try once; return whether the lock is ours, and the time by the clock that stamps the files here."""
    own = folder + b"/tmp/" + names.temporary(b"courierlock")
    fd = fs.create(own, 0o644)
    try:
        fs.write(fd, _content())
        now = fs.fstat(fd).st_mtime
        with contextlib.suppress(FileExistsError):
            fs.link(own, folder + FILE)
        try:
            # Over NFS an error may hide a success, so what counts is the number of names.
            return fs.fstat(fd).st_nlink == 2, now
        except OSError:
            _release(folder + FILE)
            raise
    finally:
        fs.close(fd)
        with contextlib.suppress(OSError):  # the purge of tmp/ finds it later
            fs.unlink(own)


def _remove_if_dead(path: bytes, now: float) -> bool:
    try:
        content, found = fs.read_file(path, 1024)
    except FileNotFoundError:
        return False  # released meanwhile
    except OSError:
        content, found = b"", fs.lstat(path)
    pid, _, host = content.partition(b":")
    if host == _host() and pid.isdigit():
        dead = int(pid) == os.getpid() or not _alive(int(pid))
    else:
        dead = now - found.st_mtime > FOREIGN_SECONDS
    if dead:
        with contextlib.suppress(FileNotFoundError):
            fs.unlink(path)
        log.warn(f"{log.printable(path)}: removed, it was left behind by {log.printable(content) or 'a crash'}")
    return dead


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _content() -> bytes:
    return b"%d:%s" % (os.getpid(), _host())


def _host() -> bytes:
    return os.fsencode(os.uname().nodename)


def _who_holds(path: bytes) -> str:
    try:
        content, _ = fs.read_file(path, 1024)
    except OSError:
        content = b""
    holder = log.printable(content) or "somebody"
    return f"locked by {holder} for more than {WAIT_SECONDS:.0f} seconds; if that is no mail server, remove the file"


def _release(path: bytes) -> None:
    """Remove the lock, unless it was taken for dead and is somebody else's now."""
    for _ in range(2):  # one odd answer must not leave it locked for as long as this process lives
        try:
            if fs.read_file(path, 1024)[0] == _content():
                fs.unlink(path)
            return
        except OSError:
            continue
