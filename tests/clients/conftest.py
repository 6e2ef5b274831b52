"""What the tests with real clients share: large mailboxes behind the installed chain, and looking for programs."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chain import Account, Chain

from tests.corpus import generate

COUNT = 600


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Gives the path of a program, or skips the test."""

    def path_or_skip(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed (make test-packages)")
        return path

    return path_or_skip


def fill(chain: Chain, name: str) -> Account:
    """The account of that name, with COUNT small messages of every shape, and folders."""
    account = chain.account(f"{name}@example.com")
    account.empty()
    generate.fill(account.maildir, COUNT, seed=21, folders=True, max_octets=8_000)
    account.own()
    return account


@pytest.fixture(scope="module")
def mailbox(chain: Chain, request: pytest.FixtureRequest) -> Iterator[Account]:
    """A filled account of the test module's own."""
    account = fill(chain, request.module.__name__.rpartition("test_")[2])
    yield account
    account.empty()


def on_disk(maildir: Path) -> Counter[bytes]:
    """The messages of a Maildir as clients must get them: with CRLF."""
    paths = [path for name in ("cur", "new") for path in (maildir / name).iterdir()]
    return Counter(path.read_bytes().replace(b"\n", b"\r\n") for path in paths)
