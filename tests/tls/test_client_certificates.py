"""Certificates of clients: who is asked for one, who is let in, and a login without a password."""

from __future__ import annotations

import base64
import contextlib
import ssl
from pathlib import Path

import pytest
from chain import Account, Chain

from tests.tls.authority import Authority, Issued
from tests.tls.servers import (
    HOW,
    Servers,
    Talk,
    ask_for_tls,
    context,
    log_in,
    mechanisms,
    secured,
    told,
    until,
    until_told,
)

STRANGERS = Authority("Strangers")


@pytest.fixture(scope="module")
def trusted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TLS_TRUSTCERTS: a file."""
    path = tmp_path_factory.mktemp("trusted") / "authority.pem"
    path.write_bytes(authority.pem)
    return path


@pytest.fixture(scope="module")
def peer(trusted: Path) -> dict[str, str]:
    return {"TLS_VERIFYPEER": "PEER", "TLS_TRUSTCERTS": str(trusted), "TLS_EXTERNAL": "emailaddress"}


def client(issued: Issued, tmp_path: Path, **settings: object) -> ssl.SSLContext:
    """A client with that certificate."""
    made = context(**settings)
    made.load_cert_chain(issued.put(tmp_path / "client.pem"))
    return made


def person(authority: Authority, account: Account, days: int = 2) -> Issued:
    return authority.issue(("C", "US"), ("CN", "Jane Roe"), ("emailAddress", account.name), days=days)


def external(talk: Talk, how: str, initial: bytes = b"") -> bytes:
    """The answer to AUTH=EXTERNAL; without an initial response, the challenge is answered with nothing."""
    verb = b"a AUTHENTICATE EXTERNAL" if how.startswith("imap") else b"AUTH EXTERNAL"
    if initial:
        return talk.ask(verb + b" " + base64.b64encode(initial))[-1]
    assert talk.ask(verb) == [b"+ "]
    return talk.ask(b"")[-1] if how.startswith("pop3") else _tagged(talk)


def _tagged(talk: Talk) -> bytes:
    talk.send(b"\r\n")
    return talk.answer(b"a")[-1]


@pytest.mark.parametrize(
    ("how", "initial"),
    [
        ("imap", False), ("imap", True), ("imap+starttls", False),
        ("pop3", False), ("pop3", True), ("pop3+stls", True),
    ],
)  # fmt: skip
def test_a_certificate_replaces_the_password(
    how: str, initial: bool, servers: Servers, peer: dict[str, str], authority: Authority, account: Account, tmp_path
) -> None:
    shown = client(person(authority, account), tmp_path)
    with secured(servers, how, shown, **peer) as talk:
        assert b"EXTERNAL" in mechanisms(talk, how)
        answer = external(talk, how, account.name.encode() if initial else b"")
        assert answer.startswith((b"a OK", b"+OK logged in."))
    kind = ", protocol=IMAP, starttls=1" if how.startswith("imap") else ", stls=1"
    line = f"INFO: LOGIN, user={account.name}, IP, PORT{kind}"
    until(lambda: line in told(servers.chain, talk.address), lambda: told(servers.chain, talk.address))


@pytest.mark.parametrize("chain", ["prefork"], indirect=True)
@pytest.mark.parametrize(("how", "field"), [("imap", "EmailAddress"), ("pop3", "EMAILADDRESS"), ("imap", "ou")])
def test_the_field_is_named_in_any_case(
    how: str, field: str, servers: Servers, peer: dict[str, str], authority: Authority, account: Account, tmp_path: Path
) -> None:
    """And it can be any field of the subject."""
    which = "OU" if field == "ou" else "emailAddress"
    shown = client(authority.issue(("CN", "Jane Roe"), (which, account.name)), tmp_path)
    with secured(servers, how, shown, **{**peer, "TLS_EXTERNAL": field}) as talk:
        assert external(talk, how).startswith((b"a OK", b"+OK logged in."))


@pytest.mark.parametrize("chain", ["prefork"], indirect=True)
def test_another_identity_is_refused(
    servers: Servers, peer: dict[str, str], authority: Authority, account: Account, tmp_path: Path
) -> None:
    """And POP3 without a certificate.  All at once: a failure takes five seconds."""
    shown = client(person(authority, account), tmp_path)
    talks = [secured(servers, how, shown, **peer) for how in HOW]
    nobody = secured(servers, "pop3", **peer)
    nobody.send(b"AUTH EXTERNAL =\r\n")
    for how, talk in zip(HOW, talks, strict=True):
        verb = b"a AUTHENTICATE EXTERNAL " if how.startswith("imap") else b"AUTH EXTERNAL "
        talk.send(verb + base64.b64encode(b"somebody@example.com") + b"\r\n")
    for how, talk in zip(HOW, talks, strict=True):
        with talk:
            refusal = b"a NO Login failed." if how.startswith("imap") else b"-ERR [AUTH] Authentication failed."
            assert talk.answer(b"a") == [refusal]
            assert "INFO: LOGIN FAILED, method=EXTERNAL, IP, PORT" in told(servers.chain, talk.address)
    with nobody:
        assert nobody.answer(b"") == [b"-ERR [AUTH] Authentication failed."]
        assert "INFO: LOGIN FAILED, method=EXTERNAL, IP, PORT" in told(servers.chain, nobody.address)


@pytest.mark.parametrize("how", HOW)
def test_nobody_without_a_certificate(
    how: str, servers: Servers, peer: dict[str, str], account: Account, tmp_path: Path
) -> None:
    """PEER: who has none is let in, and logs in as everybody does."""
    with secured(servers, how, **peer) as talk:
        assert b"EXTERNAL" not in mechanisms(talk, how)
        if how.startswith("imap"):
            assert talk.ask(b"a AUTHENTICATE EXTERNAL =") == [b"a NO Unsupported authentication mechanism."]
        assert log_in(talk, how, account).startswith((b"l OK", b"+OK logged in."))


@pytest.mark.parametrize("how", HOW)
def test_nobody_is_asked_with_none(
    how: str, servers: Servers, peer: dict[str, str], authority: Authority, account: Account, tmp_path: Path
) -> None:
    shown = client(person(authority, account), tmp_path)
    with secured(servers, how, shown, **{**peer, "TLS_VERIFYPEER": "NONE"}) as talk:
        assert b"EXTERNAL" not in mechanisms(talk, how)
        assert log_in(talk, how, account).startswith((b"l OK", b"+OK logged in."))


ERRORS = {
    "a stranger's": "certificate verify failed: not signed by a trusted authority",
    "expired": "certificate verify failed: expired",
    "none": "peer did not return a certificate",
}
V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("how", "which", "version"),
    [
        ("imap", "a stranger's", V1_2), ("imap", "a stranger's", V1_3), ("imap+starttls", "a stranger's", V1_3),
        ("imap", "expired", V1_3), ("imap", "none", V1_2), ("imap", "none", V1_3), ("imap+starttls", "none", V1_3),
        ("pop3", "a stranger's", V1_3), ("pop3", "none", V1_2), ("pop3+stls", "none", V1_3),
    ],
)  # fmt: skip
def test_a_certificate_that_will_not_do(
    how: str, which: str, version: ssl.TLSVersion, servers: Servers, peer: dict[str, str], authority: Authority,
    account: Account, tmp_path: Path, chain: Chain,
) -> None:  # fmt: skip
    """REQUIREPEER wants one that an authority of ours has signed.  With TLS 1.3 a client hears of it late."""
    issued = person(STRANGERS if which == "a stranger's" else authority, account, -1 if which == "expired" else 2)
    limits = {"maximum_version": version, "minimum_version": version}
    shown = context(**limits) if which == "none" else client(issued, tmp_path, **limits)
    lines = [f"INFO: IP, couriertls: accept: {ERRORS[which]}"]
    with Talk(servers.port(how, **{**peer, "TLS_VERIFYPEER": "REQUIREPEER"})) as talk:
        if "+" in how:
            talk.line()
            ask_for_tls(talk, how)
            gone = "DEBUG: Disconnected, IP, PORT" + ", time=N" * how.startswith("imap")
            lines = ["DEBUG: Connection, IP, PORT", *lines, gone]
        with contextlib.suppress(OSError):
            talk.secure(shown)
            assert b"OK" not in talk.rest()
    until_told(chain, talk.address, *lines)
