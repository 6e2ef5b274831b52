"""INBOX for POP3: what is listed, numbered, remembered, and removed."""

import errno
import os
import time

import pytest

from maildir import droplist, fs, lock, sizelistfile
from maildir.maildrop import Maildrop

TEXT = b"From: a\nSubject: x\n\nbody\n"


@pytest.fixture
def root(tmp_path):
    for name in ("cur", "new", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path


def put(root, name, octets=TEXT, folder="cur"):
    (root / folder / name).write_bytes(octets)


def drop(root):
    return Maildrop(bytes(root))


def settle(root):
    """What was done is long ago, so that one look suffices."""
    past = time.time() - 60
    for name in ("cur", "new", "."):
        os.utime(root / name, (past, past))


def list_of(root):
    return (root / "courierpop3dsizelist").read_bytes()


def test_messages_are_numbered_in_the_order_of_their_names(root):
    for name in ("1000.b:2,", "1000.a:2,S", "999.z:2,"):
        put(root, name)
    put(root, "1001.n", folder="new")
    put(root, "1002.n:1,odd", folder="new")
    put(root, ".hidden", folder="new")
    found = drop(root)
    assert [uidl.partition(b"-")[0] for uidl in found.uidls()] == [b"UID1", b"UID2", b"UID3", b"UID4", b"UID5"]
    lines = list_of(root).splitlines()
    names = [line.rsplit(b" ", 2)[0] for line in lines[1:]]
    assert names == [b"999.z:2,", b"1000.a:2,S", b"1000.b:2,", b"1001.n:2,", b"1002.n:2,"]
    assert lines[0].startswith(b"/3 6 ")
    assert os.listdir(root / "new") == [".hidden"]
    assert os.listdir(root / "tmp") == []


@pytest.mark.parametrize(
    ("octets", "size"),
    [
        (b"", 0),
        (b"a: b\n\nx\n", 11),
        (b"a: b\n\nx", 11),
        (b"a: b\r\n\r\nx\r\n", 11),
        (b"\n", 2),
        (b"x" * (droplist.MAPPED_OCTETS + 7) + b"\ny\n", droplist.MAPPED_OCTETS + 7 + 5),
    ],
)
def test_the_size_is_that_on_the_wire(root, octets, size):
    put(root, "1.a:2,", octets)
    assert drop(root).sizes == [size]


@pytest.mark.parametrize(
    ("octets", "raw"),
    [
        (b"Subject: x\n\n\xc3\xa9\n", False),
        (b"Subject: \xc3\xa9\n\nx\n", True),
        (b"Subject: \xe9\n\nx\n", True),
        (b"Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nX: \xc3\xa9\n\nx\n--b--\n", True),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\nX: \xc3\xa9\n\nx\n--b--\n", False),
        (b"MIME-Version: 1.0\nContent-Type: message/rfc822\n\nSubject: \xc3\xa9\n\nx\n", True),
        (b"Subject: x\n\n" + b"x" * droplist.MAPPED_OCTETS + b"\xc3\xa9\n", False),
    ],
)
def test_raw_headers_are_known(root, octets, raw):
    put(root, "1.a:2,", octets)
    assert drop(root).has_raw_header(0) is raw
    assert drop(root).has_raw_header(0) is raw  # from the list


def test_what_is_known_is_not_read_again(root, monkeypatch):
    put(root, "1.a:2,")
    first = drop(root).uidls()
    settle(root)
    before = os.stat(root / "courierpop3dsizelist")
    monkeypatch.setattr(droplist, "_properties", None)
    (root / "cur/1.a:2,").rename(root / "cur/1.a:2,FS")
    settle(root)
    assert drop(root).uidls() == first
    assert os.stat(root / "courierpop3dsizelist").st_ino == before.st_ino


def test_ids_stay_when_messages_come_and_go(root):
    for name in ("1.a:2,", "2.b:2,", "4.d:2,"):
        put(root, name)
    before = dict(zip("abd", drop(root).uidls(), strict=True))
    (root / "cur/2.b:2,").unlink()
    put(root, "3.c:2,")
    after = dict(zip("acd", drop(root).uidls(), strict=True))
    assert (after["a"], after["d"]) == (before["a"], before["d"])
    assert after["c"].startswith(b"UID4-")
    (root / "cur/3.c:2,").unlink()
    assert drop(root).uidls() == [before["a"], before["d"]]
    put(root, "5.e:2,")
    assert drop(root).uidls()[2].startswith(b"UID5-")


def test_two_files_of_one_key_and_line_breaks_get_names_of_their_own(root):
    put(root, "1.a:2,")
    put(root, "1.a:2,S", TEXT + b"other\n")
    put(root, "2.b\nc:2,")
    found = drop(root)
    assert len(set(found.uidls())) == 3
    assert drop(root).uidls() == found.uidls()
    assert list_of(root).count(b"\n") == 4


def test_what_cannot_be_read_is_left_out(root, capfd):
    put(root, "1.a:2,")
    (root / "cur/2.b:2,").symlink_to(root / "cur/1.a:2,")
    (root / "cur/3.c:2,").mkdir()
    assert len(drop(root).sizes) == 1
    assert "2.b:2,: not shown" in capfd.readouterr().err


def test_another_server_that_writes_at_the_same_time_is_heeded(root, monkeypatch):
    put(root, "1.a:2,")
    put(root, "2.b:2,")
    there = root / "courierpop3dsizelist"
    real = sizelistfile.SizeListFile.replace
    calls = []

    def overtaken(file, known):
        if not calls:
            there.write_bytes(b"/3 8 55\n2.b:2, 28 7:55:0\n")
        calls.append(known)
        real(file, known)

    monkeypatch.setattr(sizelistfile.SizeListFile, "replace", overtaken)
    assert drop(root).uidls() == [b"UID8-55", b"UID7-55"]
    assert len(calls) == 2


def test_messages_that_the_list_cannot_hold_are_hidden(root, monkeypatch):
    put(root, "1.a:2,")
    known = drop(root).uidls()
    put(root, "0.b:2,")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fs, "write", full)
    found = drop(root)
    assert found.uidls() == known
    assert found.unsaved.errno == errno.ENOSPC
    assert os.listdir(root / "tmp") == []


def test_the_first_message_is_shown_when_no_list_can_be_made(root, monkeypatch):
    put(root, "2.a:2,")
    put(root, "1.b:2,")
    monkeypatch.setattr(sizelistfile, "MAX_BYTES", 3)
    found = drop(root)
    where = os.stat(root / "cur/1.b:2,")
    assert found.uidls() == [b"ENOMEM-%x-%x-%x" % (int(where.st_mtime), where.st_dev, where.st_ino)]
    assert found.sizes == [len(TEXT) + 4]


def test_a_lock_that_is_held_hides_what_is_new(root, monkeypatch):
    put(root, "1.a:2,")
    known = drop(root).uidls()
    put(root, "2.b:2,")
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.01)
    with lock.held(bytes(root)):
        (root / "tmp/courier.lock").write_text(f"1:{os.uname().nodename}")
        found = drop(root)
    assert found.uidls() == known
    assert found.unsaved.errno == errno.ETIMEDOUT


def test_removal_finds_what_was_renamed(root):
    for name in ("1.a:2,", "2.b:2,", "3.c:2,"):
        put(root, name)
    found = drop(root)
    (root / "cur/1.a:2,").rename(root / "cur/1.a:2,FS")
    (root / "cur/2.b:2,").unlink()
    removed, failed = found.remove([0, 1])
    assert (removed, failed) == ([b"cur/1.a:2,FS"], [])
    assert os.listdir(root / "cur") == ["3.c:2,"]


def test_what_could_not_be_removed_is_told(root, monkeypatch, capfd):
    for name in ("1.a:2,", "2.b:2,"):
        put(root, name)
    found = drop(root)
    real = fs.unlink

    def unlink(path):
        if path.endswith(b"/1.a:2,"):
            raise OSError(errno.EIO, "Input/output error")
        real(path)

    monkeypatch.setattr(fs, "unlink", unlink)
    assert found.remove([0, 1]) == ([b"cur/2.b:2,"], [0])
    assert "1.a:2,: not removed: Input/output error" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "seen"), [("1.a", "1.a:2,S"), ("1.a:2,FT", "1.a:2,FST"), ("1.a:2,S", "1.a:2,S"), ("1.a:1,x", "1.a:1,x")]
)
def test_marked_seen(root, name, seen):
    put(root, name)
    drop(root).mark_seen(0)
    assert os.listdir(root / "cur") == [seen]


def test_the_quota_is_told(root):
    for name in ("1.a,S=1000:2,", "2.b:2,", "3.c,S=7:2,T"):
        put(root, name)
    (root / "maildirsize").write_text("1000S\n")
    drop(root).remove([0, 1, 2])
    assert (root / "maildirsize").read_bytes() == b"1000S\n%12d %12d\n" % (-1000 - len(TEXT), -2)


def test_without_a_quota_nothing_is_made(root):
    put(root, "1.a:2,")
    drop(root).remove([0])
    assert not (root / "maildirsize").exists()


def test_a_long_maildirsize_is_counted_anew(root):
    put(root, "1.a,S=10:2,")
    put(root, "2.b,S=20:2,")
    put(root, "3.c,S=40:2,T")
    put(root, "4.d,S=80", folder="new")
    for folder, size in ((".Sent", 100), (".Trash", 7)):
        for name in ("cur", "new", "tmp"):
            (root / folder / name).mkdir(parents=True)
        put(root / folder, f"1.x,S={size}:2,S")
    (root / "maildirsize").write_bytes(b"1000S,9C\n" + b"%12d %12d\n" % (1, 1) * 200)
    os.mkdir(root / "elsewhere")
    (root / ".Link").symlink_to(root / ".Sent")
    found = drop(root)
    found.remove([0])
    assert (root / "maildirsize").read_bytes() == b"1000S,9C\n%12d %12d\n" % (20 + 80 + 100, 3)


def test_a_maildirsize_that_cannot_be_written_keeps_no_mail(root, monkeypatch, capfd):
    put(root, "1.a:2,")
    (root / "maildirsize").symlink_to(root / "nowhere")
    assert drop(root).remove([0]) == ([b"cur/1.a:2,"], [])
    assert "maildirsize: " in capfd.readouterr().err
