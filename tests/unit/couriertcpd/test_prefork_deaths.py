"""The prefork form when one of its processes ends, or all of them do."""

import fcntl
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

from couriertcpd import spare
from tests import tinystages
from tests.unit.couriertcpd.preforked import SECONDS, Server, Talk, children

PROJECT = Path(__file__).parents[3]


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
