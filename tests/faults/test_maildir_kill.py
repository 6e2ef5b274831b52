"""kill -9 before each file-system call of each operation, and at random ones under load."""

import os
import random
import shutil
import signal
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults.conftest import CALLS
from faults.test_maildir_nth_call import OPERATIONS, check_keywords, content, plant

from maildir import fs, names
from maildir.account import Account
from maildir.folder import Folder


def die_at(call_number):
    """Kill this process before its N-th call of maildir.fs."""
    made = 0

    def wrap(real):
        def call(*args, **kwargs):
            nonlocal made
            made += 1
            if made == call_number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(fs, name, wrap(getattr(fs, name)))


def in_child(work):
    """Run work(tell) in a child; return the child's pid and a file of what it told."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, os.fdopen(reader, "rb")
    try:
        os.close(reader)
        os.environ["IMAP_INDEX"] = "on"  # noqa: TID251 - which makes some of the calls
        work(lambda *words: os.write(writer, b" ".join(str(word).encode() for word in words) + b"\n"))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def finish(child):
    """What the child told, by line, and whether it was killed; anything but that or success is an error."""
    pid, pipe = child
    with pipe:
        told = [line.split() for line in pipe]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return told, status != 0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_before_the_nth_call(operation, scratch, capfd):
    plant(scratch / "model")
    call_number, killed = 1, True
    while killed:
        shutil.copytree(scratch / "model", scratch / "copy")
        path = os.fsencode(scratch / "copy")

        def work(tell, number=call_number, path=path):
            die_at(number)
            result = OPERATIONS[operation](path)
            tell("done", *(result[1] if operation in ("store", "copy") else ()))

        told, killed = finish(in_child(work))
        check(path, operation, told)
        shutil.rmtree(scratch / "copy")
        call_number += 1
    assert call_number > 3


def check(path, operation, told):
    acknowledged = bool(told)
    folders = set(Account(path).folders())
    uidvalidity, uidnext, found = content(path)
    assert (uidvalidity, found[4]) == (700_000_000, b"1\n")
    if operation == "expunge to trash" and 5 not in found:
        assert list(content(path + b"/.Trash")[2].values()) == [b"2\n"]
    elif operation != "expunge":
        assert found[5] == b"2\n"
    elif acknowledged:
        assert 5 not in found
    assert b"9\n" in found.values()
    assert uidnext >= 9
    if acknowledged and operation == "store":
        assert [found[int(uid)] for uid in told[0][1:]] == [b"stored 1\n", b"stored 2\n"]
    if acknowledged and operation == "copy":
        copied = content(path + b"/.a")[2]
        assert [copied[int(uid)] for uid in told[0][1:]] == [b"1\n", b"2\n"]
    for one, other in ((b".a", b".z"), (b".a.b", b".z.b")):
        there = (one in folders) + (other in folders)
        assert there == 1 or (operation, one, there) == ("delete", b".a", 0)
    check_keywords(path, operation, acknowledged)
    if operation == "create":
        assert b".c" in folders or not acknowledged
    for folder in folders:
        kept = content(path + b"/" + folder)[2]
        if folder in (b".a", b".z"):
            assert kept[1] == b"in a\n"


def under_load(path, seed, call_number):
    """Change the folder at random until killed; tell what was acknowledged, and before an expunge what may be gone."""

    def work(tell):
        die_at(call_number)
        chance = random.Random(seed)
        folder = Folder(path)
        for step in range(10_000):
            snapshot = folder.scan()
            chosen = chance.randrange(len(snapshot.uids)) if snapshot.uids else None
            action = chance.choice("SSFX")
            if action == "S" or chosen is None:
                message = folder.new_message()
                message.write(b"%d.%d" % (seed, step))
                message.commit()
                tell("S", folder.store([message])[1][0], f"{seed}.{step}")
            elif action == "F":
                try:
                    folder.change_flags(snapshot.names[chosen], names.SEEN, names.FLAGGED)
                except FileNotFoundError:
                    continue
            else:
                tell("X", snapshot.uids[chosen])
                folder.expunge([snapshot.names[chosen]])

    return work


def test_killed_at_random_under_load(scratch, capfd):
    path = plant(scratch / "maildir")
    chance = random.Random(20)
    stored, doomed = {}, set()
    for start in range(0, 45, 3):
        children = [in_child(under_load(path, start + n, chance.randrange(1, 1500))) for n in range(3)]
        with ThreadPoolExecutor() as pool:  # a killed child must be reaped at once, or its lock looks alive
            told = [line for lines, _ in pool.map(finish, children) for line in lines]
        for action, uid, *text in told:
            if action == b"X":
                doomed.add(int(uid))
            else:
                assert int(uid) not in stored
                stored[int(uid)] = text[0]
    found = content(path)[2]
    assert len(stored) > 100
    assert {uid: found.get(uid) for uid in stored if uid not in doomed} == {
        uid: text for uid, text in stored.items() if uid not in doomed
    }
    assert all(found[uid] == stored[uid] for uid in stored.keys() & found.keys())
