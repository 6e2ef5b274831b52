"""A fork server as its starter sees it: start it, hear whether it is up, see it end, start it again.

The starter owns the socket pair that connections are sent through, both ends, so that what is in the queue when a fork
server dies is there for the next one.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from couriertcpd import handover, log, spawn, stage
from couriertcpd.pool import Throttle

# The descriptors of a fork server when it starts, beside 0, 1 and 2; COURIER_FORKSERVER tells the first of them.
RECEIVER, REPORT = 5, 6

# Settings of a fork server, in its environment when it starts; nothing that it runs sees them.
MODULE = "COURIER_MODULE"  # be the fork server of this module, not of the program's own
SPARES = "COURIER_SPARES"  # how many processes wait, at least and at most
REUSE = "COURIER_REUSE"  # the administrator's: 1 where a module allows it, a process serves many connections
ADDRESSEE = "COURIER_AUDIENCE"  # whom tickets for this stage are made out to
SENDER = "COURIER_SENDER"  # the module of the stage that hands over; empty: couriertcpd does
RESTARTED = "COURIER_RESTARTED"  # 1: another server has taken tickets that were made out so
SETTINGS = (stage.FORKSERVER, MODULE, SPARES, REUSE, ADDRESSEE, SENDER, RESTARTED)

UP = b"up\n"
MAX_REPORT = 512  # octets
HEALTHY_SECONDS = 10.0  # one that was up for so long did not die of its own start


@dataclass(frozen=True, slots=True)
class Spares:
    """How many processes of a stage wait: always so many at least, in a burst so many at most."""

    least: int
    most: int


class StageServer:
    """The fork server of one stage.

    `descriptor` is to be polled when it is not -1, and heard() called when it is readable.  `pid` is 0 while none runs.
    """

    def __init__(
        self,
        argv: list[str],
        environment: dict[bytes, bytes],
        receiver: socket.socket,
        spares: Spares,
        module: str | None = None,
        sender: str = "",
    ) -> None:
        self.argv = argv
        self.audience = os.urandom(16).hex().encode()
        self.pid = self.group = 0
        self.descriptor = -1
        self.up = False
        self._receiver = receiver
        self._environment = _environment(environment, spares, self.audience, module, sender)
        self._throttle = Throttle()
        self._started = 0.0
        self._said = b""
        self._told: str | None = None

    def wait(self, now: float) -> float | None:
        """Seconds until start() is due; None while it runs."""
        return None if self.pid else self._throttle.pause(now)

    def start(self, own_group: bool) -> bool:
        """Start the process, in a process group of its own if asked; false, and logged, when the system has none."""
        self._started = time.monotonic()
        self._said = b""
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.pid = spawn.fork(lambda: self._become(write_end, own_group))
        except OSError as error:
            os.close(read_end)
            self._failed(f"fork: {error.strerror}")
            return False
        finally:
            os.close(write_end)
        self.descriptor = read_end
        if own_group:
            join(self.pid, self.group)
            self.group = os.getpgid(self.pid)
        self._environment[RESTARTED.encode()] = b"1"
        return True

    def _become(self, report: int, own_group: bool) -> None:
        if own_group:
            join(0, self.group)
        null = fcntl.fcntl(os.open(os.devnull, os.O_RDWR), fcntl.F_DUPFD, REPORT + 1)
        receiver, report = (fcntl.fcntl(one, fcntl.F_DUPFD, REPORT + 1) for one in (self._receiver.fileno(), report))
        for wanted, descriptor in ((0, null), (1, null), (RECEIVER, receiver), (REPORT, report)):
            spawn.place(wanted, descriptor)
        os.closerange(3, RECEIVER)
        spawn.close_above(REPORT)
        spawn.execute(self.argv, self._environment)

    def heard(self) -> bool:
        """Read what the server says; true when it is up now and was not before."""
        octets = self._read()
        self._said = (self._said + octets)[:MAX_REPORT]
        if not octets or self.up or self._said != UP:
            return False
        self.up = True
        return True

    def _read(self) -> bytes:
        """What there is; closes the descriptor at the end."""
        if self.descriptor < 0:
            return b""
        try:
            octets = os.read(self.descriptor, MAX_REPORT)
        except BlockingIOError:
            return b""
        if not octets:
            self.forget()
        return octets

    def forget(self) -> None:
        """Close the descriptor."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def unserved(self) -> list[handover.Arrival]:
        """What is left in the queue; for when nobody else will take it soon."""
        arrivals = []
        with suppress(BlockingIOError):
            while True:
                with suppress(handover.BadFrame):
                    arrival = handover.receive(self._receiver)
                    if arrival is None:
                        break
                    arrivals.append(arrival)
        return arrivals

    def ended(self, status: int) -> None:
        """The process has been waited for; say why, unless the last one has ended in the same way."""
        self.heard()
        self.forget()
        if self.up and time.monotonic() - self._started >= HEALTHY_SECONDS:
            self._throttle.worked()
            self._told = None
        self.pid, self.up = 0, False
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        reason = self._said.removeprefix(UP).decode("utf-8", "replace").strip()
        self._failed(f"{how}{', ' if reason else ''}{reason}")

    def _failed(self, reason: str) -> None:
        pause = self._throttle.failed(time.monotonic())
        if reason != self._told:
            self._told = reason
            again = "at once" if not pause else f"after {pause:.0f} s and then ever longer pauses"
            log.err(f"fork server of {self.argv[0]} ended ({reason}); another is started {again}")


def _environment(
    inherited: dict[bytes, bytes], spares: Spares, audience: bytes, module: str | None, sender: str
) -> dict[bytes, bytes]:
    settings = {
        stage.FORKSERVER: b"%d" % RECEIVER,
        SPARES: b"%d %d" % (spares.least, spares.most),
        ADDRESSEE: audience,
        MODULE: (module or "").encode(),  # empty: the program's own
        SENDER: sender.encode(),
    }
    return {**inherited, **{name.encode(): value for name, value in settings.items()}}


def join(pid: int, group: int) -> None:
    """Put a process (0: ourselves) into the group, or into a new one when that is gone."""
    for candidate in (group, pid):
        try:
            return os.setpgid(pid, candidate)
        except OSError:  # the group is gone; or, in the starter, the process has done this itself and become a program
            continue


def pair() -> tuple[socket.socket, socket.socket]:
    """A socket pair for hand-overs: (sender, receiver)."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
