"""Measures of sessions: logging in, opening a mailbox, memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.bench.bench import MANY, Bench, Measure, Measures, Run, selected
from tests.bench.client import Client, logins

_SESSIONS = 8
_CROWD = 200


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


def select_first(bench: Bench, run: Run) -> float:
    """SELECT of a mailbox that the server has never seen."""
    bench.forget()
    client, took = selected(bench, run)
    client.close()
    return took


def select(bench: Bench, run: Run) -> float:
    """SELECT of a mailbox that nothing has changed, in a new session each time: the median of five."""
    bench.settle()
    client, _ = selected(bench, run)  # sees the folder times that were set back
    bench.quiet()
    client.close()
    times = []
    for _ in range(5):
        client, took = selected(bench, run)
        client.close()
        times.append(took)
    return statistics.median(times)


def _selected_many(bench: Bench, run: Run) -> tuple[Client, float]:
    client = bench.login(run.buffer)
    took = client.command(b"SELECT INBOX." + MANY.encode())
    answer = client.answer()
    bench.expect("EXISTS", b"* %d EXISTS\r\n" % run.many in answer, True)
    if b"[UIDNEXT " in answer:  # the C Courier leaves it out
        bench.expect("UIDNEXT", b"[UIDNEXT %d]" % (run.many + 1) in answer, True)
    return client, took * 1000


def select_many_first(bench: Bench, run: Run) -> float:
    """SELECT of a very large mailbox that the server has never seen."""
    bench.forget(bench.many(run))
    client, took = _selected_many(bench, run)
    client.close()
    return took


def select_many(bench: Bench, run: Run) -> float:
    """SELECT of it when nothing has changed, in a new session each time: the median of five."""
    bench.settle(bench.many(run))
    client, _ = _selected_many(bench, run)
    bench.quiet()
    client.close()
    times = []
    for _ in range(5):
        client, took = _selected_many(bench, run)
        client.close()
        times.append(took)
    return statistics.median(times)


def memory_many(bench: Bench, run: Run) -> float:
    """Private memory (USS) that each of four sessions adds with it open and its flags fetched: KiB."""
    bench.many(run)
    _selected_many(bench, run)[0].close()
    bench.quiet()
    before = bench.uss_kib()
    clients = [_selected_many(bench, run)[0] for _ in range(_SESSIONS // 2)]
    for client in clients:
        client.command(b"FETCH 1:* (FLAGS)")
        bench.expect("FETCH FLAGS", client.answer().count(b" FETCH (FLAGS ("), run.many)
    bench.quiet()
    used = bench.uss_kib() - before
    for client in clients:
        client.close()
    return used / len(clients)


def memory(bench: Bench, run: Run) -> float:
    """Private memory (USS) that each of eight sessions adds, the large mailbox selected and its flags fetched: KiB."""
    before = bench.uss_kib()
    clients = [selected(bench, run)[0] for _ in range(_SESSIONS)]
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


def crowd(bench: Bench, run: Run) -> float:
    """As memory(), with many sessions at once."""
    before = bench.uss_kib()
    clients = []
    for _ in range(_CROWD):
        clients.append(selected(bench, run)[0])
        clients[-1].command(b"FETCH 1:* (FLAGS)")
    used = bench.uss_kib() - before
    for client in clients:
        client.close()
    return used / _CROWD


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
    """What the two stages of the exec form spend on imports before main() is called; nothing for the others."""
    if bench.prefix is None or bench.name != "ours-exec":
        return 0.0
    total = 0.0
    for stage in _STAGES:
        argv = [sys.executable, "-IS", "-c", _IMPORTING, str(bench.prefix / "lib/courier"), stage]
        times = [float(subprocess.run(argv, capture_output=True, timeout=60, check=True).stdout) for _ in range(5)]
        total += statistics.median(times)
    return total


MEASURES: Measures = {
    "imports": Measure("imports for each login, ms", imports),
    "crowd": Measure("USS of each of 200 sessions, KiB", crowd),
    "login": Measure("connect, LOGIN, LOGOUT, ms", login_latency),
    "login-16": Measure("the same from 16 clients, ms each", login_rate),
    "select-first": Measure("SELECT, never seen before, ms", select_first),
    "select": Measure("SELECT, unchanged, ms", select),
    "select-many-first": Measure("SELECT 100,000, never seen, ms", select_many_first),
    "select-many": Measure("SELECT 100,000, unchanged, ms", select_many),
    "memory-idle": Measure("USS a session, logged in, KiB", memory_idle),
    "memory": Measure("USS a session, selected, KiB", memory),
    "memory-many": Measure("USS a session with 100,000, KiB", memory_many),
}
