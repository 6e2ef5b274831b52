"""The full-text index: what it finds, and that it answers for no message but the one that was put in."""

from __future__ import annotations

import os
import sqlite3
from array import array
from pathlib import Path

import pytest

from maildir import fulltext, indexfile
from maildir.fulltext import BUFFER_MESSAGES, MAX_PHRASE, FullText

UIDVALIDITY = 7


@pytest.fixture(autouse=True)
def wanted(monkeypatch) -> None:
    monkeypatch.setenv("IMAP_FTS", "1")
    monkeypatch.setattr(indexfile, "_told", set())


class Box:
    """A folder of messages: uid to base name and texts."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.path = Path(os.fsdecode(root)) / "courierimapfulltext"
        self.messages: dict[int, tuple[bytes, tuple[str, str] | None]] = {}

    def add(self, uid: int, body: str, header: str = "subject: x", base: bytes = b"") -> None:
        self.messages[uid] = base or b"base%d" % uid, (header, body)

    def put(self, index: FullText) -> None:
        for uid, (base, texts) in self.messages.items():
            index.put(UIDVALIDITY, uid, base, texts)

    def find(
        self, index: FullText, phrase: str, with_headers: bool = False, uidvalidity: int = UIDVALIDITY
    ) -> tuple[list[int], list[int], list[int]]:
        """Uids: that hold it, that must be read, that are to be put in."""
        uids = array("I", sorted(self.messages))
        bases = [self.messages[uid][0] for uid in uids]
        found = index.find(phrase, with_headers, uidvalidity, uids, lambda start, end: bases[start:end])
        some, unknown, lacking = ([uids[position] for position in positions] for positions in found)
        return some, sorted(unknown), lacking


@pytest.fixture
def box(root) -> Box:
    box = Box(root)
    box.add(1, "the kitchen garden")
    box.add(2, "a garden\nkitchen", "subject: kitchen sink")
    box.add(127, "\u4e2d\u6587\u5b57 stra\u00dfe".casefold())
    box.add(128, 'a "quoted" nul\0inside')
    box.add(300, "")
    return box


@pytest.fixture
def index(box):
    index = FullText(box.root)
    box.put(index)
    yield index
    index.close()


@pytest.mark.parametrize(
    ("phrase", "found"),
    [
        ("kitchen", [1, 2]),
        ("itche", [1, 2]),
        ("the", [1]),
        ("en garden", [1]),
        ("garden kitchen", []),  # in two texts
        ("\u4e2d\u6587\u5b57", [127]),
        ("strasse", [127]),
        ('a "quo', [128]),
        ("ul", None),
        ("", None),
        ("nul\0in", None),
        ("nulinside", []),
        ("in\uffffside", None),
        ("ide", [128]),
        ("KITCHEN", []),  # phrases are folded, and so is what was put in
        ("body : the", []),
        ("kitchen OR garden", []),
    ],
)
def test_phrases(box, index, phrase, found) -> None:
    everything = [1, 2, 127, 128, 300]
    assert box.find(index, phrase) == (([], everything, []) if found is None else (found, [], []))


def test_header_fields_count_when_they_are_to(box, index) -> None:
    assert box.find(index, "sink") == ([], [], [])
    assert box.find(index, "sink", with_headers=True)[0] == [2]
    assert box.find(index, "garden", with_headers=True)[0] == [1, 2]


def test_of_a_long_phrase_only_candidates_are_known(box, index) -> None:
    phrase = "long words " * 20
    box.add(5, phrase.strip())
    box.put(index)
    assert box.find(index, phrase[:MAX_PHRASE])[0] == [5]
    assert box.find(index, phrase[: MAX_PHRASE + 1]) == ([], [5], [])
    assert box.find(index, phrase[:MAX_PHRASE] + "other") == ([], [5], [])


def test_a_message_that_is_not_in_is_unknown(box, index) -> None:
    box.add(3, "kitchen")
    box.add(129, "kitchen")
    assert box.find(index, "kitchen") == ([1, 2], [3, 129], [3, 129])
    box.put(index)
    assert box.find(index, "kitchen") == ([1, 2, 3, 129], [], [])


def test_one_that_is_too_long_is_unknown_and_not_put_in_again(box, index) -> None:
    box.messages[3] = b"base3", None
    box.put(index)
    assert box.find(index, "kitchen") == ([1, 2], [3], [])


def test_one_that_is_gone_does_not_answer(box, index) -> None:
    del box.messages[1]
    assert box.find(index, "kitchen") == ([2], [], [])


def test_one_that_has_the_uid_of_another_is_unknown(box, index) -> None:
    index.flush()
    box.add(1, "something else", base=b"another")
    assert box.find(index, "kitchen") == ([2], [1], [1])
    box.put(index)
    assert box.find(index, "kitchen") == ([2], [], [])
    assert box.find(index, "something") == ([1], [], [])
    box.add(1, "the kitchen garden")
    assert box.find(index, "kitchen") == ([2], [1], [1])


def test_another_uidvalidity_drops_all(box, index) -> None:
    index.flush()
    assert box.find(index, "kitchen", uidvalidity=8)[:2] == ([], sorted(box.messages))
    index.put(8, 1, b"base1", ("", "kitchen"))
    assert box.find(index, "kitchen", uidvalidity=8)[0] == [1]
    assert box.find(index, "kitchen") == ([], sorted(box.messages), sorted(box.messages))


def test_several_sessions_see_what_the_others_put_in(box, index) -> None:
    other = FullText(box.root)
    assert box.find(index, "kitchen")[0] == [1, 2]
    assert box.find(other, "kitchen")[0] == [1, 2]
    box.add(3, "kitchen")
    box.put(other)
    other.flush()
    assert box.find(index, "kitchen") == ([1, 2, 3], [], [])
    box.put(index)
    index.flush()
    assert documents(box) == 6
    other.close()


def documents(box: Box) -> int:
    connection = sqlite3.connect(box.path)
    try:
        return int(connection.execute("SELECT value FROM meta WHERE key = 'documents'").fetchone()[0])
    finally:
        connection.close()


def test_what_was_left_behind_is_dropped_some_time(box, index, monkeypatch) -> None:
    monkeypatch.setattr(fulltext, "_FEW_LEFT_BEHIND", 3)
    index.flush()
    assert not index.tidy(UIDVALIDITY, 2)
    assert index.tidy(UIDVALIDITY, 1)
    assert box.find(index, "kitchen") == ([], sorted(box.messages), sorted(box.messages))
    box.put(index)
    assert box.find(index, "kitchen")[0] == [1, 2]


def test_another_session_drops_all_and_gives_other_numbers(box, index, monkeypatch) -> None:
    monkeypatch.setattr(fulltext, "_FEW_LEFT_BEHIND", 0)
    uids = array("I", sorted(box.messages))
    bases = [box.messages[uid][0] for uid in uids]

    def find(phrase: str) -> tuple[list[int], list[int], list[int]]:
        return index.find(phrase, False, UIDVALIDITY, uids, lambda start, end: bases[start:end])

    assert find("kitchen") == ([0, 1], [], [])
    other = FullText(box.root)
    assert other.tidy(UIDVALIDITY, 1)
    for uid in (300, 128, 127):
        other.put(UIDVALIDITY, uid, *box.messages[uid])
    other.flush()
    other.put(UIDVALIDITY, 2, *box.messages[2])
    other.close()
    assert find("kitchen") == ([1], [0], [0])
    assert find("inside") == ([3], [0], [0])


def test_a_number_is_not_given_twice(box, index) -> None:
    """Or what was left behind would answer for another message."""
    for number in range(5):
        box.add(300, f"kitchen {number}", base=b"again%d" % number)
        box.put(index)
        index.flush()
        assert box.find(index, f"kitchen {number}")[0] == [300]
    assert box.find(index, "kitchen 0")[0] == []


def test_many_are_written_in_several_transactions(box, index) -> None:
    for uid in range(1000, 1000 + 2 * BUFFER_MESSAGES):
        index.put(UIDVALIDITY, uid, b"base%d" % uid, ("", "kitchen"))
    index.flush()
    other = FullText(box.root)
    for uid in range(1000, 1000 + 2 * BUFFER_MESSAGES):
        box.add(uid, "kitchen")
    assert len(box.find(other, "kitchen")[0]) == 2 + 2 * BUFFER_MESSAGES
    other.close()


def test_merging_comes_to_an_end_and_changes_nothing(box, index) -> None:
    for uid in range(1000, 1040):
        box.add(uid, f"kitchen number {uid} " + "of many words " * uid)
        box.put(index)
        index.flush()
    before = box.find(index, "kitchen")
    while index.merge():
        pass
    assert box.find(index, "kitchen") == before
    assert box.find(index, "number 1020")[0] == [1020]


@pytest.mark.parametrize("setting", ["0", "", "no"])
def test_it_is_off_unless_it_is_switched_on(box, monkeypatch, setting) -> None:
    monkeypatch.setenv("IMAP_FTS", setting)
    index = FullText(box.root)
    box.put(index)
    assert box.find(index, "kitchen") == ([], sorted(box.messages), [])
    index.close()
    assert not box.path.exists()


def test_without_an_index_there_is_none_of_texts(box, monkeypatch, capfd) -> None:
    monkeypatch.setenv("IMAP_INDEX", "off")
    index = FullText(box.root)
    box.put(index)
    assert box.find(index, "kitchen") == ([], sorted(box.messages), [])
    assert not box.path.exists()
    assert capfd.readouterr().err == ""


def test_elsewhere(box, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("IMAP_INDEX", str(tmp_path))
    index = FullText(box.root)
    box.put(index)
    assert box.find(index, "kitchen")[0] == [1, 2]
    index.close()
    assert not box.path.exists()
    assert len(list(tmp_path.glob("*/*-fulltext"))) == 1
    indexfile.drop(box.root)
    assert list(tmp_path.glob("*/*-fulltext*")) == []


def test_asking_makes_no_file(box) -> None:
    index = FullText(box.root)
    assert box.find(index, "kitchen") == ([], sorted(box.messages), sorted(box.messages))
    assert not box.path.exists()


# -- what can go wrong


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _ask(statement: str):
    def act(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()

    return act


def _other_owner_of_block(path: Path) -> None:
    connection = sqlite3.connect(path)
    (octets,) = connection.execute("SELECT octets FROM block WHERE id = 0").fetchone()
    connection.execute("UPDATE block SET octets = ? WHERE id = 1", (octets,))
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "break_it",
    [
        _garbage,
        _other_owner_of_block,
        _ask("PRAGMA user_version = 99"),
        _ask("DROP TABLE meta"),
        _ask("UPDATE meta SET value = 'x' WHERE key = 'documents'"),
        _ask("UPDATE block SET octets = x'00'"),
        _ask("UPDATE block SET octets = 'text'"),
        _ask("DELETE FROM text_data"),
        _ask("UPDATE text_data SET block = x'ffffffff' WHERE id > 10"),
        lambda path: path.write_bytes(path.read_bytes()[:16384]),
    ],
)
def test_a_file_that_is_wrong_is_made_anew(box, index, capfd, break_it) -> None:
    index.close()
    break_it(box.path)
    other = FullText(box.root)
    assert box.find(other, "kitchen")[:2] == ([], sorted(box.messages))
    box.put(other)
    assert box.find(other, "kitchen") == ([1, 2], [], [])
    other.close()
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert "it is made anew" in said[0]


def test_a_session_that_has_the_old_file_open_goes_on_with_the_new_one(box, index) -> None:
    index.flush()
    indexfile.drop(box.root)
    assert box.find(index, "kitchen")[0] == []
    box.put(index)
    assert box.find(index, "kitchen")[0] == [1, 2]


def test_what_is_locked_is_left_alone(box, index, capfd) -> None:
    index.flush()
    holder = sqlite3.connect(box.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    box.add(3, "kitchen")
    box.put(index)
    assert box.find(index, "kitchen") == ([1, 2], [3], [3])
    holder.execute("ROLLBACK")
    holder.close()
    box.put(index)
    assert box.find(index, "kitchen") == ([1, 2, 3], [], [])
    assert capfd.readouterr().err == ""


def test_a_full_disk_is_told_once_and_it_goes_on_without(box, index, capfd) -> None:
    index.flush()
    index._file.connection().execute("PRAGMA max_page_count = 1")
    for uid in range(1000, 1010):
        box.add(uid, "".join(chr(0x4E00 + number) for number in range(20000)))
    box.put(index)
    index.flush()
    assert box.find(index, "kitchen") == ([], sorted(box.messages), [])
    assert capfd.readouterr().err.count("goes on without its full-text index") == 1
    other = FullText(box.root)
    assert box.find(other, "kitchen")[0] == [1, 2]
    other.close()
