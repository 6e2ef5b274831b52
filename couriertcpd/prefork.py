"""The listener's side of the prefork form: the first stage's fork server, and the connections that are sent to it.

Nothing here waits.  What the fork server cannot take yet is queued, which the slots bound; while there is none, the
listener starts a process for each connection.  After SIGHUP a new generation is started beside the one that serves,
and takes its place when it is up; the old one ends when it sees that nobody can send to it any more.
"""

import os
import select
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from couriertcpd import handover, log, spawn, stage, stageserver
from couriertcpd.options import Options
from couriertcpd.slots import Slot
from couriertcpd.stageserver import Spares, StageServer

Environment = dict[bytes, bytes]
Handlers = dict[int, Callable[[], None]]


class Generation:
    """A fork server with the socket pair to it, and the environment that it was started with."""

    __slots__ = ("environment", "receiver", "sender", "server")

    def __init__(self, program: tuple[str, ...], spares: Spares, environment: Environment) -> None:
        self.environment = environment
        self.sender, self.receiver = stageserver.pair()
        self.server = StageServer(list(program), environment, self.receiver, spares)

    def close(self) -> None:
        """Close the sockets: the fork server ends when it has handed out what is queued."""
        self.sender.close()
        self.receiver.close()


class Queued:
    """A connection that waits for room in the queue of the fork server."""

    __slots__ = ("client", "environment", "frame", "slot")

    def __init__(self, client: socket.socket, slot: Slot, environment: Environment, frame: bytes) -> None:
        self.client, self.slot, self.environment, self.frame = client, slot, environment, frame


class Prefork:
    """Starts and replaces fork servers of the first stage, and hands connections to the one that is up.

    In the exec form, and for a program that is not ours, there never is one.

    `poll` and `handlers` are the listener's.  `adopt` is called with the environment of a generation that takes over,
    `fall_back` with a connection that needs a process after all.
    """

    def __init__(
        self,
        options: Options,
        own_group: bool,
        poll: select.poll,
        handlers: Handlers,
        adopt: Callable[[Environment], None],
        fall_back: Callable[[socket.socket, Slot, Environment], None],
    ) -> None:
        self._options = options
        self._own_group = own_group  # the listener's: then every process is in it
        self._poll, self._handlers = poll, handlers
        self._adopt, self._fall_back = adopt, fall_back
        self._current: Generation | None = None
        self._coming: Generation | None = None
        self._wanted: Environment | None = None
        self._queue: deque[Queued] = deque()
        self._others: set[int] = set()  # pids: fork servers that were replaced, programs started for lost hand-overs

    def renew(self, environment: Environment) -> None:
        """Have a fork server started with this environment, which replaces the one there is."""
        self._wanted = environment

    def tend(self, now: float) -> None:
        """Start what is to be started.  Opens descriptors."""
        if self._wanted is not None:
            program, spares = self._options.program, self._options.spares
            if spares is None or stage.module_of(stage.found(program[0])) is None:
                self._adopt(self._wanted)
            else:
                self._abandon_coming()
                self._coming = Generation(program, spares, self._wanted)
            self._wanted = None
        for generation in (self._current, self._coming):
            if generation is not None and generation.server.wait(now) == 0:
                self._start(generation)

    def wait(self, now: float) -> float | None:
        """Seconds until tend() has something to do by itself; None for never."""
        generations = [generation for generation in (self._current, self._coming) if generation is not None]
        due = [seconds for one in generations if (seconds := one.server.wait(now)) is not None]
        return 0.0 if self._wanted is not None else min(due, default=None)

    def _start(self, generation: Generation) -> None:
        server = generation.server
        if server.start(own_group=not self._own_group):
            self._handlers[server.descriptor] = partial(self._spoke, generation)
            self._poll.register(server.descriptor, select.POLLIN)

    def _spoke(self, generation: Generation) -> None:
        descriptor = generation.server.descriptor
        is_up = generation.server.heard()
        if generation.server.descriptor < 0:
            self._unwatch(descriptor)
        if is_up and generation is self._coming:
            self._take_over(generation)

    def _take_over(self, generation: Generation) -> None:
        old, self._current, self._coming = self._current, generation, None
        if old is not None:
            self._dismiss(old)
        if self._queue:
            self._poll.register(generation.sender, select.POLLOUT)
            self._handlers[generation.sender.fileno()] = self._send_queued
        self._adopt(generation.environment)

    def _abandon_coming(self) -> None:
        if self._coming is not None:
            if self._coming.server.pid:
                os.kill(self._coming.server.pid, signal.SIGTERM)  # it serves nobody yet
            self._dismiss(self._coming)
            self._coming = None

    def _dismiss(self, generation: Generation) -> None:
        self._unwatch(generation.server.descriptor)
        self._unwatch(generation.sender.fileno())
        generation.server.forget()
        generation.close()
        if generation.server.pid:
            self._others.add(generation.server.pid)

    def _unwatch(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    # Connections

    @property
    def sender(self) -> socket.socket | None:
        """Where to send connections; None while nobody is there to take them."""
        return self._current.sender if self._current is not None and self._current.server.up else None

    @property
    def group(self) -> int:
        """The process group of the processes that take connections, when each is not in the listener's; 0 if none."""
        return self._current.server.group if self._current is not None else 0

    def offer(self, client: socket.socket, slot: Slot, environment: Environment) -> bool:
        """Send the connection, or queue it; both are closed here when that is done.  False when it cannot be sent."""
        sender = self.sender
        if sender is None:
            return False
        try:
            frame = handover.encode(handover.Frame(list(map(os.fsencode, self._options.program)), environment))
            queued = Queued(client, slot, environment, frame)
            if not self._queue:
                self._send(sender, queued)
                return True
        except BlockingIOError:
            self._handlers[sender.fileno()] = self._send_queued
            self._poll.register(sender, select.POLLOUT)
        except (OSError, handover.BadFrame) as error:
            log.warn(f"{self._options.program[0]}: hand-over: {error}; a process is started")
            return False
        self._queue.append(queued)
        return True

    def _send(self, sender: socket.socket, queued: Queued) -> None:
        client = queued.client.fileno()
        error_file = client if self._options.stderr == "socket" else 2
        handover.send(sender, queued.frame, (client, client, error_file, queued.slot.write_end))
        queued.client.close()
        queued.slot.hand_over()

    def _send_queued(self) -> None:
        sender = self.sender
        try:
            while self._queue and sender is not None:
                self._send(sender, self._queue[0])
                self._queue.popleft()
        except BlockingIOError:
            return
        except OSError as error:
            log.warn(f"{self._options.program[0]}: hand-over: {error}; a process is started")
            first = self._queue.popleft()
            self._fall_back(first.client, first.slot, first.environment)
            return
        if sender is not None:
            self._unwatch(sender.fileno())

    # The end of processes

    def reaped(self, pid: int, status: int) -> bool:
        """Note that a process has been waited for; true if it was one of these."""
        if pid in self._others:
            self._others.remove(pid)
            return True
        for generation in (self._current, self._coming):
            if generation is not None and generation.server.pid == pid:
                self._ended(generation, status)
                return True
        return False

    def _ended(self, generation: Generation, status: int) -> None:
        """The fork server has ended; nobody is to wait until there is another."""
        self._unwatch(generation.server.descriptor)
        self._unwatch(generation.sender.fileno())
        generation.server.ended(status)
        for arrival in generation.server.unserved():
            self._execute(arrival)
        if generation is self._current:
            waiting, self._queue = self._queue, deque()
            for queued in waiting:
                self._fall_back(queued.client, queued.slot, queued.environment)

    def _execute(self, arrival: handover.Arrival) -> None:
        """Start a process for a connection that had been sent already."""

        def child() -> None:
            if not self._own_group:
                os.setpgid(0, 0)
            for wanted, descriptor in enumerate(arrival.descriptors):
                os.dup2(descriptor, wanted)
            spawn.execute(arrival.argv, arrival.environment)

        try:
            self._others.add(spawn.fork(child))
        except OSError as error:
            log.err(f"fork: {error.strerror}; a connection that waited is closed")
        handover.close(arrival.descriptors)

    def stop(self) -> None:
        """Send nothing any more, drop what waits, and send SIGTERM to processes that the listener's does not reach."""
        for queued in self._queue:
            queued.client.close()
            queued.slot.hand_over()
        self._queue.clear()
        self._wanted = None
        for generation in (self._current, self._coming):
            if generation is not None:
                self._dismiss(generation)
        self._current = self._coming = None
        if not self._own_group:
            for pid in self._others:  # leaders of groups of their own
                with suppress(OSError):
                    os.killpg(pid, signal.SIGTERM)

    @property
    def running(self) -> bool:
        """Whether a process is left that is to be waited for."""
        return bool(self._others)
