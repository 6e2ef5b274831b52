import os
import time

import pytest

from maildir import clock, fs, names, trash
from maildir.account import Account
from maildir.folder import Folder


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("", []),
        ("7", [(b".Trash", 7)]),
        ("0", [(b".Trash", 1)]),
        ("-3", [(b".Trash", 1)]),
        ("week", [(b".Trash", 1)]),
        ("Trash:7", [(b".Trash", 7)]),
        ("Trash:7,Sent:30,Work.Old:365d", [(b".Trash", 7), (b".Sent", 30), (b".Work.Old", 365)]),
        ("Trash:7,Sent,:5,..:1,a/../b:1,", [(b".Trash", 7)]),
        ("Müll:2", [(".Müll".encode(), 2)]),
    ],
)
def test_rules(setting, wanted):
    assert trash.rules(setting, "Trash") == wanted


def test_the_number_of_rules_is_limited():
    assert len(trash.rules(",".join(["a:1"] * 5000), "Trash")) == trash.MAX_RULES


def test_what_is_expunged_goes_to_the_trash_without_its_mark(root, inbox, disk):
    account = Account(root)
    disk.put("1.a.h:2,ADST", b"one\n")
    disk.put("2.b.h:2,T", b"two\n")
    for _ in range(2):
        snapshot = inbox.scan()
        removed = trash.expunge_to_trash(account, inbox, b".Trash", snapshot.names[:1])
        assert removed == snapshot.names[:1]
    found = Folder(account.path(b".Trash")).scan()
    assert (found.names, found.fresh) == ([b"1.a.h:2,AS", b"2.b.h:2,"], {1, 2})
    assert list(inbox.scan().uids) == []


def test_a_message_that_somebody_undeleted_stays(root, inbox, disk):
    disk.put("1.a.h:2,S")
    disk.put("2.b.h:2,FT")
    assert trash.expunge_to_trash(Account(root), inbox, b".Trash", [b"1.a.h:2,ST", b"2.b.h:2,T"]) == [b"2.b.h:2,FT"]
    assert disk.names() == ["1.a.h:2,S"]
    assert os.listdir(root + b"/.Trash/cur") == [b"2.b.h:2,F"]


def test_a_trash_on_another_file_system(root, inbox, disk, monkeypatch):
    Account(root).create(b".Trash")
    disk.put("1.a.h:2,T")
    real = fs.rename

    def rename(source, target):
        if b"/cur/" in source:
            raise OSError(18, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(fs, "rename", rename)
    assert inbox.move_to_trash(Folder(root + b"/.Trash"), [b"1.a.h:2,T"]) == [b"1.a.h:2,T"]
    assert disk.names() == []


def test_emptying_goes_by_the_time_a_file_has_been_there(root, disk_at, monkeypatch):
    account = Account(root)
    account.create(b".Trash")
    disk = disk_at(account.path(b".Trash"))
    disk.put("1.a.h:2,S")
    disk.deliver("2.b.h")
    os.utime(disk.path / "cur/1.a.h:2,S", (1, 1))  # the date of the message says nothing
    rules = [(b".None", 1), (b".Trash", 7)]
    assert trash.empty(account, rules) == 0
    now = time.time()
    monkeypatch.setattr(trash.time, "time", lambda: now + 8 * 86400)
    assert trash.empty(account, rules) == 2
    assert disk.names("cur") + disk.names("new") == []


def test_a_folder_that_cannot_be_emptied_stops_nothing(root, disk, capfd):
    (disk.path / ".Odd").mkdir()
    assert trash.empty(Account(root), [(b".Odd", 1)]) == 0
    assert "not emptied" in capfd.readouterr().err


def test_expunge_tells_what_it_removed(inbox, disk):
    disk.put("1.a.h:2,ST")
    assert inbox.expunge([b"1.a.h:2,T", b"2.gone.h:2,T"]) == [b"1.a.h:2,ST"]
    assert names.flags_of(b"1.a.h:2,ST") & names.DELETED


def test_clock_skew(root, disk, monkeypatch):
    assert abs(clock.clock_skew(root)) <= 1
    now = time.time()
    monkeypatch.setattr(clock.time, "time", lambda: now + 100)
    assert -101 <= clock.clock_skew(root) <= -99
    assert disk.names("tmp") == []
