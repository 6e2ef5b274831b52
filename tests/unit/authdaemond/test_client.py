"""The client against daemons that answer well, badly, late and not at all."""

import binascii
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authdaemond import authdata, client
from tests import unprivileged

RECORD = b"UID=5\nGID=6\nHOME=/h\nADDRESS=kim\n.\n"
LOGIN = b"kim\nsecret\n"


class Daemon:
    """A daemon that gives one scripted reply per connection and keeps what it was sent."""

    def __init__(self, directory: Path) -> None:
        self.replies: list[bytes | None] = []  # None: say nothing and wait for the client to go
        self.requests: list[bytes] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(directory / "socket"))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            connection = self.listener.accept()[0]
            with connection:
                said = connection.recv(65536)
                if not said:
                    return
                self.requests.append(said)
                reply = self.replies.pop(0)
                if reply is None:
                    connection.recv(1)
                else:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        connection.sendall(reply)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(self.listener.getsockname())
        self.thread.join(30)
        self.listener.close()


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TCPREMOTEIP", "DEFDOMAIN", "DOMAINSEP", "TIMEOUT_READ", "TIMEOUT_SOCK", "TIMEOUT_WRITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUTHDAEMONVAR", str(tmp_path))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    server = Daemon(tmp_path)
    yield server
    server.close()


def test_authenticate(daemon: Daemon) -> None:
    daemon.replies = [RECORD, b"FAIL\n"]
    account = client.authenticate(b"imap", b"login", LOGIN)
    assert (account.address, account.uid, account.gid, account.home) == (b"kim", 5, 6, b"/h")
    with pytest.raises(client.Rejected):
        client.authenticate(b"imap", b"login", LOGIN)
    assert daemon.requests == [b"AUTH 22\nimap\nlogin\nkim\nsecret\n"] * 2


def test_remote_address_goes_along(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPREMOTEIP", "192.0.2.1")
    daemon.replies = [RECORD]
    client.lookup(b"imap", b"kim van x")
    assert daemon.requests == [b"TCPREMOTEIP=192.0.2.1\nPRE . imap kim van x\n"]


def test_a_ticket_is_asked_for(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPREMOTEIP", "192.0.2.1")
    daemon.replies = [RECORD.replace(b".\n", b"TICKET=c2lnbmVk\n.\n"), RECORD, b"", RECORD]
    asked = b"TCPREMOTEIP=192.0.2.1\nTICKET=00ff\nAUTH 22\nimap\nlogin\nkim\nsecret\n"
    assert client.authenticate(b"imap", b"login", LOGIN, b"00ff").ticket == b"signed"
    assert client.authenticate(b"imap", b"login", LOGIN, b"00ff").ticket == b""
    assert daemon.requests == [asked] * 2
    assert client.authenticate(b"imap", b"login", LOGIN, b"00ff").ticket == b""
    assert daemon.requests[3] == b"AUTH 22\nimap\nlogin\nkim\nsecret\n"


def test_an_old_daemon_is_asked_again_without_metadata(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPREMOTEIP", "192.0.2.1")
    daemon.replies = [b"", RECORD]
    assert client.lookup(b"imap", b"kim", b"authuserdb").uid == 5
    assert daemon.requests[1] == b"PRE authuserdb imap kim\n"


def test_temporary_failure(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.replies = [b"", b"", b""]
    with pytest.raises(client.TemporaryFailure):
        client.authenticate(b"imap", b"login", LOGIN)
    assert len(daemon.requests) == 1
    monkeypatch.setenv("TCPREMOTEIP", "192.0.2.1")
    with pytest.raises(client.TemporaryFailure):
        client.authenticate(b"imap", b"login", LOGIN)
    assert len(daemon.requests) == 3
    assert capfd.readouterr().err.startswith("ERR: authdaemon: the connection was closed without an answer")


@pytest.mark.parametrize(
    "reply",
    [
        b"UID=5\n",
        b"what\n.\n",
        b"OK\n",
        b"UID=x\nGID=5\n.\n",
        b"GID=5\nTICKET=!\n.\n",
        b"x" * 70000,
        b"HOME=/h\n" * 9000 + b".\n",
    ],
)
def test_nonsense_is_a_temporary_failure(daemon: Daemon, reply: bytes) -> None:
    daemon.replies = [reply]
    with pytest.raises(client.TemporaryFailure):
        client.authenticate(b"imap", b"login", LOGIN)


def test_silence_ends(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMEOUT_READ", "1")
    daemon.replies = [None]
    with pytest.raises(client.TemporaryFailure, match="timed out"):
        client.authenticate(b"imap", b"login", LOGIN)


def test_full_queue_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TIMEOUT_SOCK", "1")
    waiting = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen(0)
        while True:
            other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            other.setblocking(False)
            waiting.append(other)
            try:
                other.connect(str(tmp_path / "socket"))
            except BlockingIOError:
                break
        with pytest.raises(client.TemporaryFailure):
            client.lookup(b"imap", b"kim")
    for other in waiting:
        other.close()
    assert "[Hint: perhaps authdaemond is not running?]" in capfd.readouterr().err


@pytest.mark.parametrize("stale", [False, True])
def test_not_running(tmp_path: Path, capfd: pytest.CaptureFixture[str], stale: bool) -> None:
    if stale:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
            gone.bind(str(tmp_path / "socket"))
    with pytest.raises(client.TemporaryFailure):
        client.authenticate(b"imap", b"login", LOGIN)
    reason = "Connection refused" if stale else "No such file or directory"
    assert capfd.readouterr().err == (
        f"ERR: authdaemon: s_connect() failed: {reason}\nERR: [Hint: perhaps authdaemond is not running?]\n"
    )


def test_directory_that_may_not_be_entered(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def look_up() -> None:
        with pytest.raises(client.TemporaryFailure):
            client.lookup(b"imap", b"kim")

    with unprivileged.open_folder() as folder:
        (folder / "closed").mkdir(mode=0)
        monkeypatch.setenv("AUTHDAEMONVAR", str(folder / "closed"))
        unprivileged.do(look_up)
    assert "[Hint: this user may not enter" in capfd.readouterr().err


@pytest.mark.parametrize(
    "ask",
    [
        lambda: client.authenticate(b"imap", b"login", b"k" * 9000 + b"\nsecret\n"),
        lambda: client.lookup(b"imap", b"kim\nENUMERATE"),
        lambda: client.lookup(b"imap", b""),
        lambda: client.lookup(b"imap", b"k" * 9000),
        lambda: client.change_password(b"imap", b"k\tim", b"old", b"new"),
        lambda: client.change_password(b"imap", b"kim", b"old", b"n\new"),
    ],
)
def test_what_cannot_be_asked_is_rejected(ask: Callable[[], object]) -> None:
    with pytest.raises(client.Rejected):  # and there is no daemon: nothing was sent
        ask()


def test_control_characters_in_the_remote_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPREMOTEIP", "1\nPRE . imap root")
    with pytest.raises(client.TemporaryFailure, match="TCPREMOTEIP"):
        client.lookup(b"imap", b"kim")


def test_change_password(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPREMOTEIP", "192.0.2.1")
    daemon.replies = [b"OK\n", b"FAIL\n", b""]
    client.change_password(b"imap", b"kim", b"old", b"new")
    with pytest.raises(client.Rejected):
        client.change_password(b"imap", b"kim", b"old", b"new")
    with pytest.raises(client.TemporaryFailure):
        client.change_password(b"imap", b"kim", b"old", b"new")
    assert daemon.requests == [b"PASSWD imap\tkim\told\tnew\n"] * 3


def test_enumerate(daemon: Daemon) -> None:
    daemon.replies = [b"# x\n\nkim\t5\t6\t/h\t\t\nroot\t0\t0\t/\t\t\n.\n", b"# x\n\nkim\t5\t6\t/h\t\t\n", b"x" * 99999]
    assert [found.userid for found in client.enumerate_accounts()] == [b"kim"]
    cut_off = client.enumerate_accounts()
    assert next(cut_off).userid == b"kim"
    with pytest.raises(client.TemporaryFailure, match="cut off"):
        next(cut_off)
    with pytest.raises(client.TemporaryFailure):
        list(client.enumerate_accounts())


@pytest.mark.parametrize(
    ("domain", "separators", "userid", "found"),
    [
        (None, None, b"kim", b"kim"),
        ("@example.net", None, b"kim", b"kim@example.net"),
        ("@example.net", None, b"kim@here", b"kim@here"),
        ("@example.net", "%", b"kim@here", b"kim@here@example.net"),
        ("@example.net", "@%", b"kim%here", b"kim%here"),
        ("@example.net", "", b"kim@here", b"kim@here"),
        ("%x", None, b"kim@here", b"kim@here%x"),
        ("", "@", b"kim", b"kim"),
    ],
)
def test_default_domain(
    monkeypatch: pytest.MonkeyPatch, domain: str | None, separators: str | None, userid: bytes, found: bytes
) -> None:
    for name, value in (("DEFDOMAIN", domain), ("DOMAINSEP", separators)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert client.with_default_domain(userid) == found


def test_default_domain_in_requests(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFDOMAIN", "@example.net")
    daemon.replies = [RECORD, RECORD, RECORD, RECORD, b"OK\n", RECORD]
    client.authenticate(b"imap", b"login", LOGIN)
    client.authenticate(b"imap", b"login", b"kim@here\nsecret\n")
    client.authenticate(b"imap", b"cram-md5", authdata.encode_cram(b"<1@x>", b"kim 00ff"))
    client.lookup(b"imap", b"kim")
    client.change_password(b"imap", b"kim", b"old", b"new")
    client.authenticate(b"imap", b"unknown", b"as it is")
    assert [request.split(b"\n", 1)[1] for request in daemon.requests] == [
        b"imap\nlogin\nkim@example.net\nsecret\n",
        b"imap\nlogin\nkim@here\nsecret\n",
        b"imap\ncram-md5\n" + binascii.b2a_base64(b"<1@x>") + binascii.b2a_base64(b"kim@example.net 00ff"),
        b"",
        b"",
        b"imap\nunknown\nas it is",
    ]
    assert daemon.requests[3] == b"PRE . imap kim\n"
    assert daemon.requests[4] == b"PASSWD imap\tkim@example.net\told\tnew\n"
