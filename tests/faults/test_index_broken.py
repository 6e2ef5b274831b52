"""An index that cannot be written, or is not what was written: mail goes on without, or with a new one.

No answer may come from what is broken, and the log says it in one line.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.indexed import Box, settle_quickly
from tests.forked import Forked, check_log
from tests.peers.programs import UID

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

MESSAGES = 200
GONE = ("it is made anew", "goes on without its index")


@pytest.fixture
def box(scratch: Path) -> Box:
    """A maildir whose index is filled."""
    box = Box(scratch, MESSAGES)
    box.check_anew()
    box.check_anew()
    assert box.index.stat().st_size
    assert not lines(box)
    return box


def lines(box: Box) -> list[str]:
    """What the log says about the index."""
    return [line for line in box.log.read_text().splitlines() if any(words in line for words in GONE)]


def change_and_check(box: Box, imapd: Forked) -> None:
    """Mail operations, each with its right answer."""
    client = imapd.client
    box.check(client)
    for command in (b"STORE 2:5 +FLAGS (\\Flagged)", b"STORE 3:4 -FLAGS (\\Flagged)", b"COPY 1 INBOX", b"NOOP"):
        answer = client.command(command)
        assert answer[-1].kind == b"OK", answer
    assert client.command(b"APPEND INBOX ", b"Subject: x999x\r\n\r\nx999x\r\n")[-1].kind == b"OK"
    assert client.command(b"STORE 6:7 +FLAGS (\\Deleted)")[-1].kind == b"OK"
    assert client.command(b"EXPUNGE")[-1].kind == b"OK"
    box.check(client)


# -- broken


def flip(path: Path, chance: random.Random, count: int) -> None:
    """Change single octets."""
    octets = bytearray(path.read_bytes())
    for _ in range(count):
        octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
    path.write_bytes(octets)


def in_database(statement: str) -> Callable[[Path], None]:
    """A change that SQLite itself finds nothing wrong with."""

    def change(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()

    return change


def swap_columns(path: Path) -> None:
    connection = sqlite3.connect(path)
    numbers = [row[0] for row in connection.execute("SELECT number FROM kind ORDER BY number LIMIT 2")]
    for old, new in ((numbers[0], 9000), (numbers[1], numbers[0]), (9000, numbers[1])):
        connection.execute("UPDATE kind SET number = ? WHERE number = ?", (new, old))
    connection.commit()
    connection.close()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def link(path: Path) -> None:
    """To somebody else's file, which must stay as it is."""
    target = path.parent.parent / "precious"
    target.write_text("precious")
    path.unlink()
    path.symlink_to(target)


BROKEN: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"not a database\n" * 1000),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "one page less": lambda path: os.truncate(path, path.stat().st_size - 16384),
    "an odd length": lambda path: os.truncate(path, path.stat().st_size - 7),
    "no header": lambda path: path.write_bytes(bytes(100) + path.read_bytes()[100:]),
    "older version": in_database("PRAGMA user_version = 0"),
    "newer version": in_database("PRAGMA user_version = 99"),
    "another application": in_database("PRAGMA application_id = 1"),
    "no tables": in_database("DROP TABLE block"),
    "other tables": in_database("ALTER TABLE kind RENAME COLUMN name TO other"),
    "no generation": in_database("DELETE FROM meta"),
    "wrong types": in_database("UPDATE block SET octets = 'text'"),
    "short blocks": in_database("UPDATE block SET octets = substr(octets, 1, 100)"),
    "changed blocks": in_database("UPDATE block SET octets = replace(octets, CAST('x' AS BLOB), CAST('y' AS BLOB))"),
    "short view": in_database("UPDATE view SET body = x'00'"),
    "changed view": in_database("UPDATE view SET body = zeroblob(length(body))"),
    "directory": directory,
    "link": link,
    "dangling link": lambda path: (path.unlink(), path.symlink_to(path.parent / "nowhere"))[0],
    "nobody may read it": lambda path: path.chmod(0),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path))[0],
    "columns exchanged": swap_columns,
}
STAYS = {"directory", "link", "dangling link", "a pipe", "nobody may read it"}  # may be left as it is
SILENT = {"empty"}  # as if it had never been written


@pytest.mark.parametrize("how", BROKEN)
def test_broken(box: Box, how: str) -> None:
    BROKEN[how](box.index)
    with box.session() as imapd:
        change_and_check(box, imapd)
    check_log(box.log)
    told = lines(box)
    assert len(told) <= 1
    assert told or how in SILENT or (os.geteuid() == 0 and how == "nobody may read it")
    box.settle()
    box.check_anew()
    if how not in STAYS:
        assert len(lines(box)) == len(told)
        assert sqlite3.connect(box.index).execute("SELECT count(*) FROM block").fetchone()[0]
    precious = box.path.parent / "precious"
    assert not precious.exists() or precious.read_text() == "precious"


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_broken_beside_the_database(box: Box, suffix: str) -> None:
    beside = Path(f"{box.index}{suffix}")
    beside.write_bytes(random.Random(1).randbytes(70_000))
    with box.session() as imapd:
        change_and_check(box, imapd)
    beside.unlink(missing_ok=True)
    box.check_anew()
    check_log(box.log)
    assert len(lines(box)) <= 1


@pytest.mark.parametrize("seed", range(30))
def test_flipped_bits(box: Box, seed: int) -> None:
    chance = random.Random(seed)
    flip(box.index, chance, chance.choice((1, 3, 30, 3000)))
    with box.session() as imapd:
        box.check(imapd.client)
    box.check_anew()
    check_log(box.log)
    assert len(lines(box)) <= 2  # one for each session


def test_broken_under_an_open_session(box: Box) -> None:
    """Sessions that have it open go on, and so does one that comes while they do."""
    with box.session() as one, box.session() as other:
        for imapd in (one, other):
            box.check(imapd.client)
        box.index.unlink()
        box.check(one.client)
        shutil.copy(__file__, box.index)
        change_and_check(box, one)
        box.check(other.client)
        box.check_anew()
        box.check(one.client)
    check_log(box.log)
    assert len(lines(box)) <= 3


# -- cannot be written


def limited(octets: int) -> Callable[[], None]:
    """In an imapd: no file grows beyond so many octets."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets))


@pytest.mark.parametrize("octets", [20_000, 33_000, 50_000, 66_000, 100_000, 200_000])
def test_file_size_limit(scratch: Path, octets: int) -> None:
    box = Box(scratch, MESSAGES)
    with box.session([limited(octets)]) as imapd:
        change_and_check(box, imapd)
    check_log(box.log)
    assert len(lines(box)) <= 1
    box.check_anew()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    place = tmp_path / "disk"
    place.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    (place / "home").mkdir()
    yield place / "home"
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("free", [0, 4096, 16384, 40_000, 100_000, 300_000])
def test_disk_full(full_disk: Path, tmp_path: Path, free: int) -> None:
    box = Box(full_disk, MESSAGES)
    box.log = tmp_path / "log"
    box.log.touch()
    found = os.statvfs(full_disk)
    filling = full_disk / "filling"
    with filling.open("wb") as file:
        file.write(bytes(max(found.f_bavail * found.f_frsize - free, 0)))
    with box.session() as imapd:
        box.check(imapd.client)
        for command in (b"STORE 2:5 +FLAGS (\\Flagged)", b"STORE 6:7 +FLAGS (\\Deleted)", b"NOOP"):
            assert imapd.client.command(command)[-1].kind == b"OK"
        box.check(imapd.client)
    check_log(box.log)
    assert len(lines(box)) <= 1
    filling.unlink()
    box.settle()
    box.check_anew()
    box.check_anew()


@pytest.mark.root
@pytest.mark.parametrize("indexed", [True, False])
def test_read_only_folder(scratch: Path, indexed: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving files away takes root")
    scratch.chmod(0o755)
    box = Box(scratch, MESSAGES, identity=UID)
    if indexed:
        box.check_anew()
    for path in (box.path, *box.path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with box.session() as imapd:
        box.check(imapd.client)
        assert imapd.client.command(b"STORE 1 +FLAGS (\\Flagged)")[-1].kind == b"NO"
        box.check(imapd.client)
    check_log(box.log)
    assert len(lines(box)) <= 1


# -- held by others


def test_locked_for_long(box: Box) -> None:
    """Somebody writes into it and does not come to an end."""
    holder = sqlite3.connect(box.index, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("DELETE FROM answer")
    with box.session([settle_quickly]) as imapd:
        change_and_check(box, imapd)
    holder.execute("ROLLBACK")
    holder.close()
    box.check_anew()
    check_log(box.log)
    assert len(lines(box)) <= 1


def test_switched_off(scratch: Path) -> None:
    box = Box(scratch, 20)
    box.check_anew(IMAP_INDEX="off")
    assert not box.index.exists()
    assert not lines(box)


def test_elsewhere(scratch: Path) -> None:
    box = Box(scratch, 20)
    elsewhere = scratch / "elsewhere"
    elsewhere.mkdir(0o700)
    for _ in range(2):
        box.check_anew(IMAP_INDEX=str(elsewhere))
    assert not box.index.exists()
    assert list(elsewhere.rglob("*")) != []
    assert not lines(box)


@pytest.mark.parametrize("mode", [0o777, None])
def test_elsewhere_that_is_not_safe(scratch: Path, mode: int | None) -> None:
    box = Box(scratch, 20)
    elsewhere = scratch / "elsewhere"
    elsewhere.mkdir()
    own = elsewhere / str(os.geteuid())
    if mode is None:
        own.symlink_to(scratch)
    else:
        own.mkdir()
        own.chmod(mode)
    box.check_anew(IMAP_INDEX=str(elsewhere))
    assert len(lines(box)) == 1
    assert not box.index.exists()
