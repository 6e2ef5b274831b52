"""authtest and authenumerate, against a daemon of three lines."""

import contextlib
import io
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from authdaemond.tools import authenumerate, authtest
from couriertcpd import environ

KIM = (
    b"UID=1005\nGID=1006\nHOME=/srv/kim\nADDRESS=kim@x\nNAME=Kim\nPASSWD={SHA}x\nPASSWD2=op\nOPTIONS=a=1\n"
    b"MAILDIR=./M\nQUOTA=10S\n.\n"
)
SYSTEM = b"USERNAME=kim\nGID=1005\nHOME=/srv/kim\nADDRESS=kim\n.\n"
LIST = b"# m\n\nkim\t1\t2\t/h\t./M\tdisableshared=1,x=2\nlea\t1\t3\t/l\t\t\nmia\t1\t3\t/m\t\tdisableshared=0\n.\n"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("AUTHDAEMONVAR", str(tmp_path))
    monkeypatch.setenv("TIMEOUT_READ", "5")
    for name in ("TCPREMOTEIP", "DEFDOMAIN", "DOMAINSEP"):
        monkeypatch.delenv(name, raising=False)
    yield
    environ.drop("TCPREMOTEIP")


@contextlib.contextmanager
def daemon(folder: Path, *replies: bytes) -> Iterator[list[bytes]]:
    """Answers one request with each reply in turn; yields the requests."""
    requests: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(120)
    listener.bind(str(folder / "socket"))
    listener.listen(5)

    def serve() -> None:
        for reply in replies:
            connection, _ = listener.accept()
            requests.append(connection.recv(8192))
            connection.sendall(reply)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield requests
    finally:
        thread.join(20)
        listener.close()


def test_look_up(tmp_path, capsys) -> None:
    with daemon(tmp_path, KIM) as requests:
        assert authtest.main(["authtest", "kim@x"]) == 0
    assert requests == [b"TCPREMOTEIP=::1\nPRE . login kim@x\n"]
    assert capsys.readouterr().out == (
        "Authentication succeeded.\n\n"
        "     Authenticated: kim@x  (uid 1005, gid 1006)\n"
        "    Home Directory: /srv/kim\n"
        "           Maildir: ./M\n"
        "             Quota: 10S\n"
        "Encrypted Password: {SHA}x\n"
        "Cleartext Password: op\n"
        "           Options: a=1\n"
    )


def test_password(tmp_path, capsys) -> None:
    with daemon(tmp_path, SYSTEM) as requests:
        assert authtest.main(["authtest", "-s", "imap", "kim", "op"]) == 0
    assert requests == [b"TCPREMOTEIP=::1\nAUTH 18\nimap\nlogin\nkim\nop\n"]
    assert capsys.readouterr().out == (
        "Authentication succeeded.\n\n"
        "     Authenticated: kim  (system username: kim)\n"
        "    Home Directory: /srv/kim\n"
        "           Maildir: (none)\n"
        "             Quota: (none)\n"
        "Encrypted Password: (none)\n"
        "Cleartext Password: (none)\n"
        "           Options: (none)\n"
    )


def test_password_from_standard_input(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"op en\n")))
    with daemon(tmp_path, SYSTEM) as requests:
        assert authtest.main(["authtest", "kim", "-"]) == 0
    assert requests[0].endswith(b"\nkim\nop en\n")
    assert capsys.readouterr().err == ""


def test_change(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"old\nnew\n")))
    with daemon(tmp_path, b"OK\n", b"OK\n", b"FAIL\n") as requests:
        assert authtest.main(["authtest", "kim", "op", "np"]) == 0
        assert authtest.main(["authtest", "kim", "-", "-"]) == 0
        assert authtest.main(["authtest", "kim", "op", "np"]) == 1
    assert requests == [
        b"PASSWD login\tkim\top\tnp\n",
        b"PASSWD login\tkim\told\tnew\n",
        b"PASSWD login\tkim\top\tnp\n",
    ]
    said = capsys.readouterr()
    succeeded = "Password change succeeded.\n"
    assert said.out == ""
    assert said.err == succeeded * 2 + "Authentication FAILED: Operation not permitted\n"


def test_failures(tmp_path, capfd) -> None:
    with daemon(tmp_path, b"FAIL\n", b"", b""):
        assert authtest.main(["authtest", "kim", "bad"]) == 1
        assert capfd.readouterr() == ("", "Authentication FAILED: Operation not permitted\n")
        assert authtest.main(["authtest", "kim", "bad"]) == 1
        said = capfd.readouterr()
    assert said.out == ""
    assert said.err.endswith("Authentication FAILED: Input/output error\n")


def test_without_a_daemon(capfd) -> None:
    assert authtest.main(["authtest", "kim"]) == 1
    said = capfd.readouterr().err
    assert "s_connect() failed: No such file or directory" in said
    assert said.endswith("Authentication FAILED: Input/output error\n")


def test_impossible_passwords(monkeypatch, capfd) -> None:
    assert authtest.main(["authtest", "kim", "a\nb"]) == 1
    assert capfd.readouterr().err == "Authentication FAILED: Invalid argument\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert authtest.main(["authtest", "kim", "-"]) == 1
    assert capfd.readouterr().err == "No password was given.\n"


def test_json(tmp_path, capsys) -> None:
    with daemon(tmp_path, KIM):
        assert authtest.main(["authtest", "--json", "kim"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "address": "kim@x",
        "fullname": "Kim",
        "home": "/srv/kim",
        "maildir": "./M",
        "quota": "10S",
        "passwd": "{SHA}x",
        "passwd2": "op",
        "options": "a=1",
        "uid": 1005,
        "gid": 1006,
        "username": None,
    }


@pytest.mark.parametrize("words", [[], ["-s"], ["-s", "x"], ["-z", "kim"], ["kim", "a", "b", "c"]])
def test_authtest_usage(words, capsys) -> None:
    assert authtest.main(["authtest", *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Usage: authtest [-s service] [--json] userid [ password [ newpassword ] ]\n")


@pytest.mark.parametrize(
    ("words", "out"),
    [
        ([], "kim\t1\t2\t/h\t./M\nlea\t1\t3\t/l\t\nmia\t1\t3\t/m\t\n"),
        (["-s"], "lea\t1\t3\t/l\t\nmia\t1\t3\t/m\t\n"),
        (["-s", "-o"], "lea\t1\t3\t/l\t\t\nmia\t1\t3\t/m\t\tdisableshared=0\n"),
        (["-o"], "kim\t1\t2\t/h\t./M\tdisableshared=1,x=2\nlea\t1\t3\t/l\t\t\nmia\t1\t3\t/m\t\tdisableshared=0\n"),
    ],
)
def test_enumerate(tmp_path, capsys, words, out) -> None:
    with daemon(tmp_path, LIST) as requests:
        assert authenumerate.main(["authenumerate", *words]) == 0
    assert requests == [b"ENUMERATE\n"]
    assert capsys.readouterr().out == out


def test_enumerate_as_json(tmp_path, capsys) -> None:
    with daemon(tmp_path, LIST):
        assert authenumerate.main(["authenumerate", "--json", "-s"]) == 0
    lea, mia = json.loads(capsys.readouterr().out)
    assert lea == {"user": "lea", "uid": 1, "gid": 3, "home": "/l", "maildir": None, "options": None}
    assert mia["options"] == "disableshared=0"


@pytest.mark.parametrize(("words", "out"), [([], "kim\t1\t2\t/h\t./M\n"), (["--json"], "")])
def test_cut_short(tmp_path, capfd, words, out) -> None:
    with daemon(tmp_path, b"kim\t1\t2\t/h\t./M\t\n"):
        assert authenumerate.main(["authenumerate", *words]) == 1
    said = capfd.readouterr()
    assert said.out == out
    assert "cut off" in said.err


def test_authenumerate_usage(capsys) -> None:
    assert authenumerate.main(["authenumerate", "-z"]) == 1
    assert capsys.readouterr().err == "Usage: authenumerate [-s] [-o] [--json]\n"
