"""The fork server of a stage: holds the stage's program ready in memory, and keeps processes waiting for connections.

It is a program of ours that was started with COURIER_FORKSERVER (stage.py), and never becomes anything else.  Whoever
started it sends connections to a socket (handover.py); one of the processes that wait there takes each (spare.py).  The
fork server reads nothing from that socket, and from its children single octets that say whether they wait.

A stage's module takes part by what it has, all of which may be missing:

    PRELOAD                tuple of the names of further modules to import
    REUSABLE               true: a process may serve one connection after another, when the administrator wants it
    next_stage(argv)       the argv that the stage will give to stage.become(); None when it is the last
    LAUNCHER               name of the module whose processes take connections for a next stage that is not ours; its
                           argv is that of the stage before it
    prepare(argv)          called once, before the first fork: what all children share
    before_fork()          called before each fork
    before_wait()          called in the child, before it waits for a connection
    arrive(arrival)        called in the child before main(), with what was handed over, while the environment still is
                           the fork server's; what it leaves in the arrival is what main() gets
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import stat
import sys
import time

from couriertcpd import environ, handover, log, spare, stage, stageserver
from couriertcpd.pool import Pool
from couriertcpd.spare import LOG, NEXT, NULL, RETIRE, SLOT
from couriertcpd.stageserver import RECEIVER, REPORT, Spares, StageServer
from couriertcpd.wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

FORKS_AT_ONCE = 4  # before the other events get a look
_STATES = 64  # octets from a child at a time


def serve(module_name: str, argv: list[str]) -> int:
    """Be the fork server of this module; returns an exit status when connections can come no more."""
    module_name = environ.text(stageserver.MODULE) or module_name
    stage.addressee = environ.octets(stageserver.ADDRESSEE)
    stage.restarted = environ.enabled(stageserver.RESTARTED)
    spares, reuse = _spares(), environ.enabled(stageserver.REUSE)
    for name in stageserver.SETTINGS:
        environ.drop(name)
    if spares is None or not _is_socket(RECEIVER):
        log.err(f"{argv[0]}: {stage.FORKSERVER} is for couriertcpd to set; unset it")
        return stage.MISUSE
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _arrange_descriptors()
    try:
        server = Server(module_name, argv, spares, reuse)
    except (Exception, SystemExit) as error:
        _report(f"{error} ({log.whereabouts(error)})".encode("utf-8", "replace"))
        return stage.TEMPORARY
    return server.run()


def _spares() -> Spares | None:
    try:
        least, most = map(int, environ.text(stageserver.SPARES).split())
    except ValueError:
        return None
    return Spares(least, most)


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _arrange_descriptors() -> None:
    """Everything where spare.py says, and nothing for a program that a stage may run."""
    for descriptor in (RECEIVER, REPORT):
        os.set_inheritable(descriptor, False)
    null = os.open(os.devnull, os.O_RDWR)
    for wanted in (SLOT, NEXT, RETIRE, NULL):
        if wanted != null:
            os.dup2(null, wanted, inheritable=False)
    os.dup2(2, LOG, inheritable=False)


def _report(octets: bytes) -> None:
    try:
        os.write(REPORT, octets[: stageserver.MAX_REPORT])
    except OSError:
        return  # whoever started us has gone, which the socket tells too


class Server:
    """The fork server at work."""

    def __init__(self, module_name: str, argv: list[str], spares: Spares, reuse: bool) -> None:
        self._wakeup = Wakeup((signal.SIGCHLD,))
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._watch(self._wakeup.descriptor, self._wakeup.drain)
        self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, RECEIVER)
        read_end, self._retire = os.pipe()
        os.dup2(read_end, RETIRE, inheritable=False)
        os.close(read_end)
        os.set_blocking(RETIRE, False)
        self._module = _loaded(module_name)
        self._reuse = reuse and getattr(self._module, "REUSABLE", False)
        self._pool = Pool(spares.least, spares.most, self._reuse)
        self._environment = environ.everything()
        self._next = self._next_server(argv, spares)
        for name in getattr(self._module, "PRELOAD", ()):
            __import__(name)
        getattr(self._module, "prepare", _nothing)(argv)
        self._before_fork = getattr(self._module, "before_fork", _nothing)
        self._waiting: dict[int, int] = {}  # pid by the descriptor of its pipe
        self._busy: set[int] = set()  # descriptors of those that have a connection and will come back
        self._unexplained: set[int] = set()  # pids of those that ended without having had a connection
        self._retiring = 0
        self._told: str | None = None
        self._orphaned = False

    # The next stage

    def _next_server(self, argv: list[str], spares: Spares) -> StageServer | None:
        """Start the fork server of the next stage, and tell stage.py about it; None when it has none."""
        following = getattr(self._module, "next_stage", _nothing)(argv)
        if not following:
            return None
        command, module = [stage.found(following[0]), *following[1:]], None
        if stage.module_of(command[0]) is None:
            module = getattr(self._module, "LAUNCHER", None)
            if module is None:
                return None
            command = [argv[0], *following]
        sender, receiver = stageserver.pair()
        os.dup2(sender.fileno(), NEXT, inheritable=False)
        sender.close()
        stage.next_socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, NEXT)
        stage.next_program = following[0]
        environment = {**self._environment, stageserver.REUSE.encode(): b"%d" % self._reuse}
        server = StageServer(command, environment, receiver, spares, module)
        stage.audience = server.audience
        self._start_next(server)
        return server

    def _start_next(self, server: StageServer) -> None:
        if server.start(own_group=False):
            self._watch(server.descriptor, self._next_spoke)

    def _next_spoke(self) -> None:
        if self._next is not None:
            descriptor = self._next.descriptor
            self._next.heard()
            if self._next.descriptor < 0:
                self._unwatch(descriptor)

    def _next_ended(self, server: StageServer, status: int) -> None:
        if server.descriptor >= 0:
            self._unwatch(server.descriptor)
        lost = [] if server.up else server.unserved()
        for arrival in lost:
            handover.close(arrival.descriptors)
        server.ended(status)
        if lost:
            log.err(f"{stage.next_program}: {len(lost)} connections that waited for it are closed")

    # The loop

    def run(self) -> int:
        """Keep processes waiting until nobody can send a connection any more; returns an exit status."""
        gc.collect()
        gc.disable()
        gc.freeze()
        self._poll.register(RECEIVER, 0)  # hanging up is always told
        self._fill()
        _report(stageserver.UP)
        while not self._over():
            self._turn()
        return stage.DONE

    def _over(self) -> bool:
        """Whether all senders are gone and nothing of theirs is left in the queue."""
        if not self._orphaned:
            return False
        try:
            return not self._receiver.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def _turn(self) -> None:
        now = time.monotonic()
        if self._next is not None and self._next.wait(now) == 0:
            self._start_next(self._next)
        self._fill()
        self._thin_out(now)
        for descriptor, _ in self._poll.poll(self._patience(now)):
            if descriptor == RECEIVER:
                self._orphaned = True
                self._poll.unregister(RECEIVER)
            elif descriptor in self._handlers:
                self._handlers[descriptor]()
        if self._wakeup.pending():
            self._wakeup.came()
            self._reap()

    def _patience(self, now: float) -> float | None:
        """Milliseconds until something is due by itself."""
        due = [self._pool.wait(now), None if self._next is None else self._next.wait(now)]
        seconds = [one for one in due if one is not None]
        return min(seconds) * 1000 + 1 if seconds else None

    def _watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.POLLIN)

    def _unwatch(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._poll.unregister(descriptor)

    # The processes that wait

    def _fill(self) -> None:
        missing = self._pool.missing(time.monotonic())
        if missing and self._retiring:
            missing -= self._keep(missing)
        for _ in range(min(missing, FORKS_AT_ONCE)):
            try:
                self._fork()
            except OSError as error:
                self._pool.not_forked(time.monotonic())
                self._tell(f"fork: {error.strerror}")
                return

    def _fork(self) -> None:
        self._before_fork()
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            pid = os.fork()
            if pid == 0:
                spare.live(self._module, self._receiver, write_end, self._environment, self._reuse)
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self._pool.forked()
        self._waiting[read_end] = pid
        self._watch(read_end, lambda: self._child_spoke(read_end))

    def _thin_out(self, now: float) -> None:
        """Call for as many to end as are too many; whichever is free hears it, so that none with a connection does."""
        surplus = self._pool.surplus(now)
        if surplus:
            os.write(self._retire, bytes(surplus))
            self._retiring += surplus
            for _ in range(surplus):
                self._pool.retired()

    def _keep(self, most: int) -> int:
        """Take back calls to end that nobody has heard yet; returns how many."""
        try:
            count = len(os.read(RETIRE, most))
        except BlockingIOError:
            return 0
        self._retiring -= count
        for _ in range(count):
            self._pool.freed()
        return count

    def _child_spoke(self, descriptor: int) -> None:
        """Hear that a child has taken a connection, or waits again, or has ended."""
        try:
            octets = os.read(descriptor, _STATES)
        except BlockingIOError:
            return
        if not octets:
            self._gone(descriptor)
            return
        for state in octets:
            self._change_state(descriptor, state)
        if not self._reuse:
            self._forget(descriptor)

    def _change_state(self, descriptor: int, state: int) -> None:
        busy = descriptor in self._busy
        if state == spare.TAKEN[0] and not busy:
            self._busy.add(descriptor)
            self._pool.taken(time.monotonic())
            self._told = None
        elif state == spare.FREE[0] and busy:
            self._busy.remove(descriptor)
            self._pool.freed()
        else:  # whoever has taken over a child may confuse us about that child only
            os.kill(self._waiting[descriptor], signal.SIGKILL)

    def _gone(self, descriptor: int) -> None:
        """The child has ended."""
        if descriptor in self._busy:
            pass  # after its connection
        elif self._retiring:
            self._retiring -= 1
        else:
            self._unexplained.add(self._waiting[descriptor])
            self._pool.failed(time.monotonic())
        self._forget(descriptor)

    def _forget(self, descriptor: int) -> None:
        self._unwatch(descriptor)
        self._busy.discard(descriptor)
        del self._waiting[descriptor]
        os.close(descriptor)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._next is not None and pid == self._next.pid:
                self._next_ended(self._next, status)
                continue
            descriptor = next((known for known, waiting in self._waiting.items() if waiting == pid), None)
            if descriptor is not None:
                self._child_spoke(descriptor)
            if descriptor in self._waiting:
                self._gone(descriptor)
            if pid in self._unexplained:
                self._unexplained.remove(pid)
                code = os.waitstatus_to_exitcode(status)
                self._tell(f"signal {-code}" if code < 0 else f"exit status {code}")

    def _tell(self, reason: str) -> None:
        """Log why there is no process, once until there was one for a connection."""
        if reason != self._told:
            self._told = reason
            log.err(f"{self._module.__name__}: a process that was to wait for connections ended early ({reason})")


def _loaded(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def _nothing(*_: object) -> None:
    """What a module does that takes no part."""
