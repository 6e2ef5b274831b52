"""-pid, -stop and -restart of couriertcpd."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from couriertcpd import detach

SECONDS = 120
PROJECT = Path(__file__).parents[3]

FAILED = "ll_daemon_start: Resource temporarily unavailable\n"


def run(*words: str, **how: object) -> tuple[int, str]:
    """Run couriertcpd; its exit status and what it said.  A daemon that kept our pipe would keep us waiting."""
    done = subprocess.run(  # type: ignore[call-overload]
        [sys.executable, "-m", "couriertcpd.tcpd", *words],
        **{"cwd": PROJECT, "stdin": subprocess.DEVNULL, "capture_output": True, "timeout": SECONDS, **how},
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@pytest.fixture
def pidfile(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "tcpd.pid"
    run(f"-pid={tmp_path}/tcpd.pid", "-stop")


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), SECONDS) as client, client.makefile("rb") as stream:
        return stream.read()


def begin(pidfile: Path, port: int, *words: str, program: tuple[str, ...] = ("/usr/bin/env",)) -> tuple[int, str]:
    return run(f"-pid={pidfile}", "-nodnslookup", *words, f"127.0.0.1.{port}", *program)


def test_start_serves_when_the_launcher_returns(pidfile: Path, port: int) -> None:
    assert begin(pidfile, port) == (0, "")
    assert b"TCPREMOTEIP=::ffff:127.0.0.1" in ask(port)
    pid = int(pidfile.read_text())
    assert pidfile.read_text() == f"{pid}\n"
    assert pidfile.stat().st_mode & 0o777 == 0o644
    assert Path(f"{pidfile}.lock").stat().st_mode & 0o777 == 0o600
    assert os.getpgid(pid) == pid
    assert os.getsid(pid) != os.getsid(0)
    assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)] == ["/dev/null"] * 3


def test_the_program_keeps_umask_and_directory(pidfile: Path, port: int, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(PROJECT), "PATH": os.defpath}
    words = (f"-pid={pidfile}", "-nodnslookup", f"127.0.0.1.{port}", "/bin/sh", "-c", "umask; pwd; ulimit -c")
    assert run(*words, cwd=tmp_path, umask=0o27, env=environment) == (0, "")
    cores = subprocess.run(["/bin/sh", "-c", "ulimit -c"], capture_output=True, check=True).stdout.decode()
    assert ask(port).decode() == f"0027\n{tmp_path}\n{cores}"


def test_starting_twice_is_no_error(pidfile: Path, port: int) -> None:
    assert begin(pidfile, port) == (0, "")
    pid = pidfile.read_text()
    assert begin(pidfile, port) == (0, "")
    assert pidfile.read_text() == pid


def test_a_port_in_use(pidfile: Path, port: int, tmp_path: Path) -> None:
    assert begin(pidfile, port) == (0, "")
    status, text = begin(tmp_path / "other.pid", port)
    assert status == 1
    assert text.startswith("bind: Address already in use\n")
    assert text.endswith(FAILED)
    assert not (tmp_path / "other.pid").exists()


def test_wrong_limits_are_told_before_the_start(pidfile: Path, port: int) -> None:
    assert begin(pidfile, port, "-maxprocs=0") == (1, "Invalid -maxprocsarg option.\n")


def test_a_directory_that_is_not_there(port: int, tmp_path: Path) -> None:
    status, text = begin(tmp_path / "missing" / "tcpd.pid", port)
    assert status == 1
    assert text == f"{tmp_path}/missing/tcpd.pid.lock: No such file or directory\n{FAILED}"


def test_stop_returns_when_everything_has_gone(pidfile: Path, port: int, watch: Callable) -> None:
    assert begin(pidfile, port, program=("/bin/cat",)) == (0, "")
    with socket.create_connection(("127.0.0.1", port), SECONDS) as client:
        client.sendall(b"hello\n")
        assert client.recv(100) == b"hello\n"
        daemon = watch(int(pidfile.read_text()))
        assert run(f"-pid={pidfile}", "-stop") == (0, "")
        assert daemon.ends()
        assert client.recv(100) == b""
    assert pidfile.exists()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
        again.listen()


def test_stop_and_restart_when_nothing_runs(pidfile: Path, port: int) -> None:
    for verb in ("-stop", "-restart"):
        assert run(f"-pid={pidfile}", verb) == (0, "")
    assert begin(pidfile, port) == (0, "")
    assert run(f"-pid={pidfile}", "-stop") == (0, "")
    for verb in ("-stop", "-restart"):
        assert run(f"-pid={pidfile}", verb) == (0, "")


def test_a_stale_pid_file_endangers_nobody(pidfile: Path, port: int) -> None:
    bystander = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert begin(pidfile, port) == (0, "")
    pidfile.write_text(f"{bystander.pid}\n")
    assert run(f"-pid={pidfile}", "-restart") == (0, "")
    assert run(f"-pid={pidfile}", "-stop") == (0, "")
    assert bystander.communicate(b"alive", SECONDS)[0] == b"alive"
    assert bystander.returncode == 0


def test_restart_opens_the_access_file_again(pidfile: Path, port: int, tmp_path: Path) -> None:
    gdbm = pytest.importorskip("dbm.gnu")
    with gdbm.open(str(tmp_path / "db"), "n") as database:
        database["*"] = "deny"
    assert begin(pidfile, port, f"-access={tmp_path}/db") == (0, "")
    assert ask(port) == b""
    with gdbm.open(str(tmp_path / "new"), "n") as database:
        database["*"] = "allow"
    os.rename(tmp_path / "new", tmp_path / "db")
    assert run(f"-pid={pidfile}", "-restart") == (0, "")
    assert ask(port) != b""


def test_stop_kills_what_does_not_end(pidfile: Path, watch: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detach, "TERM_SECONDS", 0.2)
    stubborn = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, f"{pidfile}.lock"], stdout=subprocess.PIPE, cwd=PROJECT
    )
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == b"locked\n"
    assert detach.stop(str(pidfile)) == 0
    assert stubborn.wait(SECONDS) == -signal.SIGKILL
    stubborn.stdout.close()


STUBBORN = """
import fcntl, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open(sys.argv[1], "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("locked", flush=True)
signal.pause()
"""


def test_the_lock_is_released_with_its_context(tmp_path: Path) -> None:
    with detach.PidLock(str(tmp_path / "x")) as lock:
        lock.publish()
        assert (tmp_path / "x").read_text() == f"{os.getpid()}\n"
    with open(tmp_path / "x.lock", "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "x.lock"]
