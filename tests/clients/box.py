"""A small account whose every message the test knows, and what lies on its disk afterwards."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chain import Chain

from tests.corpus import generate

_SECONDS = 300
_EPOCH = 1_700_000_000


def letter(subject: str, *lines: str) -> bytes:
    """A message as it lies on a mail host, that clients and mail libraries leave as it is."""
    header = f"From: Ann <ann@example.com>\nTo: Bob <bob@example.com>\nSubject: {subject}\n"
    more = f"Date: Tue, 05 Mar 2024 10:11:12 +0100\nMessage-ID: <{subject.replace(' ', '.')}@example.com>\n"
    kind = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
    return (header + more + kind + "\n" + "".join(line + "\n" for line in lines)).encode()


class Message:
    """One file of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.flags = path.name.partition(":2,")[2]
        self.content = path.read_bytes()
        self.seconds = int(path.stat().st_mtime)


class Box:
    """An account with an empty Maildir; `wire` turns what lies on the disk into what a client must get."""

    def __init__(self, chain: Chain, name: str) -> None:
        self.chain = chain
        self.account = chain.account(name)
        self.account.empty()
        self.maildir = self.account.maildir
        self._count = 0
        generate.make_maildir(self.maildir)
        self.account.own()

    def port(self, **settings: str) -> int:
        """Where a server with these settings listens."""
        return self.chain.listener(**settings).port

    def path(self, folder: str) -> Path:
        """The Maildir of a folder, which is named without INBOX: "" or "Sent" or "a.b"."""
        return self.maildir / f".{folder}" if folder else self.maildir

    def make(self, folder: str) -> None:
        """Make a folder behind the server's back."""
        generate.make_maildir(self.path(folder))
        self.account.own()

    def deliver(self, content: bytes, folder: str = "", flags: str | None = None) -> None:
        """Put a message there as a delivery agent does: in new/, or in cur/ when it is to have flags."""
        self._count += 1
        name = f"{_EPOCH + self._count}.M{self._count}P1.host"
        maildir = self.path(folder)
        temporary = maildir / "tmp" / name
        temporary.write_bytes(content)
        self.account.own()
        temporary.rename(maildir / "new" / name if flags is None else maildir / "cur" / f"{name}:2,{flags}")

    def messages(self, folder: str = "") -> list[Message]:
        """All messages of a folder, oldest file name first."""
        maildir = self.path(folder)
        paths = [path for place in ("cur", "new") for path in (maildir / place).iterdir()]
        return [Message(path) for path in sorted(paths, key=lambda path: path.name)]

    def contents(self, folder: str = "") -> list[bytes]:
        """What the messages of a folder say, sorted."""
        return sorted(message.content for message in self.messages(folder))

    def flags(self, folder: str = "") -> dict[str, str]:
        """The flags of the messages of a folder, by their subjects."""
        return {subject(message.content): message.flags for message in self.messages(folder)}

    def identity(self) -> dict[str, Any]:
        """What subprocess needs to run a client as the account, at home and with nothing else."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.account.home), "LANG": "C.UTF-8", "TERM": "linux"}
        place: dict[str, Any] = {"cwd": self.account.home, "env": environment}
        if os.geteuid() == 0:
            place |= {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return place

    def write(self, name: str, text: str) -> Path:
        """A file in the home that only the account may read."""
        path = self.account.home / name
        path.write_text(text)
        path.chmod(0o600)
        self.account.own()
        return path

    def run(self, *argv: str) -> str:
        """Run a client as the account until it ends well; what it printed."""
        self.account.own()
        done = subprocess.run(
            argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, **self.identity()
        )
        assert done.returncode == 0, f"{argv}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr


def subject(content: bytes) -> str:
    """The subject of a message on the disk."""
    return content.partition(b"Subject: ")[2].partition(b"\n")[0].rstrip(b"\r").decode()


def wire(content: bytes) -> bytes:
    """A message of the disk as clients must get it."""
    return content.replace(b"\n", b"\r\n")


@contextlib.contextmanager
def opened(chain: Chain, name: str) -> Iterator[Box]:
    """A box of that name, emptied again afterwards."""
    box = Box(chain, f"{name}@example.com")
    try:
        yield box
    finally:
        box.account.empty()
