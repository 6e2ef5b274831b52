"""courierlogger: sends lines to syslog or a file, most often those that a program of its own writes to standard error.

courierlogger(1) has the options.  The rc scripts start couriertcpd through it; it owns the pid file then.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from couriertcpd import detach, environ, identity, spawn, switches
from couriertcpd.identity import Identity
from couriertcpd.logsink import FACILITIES, File, Lines, Syslog
from couriertcpd.switches import Misuse, complain
from couriertcpd.wakeup import Wakeup

KNOWN = frozenset("droproot facility file group name pid respawn restart start stop user".split())

RESPAWN_SECONDS = 5.0
KILL_SECONDS = 8.0  # from SIGTERM to SIGKILL for the program
LAST_WORDS_SECONDS = 5.0  # after the program's end, for lines of processes that it left behind
CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Options:
    """A command line that was understood; without a program standard input is logged."""

    name: str
    program: tuple[str, ...] = ()
    facility: str = "mail"
    file: str | None = None
    pid: str | None = None
    verb: str = "start"
    user: str | None = None
    group: str | None = None
    droproot: bool = False
    respawn: bool = False


def parse(argv: list[str]) -> Options:
    """Understand a command line, or raise Misuse with the text for standard error."""
    if len(argv) == 2 and not argv[1].startswith("-"):
        return Options(name=argv[1])  # as couriertcpd -stderrlogger has always called it
    given, program = switches.split(argv, KNOWN)
    last = dict(given)
    verbs = [name for name, _ in given if name in ("start", "stop", "restart")]
    pid = last.get("pid") or None
    if verbs and pid is None:
        raise Misuse("-pid argument required")
    verb = verbs[-1] if verbs else "start"
    facility = last.get("facility", "mail")
    if facility not in FACILITIES:
        raise Misuse(f"Unknown facility name '{facility}'")
    name = last.get("name") or (os.path.basename(program[0]) if program else "")
    if not name and verb == "start":
        raise Misuse(f"{argv[0]}: say what to log: give -name=NAME, or a program to run")
    if pid and verb == "start" and not program:
        raise Misuse(f"{argv[0]}: -pid needs a program to run: a daemon has no standard input")
    return Options(
        name=name,
        program=tuple(program),
        facility=facility,
        file=last.get("file") or None,
        pid=pid,
        verb=verb,
        user=last.get("user") or None,
        group=last.get("group") or None,
        droproot="droproot" in last,
        respawn="respawn" in last,
    )


def main(argv: list[str]) -> int:
    """Run courierlogger; returns an exit status."""
    spawn.keep_to_ourselves()
    try:
        chosen = parse(argv)
        who = identity.find(chosen.user, chosen.group)
        if chosen.pid is None:
            return _run(chosen, who, _nothing_to_tell)
    except Misuse as error:
        complain(str(error))
        return 1
    if chosen.verb == "stop":
        return detach.stop(chosen.pid)
    if chosen.verb == "restart":
        return detach.restart(chosen.pid)
    return detach.start(chosen.pid, lambda started: _run(chosen, who, started))


def _nothing_to_tell() -> None:
    """In the foreground nobody waits for the start."""


def _run(chosen: Options, who: Identity, started: Callable[[], None]) -> int:
    try:
        wakeup = Wakeup()
        sink = File(chosen.file, chosen.name) if chosen.file else Syslog(chosen.name, FACILITIES[chosen.facility])
        logger = Logger(sink, wakeup, chosen.respawn)
        program = _absolute(chosen.program)
        os.chdir("/")
        if chosen.droproot:
            who.assume()
        if program:
            logger.start(program)
        else:
            logger.read_from(0)
        started()
        who.assume()
    except Misuse as error:
        complain(str(error))
        return 1
    except OSError as error:
        complain(f"{error.filename or 'courierlogger'}: {error.strerror}")
        return 1
    return logger.run()


def _absolute(program: tuple[str, ...]) -> tuple[str, ...]:
    """The program as it can be found from another directory too."""
    if program and "/" in program[0]:
        return (os.path.abspath(program[0]), *program[1:])
    return program


class Logger:
    """Reads lines and logs them, and looks after the program that writes them."""

    def __init__(self, sink: Syslog | File, wakeup: Wakeup, respawn: bool) -> None:
        self._sink, self._wakeup, self._respawn = sink, wakeup, respawn
        self._lines = Lines()
        self._program: tuple[str, ...] = ()
        self._input = -1
        self._write_end = -1
        self._pid = 0
        self._hung_up = False  # SIGHUP came: the program may end and is started again
        self._stopping = False
        self._due: tuple[float, Callable[[], None]] | None = None
        self._ended = False

    def read_from(self, descriptor: int) -> None:
        """Log what comes from this descriptor until its end."""
        self._input = descriptor

    def start(self, program: tuple[str, ...]) -> None:
        """Run the program with standard error on a pipe to us.  Raises OSError."""
        self._program = program
        self._input, self._write_end = os.pipe()
        self._launch()

    def _launch(self) -> None:
        def child() -> None:
            null = os.open(os.devnull, os.O_RDWR)
            for wanted, descriptor in ((0, null), (1, null), (2, self._write_end)):
                spawn.place(wanted, descriptor)
            spawn.execute(self._program, environ.everything())

        self._pid = spawn.fork(child)

    def run(self) -> int:
        """Log until there is nothing left to log; an exit status."""
        poll = select.poll()
        # poll() answers in this order: what was written before a signal is logged before the signal counts.
        poll.register(self._input, select.POLLIN)
        poll.register(self._wakeup.descriptor, select.POLLIN)
        while not self._ended:
            for descriptor, _ in poll.poll(self._milliseconds()):
                if descriptor == self._input:
                    self._read()
                else:
                    self._signals()
            if self._due is not None and time.monotonic() >= self._due[0]:
                action, self._due = self._due[1], None
                action()
        for line in self._lines.flush():
            self._sink.write(line)
        return 0

    def _milliseconds(self) -> float | None:
        return None if self._due is None else max(0.0, self._due[0] - time.monotonic()) * 1000 + 1

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._due = (time.monotonic() + seconds, action)

    def _read(self) -> None:
        data = os.read(self._input, CHUNK)
        for line in self._lines.feed(data):
            self._sink.write(line)
        if not data:
            self._end()

    def _end(self) -> None:
        self._ended = True

    def _signals(self) -> None:
        came = self._wakeup.came()
        if signal.SIGHUP in came:
            self._sink.reopen()
            self._hung_up = True
            self._tell(signal.SIGHUP)
        if came & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        if signal.SIGCHLD in came and self._pid:
            pid, _ = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._gone()

    def _stop(self) -> None:
        self._stopping = True
        if not self._pid:
            self._end()
            return
        self._tell(signal.SIGTERM)
        self._after(KILL_SECONDS, lambda: self._tell(signal.SIGKILL))

    def _tell(self, number: signal.Signals) -> None:
        """Send the program a signal, if it runs and we may: after -user without -droproot it may belong to root."""
        if not self._pid:
            return
        try:
            os.kill(self._pid, number)
        except OSError as error:
            self._sink.write(f"ERR: cannot send {number.name} to process {self._pid}: {error.strerror}".encode())

    def _gone(self) -> None:
        """The program has ended: start it again, at once or later, or log what is left and end."""
        self._pid = 0
        if self._stopping or not (self._hung_up or self._respawn):
            os.close(self._write_end)
            self._after(LAST_WORDS_SECONDS, self._end)
        elif self._hung_up:
            self._hung_up = False
            self._again()
        else:
            self._after(RESPAWN_SECONDS, self._again)

    def _again(self) -> None:
        try:
            self._launch()
        except OSError as error:
            self._sink.write(f"ERR: cannot start {self._program[0]} again: {error.strerror}".encode())
            self._after(RESPAWN_SECONDS, self._again)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
