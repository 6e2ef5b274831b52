import os
import re
import select
import signal
import subprocess
import sys
import syslog
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from couriertcpd import courierlogger, logsink
from couriertcpd.courierlogger import Options
from couriertcpd.logsink import Lines
from couriertcpd.switches import Misuse

SECONDS = 120
PROJECT = Path(__file__).parents[3]


def parse(*words: str) -> Options:
    return courierlogger.parse(["courierlogger", *words])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-x"], "courierlogger: Invalid option: -x"),
        (["-stop"], "-pid argument required"),
        (["-start", "prog"], "-pid argument required"),
        (["-restart", "-pid="], "-pid argument required"),
        (["-facility=post", "prog"], "Unknown facility name 'post'"),
        ([], "courierlogger: say what to log: give -name=NAME, or a program to run"),
        (["-pid=x", "-name=y"], "courierlogger: -pid needs a program to run: a daemon has no standard input"),
    ],
)
def test_complaints(words: list[str], text: str) -> None:
    with pytest.raises(Misuse) as caught:
        parse(*words)
    assert str(caught.value) == text


def test_options() -> None:
    assert parse("imapd") == Options(name="imapd")
    assert parse("-name=x") == Options(name="x")
    chosen = parse("-pid=/p", "-facility=local3", "-droproot", "-respawn", "/bin/prog", "-option")
    assert (chosen.name, chosen.program, chosen.verb) == ("prog", ("/bin/prog", "-option"), "start")
    assert chosen.droproot
    assert chosen.respawn
    assert parse("-pid=/p", "-stop").verb == "stop"


@pytest.mark.parametrize(
    "name",
    "auth authpriv console cron daemon ftp kern lpr mail news security user uucp local0 local7".split(),
)
def test_facilities(name: str) -> None:
    assert parse(f"-facility={name}", "prog").facility == name
    assert isinstance(logsink.FACILITIES[name], int)


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (b"ERR: \t bad", syslog.LOG_ERR, "bad"),
        (b"WARN:x", syslog.LOG_WARNING, "x"),
        (b"ALERT: Maximum", syslog.LOG_ALERT, "Maximum"),
        (b"CRIT: y", syslog.LOG_CRIT, "y"),
        (b"DEBUG: Connection, ip=[::1]", syslog.LOG_DEBUG, "Connection, ip=[::1]"),
        (b"INFO: LOGIN, user=a", syslog.LOG_INFO, "LOGIN, user=a"),
        (b"NOTICE: shutdown", syslog.LOG_INFO, "NOTICE: shutdown"),
        (b" ERR: x", syslog.LOG_INFO, " ERR: x"),
        (b"err: x", syslog.LOG_INFO, "err: x"),
        (b"ERR", syslog.LOG_INFO, "ERR"),
        (b"\xff\0%s", syslog.LOG_INFO, "\\xff%s"),
    ],
)
def test_levels(line: bytes, level: int, text: str) -> None:
    assert logsink.priority(line) == (level, text)


def test_lines_are_cut() -> None:
    lines = Lines()
    assert list(lines.feed(b"one\n\ntw")) == [b"one", b""]
    assert list(lines.feed(b"o\n" + b"x" * 400)) == [b"two"]
    assert list(lines.feed(b"y" * 100000)) == []
    assert list(lines.feed(b"z\nthree")) == [b"x" * 400 + b"y" * 111]
    assert list(lines.flush()) == [b"three"]
    assert list(lines.flush()) == []


def test_syslog_gets_level_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *words: calls.append(words))
    monkeypatch.setattr(syslog, "syslog", lambda *words: calls.append(words))
    logsink.Syslog("imapd-ssl", logsink.FACILITIES["local3"]).write(b"ERR: x")
    assert calls == [("imapd-ssl", 0, syslog.LOG_LOCAL3), (syslog.LOG_ERR, "x")]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "couriertcpd.courierlogger", *words]


def texts(path: Path) -> list[str]:
    """The lines without their times, which must be there."""
    lines = path.read_text().splitlines()
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ")
    assert all(stamp.match(line) for line in lines)
    return [stamp.sub("", line) for line in lines]


def run(*words: str, given: bytes = b"") -> tuple[int, str]:
    done = subprocess.run(command(*words), input=given, capture_output=True, timeout=SECONDS, cwd=PROJECT, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_standard_input_to_a_file(tmp_path: Path) -> None:
    given = b"INFO: LOGIN, user=a\nERR: bad\nplain\nlast"
    assert run("-name=imapd", f"-file={tmp_path}/log", given=given) == (0, "")
    assert texts(tmp_path / "log") == ["imapd: LOGIN, user=a", "imapd: ERR: bad", "imapd: plain", "imapd: last"]


def test_legacy_mode_lives_without_a_syslog() -> None:
    assert run("imapd", given=b"INFO: nobody listens\n" * 100) == (0, "")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    assert run("-name=x", f"-file={tmp_path}") == (1, f"{tmp_path}: Is a directory\n")


LOOK = """
import os
os.write(2, b"%s\\n" % os.getcwdb())
for name in sorted(os.listdir("/proc/self/fd"), key=int)[:-1]:
    os.write(2, b"%s %s\\n" % (name.encode(), os.readlink(f"/proc/self/fd/{name}").partition(":")[0].encode()))
if os.fork() == 0:
    os.write(2, b"child\\n")
"""


def test_the_program_has_its_standard_error_logged(tmp_path: Path) -> None:
    assert run(f"-file={tmp_path}/log", "-name=p", sys.executable, "-I", "-S", "-c", LOOK) == (0, "")
    assert texts(tmp_path / "log") == ["p: /", "p: 0 /dev/null", "p: 1 /dev/null", "p: 2 pipe", "p: child"]


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    assert run(f"-file={tmp_path}/log", "/nonexistent/tcpd") == (0, "")
    assert texts(tmp_path / "log") == ["tcpd: ERR: cannot run /nonexistent/tcpd: No such file or directory"]


QUICK = """
import sys
from couriertcpd import courierlogger
courierlogger.RESPAWN_SECONDS, courierlogger.KILL_SECONDS = 0.1, float(sys.argv[1])
sys.exit(courierlogger.main(["courierlogger", *sys.argv[2:]]))
"""

# Tells its pid and the signals that it gets.
PROGRAM = """
import os, signal, sys
events = os.open(sys.argv[1], os.O_WRONLY)
def note(number, frame):
    os.write(2, b"got %d\\n" % number)
    os.write(events, b"got %d\\n" % number)
    if sys.argv[2] == str(number):
        sys.exit()
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, note)
os.write(events, b"pid %d\\n" % os.getpid())
while sys.argv[2] != "0":
    signal.pause()
"""


class Logger:
    """A courierlogger in the foreground, with a program that ends by the signal `ends_by` (0: at once; -1: by none).

    One that does not end by SIGTERM is killed before long.
    """

    def __init__(self, folder: Path, ends_by: int, *words: str) -> None:
        os.mkfifo(folder / "events")
        self._events = os.open(folder / "events", os.O_RDWR)
        self._text = b""
        self.log = folder / "log"
        program = (sys.executable, "-I", "-S", "-c", PROGRAM, f"{folder}/events", str(int(ends_by)))
        quick = (QUICK, str(SECONDS) if ends_by == signal.SIGTERM else "0.1")
        self.process = subprocess.Popen(
            [sys.executable, "-c", *quick, f"-file={self.log}", "-name=p", *words, *program], cwd=PROJECT
        )

    def event(self) -> str:
        """The next line of the program."""
        while b"\n" not in self._text:
            assert select.select([self._events], [], [], SECONDS)[0]
            self._text += os.read(self._events, 4096)
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    def until_logged(self, text: str) -> None:
        """What a program writes is in the file a moment later."""
        deadline = time.monotonic() + SECONDS
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.end()
        os.close(self._events)


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[Callable[..., Logger]]:
    started: list[Logger] = []

    def begin(ends_by: int, *words: str) -> Logger:
        started.append(Logger(tmp_path, ends_by, *words))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def test_sigterm_is_forwarded_and_ends_both(logger) -> None:
    one = logger(signal.SIGTERM)
    assert one.event().startswith("pid ")
    assert one.end() == 0
    assert texts(one.log) == ["p: got 15"]


def test_a_program_that_does_not_end_is_killed(logger) -> None:
    one = logger(-1)
    assert one.event().startswith("pid ")
    assert one.end() == 0
    assert texts(one.log) in (["p: got 15"], [])  # unless it was killed before it could say so


def test_sighup_is_forwarded_and_the_program_started_again(logger) -> None:
    one = logger(signal.SIGHUP)
    first = one.event()
    one.process.send_signal(signal.SIGHUP)
    assert one.event() == "got 1"
    second = one.event()
    assert second.startswith("pid ")
    assert second != first


def test_without_respawn_the_end_of_the_program_is_the_end(logger) -> None:
    one = logger(0)
    assert one.event().startswith("pid ")
    assert one.process.wait(SECONDS) == 0


def test_respawn(logger) -> None:
    one = logger(0, "-respawn")
    first, second = one.event(), one.event()
    assert first.startswith("pid ")
    assert second.startswith("pid ")
    assert first != second


def test_the_file_is_opened_again_on_sighup(logger, tmp_path: Path) -> None:
    one = logger(signal.SIGTERM)
    one.event()
    one.process.send_signal(signal.SIGHUP)
    assert one.event() == "got 1"
    one.until_logged("got 1")
    one.log.rename(tmp_path / "old")
    one.process.send_signal(signal.SIGHUP)
    assert one.event() == "got 1"
    assert one.end() == 0
    assert texts(tmp_path / "old") == ["p: got 1"]
    assert texts(one.log) == ["p: got 1", "p: got 15"]


def test_daemon(tmp_path: Path, watch: Callable) -> None:
    pid = f"-pid={tmp_path}/pid"
    os.mkfifo(tmp_path / "events")
    script = f"cd {tmp_path}; echo $$ >events; read line <wait"
    os.mkfifo(tmp_path / "wait")
    start = (pid, "-start", f"-file={tmp_path}/log", "-name=p", "/bin/sh", "-c", script)
    assert run(*start) == (0, "")
    program = watch(int((tmp_path / "events").read_text()))
    daemon = watch(int((tmp_path / "pid").read_text()))
    assert run(*start) == (0, "")
    assert run(pid, "-stop") == (0, "")
    assert program.ends()
    assert daemon.ends()
    assert run(pid, "-stop") == (0, "")
    assert run(pid, "-restart") == (0, "")
