"""Which process serves a session: what is told is believed only of processes that hold the slot's pipe."""

import os
import subprocess
from pathlib import Path

import pytest

from couriertcpd import sessions
from couriertcpd.sessions import NotRunning, Server, Unreachable

SECONDS = 120


def liar(pid: int) -> tuple[str, ...]:
    told = rf"pid={pid}\tuser=root\tprotocol=IMAP\ttls=1\tstate=selected\n"
    return ("/bin/sh", "-c", f"printf '{told}' >&3; exec cat")


def test_a_process_that_does_not_hold_the_pipe_is_not_taken_for_the_session_s(start, tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as bystander:
        tcpd = start(f"-status={tmp_path}/status", program=liar(bystander.pid))
        client = tcpd.connect()
        assert client.echoes()
        (session,) = Server("x", f"{tmp_path}/status").sessions
        assert session.user == "root"  # of itself it may say what it likes
        assert session.told["pid"] == bystander.pid
        (child,) = tcpd.children()
        assert (session.pid, session.processes) == (child.pid, [child.pid])
        assert sessions.end(session) == ""
        assert client.rest() == b""
        assert bystander.poll() is None
        bystander.communicate()


def test_the_listener_itself_is_no_session(start, tmp_path: Path) -> None:
    tcpd = start(f"-status={tmp_path}/status", program=("/bin/sh", "-c", "exec 3>&-; exec cat"))
    assert tcpd.connect().echoes()
    (session,) = Server("x", f"{tmp_path}/status").sessions
    assert (session.pid, session.processes) == (None, [])
    assert "no process of it is to be seen" in sessions.end(session)


def test_the_first_process_may_have_gone(start, tmp_path: Path, watch) -> None:
    left = "(while kill -0 $$ 2>/dev/null; do sleep 0.01; done; echo gone; exec cat <&4) &"
    tcpd = start(f"-status={tmp_path}/status", program=("/bin/sh", "-c", f"exec 4<&0; {left}"))
    client = tcpd.connect()
    assert client.socket.recv(100) == b"gone\n"
    assert client.echoes()
    server = Server("x", f"{tmp_path}/status")
    (session,) = server.sessions
    assert session.pid != server.document["slots"][0]["first"]
    assert session.pid is not None
    watched = watch(session.pid)
    assert sessions.end(session) == ""
    assert watched.ends()


def test_a_session_that_ended_meanwhile_is_no_problem(start, tmp_path: Path, watch) -> None:
    tcpd = start(f"-status={tmp_path}/status")
    client = tcpd.connect()
    assert client.echoes()
    (session,) = Server("x", f"{tmp_path}/status").sessions
    watched = watch(session.pid)
    client.close()
    assert watched.ends()
    assert sessions.end(session) == ""


def test_another_process_that_got_the_number_is_not_ended(start, tmp_path: Path) -> None:
    tcpd = start(f"-status={tmp_path}/status")
    assert tcpd.connect().echoes()
    (session,) = Server("x", f"{tmp_path}/status").sessions
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as other:
        session.pid = other.pid
        assert sessions.end(session) == ""
        assert other.poll() is None
        other.communicate()


def test_a_session_that_does_not_end_is_said_so(start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "END_SECONDS", 0)
    tcpd = start(f"-status={tmp_path}/status", program=("/bin/sh", "-c", "trap '' TERM; echo deaf; cat; :"))
    client = tcpd.connect()
    assert client.socket.recv(100) == b"deaf\n"
    (session,) = Server("x", f"{tmp_path}/status").sessions
    session.pid = min(session.processes)
    assert "has not ended within" in sessions.end(session)


def test_the_configuration_names_the_sockets(tmp_path: Path) -> None:
    (tmp_path / "imapd").write_text('PIDFILE="$prefix/here/imapd.pid"\nnot an assignment\n')
    (tmp_path / "imapd-ssl").write_text("SSLPIDFILE=/run/ssl.pid\nPIDFILE=/not/this\n")
    (tmp_path / "pop3d").write_text("# nothing\n")
    assert dict(sessions.sockets(str(tmp_path))) == {
        "imapd": f"{sessions.installed.PREFIX}/here/imapd.pid.status",
        "imapd-ssl": "/run/ssl.pid.status",
        "pop3d": f"{sessions.installed.PIDDIR}/pop3d.pid.status",
    }


def test_a_configuration_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "imapd").mkdir()
    with pytest.raises(Unreachable, match="--socket"):
        list(sessions.sockets(str(tmp_path)))


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        Server("x", f"{tmp_path}/nothing")
    assert os.listdir(tmp_path) == []
