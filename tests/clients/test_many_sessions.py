"""Twelve hundred sessions at once, more than select() could watch: each keeps its place, nobody gets one too many."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from chain import Account, Chain, Listener

ADDRESSES = 60
PER_ADDRESS = 20
SESSIONS = ADDRESSES * PER_ADDRESS
SECONDS = 300
DESCRIPTORS = SESSIONS + 500
MEMORY = SESSIONS * 3 << 20  # octets


class Idler:
    """One client, read line by line."""

    def __init__(self, port: int, source: str) -> None:
        self.source = source
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS, (source, 0))
        self.lines = self.socket.makefile("rb")

    def send(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\r\n")

    def until(self, start: bytes) -> bytes:
        """The first line that begins like this; the end of the connection is a failure."""
        while not (line := self.lines.readline()).startswith(start):
            assert line, f"{self.source}: the connection ended before {start!r}"
        return line

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


def _group_limit(name: str) -> float:
    """What the control group allows; infinity where that is not to be seen."""
    for place in ("/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"):
        path = Path(place, name)
        if path.exists() and path.read_text().strip().isdigit():
            return int(path.read_text())
    return float("inf")


@pytest.fixture
def room() -> Iterator[None]:
    """As many descriptors as it takes, for the listener too; skips where the machine is too small."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"the limit of open files (ulimit -Hn) is {hard}, and {DESCRIPTORS} are needed")
    if min(psutil.virtual_memory().available, _group_limit("memory.max")) < MEMORY:
        pytest.skip(f"{SESSIONS} sessions may need {MEMORY >> 20} MiB of memory, more than is free")
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if 0 <= processes < SESSIONS + 500 or _group_limit("pids.max") < SESSIONS + 500:
        pytest.skip(f"this user may not have {SESSIONS + 500} processes")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def account(chain: Chain) -> Account:
    made = chain.account("many@example.com")
    if not made.maildir.exists():
        chain.run("bin/maildirmake", str(made.maildir))
        made.own()
    return made


class Crowd:
    """All the clients, and the listener before which they stand."""

    def __init__(self, chain: Chain, account: Account, status: Path) -> None:
        self.chain = chain
        self.account = account
        self.status = status
        limits = (f"-maxprocs={SESSIONS + 100}", f"-maxperip={PER_ADDRESS}", f"-status={status}")
        self.listener: Listener = chain.listen(limits)
        self.clients: list[Idler] = []

    def connect(self, source: str) -> Idler:
        self.clients.append(Idler(self.listener.port, source))
        return self.clients[-1]

    def log_in(self, sources: list[str]) -> None:
        """A session from each address at the same time; afterwards all of them wait in IDLE."""
        waiting = [self.connect(source) for source in sources]
        for client in waiting:
            client.until(b"* OK")
        self.idle(waiting)

    def idle(self, waiting: list[Idler]) -> None:
        """Log them in, and have them wait in IDLE."""
        for client in waiting:
            client.send(f"a LOGIN {self.account.name} {self.account.password}\r\nb EXAMINE INBOX\r\nc IDLE")
        for client in waiting:
            client.until(b"a OK")
            client.until(b"b OK")
            client.until(b"+")

    def asked(self) -> dict:
        """What couriertcpd says of itself."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(str(self.status))
            return json.load(client.makefile("rb"))

    def refuses(self, source: str) -> bool:
        """Whether one more from this address is told that it is too many; if not, it stays."""
        client = self.connect(source)
        if client.lines.readline().startswith(b"* OK"):
            return False
        self.clients.pop().close()
        return True

    def end(self) -> None:
        for client in self.clients:
            client.close()
        self.listener.process.terminate()
        try:
            self.listener.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.listener.process.kill()


@pytest.fixture
def crowd(room: None, chain: Chain, account: Account) -> Iterator[Crowd]:
    made = Crowd(chain, account, chain.place / "many.status")
    yield made
    made.end()


@pytest.mark.parametrize("chain", ["prefork"], indirect=True)
def test_twelve_hundred_sessions(crowd: Crowd) -> None:
    sources = [f"127.0.{2 + number // 50}.{1 + number % 50}" for number in range(ADDRESSES)]
    for number in range(PER_ADDRESS):
        crowd.log_in(sources)
        if number == PER_ADDRESS // 2:
            assert crowd.asked()["connections"] == len(crowd.clients)
    document = crowd.asked()
    assert document["connections"] == SESSIONS
    assert {entry["ip"]: entry["connections"] for entry in document["addresses"]} == {
        f"::ffff:{source}": PER_ADDRESS for source in sources
    }
    assert {slot["told"]["state"] for slot in document["slots"]} == {"selected"}

    newcomer = crowd.connect("127.0.9.1")  # answered while all the others are there
    newcomer.until(b"* OK")
    newcomer.send(f"a LOGIN {crowd.account.name} {crowd.account.password}\r\nb SELECT INBOX\r\nc LOGOUT")
    newcomer.until(b"c OK")

    assert all(crowd.refuses(source) for source in sources)
    leaver = crowd.clients[0]
    leaver.send("DONE\r\nd LOGOUT")
    leaver.until(b"d OK")
    assert leaver.lines.readline() == b""
    while crowd.refuses(leaver.source):
        continue  # the slot is free when the process has gone, a moment after its last word
    crowd.idle(crowd.clients[-1:])
    assert all(crowd.refuses(source) for source in sources)

    crowd.listener.process.terminate()
    for client in crowd.clients:
        if client not in (leaver, newcomer):
            client.until(b"* BYE ")
