"""An index of the texts that is killed while it is filled, broken, cannot be written: searches find what is there."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from imapd.textcheck import TextCheck, TextDatabase
from maildir.folder import Folder
from tests.answers import Garbled
from tests.faults.indexed import Box, settle_quickly
from tests.faults.traced import Traced, needed
from tests.forked import Client, Ended, check_log

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

MESSAGES = 60
FTS = {"IMAP_FTS": "1"}
QUESTIONS = (
    b"UID SEARCH BODY x7x", b"UID SEARCH TEXT x12", b"UID SEARCH NOT BODY 1", b"UID SEARCH NOT BODY x1",
    b"UID SEARCH BODY no-such", b"UID SEARCH TEXT ann1",
)  # fmt: skip


def told(client: Client) -> list[list[bytes]]:
    """What is found, asked twice: what was scanned first is known then."""
    found: list[list[bytes]] = []
    assert client.command(b"SELECT INBOX")[-1].kind == b"OK"
    for question in (*QUESTIONS, *QUESTIONS):
        answer = client.command(question)
        assert answer[-1].kind == b"OK", answer
        found += [values for response in answer if response.kind == b"SEARCH" for values in [list(response.values)]]
    assert len(found) == 2 * len(QUESTIONS)
    return found


def truth(box: Box) -> list[list[bytes]]:
    """The same without any index."""
    with box.session(IMAP_INDEX="off") as imapd:
        return told(imapd.client)


def file_of(box: Box) -> Path:
    return box.path / "courierimapfulltext"


def filled(box: Box) -> bytes:
    """Have all put in, and give the file's octets."""
    from imapd.textfilling import TextFilling
    from imapd.view import View

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAP_FTS", "1")
        patch.setenv("IMAP_INDEX", "on")
        folder = Folder(os.fsencode(box.path))
        view = View(b"", b"", folder, folder.scan(), read_only=True)
        for _ in TextFilling(view, thorough=True).steps():
            pass
        view.close()
    return file_of(box).read_bytes()


def check_texts(box: Box) -> int:
    """Whether what is in it is right; gives of how many messages."""
    database = TextDatabase(os.fsencode(file_of(box)))
    try:
        check = TextCheck(database, Folder(os.fsencode(box.path)))
        check.run(lambda done, count: None)
    finally:
        database.close()
    assert check.problems == []
    return check.compared


def lines(box: Box) -> list[str]:
    """What the log says about it."""
    check_log(box.log)
    return [line for line in box.log.read_text().splitlines() if "courierimapfulltext" in line or "full-text" in line]


@pytest.fixture(scope="module")
def kept_box(tmp_path_factory: pytest.TempPathFactory) -> Box:
    return Box(tmp_path_factory.mktemp("fulltext"), MESSAGES)


@pytest.fixture
def box(kept_box: Box) -> Box:
    for path in kept_box.path.glob("courierimapfulltext*"):
        path.unlink()
    kept_box.log.write_text("")
    return kept_box


def test_killed_at_the_nth_call(box: Box) -> None:
    needed()
    right = truth(box)

    def calls(kill: int) -> int:
        traced = Traced(kill=kill)
        with box.session([settle_quickly, traced], **FTS) as imapd:
            traced.begin()
            imapd.client.send(b"SELECT INBOX")
            for question in QUESTIONS:
                imapd.client.send(question)
            imapd.client.send(b"LOGOUT")
            with contextlib.suppress(Ended, Garbled):  # a session whose client is gone may do less
                while True:
                    imapd.client.next_response()
            assert imapd.end() in (-signal.SIGKILL, 0)
        return traced.count

    whole = calls(1 << 30)
    assert whole > 20
    assert check_texts(box) > 0
    chance = random.Random(1)
    for point in range(9):
        for path in box.path.glob("courierimapfulltext*"):
            if chance.random() < 0.7:
                path.unlink()  # also the database from its log of writes, or that from the database
        calls(1 + (point * whole + chance.randrange(whole)) // 9)
        with box.session(**FTS) as imapd:
            assert told(imapd.client) == right
    with box.session(**FTS) as imapd:
        assert told(imapd.client) == right
    assert check_texts(box) > 0


def cut(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def cut_between_pages(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size // 16384) * 16384)


def wipe_pages(path: Path, chance: random.Random) -> None:
    octets = bytearray(path.read_bytes())
    for at in range(0, len(octets), 16384):
        if chance.random() < 0.5:
            octets[at : at + 16384] = bytes(16384) if chance.random() < 0.5 else chance.randbytes(16384)
    path.write_bytes(octets)


def make_a_directory(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("break_it", [cut, cut_between_pages, wipe_pages, make_a_directory])
def test_broken(box: Box, break_it: Callable[[Path, random.Random], None]) -> None:
    right, whole = truth(box), filled(box)
    for seed in range(4):
        for path in box.path.glob("courierimapfulltext*"):
            path.rmdir() if path.is_dir() else path.unlink()
        file_of(box).write_bytes(whole)
        box.log.write_text("")
        break_it(file_of(box), random.Random(seed))
        with box.session(**FTS) as imapd:
            assert told(imapd.client) == right
        assert len(lines(box)) <= 1
        assert all("it is made anew" in line for line in lines(box))
        assert check_texts(box) > 0


@pytest.mark.parametrize("octets", [0, 20_000, 60_000, 150_000])
def test_no_file_may_grow_beyond(box: Box, octets: int) -> None:
    right = truth(box)
    with box.session([lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets))], **FTS) as imapd:
        assert told(imapd.client) == right
        assert told(imapd.client) == right
    assert len(lines(box)) <= 1


def test_disk_full_at_the_nth_write(box: Box) -> None:
    needed()
    right = truth(box)

    def writes(full: int) -> int:
        for path in box.path.glob("courierimapfulltext*"):
            path.unlink()
        box.log.write_text("")
        traced = Traced(full=full)
        with box.session([settle_quickly, traced], **FTS) as imapd:
            traced.begin()
            assert told(imapd.client) == right
        assert len(lines(box)) <= 1
        return traced.count

    count = writes(1 << 30)
    assert count > 5
    for point in range(4):
        writes(1 + point * count // 4)
    with box.session(**FTS) as imapd:
        assert told(imapd.client) == right
