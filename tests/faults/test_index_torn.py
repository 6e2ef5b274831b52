"""Octets of an index that are not what was written: each page, each length, and the log of writes.

No answer may come from what is broken, and the log says it in one line.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from imapd.serve import REST_SECONDS
from tests.faults.indexed import Box, log_lines, settle_quickly
from tests.forked import SECONDS, Forked, check_log

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

PAGE = 16384


def flip(path: Path, chance: random.Random, count: int) -> None:
    """Change single octets."""
    octets = bytearray(path.read_bytes())
    for _ in range(count):
        octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
    path.write_bytes(octets)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-view"])
@pytest.mark.parametrize("octets", [0, 10, 70_000])
def test_garbage_beside_the_database(box: Box, suffix: str, octets: int) -> None:
    Path(f"{box.index}{suffix}").write_bytes(random.Random(octets).randbytes(octets))
    for _ in range(2):
        box.check_anew()
    check_log(box.log)
    assert len(log_lines(box)) <= 1


def wait_for_writes(box: Box, imapd: Forked, log: Path) -> None:
    """Until more than a page is in the log of writes of the session that runs.

    SQLite makes that log when the index is opened and removes it when the last who has it open closes it.  So a session
    that has asked its index is without one when it has given it up, or has found it damaged and thrown it away (another
    is made when the client comes back: hence the NOOP), or has ended.
    """
    end = time.monotonic() + SECONDS
    while size_of(log) <= PAGE:
        assert time.monotonic() < end, (os.listdir(box.path), box.log.read_text())
        assert imapd.client.command(b"NOOP")[-1].kind == b"OK"
        time.sleep(3 * REST_SECONDS)  # what it remembers it writes when it is left in peace


def size_of(path: Path) -> int:
    """0 when it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("how", ["flipped", "cut off", "of another time"])
@pytest.mark.parametrize("seed", range(2))
def test_a_log_of_writes_that_is_not_what_was_written(box: Box, how: str, seed: int) -> None:
    """A killed session leaves it with much in it."""
    chance = random.Random(seed)
    kept = box.index.read_bytes()
    with box.session() as imapd:  # so that the log is one of writes to another file than what was kept
        assert imapd.client.command(b"SELECT INBOX")[-1].kind == b"OK"
        assert imapd.client.command(b"UID SORT (CC) UTF-8 ALL")[-1].kind == b"OK"
        assert imapd.client.command(b"UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-9)]")[-1].kind == b"OK"
    assert box.index.read_bytes() != kept
    log = Path(f"{box.index}-wal")
    with box.session([settle_quickly]) as imapd:
        for command in (
            b"SELECT INBOX", b"STORE 1:%d FLAGS (\\Flagged)" % chance.randrange(2, 50), b"NOOP",
            b"UID SORT (SIZE) UTF-8 ALL", b"UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-%d)]" % seed, b"NOOP",
        ):  # fmt: skip
            answer = imapd.client.command(command)
            assert answer[-1].kind == b"OK", (answer[-1], box.log.read_text())
            box.wait()
        wait_for_writes(box, imapd, log)
        imapd.kill()
    if how == "flipped":
        flip(log, chance, chance.choice((1, 10, 100)))
    elif how == "cut off":
        os.truncate(log, chance.randrange(log.stat().st_size))
    else:
        box.index.write_bytes(kept)
    for _ in range(2):
        box.check_anew()
    check_log(box.log)
    assert len(log_lines(box)) <= 1


def test_cut_off_at_many_lengths(box: Box) -> None:
    size = box.index.stat().st_size
    whole = box.index.read_bytes()
    lengths = [1, 15, 16, 99, 100, 101, 511, 512, 4096, *range(PAGE, size, 4 * PAGE), *range(PAGE - 1, size, 6 * PAGE)]
    for length in lengths:
        put_back(box, whole[:length])
        with box.session() as imapd:
            box.check_all(imapd.client)
    check_log(box.log)
    assert len(lengths) - 2 <= len(log_lines(box)) <= len(lengths)  # an odd length may lack nothing that was asked for


def put_back(box: Box, octets: bytes) -> None:
    """This, and nothing else, is the index."""
    for suffix in ("-view", "-wal", "-shm"):
        Path(f"{box.index}{suffix}").unlink(missing_ok=True)
    box.index.write_bytes(octets)


@pytest.mark.parametrize("where", [8, 100, PAGE])  # how far into the page
def test_flipped_octets_in_every_page(box: Box, where: int) -> None:
    """At the beginning of each page is what SQLite finds its rows by."""
    whole = box.index.read_bytes()
    chance = random.Random(where)
    noticed = 0
    for start in range(0, len(whole), PAGE):
        octets = bytearray(whole)
        for _ in range(chance.choice((1, 2, 20))):
            octets[start + chance.randrange(where)] ^= 1 << chance.randrange(8)
        put_back(box, bytes(octets))
        box.log.write_text("")
        with box.session() as imapd:
            box.check_all(imapd.client)
        check_log(box.log)
        assert len(log_lines(box)) <= 1
        noticed += len(log_lines(box))
    assert noticed > len(whole) // PAGE // 3
