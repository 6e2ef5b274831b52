import os
import time
from pathlib import Path

import pytest

from maildir import lock
from maildir.folder import Folder


@pytest.fixture(autouse=True)
def quick_locks(monkeypatch):
    """Locks give up soon here, and the pause after a dead lock is short."""
    monkeypatch.delenv("IMAP_USELOCKS", raising=False)
    monkeypatch.delenv("HOSTNAME", raising=False)
    monkeypatch.setenv("IMAP_FSYNC", "0")
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(lock, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def root(tmp_path):
    """An empty maildir."""
    path = tmp_path / "Maildir"
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True)
    return os.fsencode(path)


@pytest.fixture
def inbox(root):
    return Folder(root)


class Disk:
    """What a delivery agent, or somebody at a shell, does to a folder."""

    def __init__(self, path: bytes) -> None:
        self.path = Path(os.fsdecode(path))

    def deliver(self, name: str, text: bytes = b"Subject: x\n\ny\n") -> None:
        (self.path / "tmp" / name).write_bytes(text)
        os.rename(self.path / "tmp" / name, self.path / "new" / name)

    def put(self, name: str, text: bytes = b"Subject: x\n\ny\n") -> None:
        (self.path / "cur" / name).write_bytes(text)

    def names(self, part: str = "cur") -> list[str]:
        return sorted(os.listdir(self.path / part))

    def list_file(self) -> bytes:
        return (self.path / "courierimapuiddb").read_bytes()

    def write_list(self, data: bytes) -> None:
        (self.path / "courierimapuiddb").write_bytes(data)

    def settle(self) -> None:
        """Set the times of everything back, as if nothing had happened for a while."""
        past = time.time() - 60
        for part in ("cur", "new", "courierimapuiddb"):
            if (self.path / part).exists():
                os.utime(self.path / part, (past, past))


@pytest.fixture
def disk(root):
    return Disk(root)


@pytest.fixture
def disk_at():
    return Disk
