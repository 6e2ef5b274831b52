"""SORT: the order, and what is remembered of it."""

import os
from pathlib import Path

import pytest

from imapd import headercolumns, registry, sortorder
from imapd.extensions import sort
from imapd.session import Session
from imapd.view import View
from imapd.wire.lexer import Arguments
from maildir.account import Account
from maildir.folder import Folder

SUBJECTS = [b"pear", b"Apple", b"Re: pear", b"fig", b"apple", b"", b"Fig"]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    for part in ("cur", "new", "tmp"):
        (tmp_path / part).mkdir()
    for number, subject in enumerate(SUBJECTS, 1):
        path = tmp_path / "cur" / f"{number}.a.h:2,"
        path.write_bytes(b"Subject: %b\nFrom: u%d@x.org\n\n%b" % (subject, number % 3, b"x\n" * number))
        os.utime(path, (1_000_000_000 - number % 2, 1_000_000_000 - number % 2))
    return opened(tmp_path)


def opened(path: Path) -> Session:
    made = Session(Account(os.fsencode(path)), "sam", registry.FETCH_ITEMS, registry.STATUS_ITEMS)
    folder = Folder(os.fsencode(path))
    made.view = View(b"INBOX", b".", folder, folder.scan(), read_only=False)
    return made


def told(session: Session, what: bytes, by_uid: bool = False) -> list[int]:
    run = sort.uid_sort if by_uid else sort.sort
    (line,) = run(session, *sort.parse(Arguments(b" " + what)))
    words = line.removesuffix(b"\r\n").split(b" ")
    assert words[:2] == [b"*", b"SORT"]
    return [int(word) for word in words[2:]]


ORDERS = [
    (b"(SUBJECT)", [6, 2, 5, 4, 7, 1, 3]),
    (b"(REVERSE SUBJECT)", [1, 3, 4, 7, 2, 5, 6]),
    (b"(SIZE)", [1, 2, 4, 3, 6, 5, 7]),
    (b"(ARRIVAL REVERSE SUBJECT)", [1, 3, 7, 5, 4, 2, 6]),
    (b"(FROM)", [3, 6, 1, 4, 7, 2, 5]),
    (b"(REVERSE FROM SUBJECT)", [2, 5, 4, 7, 1, 6, 3]),
]


@pytest.mark.parametrize(("criteria", "order"), ORDERS)
def test_an_order_is_the_same_when_it_is_remembered(
    session: Session, monkeypatch: pytest.MonkeyPatch, criteria: bytes, order: list[int]
) -> None:
    assert told(session, criteria + b" utf-8 ALL") == order
    assert told(session, criteria + b" utf-8 ALL", by_uid=True) == order

    def read(*_: object) -> None:
        raise AssertionError("asked of the messages")

    monkeypatch.setattr(headercolumns, "read", read)
    assert told(session, criteria + b" utf-8 ALL") == order
    assert told(session, criteria + b" utf-8 NOT DELETED") == order
    assert told(session, criteria + b" utf-8 2:6") == [number for number in order if 2 <= number <= 6]


def test_uids_and_numbers_are_not_taken_for_each_other(session: Session, tmp_path: Path) -> None:
    assert told(session, b"(SUBJECT) utf-8 ALL") == [6, 2, 5, 4, 7, 1, 3]
    (tmp_path / "cur/2.a.h:2,").unlink()
    again = opened(tmp_path)
    for _ in range(2):
        assert told(again, b"(SUBJECT) utf-8 ALL") == [5, 4, 3, 6, 1, 2]
        assert told(again, b"(SUBJECT) utf-8 ALL", by_uid=True) == [6, 5, 4, 7, 1, 3]
    assert told(session, b"(SUBJECT) utf-8 ALL") == [6, 2, 5, 4, 7, 1, 3]


def test_an_order_without_a_message_that_could_not_be_read_is_not_remembered(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "cur/1.a.h:2,"
    octets = path.read_bytes()
    path.unlink()
    path.mkdir()
    first = told(session, b"(SUBJECT) utf-8 ALL")
    path.rmdir()
    path.write_bytes(octets)
    assert first != told(session, b"(SUBJECT) utf-8 ALL") == [6, 2, 5, 4, 7, 1, 3]


def test_nothing_to_sort(session: Session) -> None:
    assert told(session, b"(SUBJECT) utf-8 DELETED") == []


def test_a_remembered_answer_of_other_messages_is_not_told(session: Session) -> None:
    view = session.selected()
    told(session, b"(SUBJECT) utf-8 ALL")
    view.index.remember_answer(b"order SUBJECT", b"x" * 16 + b"1 2 3")
    assert told(session, b"(SUBJECT) utf-8 ALL") == [6, 2, 5, 4, 7, 1, 3]
    view.index.remember_answer(b"order SUBJECT", sortorder.digest(view) + b"1 2 3")
    assert told(session, b"(SUBJECT) utf-8 ALL") == [1, 2, 3]  # so it is this key
