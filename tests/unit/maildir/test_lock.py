import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maildir import fs, lock


@pytest.fixture
def lock_file(root):
    return Path(os.fsdecode(root)) / "tmp/courier.lock"


def dead_pid():
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    child.wait()
    return child.pid


def own(pid):
    return f"{pid}:{os.uname().nodename}"


def test_it_holds_pid_and_host_and_is_gone_afterwards(root, lock_file):
    with lock.held(root):
        assert lock_file.read_text() == own(os.getpid())
        assert os.listdir(lock_file.parent) == ["courier.lock"]
    assert os.listdir(lock_file.parent) == []


def test_it_is_gone_after_an_error(root, lock_file):
    with pytest.raises(ZeroDivisionError), lock.held(root):
        raise ZeroDivisionError
    assert not lock_file.exists()


@pytest.mark.parametrize(("value", "locks"), [("1", True), ("1x", True), ("0", False), ("", False), ("yes", False)])
def test_the_setting(root, lock_file, monkeypatch, value, locks):
    monkeypatch.setenv("IMAP_USELOCKS", value)
    with lock.held(root):
        assert lock_file.exists() == locks


@pytest.mark.parametrize("holder", ["dead", "own"])
def test_a_lock_of_a_process_that_is_gone_is_taken_over(root, lock_file, capfd, holder):
    lock_file.write_text(own(dead_pid() if holder == "dead" else os.getpid()))
    with lock.held(root):
        assert lock_file.read_text() == own(os.getpid())
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_lock_of_a_living_process_is_respected_for_ever(root, lock_file):
    lock_file.write_text(own(os.getppid()))
    os.utime(lock_file, (1, 1))
    with pytest.raises(TimeoutError, match="if that is no mail server, remove the file"), lock.held(root):
        pass
    assert lock_file.read_text() == own(os.getppid())


@pytest.mark.parametrize("content", ["1:elsewhere", "", "rubbish", "x:" + os.uname().nodename])
def test_a_lock_that_tells_nothing_is_dead_after_two_minutes(root, lock_file, content):
    lock_file.write_text(content)
    age = time.time() - 119
    os.utime(lock_file, (age, age))
    with pytest.raises(TimeoutError), lock.held(root):
        pass
    age = time.time() - 122
    os.utime(lock_file, (age, age))
    with lock.held(root):
        assert lock_file.read_text() == own(os.getpid())


def test_a_lock_that_was_taken_away_is_not_removed(root, lock_file):
    with lock.held(root):
        lock_file.unlink()
        lock_file.write_text("1:elsewhere")
    assert lock_file.read_text() == "1:elsewhere"


def test_an_error_that_hides_a_success_is_a_success(root, lock_file, monkeypatch):
    real = fs.link

    def link(source, target):
        real(source, target)
        raise FileExistsError(17, "as NFS does when the answer was lost")

    monkeypatch.setattr(fs, "link", link)
    with lock.held(root):
        assert lock_file.exists()
    assert not lock_file.exists()


def test_a_folder_without_tmp(tmp_path):
    with pytest.raises(FileNotFoundError), lock.held(os.fsencode(tmp_path)):
        pass


WORKER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from maildir import lock
for _ in range(40):
    with lock.held(os.fsencode(sys.argv[2])):
        path = sys.argv[2] + "/counter"
        count = int(open(path).read())
        with open(path, "w") as file:
            file.write(str(count + 1))
"""


def test_processes_exclude_each_other(root):
    path = os.fsdecode(root)
    Path(path, "counter").write_text("0")
    code = str(Path(lock.__file__).parents[1])
    children = [subprocess.Popen([sys.executable, "-I", "-S", "-c", WORKER, code, path]) for _ in range(3)]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    assert Path(path, "counter").read_text() == "120"
