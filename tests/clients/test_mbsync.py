"""mbsync in both directions, over TCP and through `imapd ./Maildir` started as its own command."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chain import Account, Chain

from tests.clients.conftest import COUNT, fill

_CONFIGURATION = """\
FSync no

IMAPStore there
{connection}

MaildirStore here
Path {local}/
Inbox {local}/INBOX
SubFolders Verbatim

Channel mail
Far :there:
Near :here:
Patterns *
Create Both
Expunge Both
SyncState *
CopyArrivalDate yes
"""
_XTUID = re.compile(rb"X-TUID: [^\n]*\n")


class Mirror:
    """A folder that mbsync keeps the same as an account; mbsync runs as the account, with no other rights."""

    def __init__(self, account: Account, mbsync: str, connection: str) -> None:
        self.account = account
        self.mbsync = mbsync
        self.local = account.home / "mirror"
        self.local.mkdir()
        self.configuration = account.home / "mbsyncrc"
        self.configuration.write_text(_CONFIGURATION.format(connection=connection, local=self.local))
        self.configuration.chmod(0o600)
        for path in account.maildir.rglob("*:2,*T*"):  # mbsync leaves out what waits to be expunged
            path.rename(path.with_name(path.name.replace("T", "")))
        for _, there in self.pairs():
            for path in (*(there / "cur").iterdir(), *(there / "new").iterdir()):
                if not path.read_bytes().startswith(b"\n") and b"\n\n" not in path.read_bytes():
                    path.unlink()  # mbsync refuses "incomplete headers"
        self.count = messages(account.maildir).total()
        assert self.count > COUNT * 0.98
        account.own()

    def sync(self) -> None:
        """One run of mbsync."""
        argv = [self.mbsync, "-c", str(self.configuration), "-a"]
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            identity = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.account.home)}
        done = subprocess.run(
            argv, capture_output=True, timeout=100, env=environment, cwd=self.account.home, check=False, **identity
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]

    def pairs(self) -> Iterator[tuple[Path, Path]]:
        """The Maildirs that must be the same, here and there."""
        yield self.local / "INBOX", self.account.maildir
        yield self.local / "Sent", self.account.maildir / ".Sent"
        yield self.local / "Archive" / "2023", self.account.maildir / ".Archive.2023"
        yield self.local / "Entw&APw-rfe &- Ideen", self.account.maildir / ".Entwürfe & Ideen"

    def assert_same(self) -> None:
        """Both sides have the same octets with the same flags, and as many messages as they should."""
        for here, there in self.pairs():
            assert messages(here) == messages(there)
        assert messages(self.account.maildir).total() == self.count


def messages(maildir: Path) -> Counter[tuple[bytes, str]]:
    """What each message says, without the field that mbsync adds, and the flags that it carries."""
    paths = [path for name in ("cur", "new") for path in (maildir / name).iterdir()]
    return Counter(
        (_XTUID.sub(b"", path.read_bytes()), "".join(sorted(set(path.name.partition(":2,")[2]) & set("DFRS"))))
        for path in paths
    )


def change(maildir: Path, name: str, position: int) -> None:
    """One message comes, one is read and flagged, one is gone."""
    (maildir / "new" / f"1800000000.1_{name}.host").write_text(f"Subject: new {name}\n\nbody\n")
    everything = [*(maildir / "cur").iterdir(), *(maildir / "new").iterdir()]
    unread = sorted((path for path in everything if not path.name.partition(":2,")[2]), key=Path.read_bytes)
    unread[position].rename(maildir / "cur" / (unread[position].name.partition(":2,")[0] + ":2,FS"))
    unread[position + 1].unlink()


def both_ways(mirror: Mirror) -> None:
    """Fetch everything, change both sides, bring them together; a run with nothing to do touches nothing."""
    account = mirror.account
    mirror.sync()
    mirror.assert_same()
    change(mirror.local / "INBOX", "here", 3)
    change(account.maildir, "there", 30)
    account.own()
    mirror.sync()
    mirror.assert_same()
    subjects = {content.partition(b"\n")[0] for content, _ in messages(account.maildir)}
    assert {b"Subject: new here", b"Subject: new there"} <= subjects
    before = {path.name: path.stat().st_mtime_ns for path in (account.maildir / "cur").iterdir()}
    mirror.sync()
    assert {path.name: path.stat().st_mtime_ns for path in (account.maildir / "cur").iterdir()} == before


def test_over_tcp(chain: Chain, program: Callable[[str], str]) -> None:
    mbsync = program("mbsync")
    account = fill(chain, "mbsync")
    host = f"Host 127.0.0.1\nPort {chain.listener().port}\nSSLType None\nAuthMechs LOGIN"
    both_ways(Mirror(account, mbsync, f"{host}\nUser {account.name}\nPass {account.password}"))
    account.empty()


def test_through_a_tunnel(chain: Chain, program: Callable[[str], str]) -> None:
    """`imapd ./Maildir` from a shell greets with PREAUTH: no listener, no authdaemond."""
    mbsync = program("mbsync")
    account = fill(chain, "tunnel")
    both_ways(Mirror(account, mbsync, f'Tunnel "{chain.prefix}/bin/imapd ./Maildir"'))
    account.empty()
