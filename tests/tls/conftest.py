"""What the tests of TLS share: an authority, servers with a certificate of it, and somebody who can log in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chain import Account, Chain

from tests.tls.authority import Authority
from tests.tls.servers import Servers


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority("Tests")


@pytest.fixture(scope="module")
def servers(chain: Chain, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Of this module and form only: its certificates can be replaced."""
    path = tmp_path_factory.mktemp("certificates") / "server.pem"
    authority.server("mail.example").put(path)
    running = Servers(chain, path)
    yield running
    running.end()


@pytest.fixture(scope="session")
def account(chain: Chain) -> Account:
    account = chain.account("tls@example.com")
    if not account.maildir.exists():
        chain.run("bin/maildirmake", str(account.maildir))
    account.own()
    return account
