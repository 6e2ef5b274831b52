"""Daemons and their pid files, shared by couriertcpd and courierlogger.

PIDFILE.lock is locked for as long as the daemon runs and stays for ever; PIDFILE names the process.  Whether a daemon
runs is asked of the lock, never of the pid file, which outlives it.
"""

import fcntl
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable

from couriertcpd.switches import complain

START_SECONDS = 60  # a daemon that has not said by then that it runs has failed
TERM_SECONDS = 10  # between SIGTERM and SIGKILL, and between further SIGKILLs
STOP_SECONDS = 120  # -stop gives up then: only a process that the kernel does not let go outlives SIGKILL
_LOOK_SECONDS = 0.02

_FAILED = "ll_daemon_start: Resource temporarily unavailable"

_STARTED, _RUNS_ALREADY = b"s", b"r"

_FLOCK = "hhqqi0q"  # struct flock with 64-bit offsets: type, whence, start, length, pid


class AlreadyRunning(Exception):
    """Another process holds the lock of this pid file."""


class PidLock:
    """Holds PIDFILE.lock; raises AlreadyRunning or OSError when it is entered."""

    def __init__(self, pidfile: str) -> None:
        self._pidfile = os.path.abspath(pidfile)
        self._descriptor = -1

    def __enter__(self) -> "PidLock":
        self._descriptor = os.open(self._pidfile + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not _try_lock(self._descriptor):
            os.close(self._descriptor)
            raise AlreadyRunning(self._pidfile)
        return self

    def __exit__(self, *failure: object) -> None:
        os.close(self._descriptor)

    def publish(self) -> None:
        """Write our pid to the pid file.  Not synced: after a crash of the host it means nothing."""
        temporary = f"{self._pidfile}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        try:
            os.write(descriptor, b"%d\n" % os.getpid())
            os.fchmod(descriptor, 0o644)
        finally:
            os.close(descriptor)
        os.replace(temporary, self._pidfile)


def start(pidfile: str, body: Callable[[Callable[[], None]], int]) -> int:
    """Run body in a daemon; returns in the launcher, with its exit status.

    The daemon keeps standard error, the umask and the current directory until body calls the function that it is
    given: that writes the pid file, sends standard input, output and error to /dev/null, and lets the launcher return
    0.  If the daemon ends before, the launcher returns 1; if another one runs already, 0 at once.
    """
    answer, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        os._exit(_daemon(pidfile, body, report))
    os.close(report)
    os.waitpid(pid, 0)  # it goes at once: detaching forks again
    ready, _, _ = select.select([answer], [], [], START_SECONDS)
    if ready and os.read(answer, 1) in (_STARTED, _RUNS_ALREADY):
        return 0
    complain(_FAILED)
    return 1


def _daemon(pidfile: str, body: Callable[[Callable[[], None]], int], report: int) -> int:
    from daemon import DaemonContext

    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:  # closed when we were started, open now; DaemonContext wants the objects
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))
    umask = os.umask(0)
    lock = PidLock(pidfile)
    context = DaemonContext(
        umask=umask,
        working_directory=os.getcwd(),
        prevent_core=False,
        detach_process=True,
        files_preserve=[report],
        signal_map={signal.SIGHUP: None},  # until body notes signals, a -restart must not end us
        stderr=sys.stderr,
        pidfile=lock,
    )
    try:
        context.open()
    except AlreadyRunning:
        os.write(report, _RUNS_ALREADY)
        return 0
    except OSError as error:
        complain(f"{pidfile}.lock: {error.strerror}")
        return 1

    def started() -> None:
        lock.publish()
        os.write(report, _STARTED)
        os.close(report)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)

    return body(started)


def stop(pidfile: str) -> int:
    """End the daemon and return, with an exit status, when it has gone; 0 also when there was none."""
    descriptor = _opened_lock(pidfile)
    if descriptor is None:
        return 0
    if descriptor < 0:
        return 1
    number, begun = signal.SIGTERM, time.monotonic()
    next_kill = begun
    while not _try_lock(descriptor):
        now = time.monotonic()
        if now - begun > STOP_SECONDS:
            complain(f"{pidfile}: process {_holder(descriptor, pidfile)} does not end.")
            return 1
        if now >= next_kill:
            if not _kill(_holder(descriptor, pidfile), number):
                return 1
            number, next_kill = signal.SIGKILL, now + TERM_SECONDS
        time.sleep(_LOOK_SECONDS)
    os.close(descriptor)
    return 0


def restart(pidfile: str) -> int:
    """Send the daemon SIGHUP; returns an exit status, 0 also when there is no daemon."""
    descriptor = _opened_lock(pidfile)
    if descriptor is None:
        return 0
    if descriptor < 0:
        return 1
    if not _try_lock(descriptor) and not _kill(_holder(descriptor, pidfile), signal.SIGHUP):
        return 1
    os.close(descriptor)
    return 0


def _opened_lock(pidfile: str) -> int | None:
    """The open lock file; None when there is none, -1 when that cannot be found out, which is said."""
    try:
        return os.open(pidfile + ".lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    except OSError as error:
        complain(f"{pidfile}.lock: {error.strerror}")
        return -1


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows both for "somebody else has it"
        return False
    return True


def _holder(descriptor: int, pidfile: str) -> int:
    """The pid of the lock's holder; 0 if unknown.

    The kernel knows it.  The pid file may still name a process of last week while a daemon starts, so it is believed
    only if the kernel cannot tell (a holder in another pid namespace).
    """
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    pid = int(struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, question))[4])
    if pid > 0:
        return pid
    try:
        with open(pidfile, "rb") as file:
            text = file.read(20).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _kill(pid: int, number: int) -> bool:
    """Send a signal; false, which is said, when that is not allowed."""
    if pid <= 1:
        return True  # it is just starting or just ending
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError as error:
        complain(f"process {pid}: {error.strerror}")
        return False
    return True
