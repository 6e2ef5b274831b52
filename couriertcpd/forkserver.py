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
    side_stage(argv)       the argv of a stage beside this one, whose fork server is started too; stage.side_socket
                           leads to its processes.  None when there is none
    prepare(argv)          called once, before the first fork: what all children share
    stale()                called every STALE_SECONDS: true when the processes that wait are to be replaced
    before_wait()          called in the child, before it waits for a connection
    rehearse()             called after it, unless a connection waits already: what can be got over before there is one
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

from couriertcpd import environ, handover, leftover, log, spare, stage, stageserver
from couriertcpd.pool import Pool
from couriertcpd.retirement import Retirement
from couriertcpd.spare import LOG, NEXT, NULL, RETIRE, SIDE, SLOT
from couriertcpd.stageserver import RECEIVER, REPORT, Spares, StageServer
from couriertcpd.wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

FORKS_AT_ONCE = 4  # before the other events get a look
STALE_SECONDS = 2.0
_STATES = 64  # octets from a child at a time


def serve(module_name: str, argv: list[str]) -> int:
    """Be the fork server of this module; returns an exit status when connections can come no more."""
    module_name = environ.text(stageserver.MODULE) or module_name
    stage.addressee, stage.sender = environ.octets(stageserver.ADDRESSEE), environ.text(stageserver.SENDER)
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
    for wanted in (SLOT, NEXT, RETIRE, NULL, SIDE):
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
        self._retirement = Retirement(RETIRE)
        self._module = _loaded(module_name)
        stage.reused = self._reuse = reuse and getattr(self._module, "REUSABLE", False)
        self._pool = Pool(spares.least, spares.most, self._reuse)
        self._environment = environ.everything()
        self._others: list[StageServer] = []  # of the next stage, and of the one beside
        self._start_next(argv, spares)
        self._start_side(argv, spares)
        for name in getattr(self._module, "PRELOAD", ()):
            __import__(name)
        getattr(self._module, "prepare", _nothing)(argv)
        self._stale = getattr(self._module, "stale", None)
        self._look_again = time.monotonic() + STALE_SECONDS
        self._leftover = leftover.Watch(RECEIVER, time.monotonic())
        self._waiting: dict[int, int] = {}  # pid by the descriptor of its pipe
        self._busy: set[int] = set()  # descriptors of those that have a connection and will come back
        self._unexplained: set[int] = set()  # pids of those that ended without having had a connection
        self._outdated: set[int] = set()  # descriptors of those that are to end, all of them
        self._told: str | None = None
        self._orphaned = False

    # The next stage, and the one beside

    def _start_next(self, argv: list[str], spares: Spares) -> None:
        """Start the fork server of the next stage, if it has one, and tell stage.py about it."""
        following = getattr(self._module, "next_stage", _nothing)(argv)
        if not following:
            return
        command, module = [stage.found(following[0]), *following[1:]], None
        if stage.module_of(command[0]) is None:
            module = getattr(self._module, "LAUNCHER", None)
            if module is None:
                return
            command = [argv[0], *following]
        server, stage.next_socket = self._start_other(command, spares, NEXT, module)
        stage.next_program, stage.audience = following[0], server.audience

    def _start_side(self, argv: list[str], spares: Spares) -> None:
        beside = getattr(self._module, "side_stage", _nothing)(argv)
        if beside and stage.module_of(stage.found(beside[0])) is not None:
            _, stage.side_socket = self._start_other([stage.found(beside[0]), *beside[1:]], spares, SIDE, None)

    def _start_other(
        self, command: list[str], spares: Spares, descriptor: int, module: str | None
    ) -> tuple[StageServer, socket.socket]:
        """Start another fork server; connections for it are sent through the descriptor."""
        sender, receiver = stageserver.pair()
        os.dup2(sender.fileno(), descriptor, inheritable=False)
        sender.close()
        environment = {**self._environment, stageserver.REUSE.encode(): b"%d" % self._reuse}
        server = StageServer(command, environment, receiver, spares, module, self._module.__name__)
        self._others.append(server)
        self._start(server)
        return server, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptor)

    def _start(self, server: StageServer) -> None:
        if server.start(own_group=False):
            self._watch(server.descriptor, lambda: self._other_spoke(server))

    def _other_spoke(self, server: StageServer) -> None:
        descriptor = server.descriptor
        server.heard()
        if server.descriptor < 0:
            self._unwatch(descriptor)

    def _other_ended(self, server: StageServer, status: int) -> None:
        if server.descriptor >= 0:
            self._unwatch(server.descriptor)
        lost = [] if server.up else server.unserved()
        for arrival in lost:
            handover.close(arrival.descriptors)
        server.ended(status)
        if lost:
            log.err(f"{server.argv[0]}: {len(lost)} connections that waited for it are closed")

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

    def _abandoned(self) -> bool:
        """Whether all senders are gone, which the processes that wait may see before the loop does."""
        hung_up = select.poll()
        hung_up.register(RECEIVER, 0)
        return self._orphaned or bool(hung_up.poll(0))

    def _turn(self) -> None:
        now = time.monotonic()
        for server in self._others:
            if server.wait(now) == 0:
                self._start(server)
        self._replace_stale(now)
        self._fill()
        self._help(now)
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

    def _patience(self, now: float) -> float:
        """Milliseconds until something is due by itself."""
        due = [self._pool.wait(now), self._leftover.wait(now), *(server.wait(now) for server in self._others)]
        seconds = [one for one in due if one is not None]
        if self._stale is not None:
            seconds.append(max(0.0, self._look_again - now))
        return min(seconds) * 1000 + 1

    def _watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.POLLIN)

    def _unwatch(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._poll.unregister(descriptor)

    # The processes that wait

    def _fill(self) -> None:
        missing = self._pool.missing(time.monotonic())
        if missing and self._retirement.calls:
            missing -= self._keep(missing)
        self._fork_some(min(missing, FORKS_AT_ONCE))

    def _help(self, now: float) -> None:
        """Have one more process where a connection is left to those that wait, and they do not take it."""
        if self._leftover.finds(self._pool.idle, now) and not self._abandoned():
            log.warn(f"{self._module.__name__}: none of {self._pool.idle} waiting takes a connection; one more starts")
            self._fork_some(1)

    def _fork_some(self, count: int) -> None:
        for _ in range(count):
            try:
                self._fork()
            except OSError as error:
                self._pool.not_forked(time.monotonic())
                self._tell(f"fork: {error.strerror}")
                return

    def _fork(self) -> None:
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
            self._retirement.call(surplus)
            for _ in range(surplus):
                self._pool.retired()

    def _replace_stale(self, now: float) -> None:
        """Let all that wait end, and those that have a connection when they would wait again; others are forked."""
        if self._stale is None or now < self._look_again:
            return
        self._look_again = now + STALE_SECONDS
        if not self._stale():
            return
        for _ in range(self._retirement.renew()):
            self._pool.freed()  # they are told of like the others now
        self._outdated = set(self._waiting)

    def _keep(self, most: int) -> int:
        """Take back calls to end that nobody has heard yet; returns how many."""
        count = self._retirement.take_back(most)
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
            self._leftover.taken()
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
        elif descriptor in self._outdated:
            self._pool.retired()
        elif not self._retirement.explains_end():
            self._unexplained.add(self._waiting[descriptor])
            self._pool.failed(time.monotonic())
        self._forget(descriptor)

    def _forget(self, descriptor: int) -> None:
        self._unwatch(descriptor)
        self._busy.discard(descriptor)
        self._outdated.discard(descriptor)
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
            other = next((server for server in self._others if server.pid == pid), None)
            if other is not None:
                self._other_ended(other, status)
                continue
            descriptor = next((known for known, waiting in self._waiting.items() if waiting == pid), None)
            if descriptor is not None:
                self._child_spoke(descriptor)
            if descriptor in self._waiting:
                self._gone(descriptor)
            if pid in self._unexplained:
                self._unexplained.remove(pid)
                if self._abandoned():
                    continue  # they end because there is nobody to wait for
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
