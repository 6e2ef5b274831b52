import errno
import os
import time

import pytest

from maildir import fs, names
from maildir.folder import Folder


def staged(folder, data=b"Subject: x\r\n\r\ny\r\n", flags=0, mtime=None):
    message = folder.new_message()
    message.write(data)
    message.commit(flags, mtime)
    return message


def text(folder, name):
    fd, _ = folder.open_message(name)
    try:
        return fs.read(fd)
    finally:
        os.close(fd)


class TestIncoming:
    @pytest.mark.parametrize(
        ("wire", "stored"),
        [
            (b"a\r\nb\r\n", b"a\nb\n"),
            (b"a\r\nb", b"a\nb"),
            (b"a\nb\rc\r", b"a\nb\rc\r"),
            (b"a\r\r\nb\r\r\r\n", b"a\r\r\nb\r\r\r\n"),
            (b"\r\n\r\n", b"\n\n"),
            (b"", b""),
            (b"a\0\xff\r\n", b"a\0\xff\n"),
        ],
    )
    def test_line_ends(self, inbox, wire, stored):
        for size in (1, 2, 3, 100):
            message = inbox.new_message()
            for start in range(0, len(wire), size):
                message.write(wire[start : start + size])
            message.commit()
            with open(message.path, "rb") as file:
                assert file.read() == stored
            assert message.name.endswith(b",S=%d" % len(stored))
            message.abort()

    def test_an_aborted_message_leaves_nothing(self, inbox, disk):
        message = inbox.new_message()
        message.write(b"x")
        message.abort()
        message.abort()
        with inbox.new_message() as message:
            message.write(b"x")
            message.commit()
        assert disk.names("tmp") == []

    def test_names_of_one_process_differ(self, inbox):
        made = [staged(inbox) for _ in range(5)]
        assert len({message.name for message in made}) == 5
        for message in made:
            message.abort()


class TestStore:
    def test_messages_get_the_next_uids_in_order(self, inbox, disk):
        disk.write_list(b"1 9 6\n5 1.a.h\n")
        disk.put("1.a.h:2,")
        made = [staged(inbox, b"one\r\n", names.SEEN, 1e9), staged(inbox, b"two\r\n")]
        assert inbox.store(made) == (9, [6, 7])
        snapshot = inbox.scan()
        assert (list(snapshot.uids), list(snapshot.flags), snapshot.fresh) == ([5, 6, 7], [0, names.SEEN, 0], set())
        assert [text(inbox, name) for name in snapshot.names[1:]] == [b"one\n", b"two\n"]
        assert os.stat(disk.path / "cur" / os.fsdecode(snapshot.names[1])).st_mtime == 1e9
        assert disk.names("tmp") == []

    def test_into_a_folder_that_was_never_opened(self, inbox, disk):
        disk.deliver("1.a.h")
        uidvalidity, uids = inbox.store([staged(inbox)])
        assert uids == [1]
        snapshot = inbox.scan()
        assert (snapshot.uidvalidity, list(snapshot.uids), snapshot.fresh) == (uidvalidity, [1, 2], {2})

    def test_a_damaged_list_is_repaired_on_the_way(self, inbox, disk, capfd):
        disk.write_list(b"1 9 6\n5 1.a.h\n1 0.a.h\n7 2.b.h")
        for name in ("1.a.h", "0.a.h", "2.b.h"):
            disk.put(name + ":2,")
        assert inbox.store([staged(inbox)]) == (9, [8])
        assert list(inbox.scan().uids) == [1, 5, 7, 8]
        assert len(capfd.readouterr().err.splitlines()) == 1

    def test_two_folders_objects_never_give_one_uid_twice(self, inbox):
        other = Folder(inbox.path)
        given = []
        for _ in range(5):
            given += inbox.store([staged(inbox)])[1] + other.store([staged(other)])[1]
        assert given == list(range(1, 11))
        assert list(other.scan().uids) == given

    def test_what_cannot_be_recorded_is_not_there(self, inbox, disk, monkeypatch):
        disk.write_list(b"1 9 6\n")
        made = [staged(inbox), staged(inbox)]

        def rename(source, target):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(fs, "rename", rename)
        with pytest.raises(OSError, match="No space"):
            inbox.store(made)
        assert (disk.names("cur"), disk.names("tmp"), disk.list_file()) == ([], [], b"1 9 6\n")

    def test_a_held_lock_ends_in_a_timeout(self, inbox, disk):
        (disk.path / "tmp/courier.lock").write_text("1:elsewhere")
        with pytest.raises(TimeoutError, match="locked by 1:elsewhere"):
            inbox.store([staged(inbox)])
        assert disk.names("cur") == []


class TestCopy:
    def test_bytes_flags_and_date_are_kept(self, inbox, disk, root, disk_at):
        for part in ("cur", "new", "tmp"):
            (disk.path / ".Sent" / part).mkdir(parents=True)
        disk.put("1.a.h:2,FS", b"odd\r\nline\n\r\r\n")
        os.utime(disk.path / "cur/1.a.h:2,FS", (1e9, 1e9))
        sent = Folder(root + b"/.Sent")
        uidvalidity, uids = sent.copy_from(inbox, inbox.scan().names * 2)
        snapshot = sent.scan()
        assert (list(snapshot.uids), uids, snapshot.uidvalidity) == ([1, 2], [1, 2], uidvalidity)
        assert list(snapshot.flags) == [names.FLAGGED | names.SEEN] * 2
        for name in snapshot.names:
            assert text(sent, name) == b"odd\r\nline\n\r\r\n"
            assert os.stat(sent.path + b"/cur/" + name).st_mtime == 1e9

    @pytest.mark.parametrize(
        ("name", "age", "synced"),
        [("1000000000.a.h:2,", 3600, 0), ("1000000000.a.h:2,", 10, 1), ("{now}.a.h:2,", 3600, 1), ("odd:2,", 0, 1)],
    )
    def test_only_what_may_be_in_memory_alone_is_synced(self, inbox, disk, monkeypatch, name, age, synced):
        now = time.time()
        name = name.format(now=int(now))
        disk.put(name)
        os.utime(disk.path / "cur" / name, (now - age, now - age))
        calls = []
        monkeypatch.setattr(fs, "sync_octets", calls.append)
        inbox.copy_from(inbox, inbox.scan().names)
        assert len(calls) == synced

    def test_a_copy_is_another_name_of_the_file(self, inbox, disk):
        disk.put("1.a.h:2,")
        inbox.copy_from(inbox, [b"1.a.h:2,"])
        first, second = (os.stat(disk.path / "cur" / name) for name in disk.names("cur"))
        assert (first.st_ino, first.st_nlink) == (second.st_ino, 2)
        assert disk.names("tmp") == []

    @pytest.mark.parametrize("problem", [errno.EXDEV, errno.EMLINK, errno.EPERM])
    def test_where_a_link_cannot_be_made_it_is_a_file_of_its_own(self, inbox, disk, monkeypatch, problem):
        def refuse(source: bytes, target: bytes) -> None:
            if b"/cur/" in source:
                raise OSError(problem, "no", source)
            os.link(source, target)

        disk.put("1.a.h:2,", b"one\n")
        disk.put("2.a.h:2,S", b"two\n")
        monkeypatch.setattr(fs, "link", refuse)
        _, uids = inbox.copy_from(inbox, [b"1.a.h:2,", b"2.a.h:2,S"])
        assert len(uids) == 2
        found = {(entry.stat().st_nlink, entry.read_bytes()) for entry in (disk.path / "cur").iterdir()}
        assert found == {(1, b"one\n"), (1, b"two\n")}
        assert len(disk.names("cur")) == 4
        assert disk.names("tmp") == []

    def test_one_that_is_renamed_meanwhile_has_the_flags_that_it_has_then(self, inbox, disk, monkeypatch):
        def late(source: bytes, target: bytes) -> None:
            if source.endswith(b"/1.a.h:2,"):
                os.rename(source, source + b"F")
            os.link(source, target)

        disk.put("1.a.h:2,", b"one\n")
        monkeypatch.setattr(fs, "link", late)
        inbox.copy_from(inbox, [b"1.a.h:2,"])
        assert [name.partition(":")[2] for name in disk.names("cur")] == ["2,F", "2,F"]

    def test_a_symbolic_link_is_not_copied_as_one(self, inbox, disk):
        (disk.path / "elsewhere").write_bytes(b"text")
        os.symlink(disk.path / "elsewhere", disk.path / "cur" / "1.a.h:2,")
        with pytest.raises(OSError, match="symbolic"):
            inbox.copy_from(inbox, [b"1.a.h:2,"])
        assert disk.names("cur") == ["1.a.h:2,"]

    def test_all_or_none(self, inbox, disk):
        disk.put("1.a.h:2,")
        with pytest.raises(FileNotFoundError):
            inbox.copy_from(inbox, [b"1.a.h:2,", b"2.gone.h:2,"])
        assert disk.names("cur") == ["1.a.h:2,"]
        assert disk.names("tmp") == []


class TestOpen:
    def test_a_renamed_message_is_found(self, inbox, disk):
        disk.put("1.a.h:2,S", b"text")
        fd, name = inbox.open_message(b"1.a.h:2,")
        assert (os.read(fd, 9), name) == (b"text", b"1.a.h:2,S")
        os.close(fd)

    def test_a_message_that_is_gone(self, inbox):
        with pytest.raises(FileNotFoundError):
            inbox.open_message(b"1.a.h:2,")

    def test_only_regular_files_are_opened(self, inbox, disk, monkeypatch):
        os.mkfifo(disk.path / "cur/1.pipe.h:2,")
        (disk.path / "cur/2.dir.h:2,").mkdir()
        (disk.path / "cur/3.link.h:2,").symlink_to("/etc/passwd")
        for name in disk.names():
            with pytest.raises(OSError):
                inbox.open_message(name.encode())
        monkeypatch.setenv("MAILDIR_SKIP_SYMLINK_CHECKS", "1")
        os.close(inbox.open_message(b"3.link.h:2,")[0])


class TestFlags:
    def test_changes_are_relative_to_the_flags_on_disk(self, inbox, disk):
        disk.put("1.a.h:2,F")
        assert inbox.change_flags(b"1.a.h:2,", names.SEEN) == (b"1.a.h:2,FS", names.FLAGGED | names.SEEN)
        assert inbox.change_flags(b"1.a.h:2,", 0, names.FLAGGED) == (b"1.a.h:2,S", names.SEEN)
        assert disk.names() == ["1.a.h:2,S"]

    def test_letters_of_others_stay(self, inbox, disk):
        disk.put("1.a.h:2,Pab")
        assert inbox.change_flags(b"1.a.h:2,Pab", names.SEEN)[0] == b"1.a.h:2,PSab"

    def test_no_change_renames_nothing_but_looks(self, inbox, disk):
        disk.put("1.a.h:2,SF")
        assert inbox.change_flags(b"1.a.h:2,SF", names.SEEN) == (b"1.a.h:2,SF", names.SEEN | names.FLAGGED)
        assert inbox.change_flags(b"1.a.h:2,S", names.SEEN)[0] == b"1.a.h:2,SF"

    def test_a_message_that_is_gone(self, inbox):
        with pytest.raises(FileNotFoundError):
            inbox.change_flags(b"1.a.h:2,", names.SEEN)
        with pytest.raises(FileNotFoundError):
            inbox.change_flags(b"1.a.h:2,S", names.SEEN)

    def test_the_directory_is_synced_once_for_a_batch(self, inbox, disk, monkeypatch):
        synced = []
        monkeypatch.setattr(fs, "sync_directory", synced.append)
        disk.put("1.a.h:2,")
        name, _ = inbox.change_flags(b"1.a.h:2,", names.SEEN, batch=True)
        name, _ = inbox.change_flags(name, names.DRAFT, batch=True)
        assert synced == []
        inbox.sync_flags()
        inbox.change_flags(name, names.FLAGGED)
        assert len(synced) == 2


class TestExpunge:
    def test_renamed_messages_go_too(self, inbox, disk):
        for name in ("1.a.h:2,T", "2.b.h:2,ST", "3.c.h:2,"):
            disk.put(name)
        inbox.expunge([b"1.a.h:2,T", b"2.b.h:2,T", b"9.gone.h:2,T"])
        assert disk.names() == ["3.c.h:2,"]

    def test_a_message_that_somebody_undeleted_stays(self, inbox, disk):
        disk.put("1.a.h:2,S")
        inbox.expunge([b"1.a.h:2,ST"])
        assert disk.names() == ["1.a.h:2,S"]

    def test_a_message_that_is_moved_away_goes_whatever_its_flags(self, inbox, disk):
        disk.put("1.a.h:2,S")
        inbox.expunge([b"1.a.h:2,"])
        assert disk.names() == []

    def test_what_this_session_removed_is_not_looked_for(self, inbox, disk, monkeypatch):
        disk.put("1.a.h:2,T")
        disk.put("2.b.h:2,")
        inbox.expunge(inbox.scan().names[:1])
        real, calls = os.listdir, []

        def listdir(path):
            calls.append(path)
            return real(path)

        monkeypatch.setattr(fs, "listdir", listdir)
        assert list(inbox.scan().uids) == [2]
        assert sum(path.endswith(b"cur/") for path in calls) == 2


def test_syncing_can_be_switched_off(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with open(tmp_path / "x", "w") as file:
        for value, count in (("0", 0), ("1", 2), (None, 4)):
            if value is None:
                monkeypatch.delenv("IMAP_FSYNC")
            else:
                monkeypatch.setenv("IMAP_FSYNC", value)
            fs.sync(file.fileno())
            fs.sync_directory(os.fsencode(tmp_path))
            assert len(synced) == count
