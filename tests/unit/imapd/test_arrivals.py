"""What the index of another folder gets to know of messages that are appended and copied to it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from imapd import filling, registry
from imapd.commands import append, copy, fetch
from imapd.session import Session
from imapd.view import View
from imapd.wire.lexer import Arguments
from maildir import listing
from maildir.account import Account
from maildir.folder import Folder

LETTER = b"Subject: appended\r\n\r\ntext\r\n"


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    return tmp_path / ".Sent"


@pytest.fixture
def session(tmp_path: Path, sent: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(listing, "SETTLED_NS", 20_000_000)  # a session is silent when it trusts the times of files
    for folder in (tmp_path, sent):
        for part in ("cur", "new", "tmp"):
            (folder / part).mkdir(parents=True)
    (sent / "maildirfolder").touch()
    for number in range(1, 31):
        (tmp_path / "cur" / f"{number}.a.h:2,S").write_bytes(b"Subject: s%d\n\ntext\n" % number)
    (sent / "cur" / "1.b.h:2,S").write_bytes(b"Subject: old\n\n")
    made = Session(Account(os.fsencode(tmp_path)), "sam", registry.FETCH_ITEMS, registry.STATUS_ITEMS)
    made.view = view_of(tmp_path)
    yield made
    made.arrivals.leave()
    made.view.index.close()


def view_of(path: Path) -> View:
    folder = Folder(os.fsencode(path))
    return View(b"INBOX", b".", folder, folder.scan(), read_only=False)


def ask(view: View, what: bytes) -> bytes:
    session = Session(Account(), "kim", registry.FETCH_ITEMS, registry.STATUS_ITEMS)
    session.view = view
    return b"".join(fetch.fetch(session, *fetch.parse(Arguments(b" " + what))))


def known(path: Path, kind: bytes) -> list[bytes | None]:
    view = view_of(path)
    values = view.index.values(kind, view.uids)
    view.index.close()
    return values


def used(path: Path) -> None:
    """Let a client have asked for something."""
    view = view_of(path)
    ask(view, b"1 ENVELOPE")
    view.index.close()


def put(session: Session) -> None:
    incoming = session.target(b".Sent").new_message()
    incoming.write(LETTER)
    session.incoming.append(incoming)
    assert list(append.append(session, b"INBOX.Sent", [b"\\Seen"], None)) == []


def silence(session: Session) -> None:
    while session.idle() is not None:
        pass


def test_what_is_appended_is_known_to_the_index_of_its_folder(session: Session, sent: Path) -> None:
    used(sent)
    for _ in range(3):
        put(session)
    assert known(sent, b"ENVELOPE")[1:] == [None] * 3
    silence(session)
    assert [value.split(b'"')[1] for value in known(sent, b"ENVELOPE") if value] == [b"old", *[b"appended"] * 3]
    assert known(sent, b"BODYSTRUCTURE") == [None] * 4


def test_a_folder_without_an_index_gets_none(session: Session, sent: Path) -> None:
    put(session)
    silence(session)
    assert list(copy.copy(session, *copy.parse(Arguments(b" 1:3 INBOX.Sent")))) == []
    silence(session)
    assert not (sent / "courierimapindex").exists()


def test_copies_get_what_is_known_of_the_originals(
    session: Session, sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(sent)
    view = session.selected()
    ask(view, b"3:5 ENVELOPE")
    list(copy.copy(session, *copy.parse(Arguments(b" 2:4 INBOX.Sent"))))
    monkeypatch.setattr(filling, "Message", None)
    silence_arrivals(session)
    values = known(sent, b"ENVELOPE")
    assert [value and value.split(b'"')[1] for value in values] == [b"old", None, b"s3", b"s4"]


def silence_arrivals(session: Session) -> None:
    while session.arrivals.go_on() is not None:
        pass


def test_what_is_known_of_an_appended_message_is_kept_when_the_session_ends(session: Session, sent: Path) -> None:
    used(sent)
    put(session)
    session.arrivals.go_on()
    session.arrivals.leave()
    assert known(sent, b"ENVELOPE")[1] is not None
