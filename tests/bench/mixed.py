"""Fifty clients on one large mailbox at the same time, each doing what mail clients do; every answer is checked.

Each client changes flags only of messages that are its own, so it knows what they must be, and reads all over the
mailbox, in which the others rename files all the while. Nothing comes into it or goes: an EXPUNGE is a lie. After a
wrong answer a client begins a new session; a message that lost its place makes all answers behind it wrong. One run
gives three figures: commands in a second (50 clients together), the 99th percentile of what a client waits for
one, and the wrong answers.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import threading
import time
import zlib

from tests.bench.bench import Bench, Measure, Measures, Run
from tests.bench.client import Client, WrongAnswer
from tests.bench.mail import fields
from tests.bench.search import SUBJECT, with_field

_CLIENTS = 50
_HEADERS = 20  # messages whose headers are fetched at a time
_BODIES = 3
_SEARCHED = 200  # messages looked through at a time
_SHOWN = 5  # wrong answers that are told

_COUNTS = re.compile(rb"^\* (\d+) (EXISTS|EXPUNGE)\r$", re.MULTILINE)
_FLAGS = re.compile(rb"^\* (\d+) FETCH \(.*FLAGS \(([^)]*)\)", re.MULTILINE)
_LIST = b"Subject From Date Message-ID"


class _One:
    """One of the clients."""

    def __init__(self, bench: Bench, run: Run, place: int) -> None:
        self.bench = bench
        self.run = run
        self.rng = random.Random(place)
        self.times: list[float] = []
        self.wrong: list[str] = []
        self.appended = 0
        self.failure: BaseException | None = None
        own = range(place + 1, run.corpus.count + 1, _CLIENTS)
        self.flags = {number: run.corpus.flags(number) for number in own}

    def work(self, until: float) -> None:
        """Go on until the time is over; after a wrong answer, or a broken connection, in a new session."""
        try:
            while time.perf_counter() < until:
                try:
                    self._session(until)
                except (WrongAnswer, OSError) as error:
                    self.wrong.append(str(error))
        except Exception as failure:
            self.failure = failure

    def _session(self, until: float) -> None:
        client = self.bench.login()
        steps = (self._select, self._headers, self._bodies, self._store, self._noop, self._append, self._search)
        with client.connection:
            while True:
                for step in steps:
                    step(client)
                    if time.perf_counter() >= until:
                        client.command(b"LOGOUT")
                        return

    def _ask(self, client: Client, text: bytes) -> bytes:
        self.times.append(client.command(text))
        answer = client.answer()
        for number, what in _COUNTS.findall(answer):
            if what == b"EXPUNGE" or int(number) != self.run.corpus.count:
                raise _wrong(text, f"{int(number)} {what.decode()}")
        return answer

    def _select(self, client: Client) -> None:
        if b" EXISTS\r\n" not in self._ask(client, b"SELECT INBOX.Mixed"):
            raise _wrong(b"SELECT", "no EXISTS")

    def _headers(self, client: Client) -> None:
        first = self.rng.randint(1, max(1, self.run.corpus.count - _HEADERS + 1))
        last = min(first + _HEADERS - 1, self.run.corpus.count)
        text = b"FETCH %d:%d (UID FLAGS BODY.PEEK[HEADER.FIELDS (%s)])" % (first, last, _LIST)
        self._ask(client, text)
        found = [fields(bytes(client.buffer[at : at + size])) for at, size in client.literals()]
        wanted = [[field for field in picked if _listed(field)] for picked in self.run.corpus.picked[first - 1 : last]]
        if found != wanted:
            raise _wrong(text, f"{len(found)} headers, {sum(map(list.__eq__, found, wanted))} as they should be")

    def _bodies(self, client: Client) -> None:
        for _ in range(_BODIES):
            number = self.rng.randint(1, self.run.corpus.count)
            text = b"FETCH %d BODY.PEEK[]" % number
            self._ask(client, text)
            with memoryview(client.buffer) as view:
                found = [(size, zlib.adler32(view[at : at + size])) for at, size in client.literals()]
            if found != [self.run.corpus.sums[number - 1]]:
                raise _wrong(text, f"{len(found)} bodies, not the right octets")

    def _store(self, client: Client) -> None:
        number = self.rng.choice(list(self.flags))
        flag = self.rng.choice((b"\\Seen", b"\\Flagged", b"\\Answered"))
        sign = b"-" if flag in self.flags[number] else b"+"  # a change that changes nothing need not be told
        self._expect_flags(client, number, self.flags[number] ^ {flag}, b"STORE %d %bFLAGS (%b)" % (number, sign, flag))
        other = self.rng.choice(list(self.flags))
        self._expect_flags(client, other, self.flags[other], b"FETCH %d (FLAGS)" % other)

    def _expect_flags(self, client: Client, number: int, wanted: set[bytes], text: bytes) -> None:
        del self.flags[number]  # after a wrong answer they are not known
        told = dict(_FLAGS.findall(self._ask(client, text)))
        found = set(told.get(b"%d" % number, b"").split()) - {b"\\Recent"}
        if b"%d" % number not in told or found != wanted:
            raise _wrong(text, f"{told.get(b'%d' % number)!r} instead of {wanted}")
        self.flags[number] = wanted

    def _noop(self, client: Client) -> None:
        self._ask(client, b"NOOP")

    def _append(self, client: Client) -> None:
        began = time.perf_counter()
        client.append(b"INBOX.MixedSent", self.run.message)
        self.times.append(time.perf_counter() - began)
        self.appended += 1

    def _search(self, client: Client) -> None:
        first = self.rng.randint(1, max(1, self.run.corpus.count - _SEARCHED + 1))
        last = min(first + _SEARCHED - 1, self.run.corpus.count)
        text = b'SEARCH %d:%d SUBJECT "%b"' % (first, last, SUBJECT.encode())
        line = re.search(rb"^\* SEARCH ?([^\r]*)\r$", self._ask(client, text), re.MULTILINE)
        found = set(map(int, line[1].split())) if line else set()
        certain, possible = with_field(self.run.corpus, "subject", SUBJECT)
        asked = set(range(first, last + 1))
        if not certain & asked <= found <= possible & asked:
            raise _wrong(text, f"too many {sorted(found - possible)}, too few {sorted((certain & asked) - found)}")


def _wrong(text: bytes, what: str) -> WrongAnswer:
    return WrongAnswer(f"{text.decode()}: {what}")


def _listed(field: bytes) -> bool:
    return field.partition(b":")[0].strip().lower() in _LIST.lower().split()


def _run(bench: Bench, run: Run) -> None:
    """Let the clients work, and leave the figures in bench.mixed."""
    # Known before the clock runs.
    with_field(run.corpus, "subject", SUBJECT)
    assert run.corpus.picked
    bench.make_folder(run.corpus, "Mixed", run.corpus.count)
    sent = bench.make_folder(run.corpus, "MixedSent", 0)
    before = bench.login()
    before.command(b"SELECT INBOX.Mixed")  # the folder has been in use
    before.close()
    clients = [_One(bench, run, place) for place in range(_CLIENTS)]
    began = time.perf_counter()
    threads = [threading.Thread(target=one.work, args=(began + run.seconds,)) for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    for one in clients:
        if one.failure is not None:
            raise one.failure
    wrong = [text for one in clients for text in one.wrong]
    appended = sum(one.appended for one in clients)
    there = sum(1 for name in ("cur", "new") for _ in (sent / name).iterdir())
    if there < appended:
        wrong.append(f"{there} messages of {appended} that were appended")
    for text in wrong[:_SHOWN]:
        print(f"{bench.name}: {text[:300]}", file=sys.stderr)
    times = [seconds for one in clients for seconds in one.times]
    bench.mixed = {
        "rate": len(times) / took,
        "p99": statistics.quantiles(times, n=100)[-1] * 1000,
        "wrong": float(len(wrong)),
    }
    bench.remove_folder("Mixed")
    bench.remove_folder("MixedSent")


def _figure(bench: Bench, run: Run, name: str) -> float:
    if name not in bench.mixed:
        _run(bench, run)
    return bench.mixed.pop(name)


MEASURES: Measures = {
    "mixed": Measure("50 clients, mixed, commands/s", lambda bench, run: _figure(bench, run, "rate"), more=True),
    "mixed-p99": Measure("the same, slowest 1% from, ms", lambda bench, run: _figure(bench, run, "p99")),
    "mixed-wrong": Measure("the same, wrong answers", lambda bench, run: _figure(bench, run, "wrong")),
}
