"""Others change a folder that has an index: a delivery agent, rm, mv, another session, the C Courier-IMAP.

A session that looks (NOOP) and one that opens the mailbox, which would use the index, both notice it at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import original
from tests.faults.indexed import Box, look, settle_quickly
from tests.forked import check_log
from tests.peers.programs import UID, Missing, Place

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.usefixtures("patient"),
]

STEPS = 25
RENAMER = """
import os, random, sys
os.chdir(sys.argv[1])
now = {name.partition(":")[0]: name for name in os.listdir(".")}
chance = random.Random(int(sys.argv[2]))
print("ready", flush=True)
while True:
    for base, name in now.items():
        now[base] = base + ":2," + chance.choice(("", "S", "FS", "R", "D"))
        os.rename(name, now[base])
"""


@pytest.mark.parametrize("seed", range(2))
def test_noticed_at_once(seed: int, scratch: Path) -> None:
    box = Box(scratch, 60, seed)
    with box.session([settle_quickly]) as old, box.session([settle_quickly]) as writer:
        for imapd in (old, writer):
            box.check(imapd.client)
        for _ in range(STEPS):
            if box.chance.random() < 0.5:
                box.wait()
                old.client.command(b"NOOP")
                look(old.client, select=False)  # under settled times: what it saw is stored
            changes = (box.remove_one, box.rename_one, box.rename_one, lambda: box.put("new"), lambda: box.put("cur"))
            for _ in range(box.chance.choice((1, 1, 2))):
                box.chance.choice(changes)()
            if box.chance.random() < 0.3:
                writer.client.command(b"NOOP")
                writer.client.command(b"UID STORE 1:* +FLAGS (\\Answered)")
            told = box.chance.choice((old.client, None))
            if told is None:
                box.check_anew([settle_quickly])
                continue
            assert told.command(b"NOOP")[-1].kind == b"OK"
            truth = box.truth()
            assert look(told, select=False) == truth
            box.check_anew([settle_quickly])
    check_log(box.log)
    assert "ndex" not in box.log.read_text()


def test_renamed_all_the_time(scratch: Path) -> None:
    """Between a scan and the file, and between the index and the file, somebody renames every message."""
    box = Box(scratch, 80)
    box.check_anew()
    right = {uid: told[1:] for uid, told in box.truth().items()}
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", RENAMER, box.path / "cur", "1"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        for turn in range(6):
            with box.session([settle_quickly] if turn % 2 else []) as imapd:
                for select in (True, False):
                    assert {uid: told[1:] for uid, told in look(imapd.client, select).items()} == right
                told = imapd.client.command(b"UID FETCH 1:* BODY.PEEK[]")
                bodies = {one.uid: one.octets(b"BODY[]") for one in told if b"BODY[]" in one.items}
                assert {uid: len(octets) for uid, octets in bodies.items()} == {
                    uid: each[1] for uid, each in right.items()
                }
                assert all(b"Subject: %s\r\n" % right[uid or 0][0] in octets for uid, octets in bodies.items())
        assert child.poll() is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    box.check_anew()
    check_log(box.log)


def test_a_file_takes_the_name_of_another(scratch: Path) -> None:
    """A restored backup: other octets under a base that the index knows cannot be told apart, other bases can."""
    box = Box(scratch, 30)
    box.check_anew()
    names = box.names()
    os.rename(box.path / "cur" / names[3], box.path / "cur" / names[3].replace(".M", ".N"))
    (box.path / "courierimapuiddb").write_text(
        (box.path / "courierimapuiddb")
        .read_text()
        .replace(names[3].partition(":")[0], names[3].replace(".M", ".N").partition(":")[0])
    )
    box.check_anew()
    (box.path / "courierimapuiddb").unlink()  # all uids are given anew, under another uidvalidity
    box.remove_one()
    for _ in range(2):
        box.check_anew([settle_quickly])
        box.wait()
    check_log(box.log)


def test_an_older_index_comes_back(scratch: Path) -> None:
    """From a backup, or left by a file system that lost the latest writes."""
    box = Box(scratch, 60)
    box.check_anew()
    kept = {path: path.read_bytes() for path in box.path.glob("courierimapindex*")}
    for _ in range(20):
        box.remove_one()
        box.rename_one()
        box.put("new")
    box.check_anew([settle_quickly])
    for path in box.path.glob("courierimapindex*"):
        path.unlink()
    for path, octets in kept.items():
        path.write_bytes(octets)
    for _ in range(3):
        box.check_anew([settle_quickly])
        box.wait()
    check_log(box.log)


def test_beside_the_original(tmp_path: Path) -> None:
    place = Place([original.PERSON])
    try:
        with original.serving(place) as courier:
            home = place.home(original.PERSON)
            for part in ("cur", "new", "tmp", ""):
                (home / "Maildir" / part).rmdir()
            box = Box(home, 60, identity=UID)
            theirs = original.logged_in(courier)
            assert theirs.command(b"SELECT INBOX")[-1].kind == b"OK"
            box.check_anew([settle_quickly])
            for step in range(6):
                box.wait()
                box.check_anew([settle_quickly])
                first = 1 + step * 3
                theirs.command(b"NOOP")
                theirs.command(b"STORE %d:%d +FLAGS (\\Flagged)" % (first, first + 2))
                box.check_anew([settle_quickly])
                theirs.command(b"STORE %d +FLAGS (\\Deleted)" % first)
                theirs.command(b"EXPUNGE")
                box.check_anew([settle_quickly])
                tag = theirs.send(b"APPEND INBOX {%d}" % len(_LETTER))
                assert theirs.next_response().tag == b"+"
                theirs.connection.sendall(_LETTER + b"\r\n")
                while theirs.next_response().tag != tag:
                    pass
                box.check_anew([settle_quickly])
            theirs.connection.close()
            check_log(box.log)
    except Missing as reason:
        pytest.skip(str(reason))
    finally:
        place.remove()


_LETTER = b"Subject: x8000x\r\n\r\nx8000x\r\n"
