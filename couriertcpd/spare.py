"""A child of a fork server: waits for a connection, becomes the stage that serves it, and ends.

From the arrival of a connection to the stage's main() a client waits: nothing is imported, looked up or opened there.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time

from couriertcpd import environ, handover, log, stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from types import ModuleType
    from typing import NoReturn

# The descriptors that a fork server keeps for its children, beside 2, the log of the fork server.  0, 1 and 3 are
# /dev/null until a connection takes their place: what a child receives must not lie where main() finds the slot.
SLOT, NEXT, RECEIVER, MINE, RETIRE, NULL, LOG, SIDE = range(3, 11)
LAST = SIDE

TAKEN, FREE = b"t", b"f"  # written to MINE

MAX_CONNECTIONS = 1000  # for one process, where processes are reused
_FAILED = 1  # the exit status of Python for what nobody has caught
_HIGHEST = 65536

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD)


def live(module: ModuleType, receiver: socket.socket, mine: int, known: dict[bytes, bytes], reuse: bool) -> NoReturn:
    """Be such a child, just forked; mine is its end of the pipe to the fork server, known the environment."""
    status = _FAILED
    try:
        os.dup2(mine, MINE, inheritable=False)
        os.closerange(LAST + 1, _HIGHEST)
        stage.own_log = LOG
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.enable()
        before_wait = getattr(module, "before_wait", None)
        if before_wait is not None:
            before_wait()
        rehearse = getattr(module, "rehearse", None)
        if rehearse is not None and not _called(receiver):
            rehearse()
        status = _serve_many(module, receiver, known) if reuse else _serve_one(module, receiver, known)
    except SystemExit as end:
        status = _status(end)
    except Exception as error:
        log.err(f"{module.__name__}: waiting for a connection: {log.whereabouts(error)}")
    finally:
        os._exit(status)


def _serve_one(module: ModuleType, receiver: socket.socket, known: dict[bytes, bytes]) -> int:
    arrival = _next_arrival(receiver, _queue())
    if arrival is None:
        return stage.DONE
    _tell(TAKEN)
    _place(arrival)
    # Everything that was for waiting but the ways on and our own log, and where the connection's descriptors were
    # received.
    os.closerange(RECEIVER if stage.next_socket is not None else NEXT, LOG)
    os.closerange(LOG + 1 if stage.side_socket is None else LAST + 1, max(arrival.descriptors) + 1)
    status = _run(module, arrival, known)
    # The end of a process gives its memory back before its files are closed; the client need not wait for that.
    os.closerange(0, LOG)
    return _FAILED if status is None else status


def _serve_many(module: ModuleType, receiver: socket.socket, known: dict[bytes, bytes]) -> int:
    queue = _queue()
    for left in reversed(range(MAX_CONNECTIONS)):
        arrival = _next_arrival(receiver, queue)
        if arrival is None:
            break
        _tell(TAKEN)
        _place(arrival)
        handover.close(arrival.descriptors)
        if _run(module, arrival, known) is None:
            return _FAILED  # nobody knows what it has left behind
        if not left:
            break  # and not free any more
        del arrival
        _forget_connection(queue.fileno() + 1, known)
        _tell(FREE)
    return stage.DONE


def _tell(state: bytes) -> None:
    try:
        os.write(MINE, state)
    except OSError:
        return  # the fork server has gone; the connection has not


def _queue() -> select.epoll:
    """Readable when a connection or the call to retire has come: for one process, not for all that wait."""
    queue = select.epoll()
    queue.register(RECEIVER, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    queue.register(RETIRE, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    return queue


def _called(receiver: socket.socket) -> bool:
    """Whether a connection waits for a process: it, or one that is as free, is to take it at once."""
    poll = select.poll()
    poll.register(receiver, select.POLLIN)
    return bool(poll.poll(0))


def _next_arrival(receiver: socket.socket, queue: select.epoll) -> handover.Arrival | None:
    """Wait for a connection; None when there will be none, or when this process is not needed any more."""
    while True:
        queue.poll()
        try:
            return handover.receive(receiver)
        except BlockingIOError:
            pass
        except handover.BadFrame as error:
            log.err(f"hand-over refused: {error}")
            continue
        try:
            os.read(RETIRE, 1)  # for one of us; or its end, for all of us
            return None
        except BlockingIOError:
            continue  # another one was quicker


def _place(arrival: handover.Arrival) -> None:
    """Put client, log and slot where main() expects them, in the order of the numbers."""
    for wanted, descriptor in enumerate(arrival.descriptors):
        os.dup2(descriptor, wanted)


def _set_environment(known: dict[bytes, bytes], wanted: dict[bytes, bytes]) -> None:
    environ.change(known, wanted)
    if known.get(b"TZ") != wanted.get(b"TZ"):
        time.tzset()


def _run(module: ModuleType, arrival: handover.Arrival, known: dict[bytes, bytes]) -> int | None:
    """The stage's exit status, None when it failed; nothing that it raises goes further."""
    status: int | None = None
    try:
        arrive = getattr(module, "arrive", None)
        if arrive is not None:
            arrive(arrival)
        _set_environment(known, arrival.environment)
        status = module.main(arrival.argv)
    except stage.HandedOn:
        status = stage.DONE
    except SystemExit as end:
        status = _status(end)
    except BaseException as error:
        if status is None:  # otherwise main() had come to its end, and a signal came late
            log.err(f"{module.__name__}: internal error: {log.whereabouts(error)}")
    if sys.stdout is not None:
        sys.stdout.flush()
    return status


def _status(end: SystemExit) -> int:
    return end.code if isinstance(end.code, int) else int(end.code is not None)


def _forget_connection(first_free: int, known: dict[bytes, bytes]) -> None:
    """Be again as before the connection: signals, descriptors, environment."""
    signal.alarm(0)
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    for wanted, descriptor in ((0, NULL), (1, NULL), (SLOT, NULL), (2, LOG)):
        os.dup2(descriptor, wanted)
    gc.collect()  # an object that is closed later would close a descriptor of another connection
    os.closerange(first_free, _HIGHEST)
    _set_environment(environ.everything(), known)
