"""POP3 while the N-th call fails, or the process is killed at it: no mail is lost, ids stay, QUIT tells the truth."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

import pytest

from pop3d.main import main
from tests.faults import trap
from tests.faults.trap import Trap

ENOUGH = 200  # calls; no session makes more

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Forked:
    """pop3d in a forked child on a socket pair; `calls` is the trap, armed from the beginning."""

    def __init__(self, maildir: Path, what: int = 0, at: int = 0) -> None:
        self.log = maildir.parent / "log"
        self.calls = Trap()
        if what:
            self.calls.arm(what, at, errno.EIO)
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(120)
        self.pid = os.fork()
        if not self.pid:
            self._be(theirs, maildir)
        theirs.close()
        self.file = self.socket.makefile("rb")

    def _be(self, connection: socket.socket, maildir: Path) -> None:
        status = 70
        try:
            os.dup2(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), 2)
            os.dup2(connection.fileno(), 0)
            os.dup2(connection.fileno(), 1)
            os.closerange(3, 4096)
            os.chdir(maildir.parent)
            os.environ["IMAP_FSYNC"] = "0"  # noqa: TID251
            self.calls.install()
            status = main(["pop3d", maildir.name])
        finally:
            os._exit(status)

    def line(self) -> bytes:
        """The next line; b"" at the end."""
        try:
            return self.file.readline().rstrip(b"\r\n")
        except ConnectionResetError:
            return b""

    def ask(self, command: bytes) -> bytes:
        try:
            self.socket.sendall(command + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return b""
        return self.line()

    def ids(self) -> dict[bytes, bytes]:
        """The ids by the first line of each message."""
        assert self.ask(b"UIDL") == b"+OK"
        listed = []
        while (line := self.line()) != b".":
            listed.append(line.split())
        found = {}
        for number, uidl in listed:
            assert self.ask(b"TOP %b 0" % number).startswith(b"+OK")
            found[self.line()] = uidl
            while self.line() != b".":
                pass
        return found

    def end(self) -> str:
        """Close the connection and wait; returns the call at which something happened."""
        self.file.close()
        self.socket.close()
        os.waitpid(self.pid, 0)
        text = self.log.read_text()
        assert "Traceback" not in text, text
        assert "internal error" not in text, text
        return self.calls.disarm()


def maildir_of(tmp_path: Path, at: int, new: int = 0) -> Path:
    """Four messages that have been listed, and some that have not."""
    maildir = tmp_path / f"{at}" / "Maildir"
    for part in ("cur", "new", "tmp"):
        (maildir / part).mkdir(parents=True)
    for number in range(4):
        (maildir / f"cur/{1000 + number}.a:2,").write_bytes(b"Subject: %d\n\nx\n" % number)
    (maildir / "maildirsize").write_text("1000000S\n")
    session = Forked(maildir)
    assert session.line() == b"+OK logged in."
    session.end()
    for number in range(new):
        (maildir / f"new/{900 + number}.n").write_bytes(b"Subject: n%d\n\nx\n" % number)
    return maildir


def ids_now(maildir: Path) -> dict[bytes, bytes]:
    session = Forked(maildir)
    assert session.line() == b"+OK logged in."
    found = session.ids()
    session.end()
    return found


KINDS = [trap.BEFORE, trap.AFTER, trap.KILL]


@pytest.mark.parametrize("what", KINDS)
def test_quit(tmp_path: Path, what: int) -> None:
    for at in range(1, ENOUGH):
        maildir = maildir_of(tmp_path, at)
        before = ids_now(maildir)
        session = Forked(maildir)
        assert session.line() == b"+OK logged in."
        assert session.ask(b"DELE 1") == session.ask(b"DELE 3") == b"+OK Deleted."
        session.calls.arm(what, at, errno.EIO)
        answer = session.ask(b"QUIT")
        happened = session.end()
        after = ids_now(maildir)
        assert after.items() <= before.items()
        kept = {b"Subject: 1", b"Subject: 3"}
        assert kept <= after.keys()
        if answer == b"+OK Bye-bye.":
            assert after.keys() == kept
        elif answer:
            told = re.fullmatch(rb"-ERR \[SYS/TEMP\] some deleted messages not removed: ([\d ]+)", answer)
            assert told, answer
            assert after.keys() - kept <= {b"Subject: %d" % (int(number) - 1) for number in told[1].split()}
        if not happened:
            assert at > 5
            return
    raise AssertionError("QUIT never ends")


@pytest.mark.parametrize("what", KINDS)
def test_the_beginning(tmp_path: Path, what: int) -> None:
    for at in range(1, ENOUGH):
        maildir = maildir_of(tmp_path, at, new=3)
        session = Forked(maildir, what, at)
        greeting = session.line()
        happened = session.calls.disarm()
        told = session.ids() if greeting == b"+OK logged in." else {}
        session.end()
        after = ids_now(maildir)
        assert len(after) == len(set(after.values())) == 7, "no message is lost, none is told twice"
        lasting = {text: uidl for text, uidl in told.items() if not uidl.startswith(b"ENOMEM-")}
        assert lasting.items() <= after.items(), "what a client was told stays"
        if not happened:
            assert told == after
            assert at > 20
            return
    raise AssertionError("the session never begins")
