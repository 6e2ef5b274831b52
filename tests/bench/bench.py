"""What every measure works with: the server that is measured, and what a run of all measures shares."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.answers import Garbled, Reader, Response
from tests.bench.client import Client, WrongAnswer, login
from tests.bench.mail import Corpus
from tests.peers.programs import Account, Place, Process


class Run(NamedTuple):
    """What one run of all measures shares."""

    corpus: Corpus
    buffer: bytearray
    changed: int  # messages appended, copied, flagged, expunged at a time
    message: bytes
    logins: int
    seconds: float  # of the mixed load


class Bench:
    """One server that is measured: where it listens, who logs in, which mail it serves."""

    def __init__(
        self, name: str, port: int, account: Account, place: Place, processes: list[Process], prefix: Path | None = None
    ) -> None:
        self.name = name
        self.port = port
        self.account = account
        self.place = place
        self.maildir = place.maildir(account)
        self.processes = processes
        self.prefix = prefix  # of an installation of ours
        self.warm: set[bytes] = set()  # what has been asked since the server last forgot
        self.mixed: dict[str, float] = {}  # figures of the last mixed load that nobody has taken yet
        self._right: set[bytes] = set()  # digests of answers that were found right

    def login(self, buffer: bytearray | None = None) -> Client:
        """A new session."""
        return login(self.port, self.account.address, self.account.password, buffer)

    def forget(self) -> None:
        """Delete what the server keeps of the mailbox beside the mail, as for a mailbox that it sees first."""
        for path in self.maildir.iterdir():
            if path.is_file() and path.name.startswith(("dovecot", "courierimapuiddb", "courierimapindex")):
                path.unlink()
        self.warm.clear()
        self.settle()

    def settle(self, folder: str = ".") -> None:
        """Set the folder's times back: an index is not trusted when it is younger than about a second."""
        hour_ago = time.time() - 3600
        for name in ("cur", "new", "."):
            os.utime(self.maildir / folder / name, (hour_ago, hour_ago))

    def make_folder(self, corpus: Corpus, name: str, count: int, flags: str | None = None) -> Path:
        """Put a folder with the first messages of the corpus beside the INBOX, which no server has seen."""
        path = self.maildir / f".{name}"
        corpus.link(path, count, flags)
        self.place.own_mail(path)
        self.settle(path.name)
        return path

    def remove_folder(self, name: str) -> None:
        """Take a folder away, with whatever the server has put there."""
        shutil.rmtree(self.maildir / f".{name}")

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Raise WrongAnswer where they differ."""
        if found != wanted:
            raise WrongAnswer(f"{self.name}: {what}: {found} instead of {wanted}")

    def responses_once(self, client: Client) -> list[Response] | None:
        """The responses of the client's last answer; None when octet for octet it was found right before."""
        answer = client.answer()
        digest = hashlib.sha256(answer).digest()
        if digest in self._right:
            return None
        try:
            responses = Reader().feed(answer)
        except Garbled as garbled:
            raise WrongAnswer(f"{self.name}: {str(garbled)[:500]}") from None
        self._right.add(digest)
        return responses

    def uss_kib(self) -> int:
        """Memory that all its processes have for themselves, from smaps_rollup."""
        total = 0
        for process in (one for started in self.processes for one in started.tree()):
            try:
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
            except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
                continue
            total += sum(int(value) for value in re.findall(r"^Private_(?:Clean|Dirty): +(\d+)", text, re.MULTILINE))
        return total


Measures = dict[str, tuple[str, Callable[[Bench, Run], float]]]  # by name: what it is, with its unit, and how


def selected(bench: Bench, run: Run) -> tuple[Client, float]:
    """A session with the large mailbox open, and the milliseconds that opening it took."""
    client = bench.login(run.buffer)
    took = client.command(b"SELECT INBOX")
    bench.expect("EXISTS", b"* %d EXISTS\r\n" % run.corpus.count in client.answer(), True)
    return client, took * 1000


def asked(
    bench: Bench, run: Run, command: bytes, check: Callable[[Bench, Run, list[Response]], None], first: bool
) -> float:
    """Milliseconds for one question about the large mailbox: of a server that never saw it, or that was asked before.

    Each answer is checked, but for one that is octet for octet a right one.
    """
    if first:
        bench.forget()
    client, _ = selected(bench, run)
    if not first and command not in bench.warm:
        client.command(command)
    took = client.command(command) * 1000
    bench.warm.add(command)
    responses = bench.responses_once(client)
    if responses is not None:
        check(bench, run, responses)
    client.close()
    return took


def first_and_again(
    name: str, title: str, command: bytes, check: Callable[[Bench, Run, list[Response]], None]
) -> Measures:
    """Two measures of one question."""
    return {
        f"{name}-first": (f"{title}, first, ms", lambda bench, run: asked(bench, run, command, check, first=True)),
        name: (f"{title}, again, ms", lambda bench, run: asked(bench, run, command, check, first=False)),
    }
