"""A listener whose stages are in the prefork form, its client, and what the tests look at."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil

SECONDS = 120


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
            time.sleep(0.01)  # most conditions ask the listener, or look at all processes

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
        (server,) = (child for child in self.first().children() if is_program(child, "second.stage"))
        return server

    def spares(self, server: psutil.Process) -> list[psutil.Process]:
        name = server.cmdline()[2]
        return [child for child in server.children() if is_program(child, name) and waits(child)]

    def kill(self, process: psutil.Process) -> None:
        watched = self._watch(process.pid)
        process.send_signal(signal.SIGKILL)
        assert watched.ends()


def is_program(process: psutil.Process, name: str) -> bool:
    """Whether its stage is the one of that name; not when it has ended."""
    try:
        return process.cmdline()[2].endswith(name)
    except (IndexError, psutil.NoSuchProcess):
        return False


def waits(process: psutil.Process) -> bool:
    """Whether it has no client."""
    try:
        return os.readlink(f"/proc/{process.pid}/fd/0") == os.devnull
    except OSError:
        return False


def is_ready(process: psutil.Process) -> bool:
    """Whether it has done everything that comes before the wait for a connection."""
    descriptors = Path(f"/proc/{process.pid}/fd")
    return "anon_inode:[eventpoll]" in [os.readlink(path) for path in descriptors.iterdir()]


def children(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.tcpd.process.pid).children()
