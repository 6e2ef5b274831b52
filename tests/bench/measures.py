"""What is measured: each measure talks to one server once and gives milliseconds (or what its unit says).

The clock runs only while the server works or the answer comes in; every answer is checked against the corpus after it
has stopped, and a wrong one ends the run: a figure of a wrong answer says nothing.
"""

from __future__ import annotations

import math
import os
import re
import statistics
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench.client import Client, WrongAnswer, login, logins
from tests.peers.ours import Ours
from tests.peers.programs import Account, Courier, Dovecot

_UID = re.compile(rb"UID (\d+)")


class Corpus:
    """What the measured mailbox holds, as clients see it."""

    def __init__(self, maildir: Path) -> None:
        self.contents: Counter[tuple[int, int]] = Counter()  # size and adler32 of each message on the wire
        for name in ("cur", "new"):
            for path in (maildir / name).iterdir():
                wire = path.read_bytes().replace(b"\n", b"\r\n")
                self.contents[len(wire), zlib.adler32(wire)] += 1
        self.count = self.contents.total()
        self.octets = sum(size * times for (size, _), times in self.contents.items())
        self.sizes = Counter(size for size, _ in self.contents.elements())


class Bench:
    """One server that is measured: where it listens, who logs in, which mail it serves."""

    def __init__(
        self,
        server: Ours | Courier | Dovecot,
        account: Account,
        maildir: Path,
        few: Account,
    ) -> None:
        self.name = server.name
        self.port = server.port
        self.account = account
        self.maildir = maildir
        self.few = few  # an account with FEW messages
        self.processes = server.processes
        self.prefix = server.prefix if isinstance(server, Ours) else None
        self.contents_seen = False

    def login(self, buffer: bytearray | None = None, account: Account | None = None) -> Client:
        """A new session."""
        account = account or self.account
        return login(self.port, account.address, account.password, buffer)

    def forget(self) -> None:
        """Delete what the server keeps of the mailbox beside the mail, as for a mailbox that it sees first."""
        for path in self.maildir.iterdir():
            if path.is_file() and path.name.startswith(("dovecot", "courierimapuiddb", "courierimapindex")):
                path.unlink()
        self.settle()

    def settle(self) -> None:
        """Set the folders' times back: an index is not trusted when the folder is younger than about a second."""
        hour_ago = time.time() - 3600
        for name in ("cur", "new", "."):
            os.utime(self.maildir / name, (hour_ago, hour_ago))

    def uss_kib(self) -> int:
        """Memory that all its processes have for themselves, from smaps_rollup."""
        total = 0
        for process in (one for started in self.processes for one in started.tree()):
            try:
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
            except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
                continue
            total += sum(int(value) for value in re.findall(r"^Private_(?:Clean|Dirty): +(\d+)", text, re.MULTILINE))
        return total


class Run(NamedTuple):
    """What one run of all measures shares."""

    corpus: Corpus
    buffer: bytearray
    appended: int
    message: bytes
    logins: int
    sessions: int


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise WrongAnswer(f"{what}: {found} instead of {wanted}")


def login_latency(bench: Bench, run: Run) -> float:
    """Connect, greeting, LOGIN, LOGOUT: the median of many, one after the other."""
    times = []
    for _ in range(run.logins):
        began = time.perf_counter()
        bench.login().close()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def login_rate(bench: Bench, run: Run) -> float:
    """The same from 16 clients at once: milliseconds for each, so that less is better here too."""
    total = run.logins * 8
    return logins(bench.port, bench.account.address, bench.account.password, total, 16) / total * 1000


def _selected(bench: Bench, run: Run) -> tuple[Client, float]:
    client = bench.login(run.buffer)
    took = client.command(b"SELECT INBOX")
    _expect(f"{bench.name}: EXISTS", b"* %d EXISTS\r\n" % run.corpus.count in client.answer(), True)
    return client, took * 1000


def select_first(bench: Bench, run: Run) -> float:
    """SELECT of a mailbox that the server has never seen."""
    bench.forget()
    client, took = _selected(bench, run)
    client.close()
    return took


def select(bench: Bench, run: Run) -> float:
    """SELECT of a mailbox that nothing has changed, in a new session each time: the median of five."""
    bench.settle()
    times = []
    for number in range(6):
        client, took = _selected(bench, run)
        client.close()
        if number:  # the first one sees the folder times that were set back
            times.append(took)
    return statistics.median(times)


def fetch_flags(bench: Bench, run: Run) -> float:
    """FETCH 1:* (FLAGS): the median of five in one session."""
    client, _ = _selected(bench, run)
    times = []
    for _ in range(5):
        times.append(client.command(b"FETCH 1:* (FLAGS)") * 1000)
        _expect(f"{bench.name}: FETCH FLAGS", client.answer().count(b" FETCH (FLAGS ("), run.corpus.count)
    client.close()
    return statistics.median(times)


def fetch_bodies(bench: Bench, run: Run) -> float:
    """FETCH 1:* BODY.PEEK[]: every octet of the mailbox."""
    client, _ = _selected(bench, run)
    took = client.command(b"FETCH 1:* BODY.PEEK[]") * 1000
    sizes = Counter(size for _, size in client.literals())
    _expect(f"{bench.name}: sizes of all messages", sizes == run.corpus.sizes, True)
    if not bench.contents_seen:  # once is enough for the octets; their sizes are looked at each time
        with memoryview(client.buffer) as view:
            contents = Counter((size, zlib.adler32(view[at : at + size])) for at, size in client.literals())
        _expect(f"{bench.name}: contents of all messages", contents == run.corpus.contents, True)
        bench.contents_seen = True
    client.close()
    return took


def append(bench: Bench, run: Run) -> float:
    """APPEND of messages of about 10 kB to an empty folder, one after the other: milliseconds for each."""
    client = bench.login(run.buffer)
    client.command(b"CREATE INBOX.Bench")
    began = time.perf_counter()
    for _ in range(run.appended):
        client.append(b"INBOX.Bench", run.message)
    took = time.perf_counter() - began
    client.command(b"SELECT INBOX.Bench")
    client.command(b"UID FETCH 1:* BODY.PEEK[]")
    octets = client.answer()
    _expect(f"{bench.name}: messages after APPEND", octets.count(run.message), run.appended)
    _expect(f"{bench.name}: uids after APPEND", len(set(_UID.findall(octets))), run.appended)
    client.command(b"SELECT INBOX")
    client.command(b"DELETE INBOX.Bench")
    client.close()
    return took / run.appended * 1000


_SESSIONS = 8
FEW = 100  # messages


def _crowd(bench: Bench, run: Run, account: Account, count: int) -> float:
    """Private memory that each of many sessions adds, with a mailbox of `count` selected and its flags fetched: KiB."""
    before = bench.uss_kib()
    clients = []
    for _ in range(run.sessions):
        client = bench.login(run.buffer, account)
        client.command(b"SELECT INBOX")
        _expect(f"{bench.name}: EXISTS", b"* %d EXISTS\r\n" % count in client.answer(), True)
        client.command(b"FETCH 1:* (FLAGS)")
        clients.append(client)
    used = bench.uss_kib() - before
    for client in clients:
        client.close()
    return used / run.sessions


def crowd_few(bench: Bench, run: Run) -> float:
    """USS a session while many are there, with FEW messages."""
    return _crowd(bench, run, bench.few, FEW)


def crowd(bench: Bench, run: Run) -> float:
    """The same with the large mailbox."""
    return _crowd(bench, run, bench.account, run.corpus.count)


_STAGES = ("imaplogin.imaplogin", "imapd.main")
# What a stage's program does before it calls main(); -X importtime would cost a quarter more than it tells.
_IMPORTING = """
import sys, time
began = time.perf_counter()
sys.path.insert(0, sys.argv[1])
__import__(sys.argv[2])
print((time.perf_counter() - began) * 1000)
"""


def imports(bench: Bench, run: Run) -> float:
    """What the two stages of the exec form spend on imports before main() is called; NaN for the others."""
    if bench.prefix is None or bench.name != "ours-exec":
        return math.nan
    total = 0.0
    for stage in _STAGES:
        argv = [sys.executable, "-IS", "-c", _IMPORTING, str(bench.prefix / "lib/courier"), stage]
        times = [float(subprocess.run(argv, capture_output=True, timeout=60, check=True).stdout) for _ in range(5)]
        total += statistics.median(times)
    return total


def memory(bench: Bench, run: Run) -> float:
    """Private memory (USS) that each of eight sessions adds, the large mailbox selected and its flags fetched: KiB."""
    before = bench.uss_kib()
    clients = [_selected(bench, run)[0] for _ in range(_SESSIONS)]
    for client in clients:
        client.command(b"FETCH 1:* (FLAGS)")
    used = bench.uss_kib() - before
    for client in clients:
        client.close()
    return used / _SESSIONS


def memory_idle(bench: Bench, run: Run) -> float:
    """Private memory (USS) that each of eight sessions adds that have only logged in: KiB."""
    before = bench.uss_kib()
    clients = [bench.login() for _ in range(_SESSIONS)]
    used = bench.uss_kib() - before
    for client in clients:
        client.close()
    return used / _SESSIONS


MEASURES: dict[str, tuple[str, Callable[[Bench, Run], float]]] = {
    "login": ("connect, LOGIN, LOGOUT, ms", login_latency),
    "login-16": ("the same from 16 clients, ms each", login_rate),
    "imports": ("imports for each login, ms", imports),
    "select-first": ("SELECT, never seen before, ms", select_first),
    "select": ("SELECT, unchanged, ms", select),
    "flags": ("FETCH 1:* (FLAGS), ms", fetch_flags),
    "bodies": ("FETCH 1:* BODY.PEEK[], ms", fetch_bodies),
    "append": ("APPEND of 10 kB, ms each", append),
    "memory-idle": ("USS a session, logged in, KiB", memory_idle),
    "memory": ("USS a session, selected, KiB", memory),
    "crowd-few": (f"USS of many, {FEW} messages, KiB", crowd_few),
    "crowd": ("USS of many, all messages, KiB", crowd),
}
