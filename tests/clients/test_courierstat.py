"""courierstat(8) before the installed chain: it sees the sessions that there are, and ends the one that is meant."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from chain import FORMS, PASSWORD, Chain, Listener

SECONDS = 120


class Imap:
    """A client that reads line by line."""

    def __init__(self, listener: Listener, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", listener.port), SECONDS, (source, 0))
        self.lines = self.socket.makefile("rb")
        assert self.lines.readline().startswith(b"* OK")

    def command(self, text: str) -> list[bytes]:
        """Send it; the lines of the answer."""
        self.socket.sendall(b"a " + text.encode() + b"\r\n")
        answer = []
        while not (line := self.lines.readline()).startswith(b"a "):
            assert line, answer
            answer.append(line)
        assert line.startswith(b"a OK"), line
        return [*answer, line]

    def login(self, name: str) -> Imap:
        self.command(f"LOGIN {name} {PASSWORD}")
        return self

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


class Watched:
    """A listener of the test's own, and courierstat for it."""

    def __init__(self, chain: Chain, path: Path) -> None:
        self.chain = chain
        self.path = path
        self.listener = chain.listen((f"-status={path}", "-maxperip=5", "-maxprocs=9"))
        self._clients: list[Imap] = []

    def connect(self, source: str = "127.0.0.1") -> Imap:
        self._clients.append(Imap(self.listener, source))
        return self._clients[-1]

    def run(self, *arguments: str, of_this: bool = True, **how: object) -> subprocess.CompletedProcess[str]:
        argv = [str(self.chain.prefix / "sbin/courierstat"), *(["--socket", str(self.path)] if of_this else [])]
        return subprocess.run(
            [*argv, *arguments], env={}, capture_output=True, text=True, timeout=SECONDS, check=False, **how
        )  # type: ignore[call-overload]

    def server(self) -> dict:
        done = self.run("--json")
        assert done.returncode == 0, done.stderr
        (server,) = json.loads(done.stdout)["servers"]
        return server

    def sessions(self, wanted: Callable[[list[dict]], bool]) -> list[dict]:
        """Ask until they are as wanted: a stage tells a moment after the client has been answered."""
        return self.server_when(lambda server: wanted(server["sessions"]))["sessions"]

    def server_when(self, wanted: Callable[[dict], bool]) -> dict:
        """Ask until the answer is as wanted."""
        deadline = time.monotonic() + SECONDS
        while not wanted(server := self.server()):
            assert time.monotonic() < deadline, json.dumps(server)
        return server

    def end(self) -> None:
        for client in self._clients:
            client.close()
        self.listener.process.terminate()
        self.listener.process.wait(SECONDS)


@pytest.fixture
def watched(chain: Chain) -> Iterator[Watched]:
    for name in ("stat-kim@example.com", "stat-sam@example.com"):
        account = chain.account(name)
        if not account.maildir.exists():
            chain.run("bin/maildirmake", str(account.maildir))
            account.own()
    made = Watched(chain, chain.place / "status")  # where every account could reach it
    yield made
    made.end()


def states(*expected: str) -> Callable[[list[dict]], bool]:
    return lambda sessions: [session["state"] for session in sessions] == list(expected)


def test_what_the_sessions_do(watched: Watched, chain: Chain) -> None:
    account = chain.account("stat-kim@example.com")
    first = watched.connect("127.0.0.9")
    (session,) = watched.sessions(states("login"))
    assert (session["user"], session["ip"]) == (None, "::ffff:127.0.0.9")
    first.login(account.name)
    (session,) = watched.sessions(states("authenticated"))
    assert session["user"] == account.name
    assert (session["protocol"], session["tls"]) == ("IMAP", False)
    process = psutil.Process(session["pid"])
    assert process.uids().real == account.uid
    assert session["pid"] in session["processes"]
    assert 0 < session["uss"] <= session["pss"] < 200 << 20
    assert session["cpu"] >= 0
    first.command("SELECT INBOX")
    watched.sessions(states("selected"))
    first.command("CLOSE")
    watched.sessions(states("authenticated"))
    second = watched.connect("127.0.0.10")
    watched.sessions(states("authenticated", "login"))
    server = watched.server()
    assert server["pid"] == watched.listener.pid
    assert server["connections"] == 2
    assert server["limits"] == {"maxprocs": 9, "maxperc": 9, "maxperip": 5}
    assert server["addresses"] == [{"ip": f"::ffff:127.0.0.{last}", "connections": 1, "limit": 5} for last in (9, 10)]
    second.close()
    watched.sessions(states("authenticated"))


def test_the_fork_servers(watched: Watched) -> None:
    least = FORMS[watched.chain.form]
    expected = ["imaplogin", "imapd"] if least else []

    def counts(serving: list[int]) -> Callable[[dict], bool]:
        def fits(server: dict) -> bool:
            stages = server["stages"]
            return [stage["program"] for stage in stages] == expected and all(
                stage["waiting"] >= least and stage["serving"] == count
                for stage, count in zip(stages, serving, strict=False)
            )

        return fits

    watched.server_when(counts([0, 0]))
    clients = [watched.connect() for _ in range(3)]
    watched.server_when(counts([3, 0]))
    for client in clients[:2]:
        client.login("stat-kim@example.com")
    server = watched.server_when(counts([1, 2]))
    processes = {pid for session in server["sessions"] for pid in session["processes"]}
    assert not processes & {stage["pid"] for stage in server["stages"]}


def test_the_table(watched: Watched, chain: Chain) -> None:
    watched.connect("127.0.0.9").login("stat-kim@example.com").command("SELECT INBOX")
    watched.sessions(states("selected"))
    lines = watched.run().stdout.splitlines()
    assert lines[0].startswith(f"{watched.path}: process {watched.listener.pid}, port 127.0.0.1.")
    assert lines[1] == "1 of 9 connections"
    assert lines[2].split() == "ACCOUNT ADDRESS PROTOCOL TLS STATE AGE PID USS KiB PSS KiB CPU s".split()
    assert lines[3].split()[:5] == ["stat-kim@example.com", "127.0.0.9", "IMAP", "no", "selected"]
    assert lines[5].split() == ["ADDRESS", "CONNECTIONS", "LIMIT"]
    assert lines[6].split() == ["127.0.0.9", "1", "5"]


def test_ending_the_sessions_of_an_account(watched: Watched) -> None:
    kims = [watched.connect().login("stat-kim@example.com") for _ in range(2)]
    sam = watched.connect().login("stat-sam@example.com")
    watched.sessions(states(*["authenticated"] * 3))
    done = watched.run("--end", "stat-kim@example.com")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ended: stat-kim@example.com, ip=[::ffff:127.0.0.1], process ") == 2
    for client in kims:
        assert client.lines.readline().startswith(b"* BYE ")
        assert client.lines.readline() == b""
    sam.command("NOOP")
    (left,) = watched.sessions(states("authenticated"))
    assert left["user"] == "stat-sam@example.com"
    done = watched.run("--end", "stat-kim@example.com")
    assert (done.returncode, done.stderr) == (1, "courierstat: no session of account stat-kim@example.com\n")


def test_ending_a_session_by_its_process(watched: Watched) -> None:
    kim, other = (watched.connect().login("stat-kim@example.com") for _ in range(2))
    first, _ = watched.sessions(states(*["authenticated"] * 2))
    done = watched.run("--end-pid", str(first["pid"]))
    assert (done.returncode, done.stderr) == (0, "")
    assert kim.lines.readline().startswith(b"* BYE ")
    other.command("NOOP")


def test_a_client_that_has_not_logged_in_can_be_ended(watched: Watched) -> None:
    client = watched.connect()
    (session,) = watched.sessions(states("login"))
    assert watched.run("--end-pid", str(session["pid"])).returncode == 0
    assert client.lines.readline().startswith(b"* BYE ")


def test_no_other_process_is_touched(watched: Watched) -> None:
    client = watched.connect().login("stat-kim@example.com")
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as bystander:
        for pid in (bystander.pid, watched.listener.pid, os.getpid(), 1, 0, -1):
            done = watched.run(f"--end-pid={pid}")
            assert (done.returncode, done.stderr) == (1, f"courierstat: no session of process {pid}\n")
        assert bystander.poll() is None
        bystander.communicate()
    client.command("NOOP")


def test_the_configured_servers_are_found(watched: Watched, chain: Chain) -> None:
    done = watched.run(of_this=False)
    places = {name: chain.prefix / f"run/{name}.pid.status" for name in ("imapd", "imapd-ssl", "pop3d", "pop3d-ssl")}
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"courierstat: {name}: not running (nobody answers at {place})" for name, place in places.items()
    ]
    listener = chain.listen((f"-status={places['imapd']}",))
    try:
        done = watched.run(of_this=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"imapd: process {listener.pid}, port ")
    finally:
        listener.process.terminate()
        listener.process.wait(SECONDS)
    assert watched.run(of_this=False).returncode == 1


def test_what_is_no_server(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, text in (("nothing", "not running"), ("file", "not running"), ("x" * 200, "AF_UNIX path too long")):
        done = watched.run("--socket", str(tmp_path / name), of_this=False)
        assert done.returncode == 1
        assert text in done.stderr
    assert watched.run("--end", "a", "--end-pid", "1").returncode == 2


@pytest.mark.root
def test_who_may_not_ask_is_told_so(watched: Watched) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root: becomes nobody")
    nobody = pwd.getpwnam("nobody")
    done = watched.run(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
    assert done.returncode == 1
    assert "permission denied; try it as root" in done.stderr
