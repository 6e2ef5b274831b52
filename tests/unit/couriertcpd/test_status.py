"""The status socket of a real listener, and what it tells."""

import contextlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from couriertcpd.status import MAX_READERS, Status

SECONDS = 120

# A stage: tells what it does, and echoes.
STAGE = """
import os, sys
from couriertcpd import slotnote
slotnote.note("authenticated", os.fsdecode(sys.argv[1]), "IMAP", tls=True)
os.execv("/bin/cat", ["cat"])
"""


def asked(path: Path) -> dict:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))  # waits while others ask too, which one with a timeout would not
        client.settimeout(SECONDS)
        octets = b""
        while data := client.recv(65536):
            octets += data
    return json.loads(octets)


def asked_until(path: Path, wanted) -> dict:
    """Ask until the answer is as wanted: a slot is freed a moment after its connection has ended."""
    deadline = time.monotonic() + SECONDS
    while not wanted(document := asked(path)):
        assert time.monotonic() < deadline, document
    return document


def stage(user: str) -> tuple[str, ...]:
    return (sys.executable, "-c", STAGE, user)


def test_what_is_told(start, tmp_path: Path) -> None:
    path = tmp_path / "status"
    began = time.time()
    tcpd = start(f"-status={path}", "-maxprocs=9", "-maxperip=3", program=stage("kim@example.com"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert asked(path)["slots"] == []
    clients = [tcpd.connect(source) for source in ("127.0.0.2", "127.0.0.2", "127.0.0.3")]
    assert all(client.echoes() for client in clients)
    document = asked(path)
    assert document["pid"] == tcpd.process.pid
    assert document["ports"] == [f"127.0.0.1.{tcpd.port}"]
    assert document["limits"] == {"maxprocs": 9, "maxperc": 9, "maxperip": 3}
    assert document["connections"] == 3
    assert document["blocks"] == []
    assert document["addresses"] == [
        {"ip": "::ffff:127.0.0.2", "connections": 2, "limit": 3},
        {"ip": "::ffff:127.0.0.3", "connections": 1, "limit": 3},
    ]
    assert [slot["ip"] for slot in document["slots"]] == ["::ffff:127.0.0.2"] * 2 + ["::ffff:127.0.0.3"]
    children = {child.pid for child in tcpd.children()}
    for slot in document["slots"]:
        assert began - 1 < slot["since"] < time.time() + 1
        assert slot["first"] in children
        assert slot["told"] == {
            "pid": slot["first"], "user": "kim@example.com", "protocol": "IMAP", "tls": True, "state": "authenticated"
        }  # fmt: skip
        assert os.stat(f"/proc/{slot['first']}/fd/3").st_ino == slot["slot"]
    clients[0].close()
    assert asked_until(path, lambda told: told["connections"] == 2)["addresses"][0]["connections"] == 1


def test_a_program_that_tells_nothing_is_there_too(start, tmp_path: Path) -> None:
    tcpd = start(f"-status={tmp_path}/status")
    assert tcpd.connect().echoes()
    (slot,) = asked(tmp_path / "status")["slots"]
    assert slot["told"] is None
    assert slot["first"] in {child.pid for child in tcpd.children()}


def test_what_a_stage_writes_frees_no_slot_and_keeps_none(start, tmp_path: Path) -> None:
    noise = "head -c 10000 /dev/zero >&3; head -c 9000000 /dev/urandom >&3 2>/dev/null; exec cat"
    path = tmp_path / "status"
    tcpd = start(f"-status={path}", "-maxperip=2", program=("/bin/sh", "-c", noise))
    inside = [tcpd.connect() for _ in range(2)]
    assert all(client.echoes() for client in inside)
    document = asked(path)
    assert [slot["told"] for slot in document["slots"]] == [None, None]
    assert all(slot["bad_notes"] for slot in document["slots"])
    assert tcpd.connect().rest() == b""
    inside[0].close()
    assert tcpd.serves()
    assert tcpd.connect().rest() == b""
    inside[1].close()
    assert tcpd.serves()


def test_blocks_near_their_limit(start, tmp_path: Path) -> None:
    path = tmp_path / "status"
    tcpd = start(f"-status={path}", "-maxprocs=40", "-maxperc=4")
    for last in (1, 2):
        assert tcpd.connect(f"127.0.1.{last}").echoes()
    assert asked(path)["blocks"] == []
    assert tcpd.connect("127.0.1.3").echoes()
    assert asked(path)["blocks"] == [{"block": "::ffff:127.0.1.0", "connections": 3, "limit": 4}]


def test_the_limit_of_an_address_may_be_its_own(start, tmp_path: Path) -> None:
    gdbm = pytest.importorskip("dbm.gnu")
    with gdbm.open(str(tmp_path / "access"), "n") as database:
        database[b"127.0.0.5"] = b"allow,MAXCPERIP=7"
    path = tmp_path / "status"
    tcpd = start(f"-status={path}", f"-access={tmp_path}/access")
    for source in ("127.0.0.4", "127.0.0.5"):
        assert tcpd.connect(source).echoes()
    assert [entry["limit"] for entry in asked(path)["addresses"]] == [4, 7]


def test_who_owes_a_proxy_header_has_no_address_yet(start, tmp_path: Path) -> None:
    path = tmp_path / "status"
    tcpd = start(f"-status={path}", "-haproxy")
    tcpd.connect()
    (slot,) = asked_until(path, lambda told: told["slots"])["slots"]
    assert slot["ip"] is None


def test_readers_that_do_not_read_keep_nobody_waiting(start, tmp_path: Path) -> None:
    path = tmp_path / "status"
    tcpd = start(f"-status={path}", "-maxprocs=300", "-maxperip=300")
    many = [tcpd.connect() for _ in range(250)]
    assert all(client.echoes() for client in many)
    idle = []
    for _ in range(20):
        reader = socket.socket(socket.AF_UNIX)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        reader.connect(str(path))
        idle.append(reader)
    assert tcpd.connect().echoes()
    assert asked(path)["connections"] == 251
    tcpd.stop()
    for reader in idle:
        reader.close()


def test_the_socket_goes_with_the_listener_and_a_left_over_one_is_replaced(start, tmp_path: Path) -> None:
    path = tmp_path / "status"
    start(f"-status={path}").stop()
    assert not path.exists()
    tcpd = start(f"-status={path}")
    tcpd.stop(signal.SIGKILL)
    assert path.exists()
    start(f"-status={path}")
    assert asked(path)["connections"] == 0


def test_a_path_that_is_taken_is_not_taken_away(start, tmp_path: Path) -> None:
    first = start(f"-status={tmp_path}/status")
    second = start(f"-status={tmp_path}/status")
    assert second.connect().echoes()
    second.expect(f"WARN: -status={tmp_path}/status: another process answers there; courierstat will not find")
    second.stop()
    assert asked(tmp_path / "status")["pid"] == first.process.pid
    (tmp_path / "file").write_text("precious")
    third = start(f"-status={tmp_path}/file")
    third.expect("is there and is no socket")
    third.stop()
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["no/such/directory/status", "x" * 200])
def test_a_socket_that_cannot_be_made_stops_no_mail(start, tmp_path: Path, name: str) -> None:
    tcpd = start(f"-status={tmp_path}/{name}")
    tcpd.expect("courierstat will not find this server")
    assert tcpd.connect().echoes()


def test_with_a_pid_file_the_socket_is_beside_it(tmp_path: Path, listening_port: int) -> None:
    pidfile = tmp_path / "pid"
    argv = [sys.executable, "-m", "couriertcpd.tcpd", f"-pid={pidfile}"]
    more = ["-nodnslookup", f"127.0.0.1.{listening_port}", "/bin/cat"]
    subprocess.run([*argv, *more], cwd=Path(__file__).parents[3], check=True, timeout=SECONDS)
    try:
        assert asked(tmp_path / "pid.status")["pid"] == int(pidfile.read_text())
    finally:
        subprocess.run([*argv, "-stop"], cwd=Path(__file__).parents[3], check=True, timeout=SECONDS)
    assert not (tmp_path / "pid.status").exists()


@pytest.fixture
def listening_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_what_does_not_fit_goes_out_as_it_is_taken(tmp_path: Path) -> None:
    door = Status(str(tmp_path / "status"))
    poll, handlers = select.poll(), {}
    door.attach(poll, handlers)
    big = b"x" * (3 << 20)
    readers = []
    for _ in range(MAX_READERS + 2):
        readers.append(socket.socket(socket.AF_UNIX))
        readers[-1].connect(str(tmp_path / "status"))
        door.answer(big)
    assert len(handlers) == MAX_READERS
    received = {reader: b"" for reader in readers}
    for reader in readers:
        reader.setblocking(False)
    while handlers:
        for descriptor, _ in poll.poll(10):
            handlers[descriptor]()
        for reader in readers:
            with contextlib.suppress(BlockingIOError):
                received[reader] += reader.recv(1 << 20)
    for reader in readers:
        reader.setblocking(True)
        while data := reader.recv(1 << 20):
            received[reader] += data
        reader.close()
    assert [len(octets) == len(big) for octets in received.values()] == [False] * 2 + [True] * MAX_READERS
    door.close()
    assert not (tmp_path / "status").exists()
