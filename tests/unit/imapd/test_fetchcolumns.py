"""FETCH by columns: what is remembered, and what is told of messages that are gone."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from imapd import fetchcolumns, headercolumns, registry
from imapd.commands import fetch
from imapd.errors import No
from imapd.session import Session
from imapd.view import View
from imapd.wire.lexer import Arguments
from maildir import heap
from maildir.account import Account
from maildir.folder import Folder


@pytest.fixture
def session(tmp_path: Path) -> Session:
    for part in ("cur", "new", "tmp"):
        (tmp_path / part).mkdir()
    for number in range(1, 301):
        path = tmp_path / "cur" / f"{number}.a.h:2,S"
        path.write_bytes(b"Subject: s%d\nX-Odd: %d\n\n%s" % (number, number, b"x\n" * number))
        os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number))
    account = Account(os.fsencode(tmp_path))
    made = Session(account, "sam", registry.FETCH_ITEMS, registry.STATUS_ITEMS)
    folder = Folder(os.fsencode(tmp_path))
    made.view = View(b"INBOX", b".", folder, folder.scan(), read_only=False)
    return made


def told(session: Session, what: bytes) -> list[bytes]:
    return b"".join(run(session, what)).splitlines(keepends=True)


def run(session: Session, what: bytes) -> Generator[bytes, None, None]:
    return fetch.fetch(session, *fetch.parse(Arguments(b" " + what)))


ALL = b"1:* (UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODY BODYSTRUCTURE)"


def test_what_is_remembered_is_told_as_it_was_read(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    first = told(session, ALL)
    assert len(first) == 300
    assert first[299].startswith(b"* 300 FETCH (UID 300 FLAGS (\\Seen \\Recent) RFC822.SIZE 929 INTERNALDATE ")

    def opened(*_: object) -> None:
        raise AssertionError("a message was opened")

    monkeypatch.setattr(fetchcolumns, "Message", opened)
    assert told(session, ALL) == first
    assert told(session, b"7,9:11,300 RFC822.SIZE") == [
        b"* %d FETCH (RFC822.SIZE %d)\r\n"
        % (number, len(b"Subject: s%d\r\nX-Odd: %d\r\n\r\n" % (number, number)) + 3 * number)
        for number in (7, 9, 10, 11, 300)
    ]


def test_dates_are_told_from_what_sort_remembers_and_the_other_way_round(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = session.view
    assert view is not None
    lost: set[int] = set()
    seconds = headercolumns.read(view, (headercolumns.INTERNALDATE,), range(100), lost)
    told(session, b"101:300 INTERNALDATE")

    def opened(*_: object) -> None:
        raise AssertionError("a message was opened")

    monkeypatch.setattr(fetchcolumns, "Message", opened)
    monkeypatch.setattr(headercolumns, "Message", opened)
    assert [b'INTERNALDATE "09-Sep-2001 ' in line for line in told(session, b"1:* INTERNALDATE")] == [True] * 300
    (dates,) = headercolumns.read(view, (headercolumns.INTERNALDATE,), range(300), lost)
    assert dates == [b"%d" % (1_000_000_000 + number) for number in range(1, 301)]
    assert seconds == [dates[:100]]


def test_the_octets_of_header_fields_are_counted_however_they_are_told(session: Session) -> None:
    what = b"1:* BODY.PEEK[HEADER.FIELDS (Subject)]"
    first = b"".join(run(session, what))
    counted = session.header_octets
    assert counted == sum(len(b"Subject: s%d\r\n\r\n" % number) for number in range(1, 301))
    assert b"".join(run(session, what)) == first
    assert session.header_octets == 2 * counted


def test_fields_that_are_asked_of_few_messages_are_not_remembered(session: Session) -> None:
    assert session.view is not None
    told(session, b"1:3 BODY.PEEK[HEADER.FIELDS (X-Odd)]")
    assert session.view.index.kinds() == []
    told(session, b"1:30 BODY.PEEK[HEADER.FIELDS (X-Odd)]")
    assert session.view.index.kinds() == [b'BODY[HEADER.FIELDS ("X-Odd")]']


def test_a_message_that_is_gone_is_told_while_it_is_remembered(session: Session, tmp_path: Path) -> None:
    first = told(session, b"1:5 ENVELOPE")
    (tmp_path / "cur/3.a.h:2,S").unlink()
    assert told(session, b"1:5 ENVELOPE") == first
    answer: list[bytes] = []
    with pytest.raises(No) as raised:
        answer.extend(run(session, b"1:5 (ENVELOPE RFC822.SIZE)"))
    assert raised.value.code == b"EXPUNGEISSUED"
    assert [line.split()[1] for line in b"".join(answer).splitlines()] == [b"1", b"2", b"4", b"5"]


def test_large_values_are_told_before_there_are_many(session: Session, tmp_path: Path) -> None:
    for number in range(1, 11):
        (tmp_path / f"cur/{number}.a.h:2,S").write_bytes(b"X-Odd: " + b"y" * 60_000 + b"\n\n")
    pieces = list(run(session, b"1:20 BODY.PEEK[HEADER]"))
    assert max(map(len, pieces)) < 200_000
    lines = b"".join(pieces).split(b"\r\n* ")
    assert [line.removeprefix(b"* ").split()[0] for line in lines] == [b"%d" % number for number in range(1, 21)]


def test_memory_for_many_messages_is_kept_until_the_client_is_silent(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(heap, "_expected", 0)
    monkeypatch.setattr(heap, "_call", lambda name, *numbers: called.append(name))
    told(session, b"1:3 FLAGS")
    assert called == []
    told(session, b"1:* FLAGS")
    assert set(called) == {"mallopt"}
    while session.idle() is not None:
        pass
    assert called[-1] == "malloc_trim"
    assert called.count("malloc_trim") == 1


def test_values_stand_where_they_were_asked_for(session: Session) -> None:
    assert b"".join(told(session, b"7:8 (BODY.PEEK[HEADER.FIELDS (Subject)] UID RFC822.SIZE)")) == (
        b'* 7 FETCH (BODY[HEADER.FIELDS ("Subject")] {15}\r\nSubject: s7\r\n\r\n UID 7 RFC822.SIZE 46)\r\n'
        b'* 8 FETCH (BODY[HEADER.FIELDS ("Subject")] {15}\r\nSubject: s8\r\n\r\n UID 8 RFC822.SIZE 49)\r\n'
    )
    assert told(session, b"2 (UID)") == [b"* 2 FETCH (UID 2)\r\n"]
    assert told(session, b"2,4 (RFC822.SIZE UID FLAGS UID)")[1] == (
        b"* 4 FETCH (RFC822.SIZE 37 UID 4 FLAGS (\\Seen \\Recent) UID 4)\r\n"
    )


@pytest.mark.parametrize("name", [b"X-%d", b"X-%%", b"%b"])
def test_field_names_with_percent_signs_are_told_as_they_were_asked(session: Session, name: bytes) -> None:
    line = b'BODY[HEADER.FIELDS ("%b")] {2}\r\n' % name
    answers = [told(session, b"1:* BODY.PEEK[HEADER.FIELDS (%b)]" % name) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0][0] == b"* 1 FETCH (" + line


def test_of_a_literal_only_its_octets_are_remembered(session: Session) -> None:
    assert session.view is not None
    told(session, b"1:* BODY.PEEK[HEADER.FIELDS (Subject)]")
    values = session.view.index.values(b'BODY[HEADER.FIELDS ("Subject")]', [9])
    assert values == [b"Subject: s9\r\n\r\n"]


def test_stretches_of_any_size_tell_each_message_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetchcolumns, "BLOCK", 64)
    first = told(session, b"1:* (UID ENVELOPE)")
    for octets in (0, 5000, 50_000):
        monkeypatch.setattr(fetchcolumns, "_REMEMBERED_OCTETS", octets)
        assert told(session, b"1:* (UID ENVELOPE)") == first
        assert told(session, b"1:99,101:* (UID ENVELOPE)") == first[:99] + first[100:]


@pytest.mark.parametrize(
    ("what", "positions"),
    [
        (b"1:*", range(300)),
        (b"300:2", range(1, 300)),
        (b"7", range(6, 7)),
        (b"1:2,3:4", range(4)),
        (b"1,3", [0, 2]),
    ],
)
def test_messages_in_a_row_take_no_memory(session: Session, what: bytes, positions: range | list[int]) -> None:
    view = session.selected()
    messages, _ = fetch.parse(Arguments(b" " + what + b" FLAGS"))
    assert list(view.positions_of(messages)) == view.indexes_of(messages) == list(positions)
    if what != b"1:2,3:4":  # which may be put together or not
        assert isinstance(view.positions_of(messages), type(positions))
