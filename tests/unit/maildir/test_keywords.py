import os
import time

import pytest

from maildir import fs, keywordlist
from maildir.keywords import Keywords

A, B, C = b"1.a.h", b"2.b.h,S=3", b"3.c.h"


@pytest.fixture
def keywords(root, disk):
    for base in (A, B, C):
        disk.put(os.fsdecode(base) + ":2,")
    return Keywords(root)


@pytest.fixture
def directory(disk):
    return disk.path / "courierimapkeywords"


def read(keywords, *bases, **options):
    return keywords.read(set(bases or (A, B, C)), **options)


class TestFormat:
    def test_a_list_of_the_original(self):
        found, fault = keywordlist.parse_list(b"k2\nk1\n\n1.M4P2V,S=35:1 0\n2.x:1\n")
        assert found == {b"1.M4P2V,S=35": {b"k1", b"k2"}, b"2.x": {b"k1"}}
        assert fault == ""
        assert keywordlist.parse_list(keywordlist.render_list(found)) == (found, "")

    def test_no_keywords_at_all(self):
        assert keywordlist.render_list({A: frozenset()}) == b"\n"
        assert keywordlist.parse_list(b"\n") == ({}, "")

    @pytest.mark.parametrize(
        ("data", "found"),
        [
            (b"", {}),
            (b"k1\n", {}),
            (b"k1\n\n1.a:7\n", {b"1.a": set()}),  # out of range
            (b"k1\n\n1.a:x0y\n", {b"1.a": {b"k1"}}),
            (b"k1\n\nrubbish\n1.a:0\n", {b"1.a": {b"k1"}}),
            (b"k\0\nk1\n\n1.a:0 1\n", {b"1.a": {b"k1"}}),
            (b"k1\n\n1.a:" + b"9" * 5000 + b" 0\n", {b"1.a": {b"k1"}}),
            (b"\0" * 5000, {}),
        ],
    )
    def test_damage(self, data, found):
        assert keywordlist.parse_list(data)[0] == found

    def test_the_number_of_keywords_is_limited(self, monkeypatch):
        monkeypatch.setattr(keywordlist, "MAX_KEYWORDS", 2)
        found, fault = keywordlist.parse_list(b"a\nb\nc\n\n1.a:0 1 2\n")
        assert (found, fault) == ({b"1.a": {b"a", b"b"}}, "a bad keyword")


def test_no_directory(keywords, directory):
    assert read(keywords) == {}
    assert not directory.exists()


def test_a_change_is_an_update_file_first(keywords, directory):
    assert keywords.change([A, B], [b"k1", b"k2"]) == {A: {b"k1", b"k2"}, B: {b"k1", b"k2"}}
    assert sorted(os.listdir(directory)) == ["1.a.h", "2.b.h,S=3"]
    assert (directory / "1.a.h").read_bytes() == b"k1\nk2\n"


def test_reading_takes_updates_into_the_list(keywords, directory):
    keywords.change([A], [b"k1"])
    assert read(keywords) == {A: {b"k1"}}
    assert (directory / ":list").read_bytes() == b"k1\n\n1.a.h:0\n"
    step = int(time.time()) // 300 + 1
    assert sorted(os.listdir(directory)) in (
        [f".{step}.1.a.h", ":list"],
        [f".{step - 1}.1.a.h", ":list"],  # the clock has gone on
    )
    assert read(keywords) == {A: {b"k1"}}


def test_changes_are_relative_to_what_is_on_the_disk(keywords, root):
    other = Keywords(root)
    keywords.change([A], [b"k1", b"k2"])
    other.change([A], [b"k3"], [b"K1"])
    assert read(keywords) == {A: {b"k2", b"k3"}}
    keywords.replace([A], [b"k4"])
    other.change([A], [b"k5"])
    assert read(other) == {A: {b"k4", b"k5"}}
    keywords.replace([A], [])
    assert read(other) == {}


def test_the_first_spelling_stays(keywords):
    keywords.change([A], [b"Work"])
    assert keywords.change([B], [b"WORK"]) == {B: {b"Work"}}
    assert keywords.change([A], [], [b"wOrK"]) == {A: frozenset()}
    assert read(keywords) == {B: {b"Work"}}


def test_what_counts_before_what(keywords, directory):
    directory.mkdir()
    (directory / ":list").write_bytes(b"list\n\n1.a.h:0\n2.b.h,S=3:0\n3.c.h:0\n")
    (directory / ".5.2.b.h,S=3").write_bytes(b"five\n")
    (directory / ".6.2.b.h,S=3").write_bytes(b"six\n")
    (directory / ".7.3.c.h").write_bytes(b"seven\n")
    (directory / "3.c.h").write_bytes(b"new\n")
    wanted = {A: {b"list"}, B: {b"six"}, C: {b"new"}}
    assert read(keywords, write=False) == wanted
    assert len(os.listdir(directory)) == 5
    assert read(keywords) == wanted
    assert not (directory / ".5.2.b.h,S=3").exists()
    assert (directory / ".6.2.b.h,S=3").exists()
    assert not (directory / "3.c.h").exists()


def test_old_updates_go_but_not_what_they_say(keywords, directory):
    directory.mkdir()
    (directory / ":list").write_bytes(b"\n")
    for name in (".5.1.a.h", ".tmp.5x", ".tmp.6y"):
        (directory / name).write_bytes(b"old\n")
    past = time.time() - 1000
    os.utime(directory / ".5.1.a.h", (past, past))
    os.utime(directory / ".tmp.5x", (past, past))
    assert read(keywords) == {A: {b"old"}}
    assert sorted(os.listdir(directory)) == [".tmp.6y", ":list"]
    assert read(keywords) == {A: {b"old"}}


def test_messages_that_are_gone_are_dropped_but_not_those_of_a_newer_scan(keywords, directory):
    directory.mkdir()
    (directory / ":list").write_bytes(b"k\n\n1.a.h:0\n9.gone.h:0\n3.c.h:0\n")
    assert keywords.read({A, B}) == {A: {b"k"}}
    assert (directory / ":list").read_bytes() == b"k\n\n1.a.h:0\n3.c.h:0\n"


def test_an_update_that_waits_is_taken_in_first(keywords, directory):
    keywords.change([A], [b"first"])
    read(keywords)
    (directory / "1.a.h").write_bytes(b"theirs\n")
    assert keywords.change([A], [b"ours"]) == {A: {b"theirs", b"ours"}}
    assert read(keywords) == {A: {b"theirs", b"ours"}}
    assert [name for name in os.listdir(directory) if name.startswith(".tmp")] == []


def test_a_damaged_list_is_repaired_with_one_line(keywords, directory, capfd):
    directory.mkdir()
    (directory / ":list").write_bytes(b"k\n\nrubbish\n1.a.h:0\n")
    assert read(keywords) == {A: {b"k"}}
    assert read(keywords) == {A: {b"k"}}
    logged = capfd.readouterr().err.splitlines()
    assert len(logged) == 1
    assert "a line without a message: damaged; repaired, 1 messages keep keywords" in logged[0]


def test_reading_survives_files_that_are_renamed_meanwhile(keywords, directory, monkeypatch):
    keywords.change([A], [b"k1"])
    real, calls = fs.listdir, []

    def listdir(path):
        calls.append(path)
        return [b"0.renamed.h", *real(path)] if len(calls) < 5 else real(path)

    monkeypatch.setattr(fs, "listdir", listdir)
    assert read(keywords, write=False) == {A: {b"k1"}}
    assert len(calls) == 5


@pytest.mark.parametrize("keyword", [b"", b"a\nb", b"a\0", b"x" * 1001])
def test_what_cannot_stand_in_the_files(keywords, keyword):
    with pytest.raises(OSError, match="not a keyword"):
        keywords.change([A], [keyword])


def test_the_directory_has_the_permissions_of_the_maildir(keywords, disk, directory):
    disk.path.chmod(0o750)
    keywords.change([A], [b"k"])
    assert directory.stat().st_mode & 0o777 == 0o750


def test_a_list_that_cannot_be_written_is_read(keywords, directory, monkeypatch):
    keywords.change([A], [b"k"])

    def create(path, mode=0o666):
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(fs, "create", create)
    assert read(keywords) == {A: {b"k"}}
