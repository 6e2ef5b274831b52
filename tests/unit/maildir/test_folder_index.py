"""A folder that is opened from its index is the folder that is there."""

import errno
import os
import sqlite3

import pytest

from maildir import fs, indexrows, names, recent, scanner
from maildir.folder import Folder
from maildir.index import Index


def seen(snapshot) -> dict[int, bytes]:
    return dict(zip(snapshot.uids, snapshot.names, strict=True))


@pytest.fixture
def filled(inbox, disk):
    """A folder of some messages, at rest, of which the index knows everything."""
    for number in range(1, 301):
        disk.put(f"17000{number:05d}.a.h:2,{'S' if number % 3 else ''}")
    inbox.scan()
    disk.settle()
    inbox.scan()
    assert inbox.idle() is None
    return seen(inbox.scan())


@pytest.fixture
def no_reading(monkeypatch):
    def refuse(path: bytes) -> list[bytes]:
        pytest.fail(f"{path!r} was read")

    def forbid() -> None:
        monkeypatch.setattr(fs, "listdir", lambda path: [] if path.endswith(b"tmp") else refuse(path))

    return forbid


def test_a_folder_at_rest_is_opened_without_reading_it(inbox, filled, no_reading) -> None:
    before = inbox.scan()
    no_reading()
    after = Folder(inbox.path).scan()
    assert (after.uidvalidity, after.uidnext, after.uids, after.flags) == (
        before.uidvalidity,
        before.uidnext,
        before.uids,
        before.flags,
    )
    assert seen(after) == filled
    assert after.fresh == frozenset()


@pytest.mark.parametrize("change", ["flags", "removal", "delivery", "list", "touch", "odd"])
def test_any_change_by_others_is_seen_at_once(inbox, disk, filled, change) -> None:
    cur = disk.path / "cur"
    wanted = dict(filled)
    if change == "flags":
        os.rename(cur / "1700000005.a.h:2,S", cur / "1700000005.a.h:2,FS")
        wanted[5] = b"1700000005.a.h:2,FS"
    elif change == "odd":
        os.rename(cur / "1700000005.a.h:2,S", cur / "1700000005.a.h:2,Sa")
        wanted[5] = b"1700000005.a.h:2,Sa"
    elif change == "removal":
        os.unlink(cur / "1700000005.a.h:2,S")
        del wanted[5]
    elif change == "delivery":
        disk.deliver("1800000000.x.h")
        wanted[301] = b"1800000000.x.h:2,"
    elif change == "list":
        os.unlink(disk.path / "courierimapuiddb")
    else:
        os.utime(cur)
    assert seen(Folder(inbox.path).scan()) == wanted
    disk.settle()
    again = Folder(inbox.path)
    again.scan()
    assert again.idle() is None
    assert seen(Folder(inbox.path).scan()) == wanted


def test_times_that_are_set_back_hide_nothing(inbox, disk, filled) -> None:
    times = os.stat(disk.path / "cur")
    os.unlink(disk.path / "cur/1700000005.a.h:2,S")
    os.utime(disk.path / "cur", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert 5 not in Folder(inbox.path).scan().uids


def test_a_folder_that_has_just_changed_is_not_stored_as_certain(inbox, disk, no_reading) -> None:
    disk.put("1.a.h:2,")
    inbox.scan()
    later = inbox.idle()
    assert later is not None
    assert 0 < later < 3
    os.rename(disk.path / "cur/1.a.h:2,", disk.path / "cur/1.a.h:2,S")
    assert seen(Folder(inbox.path).scan()) == {1: b"1.a.h:2,S"}


def test_it_is_looked_at_again_when_it_has_come_to_rest(inbox, disk, no_reading) -> None:
    disk.put("1.a.h:2,")
    inbox.scan()
    assert inbox.idle() is not None
    disk.settle()
    assert inbox.idle() is None
    no_reading()
    assert seen(Folder(inbox.path).scan()) == {1: b"1.a.h:2,"}


def test_what_has_arrived_before_the_look_while_idle_is_not_missed(inbox, disk) -> None:
    disk.put("1.a.h:2,")
    inbox.scan()  # at a time that is not trusted
    (disk.path / "new/2.b.h").write_text("2\n")
    disk.settle()
    inbox.idle()
    assert len(inbox.scan().uids) == 2
    assert len(Folder(inbox.path).scan().uids) == 2


def test_the_look_while_idle_takes_nothing_from_the_next_scan(inbox, disk) -> None:
    disk.put("1.a.h:2,")
    inbox.scan()
    disk.put("2.b.h:2,")
    other = Folder(inbox.path)
    other.scan()
    disk.settle()
    assert inbox.idle() is None
    assert list(inbox.scan().uids) == [1, 2]


def test_changes_of_our_own_are_changes(inbox, disk, filled) -> None:
    name, flags = inbox.change_flags(filled[3], add=names.FLAGGED)
    assert flags == names.FLAGGED
    assert seen(inbox.scan())[3] == name
    assert seen(Folder(inbox.path).scan())[3] == name


def test_another_session_stores_what_this_one_has_seen_change(inbox, disk, filled, no_reading) -> None:
    os.unlink(disk.path / "cur/1700000005.a.h:2,S")
    other = Folder(inbox.path)
    other.scan()
    disk.settle()
    other.scan()
    assert other.idle() is None
    no_reading()
    assert 5 not in inbox.scan().uids


def test_names_are_found_when_the_index_goes_away(inbox, disk, filled) -> None:
    snapshot = Folder(inbox.path).scan()
    for file in disk.path.glob("courierimapindex*"):
        file.unlink()
    assert snapshot.file_names.name(0, names.SEEN) == filled[1]
    assert snapshot.file_names.bases(10, 20) == [names.base(filled[uid]) for uid in range(11, 21)]


def test_odd_names_come_from_the_index_too(inbox, disk, no_reading) -> None:
    for name in ("1.a.h:2,Sab", "2.b.h", "3.c.h:2,TS", "4.d:e.h:2,S"):
        disk.put(name)
    inbox.scan()
    disk.settle()
    inbox.scan()
    assert inbox.idle() is None
    no_reading()
    found = Folder(inbox.path).scan()
    assert seen(found) == {1: b"1.a.h:2,Sab", 2: b"2.b.h", 3: b"3.c.h:2,TS", 4: b"4.d:e.h:2,S"}
    assert found.file_names.name(0, names.FLAGGED) == b"1.a.h:2,Fab"


def test_a_message_with_the_uid_of_another_has_nothing_of_it(inbox, disk, filled) -> None:
    first = Folder(inbox.path)
    first.scan()
    first.index.remember(b"ENVELOPE", 5, b"of the fifth")
    first.index.remember(b"ENVELOPE", 200, b"of another block")
    first.index.flush()
    data = disk.list_file().replace(b"\n5 1700000005.a.h\n", b"\n5 1800000005.b.h\n")
    os.rename(disk.path / "cur/1700000005.a.h:2,S", disk.path / "cur/1800000005.b.h:2,")
    disk.write_list(data)
    second = Folder(inbox.path)
    assert seen(second.scan())[5] == b"1800000005.b.h:2,"
    assert second.index.values(b"ENVELOPE", [5, 200]) == [None, b"of another block"]
    assert first.index.values(b"ENVELOPE", [5]) == [None]


class TestStatus:
    def test_it_comes_from_the_index(self, inbox, filled, no_reading) -> None:
        no_reading()
        status = Folder(inbox.path).status()
        assert (status.messages, status.unseen, status.recent, status.uidnext) == (300, 100, 0, 301)

    def test_with_what_was_appended(self, inbox, filled, no_reading) -> None:
        recent.leave(inbox.path, inbox.scan().uidvalidity, 299)
        no_reading()
        assert Folder(inbox.path).status().recent == 2

    def test_and_is_what_it_is_without(self, inbox, disk, filled, monkeypatch) -> None:
        disk.deliver("1800000000.x.h")
        monkeypatch.setenv("IMAP_INDEX", "off")
        plain = Folder(inbox.path).status()
        monkeypatch.delenv("IMAP_INDEX")
        status = Folder(inbox.path).status()
        assert (status.messages, status.unseen, status.recent, status.uidnext) == (301, 101, 1, 302)
        assert (plain.messages, plain.unseen, plain.recent, plain.uidnext) == (301, 101, 1, 302)

    def test_asking_makes_no_index(self, inbox, disk) -> None:
        disk.put("1.a.h:2,")
        assert inbox.status().messages == 1
        assert not list(disk.path.glob("courierimapindex*"))


class TestWithout:
    @pytest.fixture(params=["off", "full", "read-only", "directory", "damaged"])
    def without(self, request, root, disk, monkeypatch):
        if request.param == "off":
            monkeypatch.setenv("IMAP_INDEX", "off")
        elif request.param == "directory":
            (disk.path / "courierimapindex" / "something").mkdir(parents=True)
        elif request.param == "damaged":
            (disk.path / "courierimapindex").write_bytes(b"no database" * 1000)
        else:
            problem = sqlite3.OperationalError("it cannot be written")
            problem.sqlite_errorcode = sqlite3.SQLITE_FULL if request.param == "full" else sqlite3.SQLITE_READONLY

            def fail(*ignored: object) -> None:
                raise problem

            monkeypatch.setattr(indexrows.Rows, "write", fail)
        return request.param

    def test_a_folder_works_as_it_does_with_one(self, inbox, disk, without, capfd) -> None:
        for number in range(1, 301):
            disk.put(f"17000{number:05d}.a.h:2,{'S' if number % 3 else ''}")
        inbox.scan()
        disk.settle()
        inbox.scan()
        inbox.idle()
        found = seen(inbox.scan())
        assert found[300] == b"1700000300.a.h:2,"
        assert seen(Folder(inbox.path).scan()) == found
        name, _ = inbox.change_flags(found[300], add=names.SEEN)
        assert seen(inbox.scan())[300] == name
        inbox.index.remember(b"ENVELOPE", 1, b"x")
        inbox.index.flush()
        assert inbox.index.values(b"ENVELOPE", [1]) == ([b"x"] if without == "damaged" else [None])
        assert len(capfd.readouterr().err.splitlines()) <= 1

    def test_a_lock_of_somebody_else_is_waited_for_shortly_and_again(self, inbox, disk) -> None:
        disk.put("1.a.h:2,")
        inbox.scan()
        inbox.idle()
        other = sqlite3.connect(os.fsdecode(inbox.path + b"/courierimapindex"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        disk.put("2.b.h:2,")
        assert list(inbox.scan().uids) == [1, 2]
        assert inbox.idle() is not None
        assert inbox.index.values(indexrows.BASE, [1]) == [None]
        other.execute("COMMIT")
        other.close()
        inbox.idle()
        assert inbox.index.values(indexrows.BASE, [1, 2]) == [b"1.a.h", b"2.b.h"]


class TestNumbering:
    @pytest.mark.parametrize("listed", [0, 1, 200])
    @pytest.mark.parametrize("vanished", [0, 2])
    def test_many_at_once_get_the_uids_that_one_by_one_would(self, inbox, disk, listed, vanished) -> None:
        bases = [f"17000{number:05d}.{number % 7}.h" for number in range(1, 301)]
        kept = bases[:listed]
        disk.write_list(b"1 9 1000\n" + b"".join(b"%d %s\n" % (n, b.encode()) for n, b in enumerate(kept, 1)))
        for base in bases[vanished:]:
            disk.put(base + ":2,S")
        os.utime(disk.path / "cur", (1e9, 1e9))
        snapshot = inbox.scan()
        gone = min(vanished, listed)
        missing = max(vanished - listed, 0)
        assert list(snapshot.uids[: listed - gone]) == list(range(gone + 1, listed + 1))
        assert list(snapshot.uids[listed - gone :]) == list(range(1000, 1300 - listed - missing))
        assert [names.base(name) for name in snapshot.names] == [base.encode() for base in bases[vanished:]]
        assert snapshot.fresh == frozenset(range(1000, 1300 - listed - missing))
        assert (snapshot.uidvalidity, snapshot.uidnext) == (9, 1300 - listed - missing)
        assert disk.list_file().startswith(b"1 9 %d\n" % snapshot.uidnext)
        assert seen(Folder(inbox.path).scan()) == seen(snapshot)

    def test_a_message_that_one_reading_missed_keeps_its_uid(self, inbox, disk, monkeypatch) -> None:
        for number in range(1, 5):
            disk.put(f"170000000{number}.a.h:2,")
        first = inbox.scan()
        disk.put("1700000009.a.h:2,")
        real, missing = os.listdir, [b"1700000002.a.h:2,"] * 2

        def listdir(path: bytes) -> list[bytes]:
            found = real(path)
            return [name for name in found if not (path.endswith(b"cur/") and missing and name == missing.pop())]

        monkeypatch.setattr(fs, "listdir", listdir)
        assert list(inbox.scan().uids) == [*first.uids, 5]

    def test_without_room_nothing_is_lost(self, inbox, disk, monkeypatch) -> None:
        disk.put("1700000001.a.h:2,")
        inbox.scan()
        disk.put("1700000002.a.h:2,")

        def full(descriptor: int, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "no room")

        monkeypatch.setattr(fs, "write", full)
        assert list(inbox.scan().uids) == [1]
        monkeypatch.undo()
        assert list(Folder(inbox.path).scan().uids) == [1, 2]


def test_a_large_folder_gives_its_memory_back(inbox, disk, monkeypatch) -> None:
    given = []
    monkeypatch.setattr(scanner.heap, "give_back", lambda: given.append(1))
    monkeypatch.setattr(scanner, "_MANY", 10)
    for number in range(20):
        disk.put(f"17000{number:05d}.a.h:2,")
    inbox.scan()
    inbox.idle()
    assert given == [1]
    inbox.idle()
    assert given == [1]


def test_the_index_is_left_alone_by_who_reads_only(inbox, disk, filled) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in disk.path.glob("courierimapindex*")}
    reader = Folder(inbox.path)
    assert seen(reader.scan(write=False)) == filled
    assert {file.name: file.stat().st_mtime_ns for file in disk.path.glob("courierimapindex*")} == before
    assert Index(inbox.path).stored(reader.marks()) is not None
