"""POP3 under any input: answers are lines, lists read and written are the same, ids stay."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from maildir import sizelist
from maildir.maildrop import Maildrop
from pop3d import commands
from pop3d.session import Session
from pop3d.wire import response
from pop3d.wire.command import MAX_LINE, Lines

VERBS = b"STAT LIST UIDL RETR TOP DELE RSET NOOP CAPA LANG UTF8 USER X".split()

anything = st.one_of(
    st.binary(max_size=80).filter(lambda line: b"\n" not in line),
    st.tuples(st.sampled_from(VERBS), st.sampled_from([b"", b" 1", b" 2", b" 3", b" 0", b" 99999999999999999999"]),
              st.sampled_from([b"", b" 0", b" 1", b" x", b"\r", b"\t"])).map(b"".join),
    st.sampled_from([b"uidl", b"Retr 1", b"TOP 1 5", b" \tSTAT", b"RETR  2"]),
)  # fmt: skip


def a_drop(folder: str) -> Path:
    for name in ("cur", "new", "tmp"):
        os.mkdir(f"{folder}/{name}")
    cur = Path(folder, "cur")
    (cur / "1.a.host:2,").write_bytes(b"Subject: x\n\n.dot\nand no end")
    (cur / "2.b.host:2,S").write_bytes(b"Subject: \xc3\xa9\n\nbody\n")
    (cur / "3.c.host").write_bytes(b"")
    return cur


@settings(max_examples=200)
@given(st.lists(anything, max_size=25))
def test_every_line_gets_an_answer(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        a_drop(folder)
        session = Session(Maildrop(os.fsencode(folder)), "user=x")
        for line in lines:
            if line.split(None, 1)[:1] and line.split()[0].upper() == b"QUIT":
                continue
            try:
                answer = b"".join(commands.execute(session, line))
            except commands.TooManyViolations:
                assert session.violations == response.MAX_VIOLATIONS
                return
            assert_whole(answer)


def assert_whole(answer: bytes) -> None:
    """One line, or several up to the dot, none of which holds an octet that ends lines otherwise."""
    first, rest = answer.split(b"\r\n", 1)
    assert first.startswith((b"+OK", b"-ERR"))
    assert b"\n" not in first
    if rest:
        assert first.startswith(b"+OK")
        assert rest.endswith(b"\r\n.\r\n") or rest == b".\r\n"
        assert b".\r\n" not in [line + b"\r\n" for line in rest.split(b"\r\n")[:-2]]
        assert rest.count(b"\n") == rest.count(b"\r\n")


@given(st.lists(st.binary(max_size=3 * MAX_LINE // 2), max_size=6))
def test_lines_do_not_depend_on_how_octets_arrive(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    lines = Lines()
    found = []
    for piece in pieces:
        lines.feed(piece)
        while (line := lines.next_line()) is not None:
            found.append(line)
    assert found == [line.removesuffix(b"\r")[:MAX_LINE] for line in whole.split(b"\n")[:-1]]


names = st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & set(b"\n :/\0"))
entry = st.tuples(st.integers(0, 10**17), st.booleans(), st.sampled_from([b"", b":2,", b":2,FS", b":1,x", b":2,:"]))


@given(st.dictionaries(names, entry, max_size=30), st.integers(1, 2**31), st.integers(1, 10**8))
def test_what_is_written_is_read(messages: dict[bytes, tuple[int, bool, bytes]], validity: int, first: int) -> None:
    known = sizelist.SizeList(validity, first)
    for name, (size, eightbit, info) in messages.items():
        known.give(name + info, size, eightbit)
    octets = b"".join(known.render())
    again = sizelist.parse(octets, 1)
    assert (again.fault, again.entries) == ("", known.entries)
    assert (again.validity, again.next_number) == (validity, known.next_number)
    assert b"".join(again.render()) == octets
    assert_usual_is(octets, again)


@given(st.binary(max_size=200), st.integers(0, 200), st.sampled_from([b"", b" ", b"\n", b":", b"0", b"-", b"x"]))
def test_the_quick_way_never_reads_otherwise(junk: bytes, place: int, put: bytes) -> None:
    """Whatever is in the file: what is taken for usual, parse() understands the same way."""
    lines = b"/3 20 1700\nkey.one:2,S 10 1:1700:0\nkey.two:2, 200 12:1699:1\nkey.three 3 13:1700:0\n"
    changed = [lines[:place] + put + lines[place + skipped :] for skipped in (0, 1)]
    for octets in (junk, b"/3 9 1\n" + junk, *changed):
        if sizelist.usual(octets) is not None:
            assert_usual_is(octets, sizelist.parse(octets, 1))


def assert_usual_is(octets: bytes, known: sizelist.SizeList) -> None:
    usual = sizelist.usual(octets)
    if usual is None:
        return
    assert known.fault == ""
    entries = list(known.entries.values())
    assert usual.keys == list(known.entries)
    assert usual.sizes == [one[1] for one in entries]
    assert usual.uidls == [sizelist.uidl(one) for one in entries]
    assert usual.raw == {index for index, one in enumerate(entries) if one[4]}


def test_a_list_as_it_always_is_takes_the_quick_way() -> None:
    known = sizelist.SizeList(1700, 5)
    for number in range(100):
        known.give(b"%d.M1P2.host,S=12:2,RS" % number, 12, number % 7 == 0)
    octets = b"".join(known.render())
    assert sizelist.usual(octets) is not None
    assert_usual_is(octets, sizelist.parse(octets, 1))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["deliver", "remove", "flag", "look"]), st.integers(0, 9))))
def test_an_id_stays_with_its_message(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cur = a_drop(folder)
        given_out: dict[bytes, bytes] = {}
        for count, (step, number) in enumerate(steps):
            there = sorted(cur.iterdir())
            if step == "deliver":
                Path(folder, "new", f"{10 + count}.n.host").write_bytes(b"x\n" * number)
            elif step == "remove" and there:
                there[number % len(there)].unlink()
            elif step == "flag" and there:
                one = there[number % len(there)]
                one.rename(cur / (one.name.partition(":")[0] + ":2," + "FS"[number % 2]))
            ids = look(folder)
            assert len(set(ids.values())) == len(ids)
            for key, uidl in ids.items():
                assert given_out.setdefault(key, uidl) == uidl
            assert not {uidl for key, uidl in given_out.items() if key not in ids} & set(ids.values())


def look(folder: str) -> dict[bytes, bytes]:
    drop = Maildrop(os.fsencode(folder))
    assert drop.unsaved is None
    return dict(zip([name.partition(b":")[0] for name in drop._names], drop.uidls(), strict=True))
