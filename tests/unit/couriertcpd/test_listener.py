"""A real listener on loopback: what it hands to its program, and how it ends."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from couriertcpd import environ
from tests.unit.couriertcpd.listening import environment

SECONDS = 120
PROJECT = Path(__file__).parents[3]


def test_the_program_is_told_who_is_connected(start) -> None:
    inherited = {**environ.everything(), b"TCPREMOTEHOST": b"stale", b"TCPREMOTEINFO": b"stale", b"KEPT": b"yes"}
    tcpd = start(program=("/usr/bin/env",), env=inherited)
    client = tcpd.connect("127.0.0.7")
    told = environment(client.rest())
    assert told["TCPREMOTEIP"] == "::ffff:127.0.0.7"
    assert told["TCPLOCALIP"] == "::ffff:127.0.0.1"
    assert told["TCPREMOTEPORT"] == str(client.socket.getsockname()[1])
    assert told["TCPLOCALPORT"] == str(tcpd.port)
    assert told["KEPT"] == "yes"
    assert not {"TCPREMOTEHOST", "TCPLOCALHOST", "TCPREMOTEINFO"} & set(told)


def test_ipv6(start) -> None:
    try:
        tcpd = start(program=("/usr/bin/env",), address="::1")
    except OSError:
        pytest.skip("no IPv6 on this host")
    told = environment(tcpd.connect("::1", "::1").rest())
    assert (told["TCPREMOTEIP"], told["TCPLOCALIP"]) == ("::1", "::1")


def test_the_program_inherits_the_client_the_log_and_the_slot_and_nothing_else(start) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    tcpd = start(program=("/bin/sh", "-c", "ls /proc/$$/fd; ls -l /proc/$$/fd/3 >&2"), pass_fds=(write_end,))
    assert tcpd.connect().rest().split() == [b"0", b"1", b"2", b"3"]
    tcpd.expect("-> pipe:")
    os.close(read_end)
    os.close(write_end)


def test_the_program_has_default_signals(start) -> None:
    tcpd = start(program=("/bin/grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"))
    # Above 31 are real-time signals, of which make has one ignored in all that it starts.
    masks = [int(line.split()[1], 16) & 0x7FFF_FFFF for line in tcpd.connect().rest().splitlines()]
    assert masks[:2] == [0, 0]


def test_names_are_looked_up_without_nodnslookup(start) -> None:
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    try:
        expected = socket.getnameinfo(("127.0.0.1", 0), socket.NI_NAMEREQD)[0]
    except socket.gaierror:
        pytest.skip("127.0.0.1 has no name here")
    port = reserved.getsockname()[1]
    tcpd = start(f"127.0.0.1.{port}", "/bin/sh", "-c", "env")  # the rest of the words are the program's
    tcpd.port = port
    told = environment(tcpd.connect().rest())
    assert told["TCPREMOTEHOST"] == told["TCPLOCALHOST"] == expected
    assert "RES_OPTIONS" not in told
    reserved.close()


def test_a_program_on_the_path(start) -> None:
    assert start(program=("cat",)).connect().echoes()


def test_exec_failure_is_one_line(start) -> None:
    tcpd = start(program=("/nonexistent/imaplogin",))
    assert tcpd.connect().rest() == b""
    tcpd.expect("ERR: cannot run /nonexistent/imaplogin: No such file or directory\n")
    assert tcpd.connect().rest() == b""


def test_sockets_have_no_delay_and_keepalive(start) -> None:
    asks = (
        "import socket; s = socket.socket(fileno=0);"
        "print(s.getsockopt(6, socket.TCP_NODELAY), s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),"
        " __import__('os').get_blocking(0))"
    )
    tcpd = start(program=(sys.executable, "-I", "-S", "-c", asks))
    assert tcpd.connect().rest() == b"1 1 True\n"


def test_stderr_to_the_client(start, tmp_path: Path) -> None:
    tcpd = start("-stderr=socket", program=("/bin/sh", "-c", "echo log line >&2"), cwd=tmp_path, env=in_project())
    assert tcpd.connect().rest() == b"log line\n"
    assert not (tmp_path / "socket").exists()


def in_project() -> dict[bytes, bytes]:
    return {**environ.everything(), b"PYTHONPATH": os.fsencode(PROJECT)}


def test_stderr_to_a_file(start, tmp_path: Path) -> None:
    tcpd = start(f"-stderr={tmp_path}/log", program=("/bin/sh", "-c", "echo log line >&2; echo done"))
    assert tcpd.connect().rest() == b"done\n"
    assert (tmp_path / "log").read_text() == "log line\n"


# The logger does not come to leave the process group of the listener, which then has to see to that.
LATE = """
import os, time
listener, setpgid = os.getpid(), os.setpgid

def late(pid, group):
    if os.getpid() == listener:
        return setpgid(pid, group)
    end = time.monotonic() + 60
    while os.getpgrp() != os.getpid() and time.monotonic() < end:
        time.sleep(0.001)

os.setpgid = late
"""


def leads_a_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


@pytest.mark.parametrize("before", ["", LATE], ids=["", "late"])
def test_stderrlogger(start, watch, tmp_path: Path, before: str) -> None:
    logger = tmp_path / "logger"
    logger.write_text(f"#!/bin/sh\nexec >{tmp_path}/log\necho started for $1\nexec cat\n")
    logger.chmod(0o755)
    tcpd = start(
        f"-stderrlogger={logger}", "-stderrloggername=mail", program=("/bin/sh", "-c", "echo line >&2; echo ok"),
        before=before,
    )  # fmt: skip
    assert tcpd.connect().rest() == b"ok\n"
    (leader,) = (child.pid for child in psutil.Process(tcpd.process.pid).children() if leads_a_group(child.pid))
    logger_process = watch(leader)
    tcpd.stop()
    assert logger_process.ends()
    assert (tmp_path / "log").read_text() == "started for mail\nline\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_takes_every_connection_along(start, watch, number: int) -> None:
    tcpd = start(program=("/bin/sh", "-c", "/bin/cat; exit 0"))
    client = tcpd.connect()
    assert client.echoes()
    processes = [watch(process.pid) for process in tcpd.children()]
    assert len(processes) == 2
    tcpd.process.send_signal(number)
    assert client.rest() == b""
    assert tcpd.process.wait(SECONDS) == 0
    assert all(process.ends() for process in processes)


def test_ctrl_c_on_a_terminal(start) -> None:
    """Only the listener hears ctrl-C; it ends its connections, and what shares its terminal lives on."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    script = f"trap 'echo shell interrupted' INT; '{sys.executable}' -m couriertcpd.tcpd -nodnslookup 127.0.0.1.{port}"
    script += " /bin/sh -c \"trap 'echo program interrupted' INT; echo served >/dev/tty; cat\"; echo ended $?"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(PROJECT)
        os.execv("/bin/sh", ["sh", "-c", script])
    client = connect_when_up(port)
    seen = b""
    while b"served" not in seen:
        seen += os.read(terminal, 4096)
    client.sendall(b"hello\n")
    assert client.recv(100) == b"hello\n"
    os.write(terminal, b"\x03")
    while b"ended" not in seen:
        seen += os.read(terminal, 4096)
    assert b"shell interrupted" in seen
    assert b"program interrupted" not in seen
    assert client.recv(100) == b""
    os.waitpid(pid, 0)
    os.close(terminal)
    client.close()
    reserved.close()


def connect_when_up(port: int) -> socket.socket:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), SECONDS)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.01)


def test_a_port_in_use(start) -> None:
    taken = start()
    second = subprocess.run(
        [sys.executable, "-m", "couriertcpd.tcpd", f"127.0.0.1.{taken.port}", "/bin/cat"],
        cwd=PROJECT,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.decode().splitlines() == [
        "bind: Address already in use",
        f"couriertcpd: cannot listen on 127.0.0.1, port {taken.port}",
    ]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_user_and_group(start) -> None:
    tcpd = start("-user=nobody", "-group=daemon", program=("/bin/sh", "-c", "id -un; id -gn"))
    assert tcpd.connect().rest() == b"nobody\ndaemon\n"
