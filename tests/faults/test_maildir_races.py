"""A folder that others change all the time: no message is missing, gone or confused with another."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maildir import names
from maildir.folder import Folder

MESSAGES = 1500  # enough that a directory is read in several pieces

RENAMER = """
import os, sys
os.chdir(sys.argv[1])
now = dict.fromkeys(name[:-3] for name in os.listdir("."))
now = {base: base + ":2," for base in now}
flags = ("", "S", "FS", "T", "D")
print("ready", flush=True)
turn = 0
while True:
    turn += 1
    for base, name in now.items():
        target = base + ":2," + flags[turn % len(flags)]
        os.rename(name, target)
        now[base] = target
"""

COUNTER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from maildir.folder import Folder
folder = Folder(os.fsencode(sys.argv[2]))
flag = int(sys.argv[3])
names = folder.scan().names
for turn in range(20):
    names = [folder.change_flags(name, add=flag, batch=True)[0] for name in names]
    if turn < 19:
        names = [folder.change_flags(name, remove=flag, batch=True)[0] for name in names]
"""

CODE = str(Path(names.__file__).parents[1])


def fill(root, count):
    for part in ("cur", "new", "tmp"):
        (root / part).mkdir()
    for number in range(count):
        (root / f"cur/{number}.M1P1V0000000000000001I0000000000000001.host.example,S=5:2,").write_text(f"{number}")
    return os.fsencode(root)


@pytest.fixture
def renamed(tmp_path):
    """A folder, listed, in which another process renames every message over and over."""
    path = fill(tmp_path, MESSAGES)
    Folder(path).scan()
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", RENAMER, tmp_path / "cur"], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        yield path
        assert child.poll() is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()


def test_a_scan_shows_every_message_however_often_they_are_renamed(renamed):
    folder = Folder(renamed)
    for _ in range(200):
        snapshot = folder.scan()
        assert list(snapshot.uids) == list(range(1, MESSAGES + 1))
        assert not snapshot.fresh
    assert folder.status().messages == MESSAGES


def test_every_message_opens_by_an_old_name(renamed):
    folder = Folder(renamed)
    snapshot = folder.scan()
    for name in snapshot.names[:200]:
        fd, now = folder.open_message(name)
        assert os.read(fd, 9) == name.partition(b".")[0]
        assert names.base(now) == names.base(name)
        os.close(fd)


def test_two_sessions_do_not_undo_each_others_flags(tmp_path):
    path = fill(tmp_path, 40)
    Folder(path).scan()
    children = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", COUNTER, CODE, tmp_path, str(flag)])
        for flag in (names.SEEN, names.FLAGGED, names.ANSWERED)
    ]
    assert [child.wait(timeout=120) for child in children] == [0, 0, 0]
    assert set(Folder(path).scan().flags) == {names.SEEN | names.FLAGGED | names.ANSWERED}
    assert len(os.listdir(tmp_path / "cur")) == 40
