"""Starting a process for one purpose: fork, descriptors on fixed numbers, default signals, exec."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from couriertcpd import log, stage, wakeup

SLOT = 3  # where a connection's first program finds the slot's pipe; it need not know

_DEFAULTED = (*wakeup.NOTED, signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores the last two


def fork(run: Callable[[], None]) -> int:
    """Fork; the child calls run, which is to exec, with default signals.  Returns the child's pid, raises OSError.

    The signals that the parent notes are blocked around the fork: one that came before the child has forgotten the
    parent's handlers would be noted in the wrong process, and lost for the child.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wakeup.NOTED)
    try:
        pid = os.fork()
        if pid == 0:
            _child(run)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(run: Callable[[], None]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in _DEFAULTED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        run()
    except Exception as error:  # a child must never return into its parent's loop
        log.err(f"{type(error).__name__}: {error}")
    finally:
        os._exit(stage.MISUSE)


def place(wanted: int, descriptor: int) -> None:
    """Make descriptor known under the number wanted, and let programs inherit it."""
    if descriptor != wanted:
        os.dup2(descriptor, wanted)
    else:
        os.set_inheritable(wanted, True)


def close_above(descriptor: int) -> None:
    """Close every descriptor above this one, which the kernel does in one call."""
    os.closerange(descriptor + 1, min(os.sysconf("SC_OPEN_MAX"), 65536))


def execute(program: Sequence[str], environment: Mapping[bytes, bytes]) -> None:
    """Become the program; when that fails say so in the log and return."""
    try:
        os.execvpe(program[0], list(program), environment)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        log.err(f"cannot run {program[0]}: {reason}")


def keep_to_ourselves() -> None:
    """See that no program inherits a descriptor but 0, 1 and 2, and that those are open."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(3, 256)):
        try:
            if int(name) > 2:
                os.set_inheritable(int(name), False)
        except OSError:
            continue  # not open, or the directory itself
