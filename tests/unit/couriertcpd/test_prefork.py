"""A chain of two small stages behind a real listener, in the prefork form: hand-over, limits, deaths, generations."""

import fcntl
import json
import os
import pty
import signal
import socket
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from couriertcpd import environ, spare
from tests import tinystages

SECONDS = 20
PROJECT = Path(__file__).parents[3]


class Talk:
    """A client's lines and the stage's answers."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")

    def ask(self, words: str) -> str:
        self._socket.sendall(words.encode() + b"\n")
        return self.line()

    def line(self) -> str:
        try:
            return self._file.readline().decode().rstrip("\n")
        except ConnectionResetError:
            return ""

    def go_on(self) -> None:
        """Have the first stage become the second."""
        self._socket.sendall(b"next\n")
        assert self.ask("word") == "second"

    def pid(self) -> int:
        return int(self.ask("pid"))

    def ends(self) -> bool:
        return self.line() == ""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Server:
    """A listener whose first stage is up, with what the test needs to look at it."""

    def __init__(self, tcpd, status: Path, watch) -> None:
        self.tcpd = tcpd
        self._status = status
        self._watch = watch
        self.settle()

    def talk(self, source: str = "127.0.0.1") -> Talk:
        return Talk(self.tcpd.connect(source).socket)

    def settle(self) -> None:
        """Wait until processes that wait take connections, in both stages, and none is left of our trials."""
        self.until(self._served_by_spare)
        self.until(lambda: self.connections() == 0)

    def _served_by_spare(self) -> bool:
        talk = self.talk()
        how = talk.ask("how")
        if how == "spare":
            talk.go_on()
        talk.close()
        return how == "spare"

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.tcpd.log

    def connections(self) -> int:
        """The slots that are taken, as the listener says."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(SECONDS)
            asking.connect(str(self._status))
            octets = b""
            while data := asking.recv(65536):
                octets += data
        return int(json.loads(octets)["connections"])

    def first(self) -> psutil.Process:
        """The fork server of the first stage."""
        (server,) = psutil.Process(self.tcpd.process.pid).children()
        return server

    def second(self) -> psutil.Process:
        """The fork server of the second stage."""
        (server,) = (child for child in self.first().children() if is_program(child, "second"))
        return server

    def spares(self, server: psutil.Process) -> list[psutil.Process]:
        name = server.cmdline()[2].removesuffix(".stage")
        return [child for child in server.children() if is_program(child, name) and waits(child)]

    def kill(self, process: psutil.Process) -> None:
        watched = self._watch(process.pid)
        process.send_signal(signal.SIGKILL)
        assert watched.ends()


def is_program(process: psutil.Process, name: str) -> bool:
    try:
        return process.cmdline()[2].endswith(f"{name}.stage")
    except (IndexError, psutil.NoSuchProcess):
        return False


def waits(process: psutil.Process) -> bool:
    """Whether it has no client."""
    try:
        return os.readlink(f"/proc/{process.pid}/fd/0") == os.devnull
    except OSError:
        return False


@pytest.fixture
def serve(start, tmp_path: Path, watch) -> Callable[..., Server]:
    """serve(*options) -> Server, with -prefork=2 unless the options say otherwise."""

    def begin(*options: str, **how: object) -> Server:
        how.setdefault("program", tinystages.make(tmp_path))
        status = tmp_path / "status"
        return Server(start("-prefork=2", f"-status={status}", "-maxperip=9", *options, **how), status, watch)

    return begin


def test_both_stages_run_in_processes_that_have_waited(serve) -> None:
    server = serve()
    talk = server.talk("127.0.0.7")
    assert [talk.ask("how"), talk.ask("word"), talk.ask("env TCPREMOTEIP")] == ["spare", "first", "::ffff:127.0.0.7"]
    assert int(talk.ask("ppid")) == server.first().pid
    before = talk.pid()
    talk.go_on()
    assert [talk.ask("how"), talk.ask("env TCPREMOTEIP")] == ["spare", "::ffff:127.0.0.7"]
    assert int(talk.ask("ppid")) == server.second().pid
    assert talk.pid() != before
    assert talk.ask("argv").endswith("second.stage', 'Maildir']")
    talk.ask("leave")
    server.until(lambda: server.connections() == 0)


def test_main_cannot_tell_how_it_was_started(serve, start, tmp_path: Path) -> None:
    told = {**environ.everything(), b"COURIER_REUSE": b"0", b"COURIER_MODULE": b"x", b"TZ": b"UTC"}
    preforked = serve(env=told).talk()
    execed = Talk(start(program=tinystages.make(tmp_path), env=told).connect().socket)
    for stage in ("first", "second"):
        assert preforked.ask("how") == "spare"
        assert execed.ask("how") == "exec"
        for question in ("envs", "argv", "word", "env TZ"):
            assert preforked.ask(question) == execed.ask(question)
        assert "COURIER_FORKSERVER" not in preforked.ask("envs")
        inherited = [word for word in preforked.ask("fds").split() if word.endswith("+")]
        assert inherited == [word for word in execed.ask("fds").split() if word.endswith("+")]
        assert inherited == ["0+", "1+", "2+", "3+"]
        if stage == "first":
            preforked.go_on()
            execed.go_on()


def test_no_process_has_a_descriptor_of_another(serve) -> None:
    server = serve("-maxspare=8")
    talks = [server.talk(f"127.0.0.{last}") for last in range(1, 9)]
    for talk in talks:
        assert talk.ask("how") == "spare"
    # The client, the log, the slot, the way to the next stage, the fork server's log, and the one that lists them.
    assert {talk.ask("fds") for talk in talks} == {"0+ 1+ 2+ 3+ 4- 9-"}
    for talk in talks:
        talk.go_on()
    assert {talk.ask("fds") for talk in talks} == {"0+ 1+ 2+ 3+ 9-"}
    assert server.connections() == 8
    for left, talk in enumerate(talks, 1):
        talk.close()
        server.until(lambda left=left: server.connections() == 8 - left)


def test_what_would_be_the_same_in_every_child_is_not(serve) -> None:
    server = serve()
    assert len({server.talk().ask("random") for _ in range(6)}) == 6


def test_an_unexpected_error_is_a_line_without_its_text(serve) -> None:
    server = serve()
    talk = server.talk()
    assert talk.ask("fail") == ""
    server.tcpd.expect("ERR: first: internal error: ValueError at ")
    server.until(lambda: server.connections() == 0)
    assert server.talk().ask("how") == "spare"
    assert b"a secret" not in server.tcpd.log


def test_the_limit_for_an_address_is_exact(serve) -> None:
    server = serve("-maxperip=3")
    talks = [server.talk() for _ in range(3)]
    assert [talk.ask("how") for talk in talks] == ["spare"] * 3
    assert server.talk().ends()
    talks[0].go_on()
    assert server.talk().ends()
    talks[0].close()
    server.until(lambda: server.connections() == 2)
    assert server.talk().ask("word") == "first"


def test_a_burst_is_served_whole(serve) -> None:
    server = serve("-maxprocs=60", "-maxperip=60")
    talks = [server.talk() for _ in range(60)]
    assert {talk.ask("word") for talk in talks} == {"first"}
    assert server.connections() == 60


KILLED: dict[str, Callable[[Server, Talk, Talk], psutil.Process]] = {
    "first fork server": lambda server, first, second: server.first(),
    "second fork server": lambda server, first, second: server.second(),
    "waiting for a connection": lambda server, first, second: server.spares(server.first())[0],
    "waiting for a login": lambda server, first, second: server.spares(server.second())[0],
    "before a login": lambda server, first, second: psutil.Process(first.pid()),
    "after a login": lambda server, first, second: psutil.Process(second.pid()),
}


@pytest.mark.parametrize("victim", sorted(KILLED))
def test_kill_9_of_one_process_leaves_the_others_and_exact_counts(serve, victim: str) -> None:
    server = serve("-maxprocs=3", "-maxperip=3")
    first, second = server.talk(), server.talk()
    assert first.ask("word") == "first"
    second.go_on()
    server.until(lambda: len(server.spares(server.first())) >= 2 and len(server.spares(server.second())) >= 2)
    server.kill(KILLED[victim](server, first, second))
    lost = {"before a login": first, "after a login": second}.get(victim)
    alive = [talk for talk in (first, second) if talk is not lost]
    assert [talk.ask("still here") for talk in alive] == ["still here"] * len(alive)
    if lost is not None:
        assert lost.ends()
    server.until(lambda: server.connections() == len(alive))
    more = [server.talk() for _ in range(3 - len(alive))]
    for talk in more:
        talk.go_on()  # through whatever has taken the dead one's place
    assert server.connections() == 3
    waiting = server.talk()
    assert server.tcpd.process.poll() is None
    more[0].close()
    assert waiting.ask("word") == "first"  # let in only now
    for talk in (first, second, *more, waiting):
        talk.close()
    server.until(lambda: server.connections() == 0)
    server.settle()


def test_a_fork_server_that_was_killed_is_replaced(serve) -> None:
    server = serve()
    for _ in range(2):
        old = server.first()
        server.kill(old)
        server.until(lambda old=old: len(left := children(server)) == 1 and left[0].pid != old.pid)
        server.settle()
    server.tcpd.expect("first.stage ended (signal 9); another is started at once\n")


def children(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.tcpd.process.pid).children()


def test_a_stage_that_cannot_start_is_told_of_once_and_served_by_exec(start, tmp_path: Path) -> None:
    chain = tinystages.make(tmp_path)
    (tmp_path / "first.py").write_text(
        "import sys\nfrom talk import talk\n"
        "if 'couriertcpd.forkserver' in sys.modules:\n    raise RuntimeError('no luck')\n"
        "def main(argv):\n    return talk('first', argv)\n"
    )
    tcpd = start("-prefork=2", program=chain)
    tcpd.expect("first.stage ended (exit status 111, no luck (RuntimeError at ")
    talk = Talk(tcpd.connect().socket)
    assert talk.ask("how") == "exec"
    # The second attempt comes at once; when the third one, a second later, is over, there is still one line.
    tcpd.expect("another is started")
    tcpd.stop()
    assert tcpd.log.count(b"no luck") == 1


def test_a_program_that_is_not_ours_is_execed(start, tmp_path: Path) -> None:
    tcpd = start("-prefork=2")
    assert tcpd.connect().echoes()
    assert [child.name() for child in tcpd.children()] == ["cat"]


def test_a_foreign_program_after_the_first_stage_is_execed(serve, tmp_path: Path) -> None:
    chain = tinystages.make(tmp_path)
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nWRAPPED=yes\nexport WRAPPED\nexec "$@"\n')
    wrapper.chmod(0o755)
    talk = serve(program=(chain[0], str(wrapper), *chain[1:])).talk()
    assert talk.ask("how") == "spare"
    talk.go_on()
    assert (talk.ask("how"), talk.ask("env WRAPPED")) == ("exec", "yes")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end(serve, watch, number: int) -> None:
    server = serve()
    first, second = server.talk(), server.talk()
    second.go_on()
    assert first.ask("word") == "first"
    server.until(lambda: len(server.tcpd.children()) >= 8)
    processes = [watch(process.pid) for process in server.tcpd.children()]
    server.tcpd.process.send_signal(number)
    assert (first.line(), second.line()) == ("BYE first", "BYE second")
    assert server.tcpd.process.wait(SECONDS) == 0
    assert all(process.ends() for process in processes)
    server.tcpd.stop()
    assert b"ended" not in server.tcpd.log


def test_the_end_of_a_listener_that_was_killed(serve, watch) -> None:
    server = serve()
    talk = server.talk()
    talk.go_on()
    served = talk.pid()
    processes = [watch(process.pid) for process in server.tcpd.children() if process.pid != served]
    server.tcpd.process.kill()
    assert all(process.ends() for process in processes)
    assert talk.ask("still here") == "still here"
    talk.close()


def test_an_octet_that_no_signal_stands_behind_keeps_no_fork_server_busy(serve) -> None:
    server = serve()
    folder = f"/proc/{server.first().pid}/fd"
    ends: dict[str, list[int]] = {}
    for name in sorted(os.listdir(folder), key=int):
        ends.setdefault(os.readlink(f"{folder}/{name}"), []).append(int(name))
    # Both ends here, or twice the same: the log, the pipe of the calls to retire, and the one that is sought.
    twice = [held for link, held in ends.items() if link.startswith("pipe:") and len(held) == 2]
    ((wake, far_end),) = [held for held in twice if not {spare.RETIRE, spare.LOG} & {*held}]
    descriptors = [os.open(f"{folder}/{wake}", os.O_RDONLY), os.open(f"{folder}/{far_end}", os.O_WRONLY)]
    os.write(descriptors[1], b"\x11")
    deadline = time.monotonic() + SECONDS
    while fcntl.ioctl(descriptors[0], termios.FIONREAD, bytes(4)) != bytes(4):
        assert time.monotonic() < deadline, "it looks at the octet again and again"
    for descriptor in descriptors:
        os.close(descriptor)


def test_ctrl_c_on_a_terminal(tmp_path: Path, watch) -> None:
    """The processes are in no group that the terminal's signals reach, but in one that the listener ends."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    words = [sys.executable, "-m", "couriertcpd.tcpd", "-prefork=2", "-maxperip=40", "-nodnslookup"]
    words += [f"127.0.0.1.{port}", *tinystages.make(tmp_path)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(PROJECT)
        os.execv(words[0], words)
    talks = []
    deadline = time.monotonic() + SECONDS
    while len(talks) < 3 and time.monotonic() < deadline:
        try:
            talk = Talk(socket.create_connection(("127.0.0.1", port), SECONDS))
        except ConnectionRefusedError:
            continue
        if talk.ask("how") == "spare":
            talks.append(talk)
        else:
            talk.close()
    talks[2].go_on()
    processes = [watch(process.pid) for process in psutil.Process(pid).children(recursive=True)]
    os.write(terminal, b"\x03")
    assert [talk.line() for talk in talks] == ["BYE first", "BYE first", "BYE second"]
    assert os.waitpid(pid, 0)[1] == 0
    assert all(process.ends() for process in processes)
    os.close(terminal)
    for talk in talks:
        talk.close()
    reserved.close()


def test_sighup_brings_new_code_and_settings_and_leaves_sessions(serve, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.write_text("COLOUR=red\nSHAPE=round\nFIXED=file\n")
    told = {**environ.everything(), b"COLOUR": b"red", b"SHAPE": b"round", b"FIXED": b"starter"}
    server = serve(f"-config={settings}", env=told)
    old = server.talk()
    assert old.ask("env COLOUR") == "red"
    settings.write_text("COLOUR=blue\nFIXED=new\n")
    talk = tmp_path / "talk.py"
    talk.write_text(talk.read_text().replace('return "spare" if', 'return "new spare" if'))
    retired = server.first()
    watched = server._watch(retired.pid)
    server.tcpd.process.send_signal(signal.SIGHUP)

    def is_new() -> bool:
        new = server.talk()
        how = new.ask("how")
        if how == "new spare":
            assert [new.ask(f"env {name}") for name in ("COLOUR", "SHAPE", "FIXED")] == ["blue", "unset", "starter"]
            new.go_on()
            assert (new.ask("how"), new.ask("env COLOUR")) == ("new spare", "blue")
        else:
            assert (how, new.ask("env COLOUR")) == ("spare", "red")
        new.close()
        return how == "new spare"

    server.until(is_new)
    assert watched.ends()
    assert [old.ask("how"), old.ask("env COLOUR")] == ["spare", "red"]
    old.go_on()  # the fork server of the second stage is there as long as somebody may need it
    assert [old.ask("how"), old.ask("env COLOUR")] == ["spare", "red"]
    server.until(lambda: server.connections() == 1)
    server.tcpd.stop()
    assert b"ended" not in server.tcpd.log


def test_a_broken_file_changes_nothing(serve, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.write_text("COLOUR=red\n")
    server = serve(f"-config={settings}", env={**environ.everything(), b"COLOUR": b"red"})
    settings.write_text("COLOUR=blue\nif\n")
    old = server.first()
    watched = server._watch(old.pid)
    server.tcpd.process.send_signal(signal.SIGHUP)
    server.tcpd.expect("settings:2: not understood")
    assert watched.ends()
    server.settle()
    assert server.talk().ask("env COLOUR") == "red"


def test_a_new_generation_that_cannot_start_leaves_the_old_one_in_place(serve, tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "talk.py").write_text("raise RuntimeError('no luck')\n")
    server.tcpd.process.send_signal(signal.SIGHUP)
    server.tcpd.expect("no luck (RuntimeError")
    for _ in range(6):
        talk = server.talk()
        assert talk.ask("how") == "spare"
        talk.close()
    server.until(lambda: server.connections() == 0)
    tinystages.make(tmp_path)
    old = [child.pid for child in children(server)]
    server.tcpd.process.send_signal(signal.SIGHUP)
    server.until(lambda: len(left := children(server)) == 1 and left[0].pid not in old)
    server.settle()


def test_reused_processes_serve_one_client_after_another(serve) -> None:
    server = serve(env={**environ.everything(), b"COURIER_REUSE": b"1"})
    pids = set()
    for number in range(12):
        talk = server.talk(f"127.0.0.{number + 1}")
        assert talk.ask("env TCPREMOTEIP") == f"::ffff:127.0.0.{number + 1}"
        assert talk.ask("fds") == "0+ 1+ 2+ 3+ 4- 5- 6- 7- 8- 9- 10- 11-"
        pids.add(talk.pid())
        if number % 3 == 0:
            talk.go_on()
            assert talk.ask("fds") == "0+ 1+ 2+ 3+ 9-"
        if number == 1:
            assert talk.ask("fail") == ""
        talk.close()
        server.until(lambda: server.connections() == 0)
    assert len(pids) <= 4
    talk = server.talk()
    failed = talk.pid()
    talk.ask("fail")
    server.tcpd.expect("ERR: first: internal error")
    assert failed not in {server.talk().pid() for _ in range(8)}


def test_a_reused_process_that_has_served_enough_makes_room_in_silence(serve, tmp_path: Path) -> None:
    folder = tmp_path / "enough"
    folder.mkdir()
    chain = tinystages.make(folder)
    with (folder / "first.py").open("a") as module:
        module.write("from couriertcpd import spare\nspare.MAX_CONNECTIONS = 3\n")
    server = serve(program=chain, env={**environ.everything(), b"COURIER_REUSE": b"1"})
    served: dict[int, int] = {}
    for _ in range(14):
        talk = server.talk()
        pid = talk.pid()
        served[pid] = served.get(pid, 0) + 1
        talk.close()
        server.until(lambda: server.connections() == 0)
    assert max(served.values()) <= 3
    server.tcpd.stop()
    assert b"ended" not in server.tcpd.log


def test_a_connection_that_those_who_wait_do_not_take_is_taken_by_another(serve, tmp_path: Path) -> None:
    """Of the second stage, where nobody is left who would give up waiting."""
    folder = tmp_path / "stuck"
    folder.mkdir()
    chain = tinystages.make(folder)
    with (folder / "second.py").open("a") as module:
        module.write("from couriertcpd import leftover\nleftover.SECONDS = 0.2\n")
    server = serve(program=chain)
    server.until(lambda: len(server.spares(server.second())) == 2)
    stuck = server.spares(server.second())
    for process in stuck:
        process.suspend()
    talk = server.talk()
    talk.go_on()
    assert talk.pid() not in [process.pid for process in stuck]
    server.tcpd.expect("WARN: second: none of 2 waiting takes a connection; one more starts")
    for process in stuck:
        process.resume()
    talk.close()
    server.until(lambda: server.connections() == 0)
    server.settle()


def test_names_are_looked_up_before_the_connection_is_handed_on(serve, start, tmp_path: Path) -> None:
    try:
        expected = socket.getnameinfo(("127.0.0.1", 0), socket.NI_NAMEREQD)[0]
    except socket.gaierror:
        pytest.skip("127.0.0.1 has no name here")
    port = free_port()
    tcpd = start("-prefork=2", f"127.0.0.1.{port}", *tinystages.make(tmp_path))  # the rest are the program's words
    tcpd.port = port
    deadline = time.monotonic() + SECONDS
    how = ""
    while how != "spare":
        assert time.monotonic() < deadline
        talk = Talk(tcpd.connect().socket)
        how = talk.ask("how")
        assert talk.ask("env TCPREMOTEHOST") == expected
        assert talk.ask("env RES_OPTIONS") == "unset"
        talk.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_stderr_to_the_client(serve, tmp_path: Path) -> None:
    server = serve("-stderr=socket", cwd=tmp_path, env={**environ.everything(), b"PYTHONPATH": os.fsencode(PROJECT)})
    talk = server.talk()
    assert talk.ask("fail").startswith("ERR: first: internal error: ValueError at ")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_an_ordinary_user(serve, tmp_path: Path) -> None:
    for place in (tmp_path, *tmp_path.parents):
        if not any(part.startswith("pytest-of-") for part in place.parts):
            break
        place.chmod(0o755)
    server = serve("-user=nobody")
    talk = server.talk()
    talk.go_on()
    assert psutil.Process(talk.pid()).username() == "nobody"
