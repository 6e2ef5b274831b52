"""What pop3d logs at the end of a session that ends badly, in a forked child, so that clocks can be set short."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from couriertcpd import environ
from pop3d import serve
from pop3d.main import main

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SECONDS = 30
SETTINGS = {"AUTHENTICATED": "kim", "TCPREMOTEIP": "::ffff:192.0.2.7", "TCPREMOTEPORT": "1234", "IMAP_FSYNC": "0"}
WHO = "user=kim, ip=[::ffff:192.0.2.7], port=[1234]"


class Forked:
    """One client and its pop3d."""

    def __init__(self, maildir: Path, prepare: Callable[[], None]) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(SECONDS)
        self._log, log = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            status = 70
            try:
                for wanted, descriptor in ((0, theirs.fileno()), (1, theirs.fileno()), (2, log)):
                    os.dup2(descriptor, wanted)
                os.closerange(3, 256)
                for name, value in SETTINGS.items():
                    environ.put(name, value)
                for name in ("AUTHADDR", "POP3_TLS", "UTF8"):
                    environ.drop(name)
                os.chdir(maildir.parent)
                prepare()
                status = main(["pop3d", maildir.name])
            finally:
                os._exit(status)
        theirs.close()
        os.close(log)
        self.file = self.socket.makefile("rb")

    def logged(self) -> list[str]:
        """Every line, when it has ended; counts of octets and seconds are an N."""
        with os.fdopen(self._log) as log:
            lines = log.read().splitlines()
        os.waitpid(self.pid, 0)
        return [re.sub(r"\b(rcvd|sent|time)=\d+", r"\1=N", line) for line in lines]

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    place = tmp_path / "Maildir"
    for part in ("cur", "new", "tmp"):
        (place / part).mkdir(parents=True)
    (place / "cur" / "1.a:2,").write_bytes(b"a: b\n\n" + b"x" * (8 << 20) + b"\n")
    return place


def test_a_client_that_says_nothing(maildir: Path) -> None:
    def hurry() -> None:
        serve.INACTIVITY_SECONDS = 1

    client = Forked(maildir, hurry)
    assert client.file.read() == b"+OK logged in.\r\n"  # and no other word
    end = f"INFO: TIMEOUT, {WHO}, top=0, retr=0, rcvd=N, sent=N, time=N"
    assert client.logged() == [f"INFO: LOGIN, {WHO}", end]
    client.close()


def test_a_client_that_takes_nothing(maildir: Path) -> None:
    def hurry() -> None:
        serve.Driver.stall_seconds = 1

    client = Forked(maildir, hurry)
    client.socket.sendall(b"RETR 1\r\n")
    lines = client.logged()
    assert lines[0] == f"INFO: LOGIN, {WHO}"
    assert re.fullmatch(
        rf"INFO: I/O error disconnect, {re.escape(WHO)}, top=0, retr=\d+, rcvd=N, sent=N, time=N", lines[1]
    )
    assert len(lines) == 2
    client.close()


def test_a_list_that_cannot_be_saved(maildir: Path) -> None:
    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    client = Forked(maildir, full)
    client.socket.sendall(b"UIDL 1\r\nQUIT\r\n")
    said = client.file.read().splitlines()
    assert said[1].startswith(b"+OK 1 ENOMEM-")
    lines = client.logged()
    assert lines[1] == "ERR: Error while saving courierpop3dsizelist, user=kim, reason=File too large"
    assert lines[2] == f"INFO: LOGOUT, {WHO}, top=0, retr=0, rcvd=N, sent=N, time=N"
    client.close()
