"""A couriertcpd in the foreground on a loopback port of its own, and clients for it."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import tinystages
from tests.unit.couriertcpd.preforked import Server

SECONDS = 120  # nothing here takes a second; a machine that is busy may

PROJECT = Path(__file__).parents[3]

# Runs a main() and writes a line to standard output as soon as it listens.
FOREGROUND = """
import os, sys
from couriertcpd import tcpd
tcpd._nothing_to_tell = lambda: os.write(1, b"listening\\n")
sys.exit(tcpd.main(["couriertcpd", *sys.argv[1:]]))
"""


def reserve(address: str = "127.0.0.1") -> socket.socket:
    """A port that nobody else gets, though another process may listen at it: bound, but not listening."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    reserved = socket.socket(family)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((address, 0))
    return reserved


class Client:
    """One connection to the listener."""

    def __init__(self, port: int, source: str = "127.0.0.1", target: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((target, port), SECONDS, (source, 0))

    def echoes(self) -> bool:
        """Whether the program at the other end, a cat, answers; False when the connection was closed."""
        try:
            self.socket.sendall(b"hello\n")
            return self.socket.recv(100) == b"hello\n"
        except ConnectionError:
            return False

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        received = b""
        try:
            while data := self.socket.recv(65536):
                received += data
        except ConnectionResetError:
            pass
        return received

    def has_nothing(self) -> bool:
        """Whether nothing has arrived up to now."""
        return not select.select([self.socket], [], [], 0)[0]

    def close(self) -> None:
        self.socket.close()


class Watched:
    """A process that is not our child, whose end we want to see."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def ends(self) -> bool:
        """Whether it ends, a zombie or not."""
        ended = bool(select.select([self._descriptor], [], [], SECONDS)[0])
        os.close(self._descriptor)
        return ended


@pytest.fixture
def watch() -> Callable[[int], Watched]:
    """watch(pid).ends()."""
    return Watched


class Tcpd:
    """A running couriertcpd."""

    def __init__(self, words: list[str], port: int, before: str = "", **how: object) -> None:
        self.port = port
        self.log = b""
        self._clients: list[Client] = []
        self.process = subprocess.Popen(  # type: ignore[call-overload]
            [sys.executable, "-c", before + FOREGROUND, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **{"cwd": PROJECT, **how},
        )
        assert self.process.stdout.readline() == b"listening\n", self.process.stderr.read()

    def connect(self, source: str = "127.0.0.1", target: str = "127.0.0.1") -> Client:
        self._clients.append(Client(self.port, source, target))
        return self._clients[-1]

    def serves(self, source: str = "127.0.0.1") -> Client:
        """Connect until we are let in: a slot is freed a moment after its connection has ended."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            client = self.connect(source)
            if client.echoes():
                return client
        raise AssertionError("never let in")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def expect(self, text: str, times: int = 1) -> None:
        """Wait until the log has the text so many times."""
        deadline = time.monotonic() + SECONDS
        while self.log.count(text.encode()) < times:
            ready, _, _ = select.select([self.process.stderr], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.process.stderr.fileno(), 65536) if ready else b""
            assert data, f"{text!r} is not in {self.log!r}"
            self.log += data

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; returns its exit status after reading the rest of the log."""
        for client in self._clients:
            client.close()
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=SECONDS)
        self.log += rest
        return int(self.process.returncode)


Start = Callable[..., Tcpd]


@pytest.fixture
def start() -> Iterator[Start]:
    """start(*options, program=(...), before=CODE run first) -> Tcpd; PORT in an option becomes the port."""
    running: list[Tcpd] = []
    reserved: list[socket.socket] = []

    def begin(*words: str, program: tuple[str, ...] = ("/bin/cat",), address: str = "127.0.0.1", **how: object) -> Tcpd:
        reserved.append(reserve(address))
        port = reserved[-1].getsockname()[1]
        words = tuple(word.replace("PORT", str(port)) for word in words)
        running.append(Tcpd([*words, "-nodnslookup", f"{address}.{port}", *program], port, **how))
        return running[-1]

    yield begin
    for tcpd in running:
        if tcpd.process.poll() is None:
            tcpd.stop()
        tcpd.process.stdout.close()
        tcpd.process.stderr.close()
    for port in reserved:
        port.close()


@pytest.fixture
def serve(start, tmp_path: Path, watch) -> Callable[..., Server]:
    """serve(*options) -> Server, with -prefork=2 unless the options say otherwise."""

    def begin(*options: str, **how: object) -> Server:
        how.setdefault("program", tinystages.make(tmp_path))
        status = tmp_path / "status"
        return Server(start("-prefork=2", f"-status={status}", "-maxperip=9", *options, **how), status, watch)

    return begin
