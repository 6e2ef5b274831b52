"""Measures of sessions: logging in, opening a mailbox, memory."""

from __future__ import annotations

import statistics
import time

from tests.bench.bench import Bench, Measures, Run, selected
from tests.bench.client import logins

_SESSIONS = 8


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


MEASURES: Measures = {
    "login": ("connect, LOGIN, LOGOUT, ms", login_latency),
    "login-16": ("the same from 16 clients, ms each", login_rate),
    "select-first": ("SELECT, never seen before, ms", select_first),
    "select": ("SELECT, unchanged, ms", select),
    "memory-idle": ("USS a session, logged in, KiB", memory_idle),
    "memory": ("USS a session, selected, KiB", memory),
}
