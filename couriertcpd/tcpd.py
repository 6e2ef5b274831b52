"""couriertcpd: listens, counts and limits connections, and starts a chain of programs for each.

couriertcpd(1) has the options; the loop is in listener.py.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable

from couriertcpd import detach, environ, identity, log, options, ports, spawn, status
from couriertcpd.identity import Identity
from couriertcpd.listener import Listener
from couriertcpd.options import Options
from couriertcpd.switches import Misuse, complain
from couriertcpd.wakeup import Wakeup


def main(argv: list[str]) -> int:
    """Run couriertcpd; returns an exit status."""
    spawn.keep_to_ourselves()
    try:
        chosen = options.parse(argv)
        who = identity.find(chosen.user, chosen.group)
    except Misuse as error:
        complain(str(error))
        return 1
    if chosen.pid is None:
        return _serve(chosen, who, _nothing_to_tell)
    if chosen.stop:
        return detach.stop(chosen.pid)
    if chosen.restart:
        return detach.restart(chosen.pid)
    return detach.start(chosen.pid, lambda started: _serve(chosen, who, started))


def _nothing_to_tell() -> None:
    """In the foreground nobody waits for the start."""


def _serve(chosen: Options, who: Identity, started: Callable[[], None]) -> int:
    """Open everything, say that we have started, and serve; an exit status."""
    try:
        own_group = _process_group()
        wakeup = Wakeup()
        sockets = ports.listen(chosen.endpoints)
        status_socket = status.opened(chosen)
        error_file = _error_file(chosen.stderr)
        if chosen.accesslocal and chosen.access is None:
            complain("-accesslocal requires -access")
        started()
        if error_file is not None:
            os.dup2(error_file, 2)
            os.close(error_file)
        who.assume()
        if chosen.stderrlogger is not None:
            _start_logger(chosen.stderrlogger, chosen.stderrloggername or os.path.basename(chosen.program[0]))
    except Misuse as error:
        complain(str(error))
        return 1
    except OSError as error:
        complain(f"{error.filename or 'couriertcpd'}: {error.strerror}")
        return 1
    _check_descriptors(chosen, sockets)
    return Listener(chosen, sockets, wakeup, own_group, status_socket).run()


def _process_group() -> bool:
    """Become the leader of a process group of our own, to end it all with one signal; true if we lead one.

    On the terminal of an interactive run the group stays what it is, so that ctrl-C reaches us; then every connection
    gets its own group, and ctrl-C reaches only us.
    """
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            if os.tcgetpgrp(terminal.fileno()) == os.getpgrp():
                return False
    except OSError:
        pass  # no terminal
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    return True


def _error_file(where: str | None) -> int | None:
    """The log file of -stderr=FILE, open for appending; None for the other kinds of log."""
    if where in (None, "socket"):
        return None
    return os.open(str(where), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o660)


def _start_logger(program: str, name: str) -> None:
    """Start `PROGRAM NAME` on a pipe that becomes our standard error and every connection's."""
    read_end, write_end = os.pipe()

    def child() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.setpgid(0, 0)  # it outlives the signal that ends the connections, to log their last words
        spawn.place(0, read_end)
        spawn.execute((program, name), environ.everything())

    pid = spawn.fork(child)
    with contextlib.suppress(OSError):  # it has done so itself and is another program already
        os.setpgid(pid, pid)  # or the end could come before it has
    os.close(read_end)
    os.dup2(write_end, 2)
    os.close(write_end)


def _check_descriptors(chosen: Options, sockets: list[socket.socket]) -> None:
    """Say so when the process may not open as many descriptors as it has slots."""
    import resource

    needed = chosen.limits.maxprocs * (2 if chosen.haproxy else 1) + len(sockets) + 16
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        log.warn(f"-maxprocs={chosen.limits.maxprocs} needs {needed} open files, the limit (ulimit -n) is {allowed}")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
