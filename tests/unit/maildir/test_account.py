import os
import stat

import pytest

from maildir import account as account_module
from maildir import fs, subscriptions, uidlist
from maildir.account import Account
from maildir.folder import Folder


@pytest.fixture
def account(root):
    return Account(root)


def folders(account):
    return sorted(account.folders())


class TestFolders:
    def test_inbox_is_always_first(self, account):
        account.create(b".a")
        account.create(b".a.b")
        found = list(account.folders())
        assert found[0] == b"."
        assert sorted(found) == [b".", b".a", b".a.b"]

    def test_files_and_impossible_names_are_no_folders(self, account, disk):
        (disk.path / ".profile").write_text("")
        (disk.path / "..x").mkdir()
        (disk.path / ".a..b").mkdir()
        (disk.path / "shared-folders").mkdir()
        (disk.path / ".dangling").symlink_to("nowhere")
        assert folders(account) == [b"."]

    def test_a_link_to_a_directory_is_a_folder(self, account, disk, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (disk.path / ".link").symlink_to(tmp_path / "elsewhere")
        assert folders(account) == [b".", b".link"]

    @pytest.mark.parametrize("name", [b"", b"cur", b".a/../../x", b"/etc", b".a\0b", b".."])
    def test_no_name_leads_out_of_the_maildir(self, account, name):
        with pytest.raises(OSError, match="not a folder name"):
            account.path(name)
        assert not account.exists(name)


class TestCreate:
    def test_what_is_made(self, account, disk):
        os.umask(os.umask(0o22))
        account.create(".é".encode())
        path = disk.path / ".é"
        assert sorted(os.listdir(path)) == ["courierimapuiddb", "cur", "maildirfolder", "new", "tmp"]
        assert (
            Folder(account.path(".é".encode())).status().uidvalidity
            == uidlist.parse((path / "courierimapuiddb").read_bytes()).uidvalidity
        )
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE((path / "cur").stat().st_mode) == 0o700
        assert stat.S_IMODE((path / "maildirfolder").stat().st_mode) == 0o600
        assert account.exists(".é".encode())
        assert disk.names("tmp") == []

    def test_what_exists_is_left_alone(self, account, disk):
        account.create(b".a")
        disk_a = disk.path / ".a"
        (disk_a / "cur/1.x:2,").write_text("x")
        for name in (b".a", b"."):
            with pytest.raises(FileExistsError):
                account.create(name)
        assert os.listdir(disk_a / "cur") == ["1.x:2,"]

    def test_a_file_in_the_way(self, account, disk):
        (disk.path / ".a").write_text("")
        with pytest.raises(FileExistsError):
            account.create(b".a")
        assert disk.names("tmp") == []

    def test_a_directory_that_is_no_folder_becomes_one(self, account, disk):
        (disk.path / ".a").mkdir()
        account.create(b".a")
        assert sorted(os.listdir(disk.path / ".a")) == ["cur", "maildirfolder", "new", "tmp"]

    def test_a_name_that_is_too_long(self, account, disk):
        with pytest.raises(OSError) as error:
            account.create(b"." + b"x" * 255)
        assert error.value.errno == 36
        assert disk.names("tmp") == []


class TestDelete:
    def test_the_folder_goes_and_those_below_stay(self, account, disk):
        account.create(b".a")
        account.create(b".a.b")
        (disk.path / ".a/cur/1.x:2,").write_text("x")
        account.delete(b".a")
        assert folders(account) == [b".", b".a.b"]
        assert disk.names("tmp") == []

    def test_what_is_not_there(self, account):
        with pytest.raises(FileNotFoundError):
            account.delete(b".a")

    def test_inbox_stays(self, account):
        with pytest.raises(PermissionError):
            account.delete(b".")

    def test_links_are_not_followed(self, account, disk, tmp_path):
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious/file").write_text("x")
        account.create(b".a")
        (disk.path / ".a/cur/link").symlink_to(tmp_path / "precious")
        (disk.path / ".b").symlink_to(tmp_path / "precious")
        account.delete(b".a")
        account.delete(b".b")
        assert folders(account) == [b"."]
        assert (tmp_path / "precious/file").read_text() == "x"

    def test_what_cannot_be_removed_is_out_of_sight(self, account, disk, monkeypatch, capfd):
        account.create(b".a")

        def rmdir(path):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(fs, "rmdir", rmdir)
        account.delete(b".a")
        assert folders(account) == [b"."]
        assert "not removed yet" in capfd.readouterr().err

    def test_a_new_folder_of_the_name_has_another_uidvalidity(self, account, monkeypatch):
        slept = []
        monkeypatch.setattr(account_module.time, "sleep", slept.append)
        monkeypatch.setattr(account_module.time, "time", lambda: 1_795_202_663.25)
        for uidvalidity in (795_202_663, 795_202_662):
            account.create(b".a")
            with open(account.path(b".a") + b"/" + uidlist.FILE, "wb") as file:
                file.write(b"1 %d 6\n" % uidvalidity)
            account.delete(b".a")
        assert slept == [0.75]


class TestRename:
    def test_the_tree_moves_and_uids_stay(self, account, disk):
        for name in (b".a", b".a.b", b".a.b.c", b".ab"):
            account.create(name)
        (disk.path / ".a.b/new/1.x").write_text("x")
        before = Folder(account.path(b".a.b")).scan()
        account.rename(b".a", b".z.y")
        assert folders(account) == [b".", b".ab", b".z.y", b".z.y.b", b".z.y.b.c"]
        after = Folder(account.path(b".z.y.b")).scan()
        assert (after.uidvalidity, list(after.uids), after.fresh) == (before.uidvalidity, [1], set())

    def test_a_name_of_which_only_folders_below_exist(self, account):
        account.create(b".a.b")
        account.rename(b".a", b".c")
        assert folders(account) == [b".", b".c.b"]

    @pytest.mark.parametrize(
        ("old", "new", "error"),
        [
            (b".none", b".x", FileNotFoundError),
            (b".a", b".taken", FileExistsError),
            (b".a", b".a", OSError),
            (b".a", b".a.b.c", OSError),
            (b".", b".x", PermissionError),
            (b".a", b".", PermissionError),
            (b".a", b"x", OSError),
        ],
    )
    def test_what_cannot_be(self, account, old, new, error):
        for name in (b".a", b".a.b", b".taken"):
            account.create(name)
        with pytest.raises(error):
            account.rename(old, new)
        assert folders(account) == [b".", b".a", b".a.b", b".taken"]

    def test_a_failure_half_way_is_undone(self, account, monkeypatch):
        for name in (b".a", b".a.b", b".a.c"):
            account.create(name)
        real = fs.rename

        def rename(source, target):
            if source.endswith(b".a.c"):
                raise OSError(5, "Input/output error")
            real(source, target)

        monkeypatch.setattr(fs, "rename", rename)
        with pytest.raises(OSError, match="Input/output"):
            account.rename(b".a", b".z")
        assert folders(account) == [b".", b".a", b".a.b", b".a.c"]


class TestSubscriptions:
    def test_they_are_kept_in_order_as_spelled(self, account, disk):
        for name in ("INBOX.Sent", "inbox", "INBOX.é", "#shared.x"):
            account.subscribe(name.encode())
        assert (disk.path / "courierimapsubscribed").read_text() == "INBOX.Sent\ninbox\nINBOX.é\n#shared.x\n"
        assert account.subscriptions()[1] == b"inbox"

    def test_only_inbox_is_folded(self, account):
        account.subscribe(b"inbox.Sent")
        account.subscribe(b"INBOX.Sent")
        account.subscribe(b"INBOX.sent")
        assert account.subscriptions() == [b"inbox.Sent", b"INBOX.sent"]
        account.unsubscribe(b"InBoX.Sent")
        account.unsubscribe(b"INBOX.none")
        assert account.subscriptions() == [b"INBOX.sent"]

    def test_no_file(self, account):
        assert account.subscriptions() == []
        account.unsubscribe(b"x")
        assert account.subscriptions() == []

    @pytest.mark.parametrize("name", [b"", b"a\nb", b"a\0", b"x" * 4097])
    def test_what_cannot_be_written_in_a_line(self, account, name):
        with pytest.raises(OSError, match="not a mailbox name"):
            account.subscribe(name)

    def test_a_damaged_file_is_repaired_with_one_line(self, account, disk, capfd):
        (disk.path / "courierimapsubscribed").write_bytes(b"INBOX.a\n\0\0\0\n\n" + b"x" * 9999 + b"\nINBOX.b\r\n")
        assert account.subscriptions() == [b"INBOX.a", b"INBOX.b"]
        account.subscribe(b"INBOX.c")
        assert (disk.path / "courierimapsubscribed").read_bytes() == b"INBOX.a\nINBOX.b\nINBOX.c\n"
        logged = capfd.readouterr().err.splitlines()
        assert len(logged) == 1
        assert "line 2 is no mailbox name" in logged[0]

    def test_the_number_is_limited(self, account, disk, monkeypatch):
        monkeypatch.setattr(subscriptions, "MAX_LINES", 3)
        (disk.path / "courierimapsubscribed").write_bytes(b"".join(b"INBOX.%d\n" % n for n in range(5)))
        assert account.subscriptions() == [b"INBOX.0", b"INBOX.1", b"INBOX.2"]
        with pytest.raises(OSError, match="too many"):
            account.subscribe(b"INBOX.x")

    def test_the_size_is_limited(self, account, disk, monkeypatch):
        monkeypatch.setattr(subscriptions, "MAX_BYTES", 20)
        (disk.path / "courierimapsubscribed").write_bytes(b"INBOX.1\n" * 10)
        assert account.subscriptions()[:2] == [b"INBOX.1", b"INBOX.1"]
        with pytest.raises(OSError, match="too many"):
            account.subscribe(b"INBOX.x")
