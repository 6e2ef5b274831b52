"""authpipe with real programs: right answers, wrong ones, none, and how a program is ended."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authdaemond import authdata, protocol
from authdaemond.backend import Reject, TemporaryFailure
from authdaemond.modules import authpipe
from couriertcpd import installed

PROGRAM = r"""
import os, sys
os.set_blocking(0, True)
inp = os.fdopen(0, "rb", buffering=0)
def line():
    out = b""
    while not out.endswith(b"\n"):
        octet = inp.read(1)
        if not octet: sys.exit(0)
        out += octet
    return out
def say(octets): os.write(1, octets)
record = b"UID=5\nGID=6\nHOME=/h\nADDRESS=%s\nNAME=" + str(os.getpid()).encode() + b"\n.\n"
while True:
    said = line()
    with open(sys.argv[0] + ".log", "ab") as log: log.write(said)
    if said.startswith(b"AUTH "):
        rest = b""
        while len(rest) < int(said[5:]): rest += inp.read(int(said[5:]) - len(rest))
        service, authtype, userid, password = rest.split(b"\n")[:4]
        say(record % userid if password == b"secret" else b"FAIL\n")
    elif said.startswith(b"PRE "):
        userid = said.rstrip(b"\n").split(b" ", 3)[3]
        if userid == b"nobody": say(b"FAIL\n")
        elif userid == b"end": sys.exit(0)
        elif userid == b"garbage": say(b"what?\n.\n")
        elif userid == b"rootless": say(b"HOME=/h\n.\n")
        elif userid == b"twice": say(record % b"a" + record % b"b")
        elif userid == b"endless": say(b"x" * 100000)
        elif userid == b"silent": pass
        elif userid == b"half": say(b"UID=5\n")
        elif userid == b"afterwards": say(record % userid); sys.exit(0)
        else: say(record % userid)
    elif said.startswith(b"PASSWD "):
        fields = said[7:-1].split(b"\t")
        say(b"OK\n" if fields[2] == b"secret" else b"FAIL\n")
    elif said == b"ENUMERATE\n":
        say(b"kim\t5\t6\t/h\tM\ta=1\nroot\t0\t0\t/\n.\n")
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    program = tmp_path / "authProg"
    program.write_text(f"#!{sys.executable} -IS\n{PROGRAM}")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def pipe(path: str) -> Iterator[authpipe.Pipe]:
    module = authpipe.Pipe(path, silence_seconds=20)
    yield module
    module.close()


def lookup(module: authpipe.Pipe, userid: bytes) -> str:
    """The program's process id, which it gives as the account's name."""
    return module.lookup(protocol.Lookup(b"authpipe", b"imap", userid)).fullname.decode()


def login(userid: bytes, password: bytes) -> protocol.Authenticate:
    return protocol.Authenticate(b"imap", b"login", authdata.encode_login(userid, password))


def test_answers(pipe: authpipe.Pipe, path: str) -> None:
    account = pipe.authenticate(login(b"kim", b"secret"))
    assert (account.uid, account.gid, account.home, account.address) == (5, 6, b"/h", b"kim")
    with pytest.raises(Reject):
        pipe.authenticate(login(b"kim", b"wrong"))
    assert lookup(pipe, b"kim van x") == account.fullname.decode()
    with pytest.raises(Reject):
        lookup(pipe, b"nobody")
    pipe.change_password(protocol.ChangePassword(b"imap", b"kim", b"secret", b"fresh"))
    with pytest.raises(Reject):
        pipe.change_password(protocol.ChangePassword(b"imap", b"kim", b"wrong", b"fresh"))
    assert [found.encode() for found in pipe.enumerate()] == [b"kim\t5\t6\t/h\tM\ta=1\n"]
    assert lookup(pipe, b"kim") == account.fullname.decode()  # one program for all of it
    assert Path(path + ".log").read_bytes().splitlines()[2] == b"PRE . imap kim van x"


@pytest.mark.parametrize("userid", [b"end", b"garbage", b"rootless", b"twice", b"endless"])
def test_wrong_answers_are_temporary_failures(pipe: authpipe.Pipe, userid: bytes) -> None:
    before = lookup(pipe, b"kim")
    with pytest.raises(TemporaryFailure, match="started anew"):
        lookup(pipe, userid)
    assert lookup(pipe, b"kim") != before
    with pytest.raises(ProcessLookupError):
        os.kill(int(before), 0)


@pytest.mark.parametrize("userid", [b"silent", b"half"])
def test_silence_is_a_temporary_failure(path: str, userid: bytes) -> None:
    module = authpipe.Pipe(path, silence_seconds=0.3)
    with pytest.raises(TemporaryFailure, match="said nothing"):
        lookup(module, userid)
    module.close()


def test_program_that_ended_meanwhile_is_started_anew(pipe: authpipe.Pipe, capfd: pytest.CaptureFixture[str]) -> None:
    first = lookup(pipe, b"afterwards")
    process = pipe._process
    assert process is not None
    process.wait(120)
    assert lookup(pipe, b"kim") != first
    assert "WARN: authpipe:" in capfd.readouterr().err


def test_enumeration_cut_off(tmp_path: Path) -> None:
    program = tmp_path / "prog"
    program.write_text("#!/bin/sh\nread x\nprintf 'kim\\t5\\t6\\t/h\\n'\n")
    program.chmod(0o755)
    module = authpipe.Pipe(str(program))
    with pytest.raises(TemporaryFailure):
        list(module.enumerate())


def test_program_that_will_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authpipe, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(authpipe, "_TERM_SECONDS", 0.2)
    program = tmp_path / "prog"
    program.write_text(
        f"#!{sys.executable} -IS\nimport os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.read(0, 1000)\nos.write(1, b'UID=5\\nGID=6\\n.\\n')\nos.close(0)\ntime.sleep(1000)\n"
    )
    program.chmod(0o755)
    module = authpipe.Pipe(str(program))
    module.lookup(protocol.Lookup(b".", b"imap", b"kim"))
    process = module._process
    assert process is not None
    module.close()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("x"), lambda path: path.mkdir()])
def test_without_a_program_everything_is_rejected(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "authProg")
    module = authpipe.Pipe(str(tmp_path / "authProg"))
    with pytest.raises(Reject):
        lookup(module, b"kim")
    with pytest.raises(Reject):
        module.change_password(protocol.ChangePassword(b"imap", b"kim", b"a", b"b"))
    assert list(module.enumerate()) == []


def test_program_that_cannot_run(tmp_path: Path) -> None:
    program = tmp_path / "prog"
    program.write_text("#!/nonexistent/interpreter\n")
    program.chmod(0o755)
    with pytest.raises(TemporaryFailure, match="No such file"):
        lookup(authpipe.Pipe(str(program)), b"kim")


def test_where_the_program_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "SYSCONFDIR", str(tmp_path))
    assert authpipe.program_path() == str(tmp_path / "authProg")
    (tmp_path / "authlib").mkdir()
    (tmp_path / "authlib" / "authProg").touch()
    assert authpipe.program_path() == str(tmp_path / "authlib" / "authProg")
