"""Each operation, with its N-th file-system call failing, for every N: nothing acknowledged is lost, no uid changes."""

import errno
import os
import shutil

import pytest

from maildir import keywordlist, names, uidlist
from maildir.account import Account
from maildir.folder import Folder
from maildir.keywords import Keywords
from maildir.trash import expunge_to_trash

ERRORS = [errno.EIO, errno.ENOSPC, errno.ENOENT]


@pytest.fixture(autouse=True)
def _index(quick, monkeypatch):
    """The index makes some of the calls."""
    monkeypatch.setenv("IMAP_INDEX", "on")


def plant(root):
    """An account with two listed messages, a new one, one that vanished, and a folder."""
    for part in ("cur", "new", "tmp"):
        (root / part).mkdir(parents=True)
    for number in (1, 2):
        (root / f"cur/{number}.a.h:2,").write_text(f"{number}\n")
    (root / "new/9.new.h").write_text("9\n")
    (root / "courierimapuiddb").write_text("1 700000000 8\n4 1.a.h\n5 2.a.h\n7 3.gone.h\n")
    (root / "courierimapkeywords").mkdir()
    (root / "courierimapkeywords/:list").write_text("k1\n\n1.a.h:0\n")
    (root / "courierimapkeywords/2.a.h").write_text("k2\n")
    (root / "courierimapsubscribed").write_text("INBOX.a\nINBOX.b\n")
    path = os.fsencode(root)
    Account(path).create(b".a")
    Account(path).create(b".a.b")
    made = Folder(path + b"/.a").new_message()
    made.write(b"in a\r\n")
    made.commit(names.SEEN)
    Folder(path + b"/.a").store([made])
    return path


def text(folder, name):
    fd, _ = folder.open_message(name)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def content(path):
    """Uidvalidity, next uid, and text by uid of a folder, as a fresh scan finds them; checks that the list is sound."""
    folder = Folder(path)
    snapshot = folder.scan()
    assert list(snapshot.uids) == sorted(set(snapshot.uids))
    with open(path + b"/courierimapuiddb", "rb") as file:
        listed = uidlist.parse(file.read())
    assert listed is not None
    assert listed.fault == ""
    assert listed.uidnext == snapshot.uidnext > max(snapshot.uids, default=0)
    found = {uid: text(folder, name) for uid, name in zip(snapshot.uids, snapshot.names, strict=True)}
    return snapshot.uidvalidity, snapshot.uidnext, found


def store(path):
    folder = Folder(path)
    messages = []
    try:
        for number in (1, 2):
            message = folder.new_message()
            messages.append(message)
            message.write(b"stored %d\r\n" % number)
            message.commit(names.SEEN, 1e9)
    except OSError:
        for message in messages:
            message.abort()
        raise
    return folder.store(messages)


OPERATIONS = {
    "scan": lambda path: Folder(path).scan(),
    "scan without writing": lambda path: Folder(path).scan(write=False),
    "status": lambda path: Folder(path).status(),
    "store": store,
    "copy": lambda path: Folder(path + b"/.a").copy_from(Folder(path), [b"1.a.h:2,", b"2.a.h:2,"]),
    "change flags": lambda path: Folder(path).change_flags(b"1.a.h:2,", names.SEEN),
    "change flags of a renamed message": lambda path: Folder(path).change_flags(b"1.a.h:2,F", names.SEEN),
    "change keywords": lambda path: Keywords(path).change([b"1.a.h", b"2.a.h"], [b"k3"]),
    "read keywords": lambda path: Keywords(path).read({b"1.a.h", b"2.a.h"}),
    "expunge": lambda path: Folder(path).expunge([b"2.a.h:2,"]),
    "expunge to trash": lambda path: expunge_to_trash(Account(path), Folder(path), b".Trash", [b"2.a.h:2,"]),
    "create": lambda path: Account(path).create(b".c"),
    "delete": lambda path: Account(path).delete(b".a"),
    "rename": lambda path: Account(path).rename(b".a", b".z"),
    "subscribe": lambda path: Account(path).subscribe(b"INBOX.c"),
    "unsubscribe": lambda path: Account(path).unsubscribe(b"INBOX.a"),
}

SCANS = {"scan", "scan without writing"}


def check(path, operation, result, acknowledged):
    """What must hold after an operation that may have failed."""
    account = Account(path)
    folders = sorted(account.folders())
    uidvalidity, uidnext, found = content(path)
    assert (uidvalidity, found[4]) == (700_000_000, b"1\n")
    assert uidnext >= 9
    gone = set()
    if operation == "expunge":
        if acknowledged:
            assert 5 not in found
        gone = {5}
    if operation == "expunge to trash" and 5 not in found:
        assert list(content(path + b"/.Trash")[2].values()) == [b"2\n"]
        gone = {5}
    assert 5 in gone or found[5] == b"2\n"
    assert b"9\n" in found.values()
    stored = [data for data in found.values() if data.startswith(b"stored")]
    if operation == "store":
        assert len(stored) == (2 if acknowledged else 0)
        if acknowledged:
            assert [found[uid] for uid in result[1]] == [b"stored 1\n", b"stored 2\n"]
    if operation == "copy" and acknowledged:
        assert [content(path + b"/.a")[2][uid] for uid in result[1]] == [b"1\n", b"2\n"]
    check_folders(path, operation, folders, acknowledged)
    check_subscriptions(account.subscriptions(), operation, acknowledged)
    check_keywords(path, operation, acknowledged)
    if operation in SCANS and acknowledged:
        assert {4, 5} <= set(result.uids)
    assert not [name for name in os.listdir(path + b"/tmp") if name == b"courier.lock"]


def check_folders(path, operation, folders, acknowledged):
    folders = [folder for folder in folders if folder != b".Trash"]
    before, after = [b".", b".a", b".a.b"], None
    if operation == "create":
        after = [b".", b".a", b".a.b", b".c"]
    elif operation == "delete":
        after = [b".", b".a.b"]
    elif operation == "rename":
        after = [b".", b".z", b".z.b"]
    if acknowledged:
        assert folders == (after or before)
    else:
        assert folders in (before, after)
    for folder in folders[1:]:
        found = content(path + b"/" + folder)[2]
        if folder in (b".a", b".z"):
            assert found[1] == b"in a\n"


def check_keywords(path, operation, acknowledged):
    before = {b"1.a.h": {b"k1"}, b"2.a.h": {b"k2"}}
    found = Keywords(path).read(before.keys())
    for base, keywords in before.items():
        changed = keywords | {b"k3"} if operation == "change keywords" else keywords
        assert found[base] in ([changed] if acknowledged else [keywords, changed])
    with open(path + b"/courierimapkeywords/:list", "rb") as file:
        assert keywordlist.parse_list(file.read())[1] == ""


def check_subscriptions(subscribed, operation, acknowledged):
    before = [b"INBOX.a", b"INBOX.b"]
    after = {"subscribe": [*before, b"INBOX.c"], "unsubscribe": [b"INBOX.b"]}.get(operation, before)
    assert subscribed in ([after] if acknowledged else [before, after])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_nth_call_fails(operation, after, scratch, saboteur, capfd):
    plant(scratch / "model")
    failures = 0
    for code in ERRORS[:1] if after else ERRORS:
        fail_at, reached = 1, True
        while reached:
            path = os.fsencode(scratch / "copy")
            shutil.copytree(scratch / "model", scratch / "copy")
            result, acknowledged = None, True
            saboteur.arm(fail_at, code, after)
            try:
                result = OPERATIONS[operation](path)
            except OSError:
                acknowledged = False
            reached = saboteur.disarm()
            check(path, operation, result, acknowledged)
            failures += reached
            fail_at += 1
            shutil.rmtree(path)
    assert failures >= 2  # each operation has at least two calls that can fail
