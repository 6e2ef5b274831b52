"""Sessions that are killed at random instants while they fill the index: the folder opens, all answers are right."""

from __future__ import annotations

import os
import random
import select
import signal
import sqlite3
from pathlib import Path

import pytest

from imapd.indexcheck import Check, Database
from maildir.folder import Folder
from tests.faults.indexed import Box, settle_quickly
from tests.faults.traced import Traced, needed
from tests.forked import Client, Ended, check_log

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

MESSAGES = 60
COMMANDS = (
    b"SELECT INBOX", b"FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)", b"FETCH 1:* ENVELOPE",
    b"FETCH 1:* BODYSTRUCTURE", b"FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)]", b"SEARCH SUBJECT x7x",
    b"STORE 1:9 +FLAGS (\\Flagged)", b"STORE 1:9 -FLAGS (\\Flagged)", b"SEARCH FROM ann", b"NOOP",
)  # fmt: skip


def _send(client: Client, chance: random.Random) -> None:
    """Some commands at once, so that the server goes from one to the next without waiting."""
    for command in (COMMANDS[0], *chance.sample(COMMANDS, 6), COMMANDS[2], COMMANDS[3]):
        client.send(command)


def _read_for(client: Client, seconds: float) -> None:
    """Take answers, until the time has come."""
    with select.epoll() as poll:
        poll.register(client.connection, select.EPOLLIN)
        while poll.poll(seconds):
            seconds /= 2
            try:
                client.receive()
            except Ended:
                return


def _check_index(box: Box) -> int:
    """Whether all that is remembered is right; gives how many values that are."""
    database = Database(os.fsencode(box.index))
    try:
        check = Check(database, Folder(os.fsencode(box.path)))
        check.run(lambda done, count: None)
    finally:
        database.close()
    assert check.problems == []
    return check.values


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_instants(seed: int, scratch: Path) -> None:
    box = Box(scratch, MESSAGES)
    chance = random.Random(seed)
    for _ in range(10):
        with box.session([settle_quickly]) as imapd:
            _send(imapd.client, chance)
            _read_for(imapd.client, chance.random() ** 2 / 4)
            imapd.kill()
            assert imapd.end() in (-signal.SIGKILL, 0)
        box.check_anew([settle_quickly])
    check_log(box.log)
    assert "courierimapindex" not in box.log.read_text()  # what a killed session leaves is whole
    box.wait()
    box.check_anew([settle_quickly])
    assert _check_index(box) >= MESSAGES * 3


TRACED = 60  # messages: each call of a traced process takes long
_QUICK = (COMMANDS[0], COMMANDS[1], COMMANDS[2], COMMANDS[6], COMMANDS[5], COMMANDS[7], b"APPEND INBOX ", b"NOOP")


def _run(box: Box, traced: Traced, missing: bool) -> int:
    """A session that is killed, or not; returns how it ended."""
    if missing:
        for path in box.path.glob("courierimapindex*"):
            path.unlink()
    with box.session([settle_quickly, traced]) as imapd:
        traced.begin()
        try:
            for command in _QUICK:
                letter = (b"Subject: x77x\r\n\r\nx77x\r\n",) if command.endswith(b" ") else ()
                imapd.client.command(command, *letter)
            box.wait()
            imapd.client.command(b"NOOP")
        except Ended:
            pass
        return imapd.end()


@pytest.mark.parametrize("missing", [True, False], ids=["from nothing", "with an index"])
def test_killed_at_the_nth_call(missing: bool, scratch: Path) -> None:
    needed()
    box = Box(scratch, TRACED)
    box.check_anew([settle_quickly])
    counting = Traced()
    assert _run(box, counting, missing) == 0
    assert counting.count > 60
    subjects = {uid: told[1] for uid, told in box.truth().items()}
    points = 16
    for point in range(points):
        kill = 1 + point * counting.count // points
        assert _run(box, Traced(kill=kill), missing) == -signal.SIGKILL
        box.check_anew([settle_quickly])
        truth = box.truth()
        assert {uid: truth[uid][1] for uid in subjects} == subjects
    check_log(box.log)
    assert "courierimapindex" not in box.log.read_text()
    box.wait()
    box.check_anew([settle_quickly])
    assert _check_index(box) >= TRACED * 3


class _Killer:
    """In an imapd: dies at the N-th step of SQLite's virtual machine."""

    def __init__(self, step: int) -> None:
        self._step = step

    def __call__(self) -> None:
        real = sqlite3.connect

        def connect(*args: object, **settings: object) -> sqlite3.Connection:
            connection = real(*args, **settings)  # type: ignore[arg-type]
            connection.set_progress_handler(self._tick, 7)
            return connection

        sqlite3.connect = connect  # type: ignore[assignment]

    def _tick(self) -> int:
        self._step -= 1
        if self._step <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0


@pytest.mark.parametrize("seed", range(2))
def test_killed_inside_the_database(seed: int, scratch: Path) -> None:
    box = Box(scratch, MESSAGES)
    chance = random.Random(100 + seed)
    killed = 0
    for _ in range(10):
        with box.session([settle_quickly, _Killer(int(1.5 ** chance.uniform(1, 22)))]) as imapd:
            try:
                for command in COMMANDS:
                    imapd.client.command(command)
            except Ended:
                pass
            killed += imapd.end() == -signal.SIGKILL
        box.check_anew([settle_quickly])
    check_log(box.log)
    assert killed >= 4
    box.wait()
    box.check_anew([settle_quickly])
    assert _check_index(box) >= MESSAGES * 3
