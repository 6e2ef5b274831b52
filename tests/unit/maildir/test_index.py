import contextlib
import os
import sqlite3
from array import array
from pathlib import Path

import pytest

from maildir import indexfile, indexrows
from maildir.columns import SHIFT, SPAN
from maildir.index import Index
from maildir.storedview import Reading

MARKS = b"marks of a folder that is at rest"


def reading(bases, uidvalidity=7, marks=MARKS, odd=None, origin=b"", flags=None):
    """A scan that found messages: base by uid."""

    def blocks():
        for block in sorted({uid >> SHIFT for uid in bases}):
            yield block, [bases.get((block << SHIFT) + slot) for slot in range(SPAN)]

    uids = array("I", sorted(bases))
    flags = bytes(len(uids)) if flags is None else flags
    unseen = flags.count(0)
    return Reading(uidvalidity, max(uids, default=0) + 1, uids, flags, unseen, marks, origin, blocks, lambda: odd or {})


def stored(root, bases, **more) -> Index:
    index = Index(root)
    index.offer(reading(bases, **more))
    assert index.store()
    return index


@pytest.fixture
def index(root):
    return stored(root, {uid: b"base%d" % uid for uid in range(1, 1001)})


def test_values_come_back_in_the_order_of_the_uids(root, index) -> None:
    for uid in (1, 127, 128, 500, 1000):
        index.remember(b"ENVELOPE", uid, b"of %d" % uid)
    index.flush()
    again = Index(root)
    assert again.stored(MARKS)
    for uids in ([1, 2, 127, 128, 500, 1000], [1000, 1, 500, 1], [500], range(1, 1001), range(126, 130), []):
        wanted = [b"of %d" % uid if uid in (1, 127, 128, 500, 1000) else None for uid in uids]
        assert again.values(b"ENVELOPE", uids) == wanted
    assert again.values(b"BODY", [1, 2]) == [None, None]


def test_what_is_remembered_is_seen_before_it_is_written(index) -> None:
    index.remember(b"ENVELOPE", 3, b"three")
    assert index.values(b"ENVELOPE", [2, 3]) == [None, b"three"]


def test_the_bases_are_a_column_too(index) -> None:
    assert index.values(indexrows.BASE, [1, 128, 1000]) == [b"base1", b"base128", b"base1000"]


def test_no_more_is_held_than_the_buffer_may(root, index) -> None:
    for uid in range(1, 1001):
        index.remember(b"ENVELOPE", uid, b"x" * 10000)
    again = Index(root)
    assert again.stored(MARKS)
    assert again.values(b"ENVELOPE", [1]) == [b"x" * 10000]


def test_a_value_that_is_too_long_is_not_remembered(index) -> None:
    index.remember(b"ENVELOPE", 1, b"x" * 16385)
    assert index.values(b"ENVELOPE", [1]) == [None]


def test_nothing_is_kept_of_a_message_that_the_index_does_not_know(root, index) -> None:
    index.remember(b"ENVELOPE", 1001, b"whose?")
    index.flush()
    assert index.values(b"ENVELOPE", [1001]) == [None]


def test_the_view_is_found_by_its_marks_only(root, index) -> None:
    again = Index(root)
    assert again.stored(b"others") is None
    found = again.stored(MARKS)
    assert found is not None
    assert (found.uidvalidity, found.uidnext, found.messages, found.unseen) == (7, 1001, 1000, 1000)
    assert found.uids == array("I", range(1, 1001))
    assert found.flags == bytes(1000)
    counts = again.counts(MARKS)
    assert counts is not None
    assert (counts.messages, counts.unseen) == (1000, 1000)


def test_a_scan_that_cannot_be_sure_is_no_view(root) -> None:
    index = stored(root, {1: b"a"}, marks=b"")
    assert index.stored(b"") is None
    assert index.values(indexrows.BASE, [1]) == [b"a"]


class TestWhoseValuesTheyAre:
    def test_another_message_with_the_uid_makes_the_block_forgotten(self, root, index) -> None:
        for uid in (1, 2, 200):
            index.remember(b"ENVELOPE", uid, b"old %d" % uid)
        index.flush()
        other = stored(root, {uid: b"base%d" % uid for uid in range(2, 1001)} | {1: b"another"})
        assert other.values(b"ENVELOPE", [1, 2, 200]) == [None, None, b"old 200"]

    def test_a_session_that_still_has_the_old_scan_is_told_nothing(self, root, index) -> None:
        other = stored(root, {uid: b"base%d" % uid for uid in range(2, 1001)} | {1: b"another"})
        other.remember(b"ENVELOPE", 1, b"new")
        other.flush()
        assert index.values(b"ENVELOPE", [1]) == [None]

    def test_nor_does_it_write(self, root, index) -> None:
        index.remember(b"ENVELOPE", 1, b"old")
        other = stored(root, {uid: b"base%d" % uid for uid in range(2, 1001)} | {1: b"another"})
        index.flush()
        assert other.values(b"ENVELOPE", [1]) == [None]

    def test_another_uidvalidity_is_another_world(self, root, index) -> None:
        index.remember(b"ENVELOPE", 1, b"old")
        index.flush()
        other = stored(root, {1: b"base1"}, uidvalidity=8)
        assert other.values(b"ENVELOPE", [1]) == [None]
        assert index.values(b"ENVELOPE", [1]) == [None]

    def test_messages_that_come_and_go_change_nothing_for_the_others(self, root, index) -> None:
        index.remember(b"ENVELOPE", 2, b"two")
        index.flush()
        rest = {uid: b"base%d" % uid for uid in range(2, 1001, 2)}
        other = stored(root, rest | {1001: b"new", 2000: b"newer"})
        assert other.values(b"ENVELOPE", [2]) == [b"two"]
        assert index.values(b"ENVELOPE", [2]) == [b"two"]

    def test_blocks_of_messages_that_are_gone_go(self, root, index) -> None:
        index.remember(b"ENVELOPE", 500, b"x")
        index.flush()
        stored(root, {1: b"base1"})
        back = stored(root, {1: b"base1", 500: b"base500"})
        assert back.values(b"ENVELOPE", [500]) == [None]

    def test_a_scan_is_stored_before_a_question_is_answered(self, root, index) -> None:
        index.remember(b"ENVELOPE", 1, b"old")
        index.flush()
        late = Index(root)
        late.offer(reading({1: b"another"}))
        assert late.values(b"ENVELOPE", [1]) == [None]

    def test_an_index_that_was_never_told_of_a_scan_knows_nothing(self, root, index) -> None:
        assert Index(root).values(indexrows.BASE, [1]) == [None]

    def test_values_of_messages_that_have_just_arrived(self, root, index) -> None:
        outside = Index(root)
        outside.arrived(7, 1001, b"new")
        outside.remember(b"ENVELOPE", 1001, b"of the new one")
        outside.flush()
        later = stored(root, {1: b"base1", 1001: b"new"})
        assert later.values(b"ENVELOPE", [1001]) == [b"of the new one"]

    def test_of_another_message_than_the_scan_finds_they_are_forgotten(self, root, index) -> None:
        outside = Index(root)
        outside.arrived(7, 1001, b"new")
        outside.remember(b"ENVELOPE", 1001, b"of the new one")
        outside.flush()
        assert stored(root, {1001: b"newer"}).values(b"ENVELOPE", [1001]) == [None]

    def test_the_bases_need_no_comparing_while_the_uid_list_is_the_same(self, root) -> None:
        stored(root, {1: b"a"}, origin=b"list 1")
        asked = []
        index = Index(root)
        again = reading({1: b"a"}, origin=b"list 1")
        blocks = again.blocks
        again.blocks = lambda: asked.append(1) or blocks()
        index.offer(again)
        assert index.store()
        assert asked == []
        again.origin = b"list 2"
        index.offer(again)
        assert index.store()
        assert asked == [1]


    @pytest.mark.parametrize(("changed", "waits"), [
        ({}, False), ({"origin": b"list 2"}, True), ({"uidvalidity": 8}, True), ({"marks": MARKS}, True),
        ({"odd": {1: b"a:2,x"}}, True), ({"origin": b""}, True),
    ])  # fmt: skip
    def test_only_what_is_to_be_stored_waits_for_a_writer(self, root, monkeypatch, changed, waits) -> None:
        monkeypatch.setattr(indexfile, "BUSY_SECONDS", 0.01)
        stored(root, {1: b"a"}, origin=b"list 1")
        index = Index(root)
        other = sqlite3.connect(os.fsdecode(root + b"/courierimapindex"), isolation_level=None)
        with contextlib.closing(other):
            other.execute("BEGIN IMMEDIATE")
            index.offer(reading({1: b"a"}, **{"marks": b"", "origin": b"list 1", "flags": b"\1", **changed}))
            assert index.store() is not waits
        assert index.store()
        assert index.values(indexrows.BASE, [1]) == [b"a"]


def test_odd_names_are_replaced_by_every_scan(root) -> None:
    assert stored(root, {1: b"a", 2: b"b"}, odd={1: b"a", 2: b"b:2,SF"}).values(indexrows.NAME, [1, 2]) == [
        b"a",
        b"b:2,SF",
    ]
    assert stored(root, {1: b"a", 2: b"b"}, odd={2: b"b:2,Sa"}).values(indexrows.NAME, [1, 2]) == [None, b"b:2,Sa"]
    assert stored(root, {1: b"a", 2: b"b"}).values(indexrows.NAME, [1, 2]) == [None, None]


def test_answers(root, index) -> None:
    index.remember_answer(b"key", b"* THREAD (1)(2)")
    again = Index(root)
    assert again.answer(b"key") is None
    assert again.stored(MARKS)
    assert again.answer(b"key") == b"* THREAD (1)(2)"
    assert again.answer(b"other") is None
    index.remember_answer(b"large", b"x" * ((4 << 20) + 1))
    assert again.answer(b"large") is None
    for number in range(indexrows.MAX_ANSWERS):
        index.remember_answer(b"%d" % number, b"")
    assert again.answer(b"key") is None
    assert again.answer(b"0") == b""


def test_kinds_that_were_asked_for(root, index) -> None:
    assert index.kinds() == []
    index.values(b"ENVELOPE", [1])
    index.remember(b"BODY[HEADER.FIELDS (X)]", 1, b"x")
    assert index.kinds() == [b"ENVELOPE", b"BODY[HEADER.FIELDS (X)]"]
    index.flush()
    assert Index(root).kinds() == [b"BODY[HEADER.FIELDS (X)]"]


def test_of_many_kinds_the_sections_that_clients_named_go_first(root, index) -> None:
    index.remember(b"ENVELOPE", 1, b"kept")
    for number in range(2 * indexrows.MAX_KINDS):
        index.remember(b"BODY[HEADER.FIELDS (X-%d)]" % number, 1, b"x")
        index.flush()
    with sqlite3.connect(os.fsdecode(root + b"/courierimapindex")) as connection:
        assert connection.execute("SELECT count(*) FROM kind").fetchone() == (indexrows.MAX_KINDS,)
    assert index.values(b"ENVELOPE", [1]) == [b"kept"]


class TestWhatCanGoWrong:
    def test_it_is_switched_off(self, root, monkeypatch, capfd) -> None:
        monkeypatch.setenv("IMAP_INDEX", "off")
        index = Index(root)
        index.offer(reading({1: b"a"}))
        index.remember(b"ENVELOPE", 1, b"x")
        index.flush()
        assert not index.usable()
        assert index.values(b"ENVELOPE", [1]) == [None]
        assert index.answer(b"key") is None
        assert index.kinds() == [b"ENVELOPE"]
        assert os.listdir(root) == [b"cur", b"new", b"tmp"] or sorted(os.listdir(root)) == [b"cur", b"new", b"tmp"]
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("damage", ["text", "half", "version", "foreign", "row"])
    def test_a_file_of_no_use_is_made_anew(self, root, index, damage, capfd) -> None:
        index.remember(b"ENVELOPE", 1, b"x")
        index.close()
        path = Path(os.fsdecode(root + b"/courierimapindex"))
        if damage == "text":
            path.write_bytes(b"no database\n" * 1000)
        elif damage == "half":
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2 // 16384 * 16384])
        else:
            connection = sqlite3.connect(path)
            if damage == "version":
                connection.execute("PRAGMA user_version = 99")
            elif damage == "foreign":
                connection.execute("PRAGMA application_id = 5")
            else:
                connection.execute("UPDATE block SET octets = zeroblob(600)")
            connection.commit()
            connection.close()
        again = Index(root)
        for _ in range(2):
            again.offer(reading({1: b"a"}))
            if again.store() and again.values(b"ENVELOPE", [1]) == [None]:
                break
        again.offer(reading({1: b"a"}))
        assert again.store()
        again.remember(b"ENVELOPE", 1, b"new")
        again.flush()
        assert again.values(b"ENVELOPE", [1]) == [b"new"]
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "it is made anew" in lines[0]

    def test_somebody_removes_it(self, root, index) -> None:
        index.remember(b"ENVELOPE", 1, b"x")
        index.flush()
        for suffix in (b"", b"-wal", b"-shm"):
            os.unlink(root + b"/courierimapindex" + suffix)
        assert index.values(b"ENVELOPE", [1]) == [None]
        index.offer(reading({1: b"base1"}))
        index.remember(b"ENVELOPE", 1, b"y")
        index.flush()
        assert stored(root, {1: b"base1"}).values(b"ENVELOPE", [1]) == [b"y"]

    def test_it_is_locked_for_long(self, root, index, capfd) -> None:
        other = sqlite3.connect(os.fsdecode(root + b"/courierimapindex"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        index.remember(b"ENVELOPE", 1, b"dropped")
        index.flush()
        other.execute("ROLLBACK")
        other.close()
        assert index.values(b"ENVELOPE", [1]) == [None]
        index.remember(b"ENVELOPE", 1, b"kept")
        index.flush()
        assert index.values(b"ENVELOPE", [1]) == [b"kept"]
        assert capfd.readouterr().err.count("goes on for a moment without its index") == 1

    @pytest.mark.parametrize("suffix", [b"", b"-wal", b"-shm", b"-view"])
    @pytest.mark.parametrize("what", [os.mkdir, os.mkfifo, lambda path: os.symlink(b"/dev/null", path)])
    def test_something_else_is_in_its_place(self, root, index, suffix, what, capfd) -> None:
        index.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(root + b"/courierimapindex" + suffix)
        what(root + b"/courierimapindex" + suffix)
        again = Index(root)
        assert again.usable()
        again.offer(reading({1: b"other"}))
        assert again.values(indexrows.BASE, [1]) == [b"other"]
        err = capfd.readouterr().err
        assert err.count("courierimapindex: no file; it is made anew\n") == 1 == err.count("\n")

    @pytest.mark.root
    @pytest.mark.parametrize("change", [lambda path: os.chmod(path, 0), lambda path: os.chown(path, 1, 1)])
    def test_it_belongs_to_another_or_cannot_be_read(self, root, index, change, capfd) -> None:
        if os.geteuid() != 0:
            pytest.skip("giving files away takes root")
        index.close()
        change(root + b"/courierimapindex")
        assert Index(root).usable()
        assert os.stat(root + b"/courierimapindex").st_uid == 0
        assert capfd.readouterr().err.count("it is made anew") == 1

    @pytest.mark.root
    def test_in_the_folder_of_another_none_is_made(self, root, capfd) -> None:
        if os.geteuid() != 0:
            pytest.skip("giving files away takes root")
        os.chown(root, 1, 1)
        assert not Index(root).usable()
        assert not os.path.exists(root + b"/courierimapindex")
        assert capfd.readouterr().err == ""

    def test_the_log_is_told_once_of_a_folder(self, root, index, capfd) -> None:
        index.close()
        for _ in range(4):
            os.truncate(root + b"/courierimapindex", 100)
            other = Index(root)
            assert other.usable()
            other.close()
        assert capfd.readouterr().err.count("made anew") == 1

    def test_a_directory_with_something_in_it_is_left_in_its_place(self, root, capfd) -> None:
        os.makedirs(root + b"/courierimapindex/precious")
        for _ in range(2):
            index = Index(root)
            assert not index.usable()
            assert index.values(b"ENVELOPE", [1]) == [None]
        assert os.path.exists(root + b"/courierimapindex/precious")
        assert capfd.readouterr().err.count("\n") == 1

    @pytest.mark.parametrize(
        "statements",
        [
            "DROP TABLE block",
            "DROP TABLE meta",
            "ALTER TABLE block ADD COLUMN more",
            "ALTER TABLE kind RENAME COLUMN name TO other",
            "CREATE TRIGGER t AFTER INSERT ON block BEGIN DELETE FROM kind; END",
            "CREATE TABLE more (x)",
            "DELETE FROM meta",
            "UPDATE meta SET value = 'text' WHERE key = 'generation'",
            "UPDATE meta SET value = 'text' WHERE key = 'uidvalidity'",
            "UPDATE block SET octets = CAST(x'ff' AS TEXT)",
            "UPDATE block SET octets = printf('%.600c', 'x')",
            "UPDATE block SET octets = (SELECT octets FROM block ORDER BY id DESC)",
            "UPDATE kind SET number = -number",
            "UPDATE kind SET number = number + (1 << 33)",
            "UPDATE kind SET number = number + 8; UPDATE kind SET number = 11 - number",
            "UPDATE kind SET name = CAST(name AS TEXT)",
            "UPDATE view SET head = CAST(x'ff' AS TEXT)",
            "UPDATE view SET body = zeroblob(length(body))",
            "UPDATE view SET head = replace(head, x'20372031', x'20372032')",
            "UPDATE answer SET octets = x'00'",
            "UPDATE answer SET key = x'00'",
        ],
    )
    def test_rows_that_are_not_what_was_written(self, root, index, statements, capfd) -> None:
        index.remember(b"ENVELOPE", 1, b"x")
        index.flush()
        index.remember_answer(b"key", b"answer")
        index.close()
        connection = sqlite3.connect(os.fsdecode(root + b"/courierimapindex"))
        connection.executescript(statements)
        connection.commit()
        connection.close()
        os.unlink(root + b"/courierimapindex-view")
        again = Index(root)
        found = again.stored(MARKS)
        if found is not None:
            assert found.uids == array("I", range(1, 1001))
            assert found.flags == bytes(1000)
            assert again.values(b"ENVELOPE", [1, 2]) in ([b"x", None], [None, None])
            assert again.values(indexrows.BASE, [1, 2]) in ([b"base1", b"base2"], [None, None])
            assert again.answer(b"key") in (b"answer", None)
            assert again.answer(b"\0") is None
            assert again.kinds() in ([b"ENVELOPE"], [])
        again.offer(reading({1: b"a"}))
        again.remember(b"ENVELOPE", 1, b"new")
        again.flush()
        later = stored(root, {1: b"a"})
        assert later.values(b"ENVELOPE", [1]) in ([b"new"], [None])
        err = capfd.readouterr().err
        assert err.count("\n") == 1 == err.count("it is made anew")

    def test_the_folder_is_gone(self, root) -> None:
        assert not Index(root + b"/gone").usable()


class TestElsewhere:
    @pytest.fixture
    def place(self, tmp_path, monkeypatch):
        place = tmp_path / "indexes"
        place.mkdir()
        monkeypatch.setenv("IMAP_INDEX", str(place))
        return place

    def test_it_is_made_below_a_directory_of_the_user(self, root, place) -> None:
        stored(root, {1: b"a"})
        assert not os.path.exists(root + b"/courierimapindex")
        (user,) = place.iterdir()
        assert user.name == str(os.geteuid())
        assert user.stat().st_mode & 0o777 == 0o700
        assert stored(root, {1: b"a"}).values(indexrows.BASE, [1]) == [b"a"]

    def test_a_directory_that_others_can_write_to_is_refused(self, root, place, capfd) -> None:
        (place / str(os.geteuid())).mkdir()
        (place / str(os.geteuid())).chmod(0o777)
        assert not Index(root).usable()
        assert "no other can write to" in capfd.readouterr().err

    def test_so_is_a_link(self, root, place, tmp_path) -> None:
        (tmp_path / "trap").mkdir(mode=0o700)
        (place / str(os.geteuid())).symlink_to(tmp_path / "trap")
        assert not Index(root).usable()

    def test_it_is_dropped_with_the_folder(self, root, place) -> None:
        stored(root, {1: b"a"}).close()
        (user,) = place.iterdir()
        assert list(user.iterdir())
        indexfile.drop(root)
        assert not list(user.iterdir())


class TestCopyOfTheView:
    """A folder is opened from a small file beside the database, and the database only when values are asked for."""

    def test_the_database_is_not_opened(self, root, index, monkeypatch) -> None:
        monkeypatch.setattr(indexfile.IndexFile, "connection", lambda self: pytest.fail("opened"))
        again = Index(root)
        found = again.stored(MARKS)
        assert found is not None
        assert (found.uidnext, found.messages, found.unseen, found.flags) == (1001, 1000, 1000, bytes(1000))
        assert found.uids == array("I", range(1, 1001))
        counts = again.counts(MARKS)
        assert counts is not None
        assert (counts.messages, counts.unseen) == (1000, 1000)

    @pytest.mark.parametrize("place", [0, 30, 45, 60, 100, 2000, -1])
    def test_a_copy_with_an_octet_that_differs_is_none(self, root, index, place) -> None:
        index.close()
        path = Path(os.fsdecode(root + b"/courierimapindex-view"))
        octets = bytearray(path.read_bytes())
        octets[place] ^= 1
        path.write_bytes(octets)
        os.unlink(root + b"/courierimapindex")
        assert Index(root).stored(MARKS) is None

    @pytest.mark.parametrize("length", [0, 10, 100, 5000])
    def test_nor_is_one_that_is_cut_off(self, root, index, length) -> None:
        index.close()
        os.truncate(root + b"/courierimapindex-view", length)
        os.unlink(root + b"/courierimapindex")
        assert Index(root).stored(MARKS) is None

    def test_without_it_the_database_tells(self, root, index) -> None:
        os.unlink(root + b"/courierimapindex-view")
        found = Index(root).stored(MARKS)
        assert found is not None
        assert found.messages == 1000

    def test_one_of_another_database_gives_no_values(self, root, index) -> None:
        index.close()
        os.unlink(root + b"/courierimapindex")
        again = Index(root)
        assert again.stored(MARKS) is not None
        assert again.values(indexrows.BASE, [1]) == [None]
        assert again.lost
        assert again.stored(MARKS) is None
        again.offer(reading({1: b"other"}))
        assert again.values(indexrows.BASE, [1]) == [b"other"]
        assert not again.lost


def test_uids_in_a_range_are_as_those_in_a_list(index) -> None:
    for uid in range(1, 301):
        index.remember(b"ENVELOPE", uid, b"%d" % uid)
    for uids in (range(1, 301), range(120, 140), range(300, 0, -1), range(7, 8), range(9, 9)):
        assert index.values(b"ENVELOPE", uids) == index.values(b"ENVELOPE", list(uids)) == [b"%d" % uid for uid in uids]
