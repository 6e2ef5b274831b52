"""What every measure works with: the server that is measured, and what a run of all measures shares."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.answers import Garbled, Reader, Response
from tests.bench.client import Client, WrongAnswer, login
from tests.bench.mail import Corpus
from tests.peers.programs import UID, Account, Place, Process

MANY = "Many"  # the folder of the very large mailbox
_QUIET_SECONDS = 120.0
_LOOK_SECONDS = 0.02  # longer than the grain of a process's times
_LOOKS = 3
_KEPT = ("dovecot", "courierimapuiddb", "courierimapindex", "courierimapfulltext")  # beside the mail, by servers


class NotOffered(Exception):
    """The server cannot be asked this: it is left out of the measure."""


class Run(NamedTuple):
    """What one run of all measures shares."""

    corpus: Corpus
    buffer: bytearray
    changed: int  # messages appended, copied, flagged, expunged at a time
    many: int  # messages in the very large mailbox
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
        self.large: Path | None = None  # the folder of one large message
        self.warm: set[bytes] = set()  # what has been asked since the server last forgot
        self.mixed: dict[str, float] = {}  # figures of the last mixed load that nobody has taken yet
        self._texts_indexed = False
        self._capabilities: frozenset[bytes] | None = None
        self._right: set[bytes] = set()  # digests of answers that were found right

    def login(self, buffer: bytearray | None = None) -> Client:
        """A new session."""
        return login(self.port, self.account.address, self.account.password, buffer)

    @property
    def is_ours(self) -> bool:
        """Whether it is this source tree's."""
        return self.prefix is not None

    def offers(self, capability: bytes) -> None:
        """Raise NotOffered where the server does not announce it."""
        if self._capabilities is None:
            client = self.login()
            client.command(b"CAPABILITY")
            self._capabilities = frozenset(client.answer().upper().split())
            client.close()
        if capability not in self._capabilities:
            raise NotOffered(capability.decode())

    def forget(self, folder: str = ".") -> None:
        """Delete what the server keeps of a folder beside the mail, as for a mailbox that it sees first."""
        for path in (self.maildir / folder).iterdir():
            if path.is_file() and path.name.startswith(_KEPT):
                path.unlink()
        if folder == ".":
            self.warm.clear()
            self._texts_indexed = False
        self.settle(folder)

    def index_texts(self) -> None:
        """Have maildirindex build the index of the texts, unless it has; the server is one of ours."""
        if self._texts_indexed:
            return
        argv = [f"{self.prefix}/bin/maildirindex", "build", str(self.maildir)]
        environment = {"PATH": "/usr/bin:/bin", "IMAP_FTS": "1"}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=600, check=False)
        self.expect("maildirindex", done.returncode, 0)
        self._texts_indexed = True
        os.sync()  # or its pages would be written while the server answers
        self.settle()

    def settle(self, folder: str = ".") -> None:
        """Set the folder's times back: an index is not trusted when it is younger than about a second."""
        hour_ago = time.time() - 3600
        for name in ("cur", "new", "."):
            os.utime(self.maildir / folder / name, (hour_ago, hour_ago))

    def quiet(self) -> None:
        """Until the server has nothing more to do: what it does after an answer belongs to no measure."""
        deadline = time.monotonic() + _QUIET_SECONDS
        known, looks = self._worked(), 0
        while looks < _LOOKS:
            if time.monotonic() > deadline:
                raise WrongAnswer(f"{self.name} is at work for ever")
            time.sleep(_LOOK_SECONDS)  # no event tells that another process has become idle
            now = self._worked()
            looks = looks + 1 if now == known else 0
            known = now

    def _worked(self) -> dict[int, float]:
        """The seconds of processor time that each of its processes has used."""
        used = {}
        for process in (one for started in self.processes for one in started.tree()):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used[process.pid] = times.user + times.system
        return used

    def make_folder(self, corpus: Corpus, name: str, count: int, flags: str | None = None) -> Path:
        """Put a folder with the first messages of the corpus beside the INBOX, which no server has seen."""
        path = self.maildir / f".{name}"
        corpus.link(path, count, flags)
        self.place.own_mail(path)
        self.settle(path.name)
        return path

    def many(self, run: Run) -> str:
        """The name of a folder of very many messages: hard links of the corpus, made when first asked for."""
        path = self.maildir / f".{MANY}"
        if not path.exists():
            run.corpus.link_many(path, run.many)
            if os.geteuid() == 0:  # the messages belong to the mail's uid since the first folder was made of them
                for name in ("", "cur", "new", "tmp", "maildirfolder"):
                    os.chown(path / name, UID, UID)
            self.settle(path.name)
        return path.name

    def remove_folder(self, name: str) -> None:
        """Take a folder away, with whatever the server has put there."""
        folder = self.maildir / f".{name}"
        while folder.exists():  # a session that has just ended may still write its index
            shutil.rmtree(folder, ignore_errors=True)

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
        """Memory that its processes have for themselves, from smaps_rollup; without those of ours that wait.

        How many of these there are differs from moment to moment, and they are nobody's sessions.
        """
        total = 0
        for process in (one for started in self.processes for one in started.tree()):
            try:
                if self.prefix is not None and _waits(process):
                    continue
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
            except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
                continue
            total += sum(int(value) for value in re.findall(r"^Private_(?:Clean|Dirty): +(\d+)", text, re.MULTILINE))
        return total


def _waits(process: psutil.Process) -> bool:
    """Whether a process of ours is one that a fork server keeps for the next connection."""
    parent = process.parent()
    is_forked = parent is not None and parent.cmdline() == process.cmdline()
    return is_forked and os.readlink(f"/proc/{process.pid}/fd/0") == os.devnull


class Measure(NamedTuple):
    """One row: what it is, with its unit, and how a figure is taken; `more` where the larger figure is the better."""

    title: str
    take: Callable[[Bench, Run], float]
    more: bool = False


Measures = dict[str, Measure]  # by name
Check = Callable[[Bench, Run, list[Response]], None]


def selected(bench: Bench, run: Run) -> tuple[Client, float]:
    """A session with the large mailbox open, and the milliseconds that opening it took."""
    client = bench.login(run.buffer)
    took = client.command(b"SELECT INBOX")
    bench.expect("EXISTS", b"* %d EXISTS\r\n" % run.corpus.count in client.answer(), True)
    return client, took * 1000


def asked(bench: Bench, run: Run, command: bytes, check: Check, first: bool) -> float:
    """Milliseconds for one question about the large mailbox: of a server that never saw it, or that was asked before.

    Each answer is checked, but for one that is octet for octet a right one.
    """
    if first:
        bench.forget()
    elif command not in bench.warm:
        client, _ = selected(bench, run)
        client.command(command)
        bench.quiet()
        client.close()
    if not first and bench.name == "ours-fts":
        bench.index_texts()
    client, _ = selected(bench, run)
    took = client.command(command) * 1000
    bench.warm.add(command)
    responses = bench.responses_once(client)
    if responses is not None:
        check(bench, run, responses)
    client.close()
    return took


def first_and_again(name: str, title: str, command: bytes, check: Check, capability: bytes = b"IMAP4REV1") -> Measures:
    """Two measures of one question."""

    def take(bench: Bench, run: Run, first: bool) -> float:
        bench.offers(capability)
        return asked(bench, run, command, check, first)

    return {
        f"{name}-first": Measure(f"{title}, first, ms", lambda bench, run: take(bench, run, first=True)),
        name: Measure(f"{title}, again, ms", lambda bench, run: take(bench, run, first=False)),
    }
