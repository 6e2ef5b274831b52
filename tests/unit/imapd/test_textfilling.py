"""The index of the texts is filled while a client is silent, and once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imapd import textfilling
from imapd.search import matching
from imapd.textfilling import TextFilling
from imapd.view import View
from maildir import fulltext
from maildir.folder import Folder

COUNT = 300


@pytest.fixture
def maildir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAP_FTS", "1")
    monkeypatch.setenv("IMAP_FSYNC", "0")
    for name in ("cur", "new", "tmp"):
        (tmp_path / name).mkdir()
    for number in range(COUNT):
        put(tmp_path, number, b"the word%dword and others" % number)
    return tmp_path


def put(maildir: Path, number: int, body: bytes) -> None:
    (maildir / "cur" / f"{1_700_000_000 + number}.M{number}P1.host:2,").write_bytes(b"Subject: x\n\n" + body + b"\n")


def opened(maildir: Path) -> View:
    folder = Folder(os.fsencode(maildir))
    return View(b"INBOX", b".", folder, folder.scan(), read_only=False)


def lacking(view: View) -> list[int]:
    return view.folder.full_text.find("others", False, view.uidvalidity, view.uids, view.bases)[2]


def idle(view: View) -> int:
    """As the driver does; gives how many slices there were."""
    slices = 0
    while view._fill_texts() is not None:
        slices += 1
    return slices


def test_silence_fills_it(maildir: Path) -> None:
    view = opened(maildir)
    assert lacking(view) == list(range(COUNT))
    assert idle(view) > 0
    assert lacking(view) == []
    assert idle(view) == 0
    view.close()
    view = opened(maildir)
    filling = TextFilling(view)
    while filling.go_on() is not None:
        pass
    assert filling.looked_at == 0
    put(maildir, COUNT, b"one more, with others")
    list(view.changes())
    idle(view)
    assert lacking(view) == []
    assert matching(view, None, (b"BODY", b"ONE more")) == [COUNT]
    view.close()


def test_what_takes_long_is_left_to_others(maildir: Path) -> None:
    put(maildir, COUNT, b"others " * (textfilling._MOST_CHARACTERS // 7 + 1))
    put(maildir, COUNT + 1, b"others " * (fulltext.MAX_TEXT // 7 + 1))
    view = opened(maildir)
    idle(view)
    assert lacking(view) == [COUNT, COUNT + 1]
    for _ in TextFilling(view, thorough=True).steps():
        pass
    assert lacking(view) == []
    assert matching(view, None, (b"BODY", b"thers oth")) == [COUNT, COUNT + 1]
    view.close()


def test_a_search_puts_in_what_it_reads(maildir: Path) -> None:
    view = opened(maildir)
    assert len(matching(view, None, (b"BODY", b"others"))) == COUNT
    assert lacking(view) == []
    view.close()


def test_one_that_cannot_be_read_is_left_out(maildir: Path) -> None:
    view = opened(maildir)
    (maildir / "cur" / os.fsdecode(view.name(7))).unlink()
    idle(view)
    assert lacking(view) == [7]
    assert matching(view, None, (b"BODY", b"word7word")) == []
    view.close()


@pytest.mark.parametrize("name", ["IMAP_FTS", "IMAP_INDEX"])
def test_nothing_is_done_where_it_is_not_wanted(maildir: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0")
    view = opened(maildir)
    assert view._fill_texts() is None
    assert matching(view, None, (b"BODY", b"word7word")) == [7]
    view.close()
    assert not (maildir / "courierimapfulltext").exists()
