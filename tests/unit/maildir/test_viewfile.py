"""The copy of a view: what was written is read, and anything else is none."""

import os
from array import array
from pathlib import Path

import pytest

from maildir import viewfile
from maildir.storedview import Reading

MARKS = b"1 2 3, 4 5 6, 7 8 9"


def reading(uids: list[int], flags: bytes) -> Reading:
    return Reading(7, 1000, array("I", uids), flags, 1, MARKS, b"", lambda: iter(()), dict)


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "index")


@pytest.mark.parametrize("uids", [[], [9], [1, 2, 4000000000], list(range(5, 2000))])
def test_what_was_written_is_read(path: bytes, uids: list[int]) -> None:
    flags = bytes(uid % 7 for uid in uids)
    viewfile.write(path, 33, reading(uids, flags))
    found = viewfile.read(path, MARKS)
    assert found is not None
    assert (list(found.uids), found.flags, found.messages, found.unseen) == (uids, flags, len(uids), 1)
    assert (found.generation, found.uidvalidity, found.uidnext) == (33, 7, 1000)
    assert found.uids.typecode == "I"


def test_one_of_other_marks_or_none_at_all(path: bytes) -> None:
    assert viewfile.read(path, MARKS) is None
    assert viewfile.counts(path, MARKS) is None
    viewfile.write(path, 33, reading([1], b"\0"))
    assert viewfile.read(path, MARKS + b"0") is None
    assert viewfile.counts(path, MARKS + b"0") is None
    counted = viewfile.counts(path, MARKS)
    assert counted is not None
    assert counted.messages == 1


def test_each_octet_counts(path: bytes) -> None:
    viewfile.write(path, 33, reading([1, 2, 9], b"\0\1\2"))
    file = Path(os.fsdecode(path + viewfile.SUFFIX))
    whole = file.read_bytes()
    for place in range(len(whole)):
        torn = bytearray(whole)
        torn[place] ^= 1
        file.write_bytes(torn)
        assert viewfile.read(path, MARKS) is None
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert viewfile.read(path, MARKS) is None
    file.write_bytes(whole + b"\0")
    assert viewfile.read(path, MARKS) is None
    file.write_bytes(whole)
    assert viewfile.read(path, MARKS) is not None


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_what_is_no_file(path: bytes, tmp_path: Path, kind: str) -> None:
    viewfile.write(path, 33, reading([1], b"\0"))
    file = Path(os.fsdecode(path + viewfile.SUFFIX))
    if kind == "link":
        file.rename(tmp_path / "other")
        file.symlink_to("other")
    else:
        file.unlink()
        (os.mkdir if kind == "directory" else os.mkfifo)(file)
    assert viewfile.read(path, MARKS) is None
    assert viewfile.counts(path, MARKS) is None
