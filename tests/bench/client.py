"""An IMAP client that costs little: one buffer, no parsing while the clock runs, no delayed acknowledgements.

TCP_QUICKACK is set anew after each receive, because the kernel drops it: the C Courier writes its answers in pieces
without TCP_NODELAY, and a usual client's delayed ACK would stall it for 40 ms.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterator

TAG = b"zq7"  # found nowhere in the mail
_LITERAL = re.compile(rb"\{(\d+)\}\r\n")
_SECONDS = 120.0


class WrongAnswer(Exception):
    """A server's answer does not fit the mail that it serves."""


def _quick(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _connection(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _quick(connection)
    return connection


class Client:
    """One connection. Answers lie in `buffer` until the next command; clients in turn may share one (warm) buffer."""

    def __init__(self, port: int, buffer: bytearray | None = None) -> None:
        self.buffer = bytearray(1 << 16) if buffer is None else buffer
        self.held = 0
        self.connection = _connection(port)
        self._until_line(b"* ")

    def _receive(self, held: int) -> int:
        if held == len(self.buffer):
            self.buffer.extend(bytes(len(self.buffer)))
        # At most 1 MB at a time, so that the server is never kept waiting for a large copy.
        with memoryview(self.buffer) as view:
            count = self.connection.recv_into(view[held : held + (1 << 20)])
        if not count:
            raise WrongAnswer(f"connection closed after {bytes(self.buffer[max(0, held - 100) : held])!r}")
        _quick(self.connection)
        return held + count

    def _until_line(self, start: bytes) -> bytes:
        """Receive until the last line is complete and begins with `start`; gives that line."""
        held = 0
        while True:
            held = self._receive(held)
            if self.buffer[held - 2 : held] != b"\r\n":
                continue
            line = self.buffer.rfind(b"\n", max(0, held - 2000), held - 1) + 1
            if self.buffer.startswith(start, line):
                self.held = held
                return bytes(self.buffer[line:held])

    def command(self, text: bytes, status: bytes = b"OK") -> float:
        """Send a command and take its whole answer (see `answer`); gives the seconds that it took."""
        began = time.perf_counter()
        self.connection.sendall(TAG + b" " + text + b"\r\n")
        line = self._until_line(TAG + b" ")
        took = time.perf_counter() - began
        if not line.startswith(TAG + b" " + status):
            raise WrongAnswer(f"{text!r}: {line!r}")
        return took

    def append(self, mailbox: bytes, message: bytes) -> None:
        """APPEND with a literal that waits to be asked for, which every server knows."""
        self.connection.sendall(TAG + b' APPEND "%s" {%d}\r\n' % (mailbox, len(message)))
        self._until_line(b"+")
        self.connection.sendall(message + b"\r\n")
        line = self._until_line(TAG + b" ")
        if not line.startswith(TAG + b" OK"):
            raise WrongAnswer(f"APPEND: {line!r}")

    def answer(self) -> bytes:
        """The octets of the last answer."""
        return bytes(self.buffer[: self.held])

    def literals(self) -> Iterator[tuple[int, int]]:
        """Where the literals of the last answer begin, and their sizes; one in each response."""
        place = 0
        while True:
            found = _LITERAL.search(self.buffer, place, self.held)
            if found is None:
                return
            size = int(found.group(1))
            yield found.end(), size
            place = found.end() + size

    def close(self) -> None:
        """LOGOUT and close."""
        self.command(b"LOGOUT")
        self.connection.close()


def login(port: int, user: str, password: str, buffer: bytearray | None = None) -> Client:
    """A client that is logged in."""
    client = Client(port, buffer)
    client.command(f'LOGIN "{user}" "{password}"'.encode())
    return client


def logins(port: int, user: str, password: str, total: int, at_once: int) -> float:
    """Connect, LOGIN and LOGOUT `total` times from `at_once` clients; gives the seconds for all of them."""
    talk = (
        (b"* ", TAG + f' LOGIN "{user}" "{password}"\r\n'.encode()),
        (TAG + b" OK", TAG + b" LOGOUT\r\n"),
        (TAG + b" OK", b""),
    )
    selector = selectors.DefaultSelector()
    steps: dict[socket.socket, int] = {}
    held: dict[socket.socket, bytes] = {}

    def another() -> None:
        connection = _connection(port)
        steps[connection], held[connection] = 0, b""
        selector.register(connection, selectors.EVENT_READ)

    began = time.perf_counter()
    started = done = 0
    while started < min(at_once, total):
        another()
        started += 1
    while done < total:
        for key, _ in selector.select(_SECONDS):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            octets = connection.recv(8192)
            _quick(connection)
            held[connection] += octets
            expected, reply = talk[steps[connection]]
            if not octets:
                raise WrongAnswer(f"closed after {held[connection]!r}")
            last = held[connection].rsplit(b"\r\n", 2)
            if len(last) < 2 or last[-1] or not last[-2].startswith(expected):
                continue
            held[connection] = b""
            steps[connection] += 1
            if reply:
                connection.sendall(reply)
                continue
            selector.unregister(connection)
            connection.close()
            del steps[connection], held[connection]
            done += 1
            if started < total:
                another()
                started += 1
    selector.close()
    return time.perf_counter() - began
