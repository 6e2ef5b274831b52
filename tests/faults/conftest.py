import os
import tempfile
from pathlib import Path

import pytest

from maildir import fs, lock
from tests.faults.indexed import INDEX, Box
from tests.faults.trap import CALLS

PATIENCE = lock.WAIT_SECONDS


class Saboteur:
    """Makes the N-th call of maildir.fs fail: before it does anything, or after it has done it all."""

    def __init__(self, monkeypatch) -> None:
        self._patch = monkeypatch
        self.calls: list[str] = []
        self.fail_at = 0
        self.errno = 0
        self.after = False

    def arm(self, fail_at: int, errno: int, after: bool = False) -> None:
        self.calls, self.fail_at, self.errno, self.after = [], fail_at, errno, after
        for name in CALLS:
            self._patch.setattr(fs, name, self._wrap(name, getattr(fs, name)))

    def disarm(self) -> bool:
        """End it; True when the call that was to fail was made."""
        self._patch.undo()
        return len(self.calls) >= self.fail_at

    def _wrap(self, name, real):
        def call(*args, **kwargs):
            self.calls.append(name)
            if len(self.calls) != self.fail_at:
                return real(*args, **kwargs)
            if self.after or name == "close":  # a close() that fails has closed
                real(*args, **kwargs)
            raise OSError(self.errno, os.strerror(self.errno))

        return call


@pytest.fixture
def saboteur():
    patch = pytest.MonkeyPatch()
    yield Saboteur(patch)
    patch.undo()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.delenv("IMAP_USELOCKS", raising=False)
    monkeypatch.setenv("IMAP_FSYNC", "0")  # the calls of fs.sync() are counted all the same
    # In this process: no index is open when children are forked, for SQLite's locks do not survive that.
    monkeypatch.setenv("IMAP_INDEX", "off")
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(lock, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def patient(quick, monkeypatch):
    """For many processes that want one lock: they wait for it as long as they do in life."""
    monkeypatch.setattr(lock, "WAIT_SECONDS", PATIENCE)


@pytest.fixture
def scratch():
    """An empty directory for many thousand small files: in memory where the system has such a place."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def kept_box():
    """A maildir for one test after the other."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Box(Path(directory), 60)


@pytest.fixture
def box(kept_box):
    """The maildir, its index filled and believed; made anew, for what a test did to it may show late."""
    box = kept_box
    for path in box.path.glob(f"{INDEX}*"):
        path.unlink()
    box.settle()
    for _ in range(2):
        box.check_anew()
    assert box.index.is_file()
    box.log.write_text("")
    return box
