"""Measures of what changes a mailbox. Each takes place in a folder of its own, which no server has seen before."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter

from tests.bench.bench import Bench, Measure, Measures, Run

_FOLDER = "Bench"
_MAILBOX = b"INBOX.Bench"
_UID = re.compile(rb"UID (\d+)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")


def append(bench: Bench, run: Run, clients: int) -> float:
    """APPEND of messages of about 10 kB to an empty folder, in each client one after the other: how many a second."""
    count = run.changed // clients
    sessions = [bench.login() for _ in range(clients)]
    sessions[0].command(b"CREATE " + _MAILBOX)
    failures: list[Exception] = []
    ready = threading.Barrier(clients + 1)

    def work(number: int) -> None:
        try:
            ready.wait()
            for _ in range(count):
                sessions[number].append(_MAILBOX, run.message)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    if failures:
        raise failures[0]
    for client in sessions:
        client.close()
    _check_appended(bench, run, count * clients)
    return count * clients / took


def _check_appended(bench: Bench, run: Run, count: int) -> None:
    client = bench.login(run.buffer)
    client.command(b"SELECT " + _MAILBOX)
    client.command(b"UID FETCH 1:* BODY.PEEK[]")
    octets = client.answer()
    bench.expect("messages after APPEND", octets.count(run.message), count)
    bench.expect("uids after APPEND", len(set(_UID.findall(octets))), count)
    client.command(b"SELECT INBOX")
    client.command(b"DELETE " + _MAILBOX)
    client.close()


def copy(bench: Bench, run: Run) -> float:
    """COPY of the first messages to an empty folder."""
    client = bench.login(run.buffer)
    client.command(b"CREATE " + _MAILBOX)
    client.command(b"SELECT INBOX")
    took = client.command(b"COPY 1:%d " % run.changed + _MAILBOX) * 1000
    client.command(b"SELECT " + _MAILBOX)
    client.command(b"FETCH 1:* RFC822.SIZE")
    sizes = Counter(map(int, _SIZE.findall(client.answer())))
    bench.expect("sizes of copies", sizes == Counter(size for size, _ in run.corpus.sums[: run.changed]), True)
    client.command(b"SELECT INBOX")
    client.command(b"DELETE " + _MAILBOX)
    client.close()
    return took


def store(bench: Bench, run: Run) -> float:
    """STORE 1:* +FLAGS of a flag that no message has."""
    folder = bench.make_folder(run.corpus, _FOLDER, run.changed, flags="S")
    client = bench.login(run.buffer)
    client.command(b"SELECT " + _MAILBOX)
    took = client.command(rb"STORE 1:* +FLAGS (\Flagged)") * 1000
    bench.expect("flags told", client.answer().count(rb"\Flagged"), run.changed)
    bench.expect("flags set", sum(path.name.endswith(":2,FS") for path in (folder / "cur").iterdir()), run.changed)
    client.close()
    bench.remove_folder(_FOLDER)
    return took


def expunge(bench: Bench, run: Run) -> float:
    """EXPUNGE of all messages of a folder."""
    folder = bench.make_folder(run.corpus, _FOLDER, run.changed, flags="T")
    client = bench.login(run.buffer)
    client.command(b"SELECT " + _MAILBOX)
    took = client.command(b"EXPUNGE") * 1000
    bench.expect("messages told gone", client.answer().count(b" EXPUNGE\r\n"), run.changed)
    bench.expect("messages left", len(list((folder / "cur").iterdir())), 0)
    client.close()
    bench.remove_folder(_FOLDER)
    return took


MEASURES: Measures = {
    "append": Measure("APPEND of 10 kB, one client, /s", lambda bench, run: append(bench, run, 1), more=True),
    "append-4": Measure("APPEND of 10 kB, four clients, /s", lambda bench, run: append(bench, run, 4), more=True),
    "store": Measure("STORE 1:* +FLAGS, 1,000, ms", store),
    "copy": Measure("COPY 1,000, ms", copy),
    "expunge": Measure("EXPUNGE 1,000, ms", expunge),
}
