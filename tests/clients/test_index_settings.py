"""IMAP_INDEX and IMAP_FTS from etc/imapd, in both forms of the chain: what the administrator writes there is done."""

from __future__ import annotations

import contextlib
import hashlib
import imaplib
import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chain import CLIENT_SECONDS, START_SECONDS, Chain, Listener

from tests.clients.box import Box, letter

MESSAGES = 5
INDEX, TEXTS = "courierimapindex", "courierimapfulltext"


@contextlib.contextmanager
def configured(chain: Chain, **settings: str) -> Iterator[Listener]:
    """A server that was started while etc/imapd says so."""
    path = chain.prefix / "etc/imapd"
    before = path.read_bytes()
    with path.open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in settings.items())
    try:
        listener = chain.listen()
        yield listener
        listener.process.terminate()
        listener.process.wait(START_SECONDS)
    finally:
        path.write_bytes(before)


@pytest.fixture
def box(chain: Chain) -> Box:
    box = Box(chain, "indexed@example.com")
    for number in range(MESSAGES):
        box.deliver(letter(f"Letter {number}", f"nothing but hay, {'and a needle' if number == 3 else 'and straw'}"))
    return box


def searched(listener: Listener, box: Box, *criteria: str) -> bytes:
    """The numbers of the messages that a new session finds."""
    imap = imaplib.IMAP4("127.0.0.1", listener.port, timeout=CLIENT_SECONDS)
    imap.login(box.account.name, box.account.password)
    imap.select()
    status, (numbers,) = imap.search(None, *criteria)
    assert status == "OK"
    imap.logout()
    return bytes(numbers)


def owned(path: Path, box: Box) -> bool:
    """Whether the file is the account's, and nobody else can read it."""
    found = path.stat()
    return (found.st_uid, stat.S_IMODE(found.st_mode)) == (box.account.uid, 0o600)


def told(chain: Chain, box: Box) -> dict[str, Any]:
    """What maildirindex says of the INBOX, with what is set in etc/imapd.

    Of an index that is just being made it says that this is none yet.
    """
    command = [chain.prefix / "bin/maildirindex", "stats", "--json", box.maildir]
    done = subprocess.run(command, env={}, capture_output=True, timeout=START_SECONDS)
    assert not done.stderr
    (stats,) = json.loads(done.stdout)
    return dict(stats)


def texts(chain: Chain, box: Box) -> int:
    """Of how many messages the texts are in the index."""
    return int((told(chain, box).get("texts") or {"messages": 0})["messages"])


def test_the_index_can_be_elsewhere(chain: Chain, box: Box) -> None:
    elsewhere = chain.place / "indexes"
    elsewhere.mkdir(exist_ok=True)
    elsewhere.chmod(0o1777)
    with configured(chain, IMAP_INDEX=str(elsewhere)) as listener:
        for _ in range(2):  # made, and made use of
            assert searched(listener, box, "SUBJECT", '"letter 3"') == b"4"
        where = told(chain, box)["index"]
    own = elsewhere / str(box.account.uid)
    assert own.stat().st_uid == box.account.uid
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert where == str(own / hashlib.sha256(os.fsencode(box.maildir.resolve())).hexdigest()[:32])
    assert list(own.iterdir())
    assert all(owned(path, box) for path in own.iterdir())
    assert not list(box.maildir.glob(f"{INDEX}*"))
    assert told(chain, box)["index"] is None  # etc/imapd is as before


def test_the_index_is_in_the_folder_or_nowhere(chain: Chain, box: Box) -> None:
    for value, there in (("off", False), ("on", True)):
        with configured(chain, IMAP_INDEX=value) as listener:
            assert searched(listener, box, "SUBJECT", '"letter 3"') == b"4"
        assert (box.maildir / INDEX).exists() == there
    assert owned(box.maildir / INDEX, box)
    assert not (box.maildir / TEXTS).exists()


def test_texts_are_indexed_when_that_is_wanted(chain: Chain, box: Box) -> None:
    """While a client that has the folder open says nothing; then a part of a word is found."""
    with configured(chain, IMAP_FTS="1") as listener:
        imap = imaplib.IMAP4("127.0.0.1", listener.port, timeout=CLIENT_SECONDS)
        imap.login(box.account.name, box.account.password)
        imap.select()
        deadline = time.monotonic() + START_SECONDS
        while texts(chain, box) < MESSAGES:
            assert time.monotonic() < deadline, chain.log_text()
        assert imap.search(None, "BODY", "eedl") == ("OK", [b"4"])
        assert imap.search(None, "TEXT", '"letter 2"') == ("OK", [b"3"])
        assert imap.search(None, "BODY", "pins") == ("OK", [b""])
        imap.logout()
    assert owned(box.maildir / TEXTS, box)
