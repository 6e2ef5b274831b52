"""An index that cannot be written, or that others hold: mail goes on without, and the log says it in one line."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.indexed import Box, change_and_check, log_lines, settle_quickly
from tests.faults.test_index_torn import put_back
from tests.faults.traced import Traced, needed
from tests.forked import check_log
from tests.peers.programs import UID

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

MESSAGES = 60


def limited(octets: int) -> Callable[[], None]:
    """In an imapd: no file grows beyond so many octets."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets))


@pytest.mark.parametrize("octets", [20_000, 50_000, 100_000, 200_000])
def test_file_size_limit(scratch: Path, octets: int) -> None:
    box = Box(scratch, MESSAGES)
    with box.session([limited(octets)]) as imapd:
        change_and_check(box, imapd)
    check_log(box.log)
    assert len(log_lines(box)) <= 1
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


@pytest.mark.parametrize("missing", [True, False], ids=["from nothing", "with an index"])
def test_disk_full_at_the_nth_write(box: Box, missing: bool) -> None:
    needed()
    whole = box.index.read_bytes()
    questions = [b"SELECT INBOX", b"STORE 1:9 FLAGS (\\Seen)", b"STORE 1:9 FLAGS ()", b"UID SORT (SIZE CC) UTF-8 ALL"]

    def writes(full: int) -> int:
        put_back(box, b"" if missing else whole)
        box.log.write_text("")
        traced = Traced(full=full)
        with box.session([settle_quickly, traced]) as imapd:
            traced.begin()
            for question in questions:
                assert imapd.client.command(question)[-1].kind == b"OK"
                box.wait()
            box.check_all(imapd.client)
        check_log(box.log)
        assert len(log_lines(box)) <= 1
        return traced.count

    count = writes(1 << 30)
    assert count > 10
    for point in range(5):
        writes(1 + point * count // 5)
        box.check_anew()


@pytest.mark.root
@pytest.mark.parametrize("free", [0, 16384, 40_000, 100_000, 300_000])
def test_disk_full(full_disk: Path, tmp_path: Path, free: int) -> None:
    box = Box(full_disk, MESSAGES)
    box.log = tmp_path / "log"
    box.log.touch()
    found = os.statvfs(full_disk)
    filling = full_disk / "filling"
    with filling.open("wb") as file:
        file.write(bytes(max(found.f_bavail * found.f_frsize - free, 0)))
    with box.session() as imapd:
        box.check_all(imapd.client)
        for command in (b"STORE 2:5 +FLAGS (\\Flagged)", b"STORE 6:7 +FLAGS (\\Deleted)", b"NOOP"):
            assert imapd.client.command(command)[-1].kind == b"OK"
        box.check(imapd.client)
    check_log(box.log)
    assert len(log_lines(box)) <= 1
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
    assert len(log_lines(box)) <= 1


# -- held by others


def test_locked_for_long(box: Box) -> None:
    """Somebody writes into it and does not come to an end."""
    holder = sqlite3.connect(box.index, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("DELETE FROM answer")
    with box.session([settle_quickly]) as imapd:
        box.check(imapd.client)
        assert imapd.client.command(b"STORE 1:9 +FLAGS (\\Flagged)")[-1].kind == b"OK"
        box.check(imapd.client)
    holder.execute("ROLLBACK")
    holder.close()
    box.check_anew()
    check_log(box.log)
    assert len(log_lines(box)) <= 1


def test_switched_off(scratch: Path) -> None:
    box = Box(scratch, 20)
    box.check_anew(IMAP_INDEX="off")
    assert not box.index.exists()
    assert not log_lines(box)


def test_elsewhere(scratch: Path) -> None:
    box = Box(scratch, 20)
    elsewhere = scratch / "elsewhere"
    elsewhere.mkdir(0o700)
    for _ in range(2):
        box.check_anew(IMAP_INDEX=str(elsewhere))
    assert not box.index.exists()
    assert list(elsewhere.rglob("*")) != []
    assert not log_lines(box)


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
    assert len(log_lines(box)) == 1
    assert not box.index.exists()
