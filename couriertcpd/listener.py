"""The accept loop: one poll over the listening sockets, the slots, clients that owe a PROXY header, and signals.

Nothing in it waits for a client or for a name server.  Connections are accepted only while a slot is free.
"""

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from functools import partial

from couriertcpd import access, addresses, connection, environ, log, refusal, slotnote, spawn, stageserver, status
from couriertcpd.configuration import Configuration
from couriertcpd.connection import Ends
from couriertcpd.options import Options
from couriertcpd.prefork import Prefork
from couriertcpd.proxy_protocol import BadHeader, Receiver
from couriertcpd.slots import Slot, Table
from couriertcpd.status import Status
from couriertcpd.switches import complain
from couriertcpd.wakeup import Wakeup

LOG_SECONDS = 60  # between two lines about the same shortage
PAUSE_SECONDS = 1.0  # without accepting, after the system had no descriptor or process for a connection
STOP_SECONDS = 2.0  # for the connections' processes to end when the listener does
BURST = 32  # connections accepted from one socket before the other descriptors get a look

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN)


class Awaited:
    """A client that owes a PROXY header until `deadline` (monotonic seconds)."""

    __slots__ = ("client", "deadline", "ends", "receiver", "slot")

    def __init__(self, client: socket.socket, slot: Slot, ends: Ends, deadline: float) -> None:
        self.client, self.slot, self.ends, self.deadline = client, slot, ends, deadline
        self.receiver = Receiver()


class Listener:
    """Serves the sockets until SIGTERM or SIGINT comes."""

    def __init__(
        self,
        options: Options,
        sockets: list[socket.socket],
        wakeup: Wakeup,
        own_group: bool,
        status_socket: Status | None = None,
    ) -> None:
        self._options = options
        self._status = status_socket
        self._own_group = own_group
        self._wakeup = wakeup
        self._table = Table(options.limits)
        self._access = access.AccessFile(options.access)
        self._greeting = refusal.greeting(options.program)
        self._configuration = Configuration(options.config, environ.everything())
        self._inherited = self._configuration.current
        self._sockets = {listener.fileno(): listener for listener in sockets}
        self._awaited: dict[int, Awaited] = {}
        self._handlers: dict[int, Callable[[], None]] = {self._wakeup.descriptor: self._signals}
        self._poll = select.poll()
        self._poll.register(self._wakeup.descriptor, select.POLLIN)
        if self._status is not None:
            self._status.attach(self._poll, self._handlers)
        self._prefork = Prefork(options, own_group, self._poll, self._handlers, self._adopt, self._fall_back)
        self._prefork.renew(self._inherited)
        self._accepting = False
        self._paused_until = 0.0
        self._logged: dict[str, float] = {}
        self._spare: Slot | None = None
        self._stopping = False

    def run(self) -> int:
        """Serve; returns an exit status after the end."""
        self._access.open()
        while not self._stopping:
            self._watch_sockets()
            self._prefork.tend(time.monotonic())
            self._turn(self._timeout())
        self._stop()
        return 0

    def _turn(self, seconds: float | None) -> None:
        """Wait for something to happen and see to it.

        New connections come last: only they open descriptors, so that no event of this turn can be taken for one of a
        descriptor that has meanwhile got the same number.
        """
        ready = []
        asked = False
        for descriptor, _ in self._poll.poll(None if seconds is None else seconds * 1000 + 1):
            if descriptor in self._sockets:
                ready.append(self._sockets[descriptor])
            elif descriptor in self._handlers:
                self._handlers[descriptor]()
            elif self._status is not None and descriptor == self._status.descriptor:
                asked = True
        if self._wakeup.pending():
            self._signals()
        self._expire()
        for listener in ready:
            self._accept_burst(listener)
        if asked:
            self._tell_status()

    def _tell_status(self) -> None:
        if self._status is not None and self._status.descriptor >= 0:
            self._status.answer(status.document(self._options, self._table, self._status.since))

    def _timeout(self) -> float | None:
        """Seconds until something is due by itself."""
        now = time.monotonic()
        due = [awaited.deadline - now for awaited in self._awaited.values()]
        if self._paused_until:
            due.append(self._paused_until - now)
        if (seconds := self._prefork.wait(now)) is not None:
            due.append(seconds)
        return max(0.0, min(due)) if due else None

    def _watch_sockets(self) -> None:
        """Poll the listening sockets while there is a slot for what they bring, and only then."""
        if self._paused_until and time.monotonic() >= self._paused_until:
            self._paused_until = 0.0
        wanted = not (self._stopping or self._paused_until or self._table.full())
        if wanted == self._accepting:
            return
        for descriptor in self._sockets:
            if wanted:
                self._poll.register(descriptor, select.POLLIN)
            else:
                self._poll.unregister(descriptor)
        self._accepting = wanted

    # Signals

    def _signals(self) -> None:
        came = self._wakeup.came()
        if signal.SIGHUP in came:
            self._access.expire()
            self._configure()
        if signal.SIGCHLD in came:
            self._reap()
        if came & {signal.SIGTERM, signal.SIGINT}:
            self._stopping = True

    def _configure(self) -> None:
        """Read the configuration again; it counts for a connection as soon as there are processes that have it."""
        self._configuration.reread()
        self._prefork.renew(self._configuration.current)

    def _adopt(self, environment: dict[bytes, bytes]) -> None:
        self._inherited = environment

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._prefork.reaped(pid, status):
                continue
            slot = self._table.reaped(pid)
            if slot is not None:
                self._release(slot)

    def _stop(self) -> None:
        """End every connection, and wait a little for that, so that nothing of us is left when we have gone."""
        for awaited in list(self._awaited.values()):
            self._forget(awaited).close()
            self._release(awaited.slot)
        self._watch_sockets()
        if self._status is not None:
            self._status.close()
        for listener in self._sockets.values():
            listener.close()
        self._prefork.stop()
        self._terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while (self._table.taken or self._prefork.running) and time.monotonic() < deadline:
            self._turn(deadline - time.monotonic())

    def _terminate(self) -> None:
        if self._own_group:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
            return
        for group in {slot.group for slot in self._table.taken if slot.group}:
            try:
                os.killpg(group, signal.SIGTERM)
            except OSError:
                continue  # that one has gone

    # Slots

    def _hung_up(self, slot: Slot) -> None:
        self._poll.unregister(slot.read_end)
        del self._handlers[slot.read_end]
        if self._table.hung_up(slot):
            self._release(slot)

    def _release(self, slot: Slot) -> None:
        if self._handlers.pop(slot.read_end, None) is not None:
            self._poll.unregister(slot.read_end)
        self._table.release(slot)
        self._paused_until = 0.0  # what was short may have come back with it

    def _note_fullness(self) -> None:
        taken, limits = len(self._table.taken), self._options.limits
        if taken >= limits.maxprocs:
            if self._may_log("full"):
                log.alert(f"{taken} maximum active connections.")
                log.alert(f"-maxprocs={limits.maxprocs} (MAXDAEMONS): further clients wait until a connection ends")
        elif taken >= limits.warn and self._may_log("warn"):
            log.warn(f"{taken} active connections.")

    def _may_log(self, what: str) -> bool:
        """True at most once in LOG_SECONDS for the same thing."""
        now = time.monotonic()
        if now < self._logged.get(what, now):
            return False
        self._logged[what] = now + LOG_SECONDS
        return True

    # New connections

    def _accept_burst(self, listener: socket.socket) -> None:
        for _ in range(BURST):
            if self._table.full() or self._paused_until or not self._accept(listener):
                return

    def _accept(self, listener: socket.socket) -> bool:
        """Accept one connection; false when there is none, or nothing to serve it with."""
        try:
            slot = self._spare = self._spare or Slot()  # before the client: without a slot it stays in the queue
            client, peer = listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _SHORTAGES:
                self._pause(f"accept: {os.strerror(error.errno)}")
                return False
            return True  # that client has gone; accept(2) lists a dozen ways to say so
        self._spare = None
        self._table.take(slot)
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = client.getsockname()
            ends = Ends(addresses.packed(peer[0]), peer[1], addresses.packed(name[0]), name[1])
        except OSError:  # it has gone already
            self._refuse(client, slot, b"")
            return True
        self._welcome(client, slot, ends)
        if slot in self._table.taken:
            self._note_fullness()
        return True

    def _pause(self, reason: str) -> None:
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        if self._may_log(reason):
            log.err(f"{reason}; clients wait until there is room again")

    def _welcome(self, client: socket.socket, slot: Slot, ends: Ends) -> None:
        for rule in self._options.haproxy:
            if rule.applies(ends.local, ends.local_port):
                awaited = Awaited(client, slot, ends, time.monotonic() + rule.seconds)
                self._awaited[client.fileno()] = awaited
                self._handlers[client.fileno()] = partial(self._read_header, awaited)
                self._poll.register(client, select.POLLIN)
                return
        self._admit(client, slot, ends)

    def _admit(self, client: socket.socket, slot: Slot, ends: Ends) -> None:
        """Let the client in, or turn it away by the access file or by the limits."""
        from_access: tuple[tuple[bytes, bytes], ...] = ()
        if self._options.accesslocal:
            record = self._access.lookup(access.local_keys(ends.local, ends.local_port))
            if not record.allowed:
                return self._refuse(client, slot, b"")
            from_access = record.variables
        record = self._access.lookup(access.remote_keys(ends.remote))
        if not record.allowed:
            return self._refuse(client, slot, connection.denial(self._options))
        from_access += record.variables
        maxcperip = environ.atoi(dict(from_access).get(b"MAXCPERIP", b"")[:10].decode("ascii", "replace"))
        if refusal.over_limit(self._table, ends.remote, max(0, maxcperip)):
            return self._refuse(client, slot, self._greeting)
        slot.limit = max(0, maxcperip) or self._options.limits.maxperip
        environment = connection.variables(self._inherited, ends, from_access)
        environment[slotnote.VARIABLE.encode()] = slotnote.place(slot.write_end, spawn.SLOT)
        return self._start(client, slot, ends, environment)

    def _refuse(self, client: socket.socket, slot: Slot, text: bytes) -> None:
        refusal.dismiss(client, text)
        self._release(slot)

    def _start(self, client: socket.socket, slot: Slot, ends: Ends, environment: dict[bytes, bytes]) -> None:
        """Give the connection to a process that waits, or to a new one."""
        if connection.needs_time(self._options) or connection.blocked(self._options, environment):
            self._start_process(client, slot, ends, environment, self._prefork.sender)
        elif self._prefork.offer(client, slot, environment):
            self._table.assign(slot, ends.remote, 0, self._prefork.group)
            self._watch_slot(slot)
        else:
            self._start_process(client, slot, ends, environment, None)

    def _start_process(
        self,
        client: socket.socket,
        slot: Slot,
        ends: Ends,
        environment: dict[bytes, bytes],
        waiting: socket.socket | None,
    ) -> None:
        """Fork; the process becomes the program, or hands the connection to those that wait for it at that socket."""
        group = self._prefork.group if waiting is not None else 0

        def child() -> None:
            if not self._own_group:
                stageserver.join(0, group)
            connection.run(self._options, client, slot, ends, environment, waiting)

        try:
            pid = spawn.fork(child)
            if not self._own_group:
                stageserver.join(pid, group)
        except OSError as error:
            self._pause(f"fork: {error.strerror}")
            self._refuse(client, slot, b"")
            return
        client.close()
        slot.hand_over()
        self._table.assign(slot, ends.remote, pid, group)
        self._watch_slot(slot)

    def _fall_back(self, client: socket.socket, slot: Slot, environment: dict[bytes, bytes]) -> None:
        """A connection that was queued for the fork server gets a process of its own."""
        assert slot.address is not None  # noqa: S101
        self._start_process(client, slot, Ends(slot.address, 0, slot.address, 0), environment, None)

    def _watch_slot(self, slot: Slot) -> None:
        if slot.read_end not in self._handlers:
            self._handlers[slot.read_end] = partial(self._hung_up, slot)
            self._poll.register(slot.read_end, 0)  # hanging up is told always, what a program may write there never

    # The PROXY protocol

    def _read_header(self, awaited: Awaited) -> None:
        receiver = awaited.receiver
        try:
            data = awaited.client.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            awaited.client.recv(receiver.take(data), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except BadHeader as error:
            self._reject(awaited, str(error))
            return
        except OSError as error:
            self._reject(awaited, error.strerror or str(error), gone=True)
            return
        if not data:
            self._reject(awaited, "connection closed before the end of the PROXY statement", gone=True)
            return
        if receiver.done:
            client = self._forget(awaited)
            self._admit(client, awaited.slot, _proxied(awaited))

    def _forget(self, awaited: Awaited) -> socket.socket:
        descriptor = awaited.client.fileno()
        self._poll.unregister(descriptor)
        del self._awaited[descriptor], self._handlers[descriptor]
        return awaited.client

    def _reject(self, awaited: Awaited, reason: str, gone: bool = False) -> None:
        """Close the connection and say why, unless it was only a proxy's look whether we are there."""
        if awaited.receiver.begun or not gone:
            complain(f"haproxy: {log.printable(reason)}, ip=[{addresses.written(awaited.ends.remote)}]")
        self._refuse(self._forget(awaited), awaited.slot, b"")

    def _expire(self) -> None:
        now = time.monotonic()
        for awaited in [awaited for awaited in self._awaited.values() if awaited.deadline <= now]:
            self._reject(awaited, "timeout")


def _proxied(awaited: Awaited) -> Ends:
    """The ends of the connection as the proxy's header tells them."""
    told, ends = awaited.receiver.proxied, awaited.ends
    if told is None:
        return ends
    via = f"proxy via {addresses.written(ends.remote)}, port {ends.remote_port}"
    return Ends(told.source, told.source_port, told.destination, told.destination_port, via)
