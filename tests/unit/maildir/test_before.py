"""A scan held against the one before it."""

import os
from array import array

import pytest

from maildir import names
from maildir.before import Before
from maildir.nametable import FileNames, NameTable
from maildir.snapshot import Snapshot
from maildir.uidcolumns import UidColumns

KEYS = [b"%d.h" % number for number in range(100, 150)]
SEEN = [key + b":2,S" for key in KEYS]


@pytest.fixture
def cur(tmp_path):
    for name in SEEN:
        (tmp_path / os.fsdecode(name)).touch()
    return os.fsencode(tmp_path)


@pytest.fixture
def before():
    listed = UidColumns(7, 51, array("I", range(1, 51)), KEYS)
    found = Snapshot(7, 51, listed.uids, bytes([names.SEEN]) * 50, FileNames(NameTable(KEYS, True)))
    return Before(found, listed, SEEN)


def changed(**letters: str) -> list[bytes]:
    """The names, some with other letters: k3="F"."""
    found = list(SEEN)
    for key, flags in letters.items():
        found[int(key[1:])] = KEYS[int(key[1:])] + b":2," + flags.encode()
    return found


def test_nothing_has_changed(before, cur) -> None:
    again = before.renamed(cur, SEEN[::-1])
    assert (again.flags, again.names, again.whole) == (bytes([names.SEEN]) * 50, frozenset(SEEN), True)


def test_other_flags(before, cur) -> None:
    again = before.renamed(cur, changed(k0="", k3="FS", k49="T"))
    wanted = bytearray(bytes([names.SEEN]) * 50)
    wanted[0], wanted[3], wanted[49] = 0, names.FLAGGED | names.SEEN, names.DELETED
    assert (again.flags, again.whole) == (wanted, True)
    assert again.names == frozenset(changed(k0="", k3="FS", k49="T"))


def test_one_that_was_renamed_meanwhile_is_found(before, cur) -> None:
    os.rename(cur + b"/" + SEEN[3], cur + b"/" + KEYS[3] + b":2,RT")
    again = before.renamed(cur, [name for name in changed(k0="F") if not name.startswith(KEYS[3])])
    assert (again.flags[0], again.flags[3], again.whole) == (names.FLAGGED, names.ANSWERED | names.DELETED, False)
    assert again.names == frozenset(changed(k0="F", k3="RT"))


@pytest.mark.parametrize("seen", [
    [*SEEN, b"200.h:2,"],  # a new one
    [*SEEN[1:], b"200.h:2,"],  # instead of another
    [*SEEN, KEYS[3] + b":2,"],  # under two names
    [*SEEN, SEEN[0]],
    [*SEEN[1:], KEYS[0] + b":2,F", KEYS[0] + b":2,"],
    [*SEEN[1:], KEYS[0] + b":2,Sa"],  # what base and flags do not give
    [*SEEN[1:], KEYS[0]],
    [key + b":2," for key in KEYS],  # too many
    [],
])  # fmt: skip
def test_anything_else_is_left_to_others(before, cur, seen) -> None:
    assert before.renamed(cur, seen) is None


def test_one_that_is_gone_is_left_to_others(before, cur) -> None:
    os.unlink(cur + b"/" + SEEN[3])
    assert before.renamed(cur, [*SEEN[:3], *SEEN[4:]]) is None
