"""Measures of sessions: logging in, opening a mailbox, memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.bench.bench import Bench, Measures, Run, selected
from tests.bench.client import logins

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
    times = []
    for number in range(6):
        client, took = selected(bench, run)
        client.close()
        if number:  # the first one sees the folder times that were set back
            times.append(took)
    return statistics.median(times)


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
    "imports": ("imports for each login, ms", imports),
    "crowd": ("USS of each of 200 sessions, KiB", crowd),
    "login": ("connect, LOGIN, LOGOUT, ms", login_latency),
    "login-16": ("the same from 16 clients, ms each", login_rate),
    "select-first": ("SELECT, never seen before, ms", select_first),
    "select": ("SELECT, unchanged, ms", select),
    "memory-idle": ("USS a session, logged in, KiB", memory_idle),
    "memory": ("USS a session, selected, KiB", memory),
}
