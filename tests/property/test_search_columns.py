"""SEARCH key by key over columns finds what looking at one message after the other finds, whatever is remembered."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from imapd.message import Message
from imapd.search import matching
from imapd.view import View
from imapd.wire import numset
from maildir import dates, encodedword
from maildir.folder import Folder
from tests.corpus import generate

Node = tuple[Any, ...]

COUNT = 90


@pytest.fixture(scope="module", params=["on", "off"])
def view(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAP_INDEX", request.param)
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield from _filled(tmp_path_factory)
    time.tzset()


def _filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    maildir = tmp_path_factory.mktemp("search") / "Maildir"
    generate.fill(maildir, COUNT, seed=12, max_octets=9000)
    _add(maildir, "1704067200.a.host:2,S", b"Subject: a  b\n\tc\nSubject: =?utf-8?q?Stra=C3=9Fe_=E2=80=87?= x\nTo:\n\n")
    _add(maildir, "1704067201.b.host:2,", b"From: a~\x1b$b\x1c\xe4\xff <x@y>\nDate: 1 Jan 2024 23:30:00 -0500\n\nx\n")
    _add(maildir, "1704067202.c.host:2,T", b"Subject: " + b"long words " * 3000 + b"\n\nlong subject\n")
    folder = Folder(os.fsencode(maildir))
    yield View(b"INBOX", b".", folder, folder.scan(), read_only=True)
    folder.index.close()


def _add(maildir: Path, name: str, content: bytes) -> None:
    path = maildir / "cur" / name
    path.write_bytes(content)
    os.utime(path, (1704067200 + 5 * 3600 - 1,) * 2)  # the last second of 2023 in New York


_FLAGS = {b"DRAFT": 1, b"FLAGGED": 2, b"ANSWERED": 4, b"SEEN": 8, b"DELETED": 16}


def _agrees(view: View, index: int, node: Node) -> bool:
    """The meaning of a key for one message, worked out from its file."""
    name, *operands = node
    with Message(view, index) as message:
        if name == b"ALL":
            return True
        if name == b"AND":
            return all(_agrees(view, index, one) for one in operands[0])
        if name == b"OR":
            return any(_agrees(view, index, one) for one in operands)
        if name == b"NOT":
            return not _agrees(view, index, operands[0])
        if name in _FLAGS:
            return bool(view.flags[index] & _FLAGS[name])
        if name == b"UID":
            return view.uids[index] in [view.uids[place] for place in operands[0].indexes_of_uids(view.uids)]
        if name in (b"LARGER", b"SMALLER"):
            size = message.content.wire_octets
            return size > operands[0] if name == b"LARGER" else size < operands[0]
        if name in (b"BEFORE", b"ON", b"SINCE"):
            return _compares(name, time.localtime(message.mtime)[:3], operands[0])
        if name in (b"SENTBEFORE", b"SENTON", b"SENTSINCE"):
            value = message.head.header.first(b"date")
            parsed = dates.parse(value) if value is not None else None
            return parsed is not None and _compares(name[4:], parsed.day_written, operands[0])
        field, text = operands if name == b"HEADER" else (name, operands[0])
        wanted = text.decode().casefold().split()
        return any(_holds(encodedword.decode(value), wanted) for value in message.head.header.every(field.lower()))


def _holds(text: str, words: list[str]) -> bool:
    return " ".join(words) in " ".join(text.casefold().split())


def _compares(name: bytes, day: tuple[int, ...], wanted: tuple[int, int, int]) -> bool:
    return {b"BEFORE": day < wanted, b"ON": day == wanted, b"SINCE": day >= wanted}[name]


_TEXTS = some.sampled_from(
    ["", " ", "a", "e", "re: ", "a b c", "b  C", "strasse", "STRASSE \u2007x", "\u00e4", "\u4e8b", "@", "example.com",
     "long words long", "\x1c", "x x", "\n", "sam@", "kitchen", "the", "~\x1b"]
)  # fmt: skip
_DAYS = some.sampled_from(
    [(2023, 12, 31), (2024, 1, 1), (2024, 1, 2), (1, 1, 1), (0, 1, 1), (9999, 12, 31), (1970, 1, 1)]
)
_KEYS: some.SearchStrategy[Node] = some.one_of(
    some.sampled_from([(b"ALL",), *((name,) for name in _FLAGS)]),
    some.builds(lambda text: (b"UID", numset.parse(text)), some.sampled_from([b"1:40", b"7", b"50:*", b"*", b"3,5:9"])),
    some.tuples(some.sampled_from([b"SUBJECT", b"FROM", b"TO", b"CC", b"BCC"]), _TEXTS.map(str.encode)),
    some.tuples(
        some.just(b"HEADER"),
        some.sampled_from([b"Message-ID", b"X-NEVER", b"subject", b"Received", b"List-Id", b"To", b""]),
        _TEXTS.map(str.encode),
    ),
    some.tuples(some.sampled_from([b"LARGER", b"SMALLER"]), some.sampled_from([0, 100, 1000, 5000, 1 << 40])),
    some.tuples(some.sampled_from([b"BEFORE", b"ON", b"SINCE", b"SENTBEFORE", b"SENTON", b"SENTSINCE"]), _DAYS),
)
_TREES = some.recursive(
    _KEYS,
    lambda nodes: some.one_of(
        some.tuples(some.just(b"NOT"), nodes),
        some.tuples(some.just(b"OR"), nodes, nodes),
        some.builds(lambda one, other: (b"AND", [one, other]), nodes, nodes),
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(_TREES)
def test_both_find_the_same(view: View, node: Node) -> None:
    wanted = [index for index in range(len(view)) if _agrees(view, index, node)]
    for _ in ("first", "again"):
        assert matching(view, None, node) == wanted
        view.index.flush()
