"""imapd in a forked child, on a socket pair: quick to start, a process of its own, to be changed before it runs."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from imapd.main import PRELOAD, main
from tests.answers import Garbled, Reader, Response

SECONDS = 60  # for any answer; longer than imapd itself waits for a lock would be no answer at all
SETTINGS = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "AUTHENTICATED": "kim", "IMAP_FSYNC": "0", "HOSTNAME": "host.example"}


for _name in PRELOAD:  # so that no child has to
    importlib.import_module(_name)


class Ended(Exception):
    """The server has closed the connection."""


class Forked:
    """One imapd and the client's end of its connection; the greeting has been read when this is made.

    prepare are run in the child before imapd; identity is the uid and gid that it gives up root for.
    """

    def __init__(
        self,
        maildir: Path,
        log: Path,
        settings: Mapping[str, str] | None = None,
        prepare: Iterable[Callable[[], None]] = (),
        identity: int | None = None,
    ) -> None:
        self.log = log
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            _serve(theirs, maildir, log, {**SETTINGS, **(settings or {})}, prepare, identity)
        theirs.close()
        self.client = Client(ours)
        greeting = self.client.next_response()
        assert greeting.kind == b"PREAUTH", greeting

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid:
            self.end()

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Close the connection and wait for the child; returns its exit status, negative after a signal."""
        self.client.connection.close()
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _serve(
    connection: socket.socket,
    maildir: Path,
    log: Path,
    settings: Mapping[str, str],
    prepare: Iterable[Callable[[], None]],
    identity: int | None,
) -> None:
    """Be imapd, in the child; does not return."""
    status = 70
    gc.freeze()  # see conftest
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), 2)
        os.dup2(connection.fileno(), 0)
        os.dup2(connection.fileno(), 1)
        os.closerange(3, 4096)
        os.environ.clear()  # noqa: TID251
        os.environ.update(settings)  # noqa: TID251
        time.tzset()
        os.chdir(maildir.parent)
        if identity is not None:
            os.setgroups([])
            os.setgid(identity)
            os.setuid(identity)
        for change in prepare:
            change()
        status = main(["imapd", f"./{maildir.name}"])
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def check_log(log: Path) -> None:
    """Whatever happened, imapd may not have fallen over it."""
    text = log.read_text("utf-8", "replace")
    assert "Traceback" not in text, text
    assert "internal error" not in text, text


class Client:
    """A client on a connection; every answer is read to its end."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(SECONDS)
        self._reader = Reader()
        self._waiting: list[Response] = []
        self._count = 0

    def send(self, *parts: bytes) -> bytes:
        """Send a command of which every second part is a literal; returns the tag; raises Ended."""
        self._count += 1
        tag = b"t%d" % self._count
        octets = tag + b" "
        for number, part in enumerate(parts):
            octets += b"{%d+}\r\n%s" % (len(part), part) if number % 2 else part
        try:
            self.connection.sendall(octets + b"\r\n")
        except ConnectionError:
            raise Ended from None
        return tag

    def receive(self) -> list[Response]:
        """What has come, when the connection is readable; raises Ended."""
        try:
            octets = self.connection.recv(1 << 16)
        except ConnectionResetError:  # it has ended with something unread
            raise Ended from None
        if not octets:
            if self._reader.half:
                raise Garbled(f"the connection ends in the middle of {self._reader.half!r}")
            raise Ended
        return self._reader.feed(octets)

    def next_response(self) -> Response:
        """The next response, waited for; raises Ended."""
        while not self._waiting:
            self._waiting = self.receive()
        return self._waiting.pop(0)

    def command(self, *parts: bytes) -> list[Response]:
        """Send a command and wait for all of its answer, the tagged line last; raises Ended."""
        tag = self.send(*parts)
        answer = []
        while True:
            response = self.next_response()
            answer.append(response)
            if response.is_tagged:
                assert response.tag == tag, answer
                return answer
