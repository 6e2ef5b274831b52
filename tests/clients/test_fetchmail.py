"""fetchmail: takes everything, hands it to a delivery agent, and may delete it from the server."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chain import Account, Chain

from tests.clients.conftest import on_disk
from tests.corpus import generate

_COUNT = 200


@pytest.fixture
def account(chain: Chain) -> Iterator[Account]:
    """Two hundred messages without flags: fetchmail leaves read ones alone, and adds nothing to them."""
    account = chain.account("fetchmail@example.com")
    account.empty()
    generate.make_maildir(account.maildir)
    for number, content in enumerate(generate.messages(31, _COUNT, max_octets=20_000)):
        (account.maildir / "new" / f"{1700000000 + number}.{number}.host").write_bytes(content)
    account.own()
    yield account
    account.empty()


def _fetch(chain: Chain, account: Account, fetchmail: str, *options: str) -> Path:
    """Run fetchmail; gives the folder in which each message is a file."""
    fetched = account.home / "fetched"
    fetched.mkdir(exist_ok=True)
    agent = account.home / "agent"
    agent.write_text(f'#!/bin/sh\nexec cat >"{fetched}/$$"\n')
    agent.chmod(0o755)
    rc = account.home / "fetchmailrc"
    rc.write_text(
        f"set no bouncemail\nset invisible\n"
        f"poll 127.0.0.1 service {chain.listener().port} protocol IMAP auth password\n"
        f' username "{account.name}" password "{account.password}" mda "{agent}"\n'
        f" sslproto '' no rewrite no mimedecode pass8bits {' '.join(options)}\n"
    )
    rc.chmod(0o600)
    account.own()
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    done = subprocess.run(
        [fetchmail, "-f", str(rc), "--nosyslog", "--pidfile", str(account.home / "pid")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(account.home)},
        capture_output=True,
        timeout=60,
        check=False,
        **identity,
    )
    assert done.returncode == 0, (done.stdout[-1000:], done.stderr[-1000:])
    return fetched


def _bodies(contents: Iterator[bytes]) -> Counter[bytes]:
    """What follows the header: fetchmail mends some headers on the way."""
    return Counter(content.partition(b"\n\n")[2].rstrip(b"\n") for content in contents)


def test_takes_everything(chain: Chain, account: Account, program: Callable[[str], str]) -> None:
    wanted = _bodies(content.replace(b"\r\n", b"\n") for content in on_disk(account.maildir).elements())
    fetched = _fetch(chain, account, program("fetchmail"), "nokeep", "fetchall")
    assert len(list(fetched.iterdir())) == _COUNT
    assert _bodies(path.read_bytes() for path in fetched.iterdir()) == wanted
    assert on_disk(account.maildir).total() == 0, "nokeep: deleted and expunged"


def test_keeps_and_marks_as_read(chain: Chain, account: Account, program: Callable[[str], str]) -> None:
    fetched = _fetch(chain, account, program("fetchmail"), "keep")
    assert len(list(fetched.iterdir())) == _COUNT
    assert all(path.name.endswith(":2,S") for path in (account.maildir / "cur").iterdir())
    assert on_disk(account.maildir).total() == _COUNT
