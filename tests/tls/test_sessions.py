"""Sessions that are taken up again, without the greater part of a handshake."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from chain import Account, Chain

from tests.tls.authority import Authority
from tests.tls.servers import HOW, Servers, Talk, ask_for_tls, context, told, until

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def visit(servers: Servers, how: str, client: ssl.SSLContext, session: object, **settings: str) -> tuple[object, bool]:
    """Say something, and go; the session, and whether it is the one that was given."""
    with Talk(servers.port(how, **settings)) as talk:
        if "+" in how:
            talk.line()
            ask_for_tls(talk, how)
        talk.secure(client, session=session)
        talk.send(b"c CAPABILITY\r\nd LOGOUT\r\n" if how.startswith("imap") else b"CAPA\r\nQUIT\r\n")
        said = talk.rest()
        assert b"EXTERNAL" in said or "TLS_EXTERNAL" not in settings, said
        assert isinstance(talk.socket, ssl.SSLSocket)
        return talk.socket.session, bool(talk.socket.session_reused)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("chain", ["prefork"], indirect=True)
def test_a_session_goes_on(how: str, version: ssl.TLSVersion, servers: Servers) -> None:
    """In another process than it began in: each serves one connection."""
    client = context(maximum_version=version)
    session, reused = visit(servers, how, client, None)
    assert not reused
    for _ in range(3):
        session, reused = visit(servers, how, client, session)
        assert reused


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("chain", ["prefork"], indirect=True)
def test_who_the_client_is_goes_on_with_it(
    version: ssl.TLSVersion, servers: Servers, authority: Authority, account: Account, tmp_path: Path
) -> None:
    """A certificate that was verified is known again; it is not sent again."""
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    settings = {"TLS_TRUSTCERTS": str(tmp_path / "authority.pem"), "TLS_VERIFYPEER": "REQUIREPEER"}
    settings["TLS_EXTERNAL"] = "emailaddress"
    client = context(maximum_version=version)
    client.load_cert_chain(authority.issue(("emailAddress", account.name)).put(tmp_path / "client.pem"))
    session, _ = visit(servers, "imap", client, None, **settings)
    _, reused = visit(servers, "imap", client, session, **settings)
    assert reused


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("chain", ["exec"], indirect=True)
def test_a_session_that_nobody_knows_does_no_harm(version: ssl.TLSVersion, servers: Servers, chain: Chain) -> None:
    """In the exec form each process has keys of its own for tickets: a whole handshake it is, then."""
    client = context(maximum_version=version)
    session, _ = visit(servers, "imap", client, None)
    with Talk(servers.port("imap")) as talk:
        talk.secure(client, session=session).send(b"d LOGOUT\r\n")
        talk.rest()
        assert isinstance(talk.socket, ssl.SSLSocket)
        assert not talk.socket.session_reused
    until(lambda: "LOGOUT" in str(told(chain, talk.address)), lambda: told(chain, talk.address))
    assert "couriertls: accept:" not in str(told(chain, talk.address))
