import os
import re

import pytest

from maildir import fs, listing, lock, names
from maildir.folder import Folder


def seen(snapshot):
    return dict(zip(snapshot.uids, snapshot.names, strict=True))


def test_delivered_messages_get_uids_in_order_of_arrival(inbox, disk):
    for name in ("20.b.h", "9.z.h", "20.a.h"):
        disk.deliver(name)
    snapshot = inbox.scan()
    assert seen(snapshot) == {1: b"9.z.h:2,", 2: b"20.a.h:2,", 3: b"20.b.h:2,"}
    assert snapshot.fresh == {1, 2, 3}
    assert snapshot.uidnext == 4
    assert disk.names("new") == []
    assert disk.list_file() == b"1 %d 4\n1 9.z.h\n2 20.a.h\n3 20.b.h\n" % snapshot.uidvalidity
    assert inbox.scan().fresh == set()


def test_a_list_of_the_original_is_taken_over(inbox, disk):
    disk.write_list(b"1 795202663 6\n1 1.a.h,S=3\n4 2.gone.h\n5 3.c.h\n")
    disk.put("1.a.h,S=3:2,S")
    disk.put("3.c.h:2,FR")
    disk.put("0.late.h:2,")
    snapshot = inbox.scan()
    assert seen(snapshot) == {1: b"1.a.h,S=3:2,S", 5: b"3.c.h:2,FR", 6: b"0.late.h:2,"}
    assert list(snapshot.flags) == [names.SEEN, names.FLAGGED | names.ANSWERED, 0]
    assert snapshot.fresh == {6}
    assert disk.list_file() == b"1 795202663 7\n1 1.a.h,S=3\n5 3.c.h\n6 0.late.h\n"


def test_nothing_is_written_when_only_flags_changed(inbox, disk):
    disk.deliver("1.a.h")
    inbox.scan()
    before = os.stat(disk.path / "courierimapuiddb").st_ino
    os.rename(disk.path / "cur/1.a.h:2,", disk.path / "cur/1.a.h:2,S")
    assert list(inbox.scan().flags) == [names.SEEN]
    assert os.stat(disk.path / "courierimapuiddb").st_ino == before


def test_a_scan_with_nothing_to_write_takes_no_lock(inbox, disk):
    disk.deliver("1.a.h")
    inbox.scan()
    (disk.path / "tmp/courier.lock").write_text("1:elsewhere")
    assert seen(Folder(inbox.path).scan()) == {1: b"1.a.h:2,"}


def test_hidden_files_are_no_messages(inbox, disk):
    disk.deliver(".hidden")
    disk.put(".nfs0001")
    assert seen(inbox.scan()) == {}
    assert disk.names("new") == [".hidden"]


def test_a_name_in_new_with_a_colon_is_kept(inbox, disk):
    disk.deliver("1.a.h:2,F")
    assert seen(inbox.scan()) == {1: b"1.a.h:2,F"}


def test_uids_are_never_given_twice(inbox, disk):
    disk.deliver("1.a.h")
    first = inbox.scan()
    os.unlink(disk.path / "cur/1.a.h:2,")
    assert list(inbox.scan().uids) == []
    disk.deliver("2.b.h")
    second = Folder(inbox.path).scan()
    assert (list(second.uids), second.uidvalidity) == ([2], first.uidvalidity)


def test_an_empty_folder_gets_its_list_at_once(inbox, disk):
    snapshot = inbox.scan()
    assert disk.list_file() == b"1 %d 1\n" % snapshot.uidvalidity


def test_what_was_settled_is_not_read_again(inbox, disk, monkeypatch):
    disk.deliver("1.a.h")
    inbox.scan()
    disk.settle()
    assert list(inbox.scan().uids) == [1]
    monkeypatch.setattr(fs, "listdir", lambda path: pytest.fail("read"))
    assert list(inbox.scan().uids) == [1]
    monkeypatch.undo()
    disk.deliver("2.b.h")
    assert list(inbox.scan().uids) == [1, 2]


def test_a_change_just_now_is_always_looked_for(inbox, disk):
    disk.deliver("1.a.h")
    inbox.scan()
    inbox.scan()
    os.unlink(disk.path / "cur/1.a.h:2,")
    assert list(inbox.scan().uids) == []


class TestReadOnly:
    def test_numbers_are_given_in_memory_and_stay(self, inbox, disk):
        disk.deliver("5.b.h")
        first = inbox.scan(write=False)
        assert (seen(first), first.fresh, first.uidnext) == ({1: b"5.b.h:2,"}, {1}, 2)
        assert not (disk.path / "courierimapuiddb").exists()
        disk.deliver("3.a.h")
        second = inbox.scan(write=False)
        assert seen(second) == {1: b"5.b.h:2,", 2: b"3.a.h:2,"}
        assert second.uidvalidity == first.uidvalidity

    def test_listed_messages_have_their_uids(self, inbox, disk):
        disk.write_list(b"1 9 6\n5 1.a.h\n")
        disk.put("1.a.h:2,")
        disk.deliver("2.b.h")
        snapshot = inbox.scan(write=False)
        assert (seen(snapshot), snapshot.fresh, snapshot.uidvalidity) == ({5: b"1.a.h:2,", 6: b"2.b.h:2,"}, {6}, 9)
        assert disk.list_file() == b"1 9 6\n5 1.a.h\n"

    def test_what_a_writer_decided_meanwhile_counts(self, inbox, disk):
        disk.write_list(b"1 9 6\n")
        disk.deliver("5.b.h")
        assert seen(inbox.scan(write=False)) == {6: b"5.b.h:2,"}
        disk.deliver("3.a.h")
        assert seen(Folder(inbox.path).scan()) == {6: b"3.a.h:2,", 7: b"5.b.h:2,"}
        assert seen(inbox.scan(write=False)) == {6: b"3.a.h:2,", 7: b"5.b.h:2,"}


class TestDamage:
    def test_a_damaged_list_is_repaired_with_one_line_in_the_log(self, inbox, disk, capfd):
        for name in ("1.a.h", "2.b.h", "3.c.h"):
            disk.put(name + ":2,")
        disk.write_list(b"1 9 3\n5 2.b.h\nrubbish\n1 1.a.h\n1 3.c.h\n")
        assert seen(inbox.scan()) == {1: b"1.a.h:2,", 5: b"2.b.h:2,", 6: b"3.c.h:2,"}
        assert disk.list_file() == b"1 9 7\n1 1.a.h\n5 2.b.h\n6 3.c.h\n"
        inbox.scan()
        logged = capfd.readouterr().err.splitlines()
        assert len(logged) == 1
        assert re.fullmatch(r"WARN: .*/courierimapuiddb: line 3: damaged; repaired, 2 messages keep .*", logged[0])

    def test_without_a_first_line_all_messages_are_new(self, inbox, disk, capfd):
        disk.put("1.a.h:2,")
        disk.write_list(b"\0" * 5000)
        snapshot = inbox.scan()
        assert (seen(snapshot), snapshot.fresh) == ({1: b"1.a.h:2,"}, {1})
        assert snapshot.uidvalidity > 700_000_000
        assert len(capfd.readouterr().err.splitlines()) == 1

    def test_a_list_of_a_hundred_megabytes_is_read_to_its_limit(self, inbox, disk, monkeypatch):
        disk.put("1.a.h:2,")
        disk.write_list(b"1 9 6\n5 1.a.h\n")
        with open(disk.path / "courierimapuiddb", "ab") as file:
            file.truncate(100 << 20)
        assert seen(inbox.scan()) == {5: b"1.a.h:2,"}
        assert disk.list_file() == b"1 9 6\n5 1.a.h\n"

    def test_used_up_uids_bring_a_new_uidvalidity(self, inbox, disk, capfd):
        disk.put("1.a.h:2,")
        disk.write_list(b"1 9 4294967296\n5 1.a.h\n")
        disk.deliver("2.b.h")
        snapshot = inbox.scan()
        assert seen(snapshot) == {1: b"1.a.h:2,", 2: b"2.b.h:2,"}
        assert snapshot.uidvalidity != 9
        assert "used up" in capfd.readouterr().err

    def test_missing_directories_are_made(self, inbox, disk):
        os.rmdir(disk.path / "new")
        os.rmdir(disk.path / "tmp")
        disk.put("1.a.h:2,")
        assert seen(inbox.scan()) == {1: b"1.a.h:2,"}
        assert disk.names("new") == []

    def test_a_directory_that_is_no_maildir_is_none_afterwards(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            Folder(os.fsencode(tmp_path)).scan()
        assert os.listdir(tmp_path) == []

    def test_a_folder_that_is_not_there(self, root):
        with pytest.raises(FileNotFoundError):
            Folder(root + b"/.None").scan()

    def test_a_second_file_of_one_name_becomes_another_message(self, inbox, disk, capfd):
        disk.put("1.a.h:2,", b"one\n")
        inbox.scan()
        disk.put("1.a.h:2,S", b"two\n")
        snapshot = inbox.scan()
        assert list(snapshot.uids) == [1, 2]
        assert sorted((disk.path / "cur" / os.fsdecode(n)).read_bytes() for n in snapshot.names) == [b"one\n", b"two\n"]
        assert len(capfd.readouterr().err.splitlines()) == 1

    def test_two_names_of_one_file_are_one_message(self, inbox, disk):
        disk.put("1.a.h:2,")
        os.link(disk.path / "cur/1.a.h:2,", disk.path / "cur/1.a.h:2,S")
        assert list(inbox.scan().uids) == [1]
        assert list(inbox.scan().uids) == [1]


class TestUnwritable:
    @pytest.fixture
    def no_space(self, monkeypatch):
        def create(path, mode=0o666):
            raise OSError(28, "No space left on device", path)

        monkeypatch.setattr(fs, "create", create)

    def test_on_a_full_disk_what_has_uids_is_shown(self, inbox, disk, no_space, capfd):
        disk.write_list(b"1 9 6\n5 1.a.h\n")
        disk.put("1.a.h:2,")
        disk.deliver("2.b.h")
        assert seen(inbox.scan()) == {5: b"1.a.h:2,"}
        inbox.scan()
        assert len(capfd.readouterr().err.splitlines()) == 1

    def test_on_a_full_disk_a_folder_that_was_never_opened_opens(self, inbox, disk, no_space):
        disk.deliver("2.b.h")
        first = inbox.scan()
        assert seen(first) == {1: b"2.b.h:2,"}
        assert inbox.scan().uidvalidity == first.uidvalidity

    def test_on_a_full_disk_messages_can_be_deleted(self, inbox, disk, no_space):
        disk.write_list(b"1 9 6\n5 1.a.h\n")
        disk.put("1.a.h:2,")
        snapshot = inbox.scan()
        inbox.expunge(snapshot.names)
        assert seen(inbox.scan()) == {}

    def test_a_lock_that_is_held_hides_new_messages_and_says_so(self, inbox, disk, capfd):
        disk.write_list(b"1 9 6\n5 1.a.h\n")
        disk.put("1.a.h:2,")
        disk.deliver("2.b.h")
        (disk.path / "tmp/courier.lock").write_text("1:elsewhere")
        assert seen(inbox.scan()) == {5: b"1.a.h:2,"}
        assert "locked by 1:elsewhere" in capfd.readouterr().err


class TestStatus:
    def test_it_counts_and_touches_nothing(self, inbox, disk):
        disk.write_list(b"1 9 6\n4 1.a.h\n5 2.b.h\n")
        disk.put("1.a.h:2,S")
        disk.put("2.b.h:2,")
        disk.put("3.c.h:2,S")
        disk.deliver("4.d.h")
        status = inbox.status()
        assert (status.messages, status.unseen, status.recent) == (4, 2, 2)
        assert (status.uidnext, status.uidvalidity) == (8, 9)
        assert disk.names("new") == ["4.d.h"]
        assert disk.list_file() == b"1 9 6\n4 1.a.h\n5 2.b.h\n"

    def test_a_message_between_new_and_cur_is_counted_once(self, inbox, disk):
        disk.write_list(b"1 9 6\n")
        disk.deliver("1.a.h")
        os.link(disk.path / "new/1.a.h", disk.path / "cur/1.a.h:2,")
        assert inbox.status().messages == 1

    def test_a_folder_that_was_never_opened(self, inbox, disk):
        disk.deliver("1.a.h")
        status = inbox.status()
        assert (status.messages, status.recent, status.uidnext) == (1, 1, 2)
        assert not (disk.path / "courierimapuiddb").exists()


class TestListing:
    @pytest.fixture
    def calls(self, monkeypatch):
        """Readings of cur/, of which the first three do not show the first message."""
        real, calls = os.listdir, []

        def listdir(path):
            found = real(path)
            if path.endswith(b"/cur/"):
                calls.append(path)
                if len(calls) <= 3:
                    return [name for name in found if not name.startswith(b"1.a")]
            return found

        monkeypatch.setattr(fs, "listdir", listdir)
        return calls

    def test_a_file_that_one_reading_missed_is_not_gone(self, inbox, disk, calls):
        disk.put("1.a.h:2,Sx")  # a name that nobody guesses
        disk.put("2.b.h:2,")
        disk.write_list(b"1 9 3\n1 1.a.h\n2 2.b.h\n")
        assert list(inbox.scan().uids) == [1, 2]
        assert len(calls) == 4

    def test_a_renamed_file_is_found_without_the_lock_and_another_reading(self, inbox, disk, calls, monkeypatch):
        disk.put("1.a.h:2,FS")
        disk.put("2.b.h:2,")
        disk.write_list(b"1 9 3\n1 1.a.h\n2 2.b.h\n")
        monkeypatch.setattr(lock, "held", lambda folder: pytest.fail("locked"))
        assert seen(inbox.scan()) == {1: b"1.a.h:2,FS", 2: b"2.b.h:2,"}
        assert len(calls) == 1

    def test_of_two_names_the_one_that_is_there_is_taken_without_the_lock(self, inbox, disk, calls, monkeypatch):
        disk.put("1.a.h:2,FS")
        disk.put("2.b.h:2,")
        disk.write_list(b"1 9 3\n1 1.a.h\n2 2.b.h\n")
        hidden = fs.listdir
        monkeypatch.setattr(fs, "listdir", lambda path: [*hidden(path), b"2.b.h:2,T"] if b"cur" in path else [])
        monkeypatch.setattr(lock, "held", lambda folder: pytest.fail("locked"))
        assert seen(inbox.scan()) == {1: b"1.a.h:2,FS", 2: b"2.b.h:2,"}
        assert len(calls) == 1

    def test_what_was_found_so_is_looked_at_again(self, inbox, disk, calls):
        disk.put("1.a.h:2,")
        disk.put("2.b.h:2,")
        disk.write_list(b"1 9 3\n1 1.a.h\n2 2.b.h\n")
        disk.settle()
        inbox.scan()
        os.unlink(disk.path / "cur/1.a.h:2,")
        disk.settle()
        assert list(inbox.scan().uids) == [2]

    def test_a_message_that_is_gone_leaves_the_list(self, inbox, disk):
        disk.put("2.b.h:2,")
        disk.write_list(b"1 9 3\n1 1.a.h\n2 2.b.h\n")
        assert list(inbox.scan().uids) == [2]
        assert disk.list_file() == b"1 9 3\n2 2.b.h\n"

    def test_a_settled_reading_is_believed(self, inbox, disk):
        disk.put("1.a.h:2,")
        disk.settle()
        assert listing.read(inbox.path + b"/cur").settled

    def test_a_fresh_reading_is_not_settled(self, inbox, disk):
        disk.put("1.a.h:2,")
        assert not listing.read(inbox.path + b"/cur").settled

    def test_of_two_names_in_one_reading_the_one_that_is_there_counts(self, inbox, disk, monkeypatch):
        disk.put("1.a.h:2,S")
        monkeypatch.setattr(fs, "listdir", lambda path: [b"1.a.h:2,S", b"1.a.h:2,"])
        found = listing.read(inbox.path + b"/cur")
        assert (found.by_base, found.twins) == ({b"1.a.h": b"1.a.h:2,S"}, [])


def test_tmp_is_purged_of_what_is_older_than_36_hours(inbox, disk, monkeypatch):
    (disk.path / "tmp/old").write_bytes(b"x")
    (disk.path / "tmp/1.M1P1.h_removed.").mkdir()
    (disk.path / "tmp/1.M1P1.h_removed./cur").mkdir()
    (disk.path / "tmp/strange").mkdir()
    from maildir import purge

    now = purge.time.time()
    monkeypatch.setattr(purge.time, "time", lambda: now + 35 * 3600)
    inbox.scan()
    assert len(disk.names("tmp")) == 3
    monkeypatch.setattr(purge.time, "time", lambda: now + 37 * 3600)
    Folder(inbox.path).scan()
    assert disk.names("tmp") == ["strange"]


def test_locks_can_be_switched_off(inbox, disk, monkeypatch):
    monkeypatch.setenv("IMAP_USELOCKS", "0")
    monkeypatch.setattr(lock, "_take", lambda folder: pytest.fail("locked"))
    disk.deliver("1.a.h")
    assert list(inbox.scan().uids) == [1]


def test_a_number_is_given_by_the_newest_list_even_if_that_has_the_mark_of_an_older_one(inbox, disk):
    """Inodes come again, and the clock of files has a grain."""
    disk.write_list(b"1 9 3\n1 1.a.h\n2 2.b.h\n")
    disk.put("1.a.h:2,")
    disk.put("2.b.h:2,")
    inbox.scan()
    path = disk.path / "courierimapuiddb"
    before = path.stat()
    path.write_bytes(b"1 9 7\n5 1.a.h\n6 2.b.h\n")  # the same file, as large
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    disk.deliver("3.c.h")
    assert list(inbox.scan().uids) == [5, 6, 7]
