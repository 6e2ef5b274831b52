"""What is told of a connection to the stages behind couriertls, and what nobody can bring along."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from chain import Account, Chain

from tests.tls.authority import Authority
from tests.tls.openssl import Frank
from tests.tls.servers import HOW, Servers, Talk, ask_for_tls, context, mechanisms

OUTSIDE = {
    "TLS_SUBJECT_EMAILADDRESS": "victim@example.com", "TLS_SUBJECT_CN": "Victim", "TLS_SUBJECT_OU": "Victims",
    "TLS_CONNECTED_PROTOCOL": "SSLv2,40bits,NULL", "TLS_EXPORTER": "00" * 32,
}  # fmt: skip
_TELL = """#!/bin/sh
env
echo END
"""


@pytest.fixture(scope="module")
def tell(chain: Chain) -> Path:
    """A program that tells the client its environment."""
    path = chain.place / "tell"
    path.write_text(_TELL)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def trusted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """TLS_TRUSTCERTS as a directory of certificates by their hashes; other files in it mean nothing."""
    folder = tmp_path_factory.mktemp("trusted")
    (folder / "0a1b2c3d.0").write_bytes(authority.pem)
    (folder / "README").write_text("no certificate")
    return {"TLS_TRUSTCERTS": str(folder), "TLS_VERIFYPEER": "PEER"}


def facts(talk: Talk) -> dict[str, str]:
    """What the program tells."""
    lines = []
    while (line := talk.line().decode().rstrip("\n")) != "END":
        assert line, lines
        lines.append(line)
    return dict(line.partition("=")[::2] for line in lines if line.startswith(("TLS_", "IMAP_", "POP3_")))


def subjects(told: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in told.items() if name.startswith("TLS_SUBJECT_")}


def test_the_program_behind_tls_hears_of_the_certificate(
    servers: Servers, tell: Path, trusted: dict[str, str], authority: Authority, tmp_path: Path
) -> None:
    shown = context()
    subject = (("C", "US"), ("O", "Example"), ("OU", "first"), ("OU", "last"), ("CN", "Jane Roe"))
    shown.load_cert_chain(authority.issue(*subject, ("emailAddress", "jane@example.com")).put(tmp_path / "client.pem"))
    with Talk(servers.behind(tell, **trusted, **OUTSIDE)) as talk:
        told = facts(talk.secure(shown))
        version, bits, cipher = told["TLS_CONNECTED_PROTOCOL"].split(",")
        assert talk.socket.cipher() == (cipher, version, int(bits.removesuffix("bits")))  # type: ignore[attr-defined]
    assert subjects(told) == {
        "TLS_SUBJECT_C": "US", "TLS_SUBJECT_O": "Example", "TLS_SUBJECT_OU": "last", "TLS_SUBJECT_CN": "Jane Roe",
        "TLS_SUBJECT_EMAILADDRESS": "jane@example.com",
    }  # fmt: skip


@pytest.mark.parametrize("verify", ["NONE", "PEER"])
def test_nothing_of_a_certificate_is_inherited(
    verify: str, servers: Servers, tell: Path, trusted: dict[str, str]
) -> None:
    with Talk(servers.behind(tell, **{**trusted, **OUTSIDE, "TLS_VERIFYPEER": verify})) as talk:
        told = facts(talk.secure())
    assert subjects(told) == {}
    assert told["TLS_CONNECTED_PROTOCOL"].startswith("TLSv1.3,")
    assert told["TLS_EXPORTER"] != OUTSIDE["TLS_EXPORTER"]


@pytest.mark.parametrize("how", HOW)
def test_the_next_stage_hears_of_the_connection(
    how: str, servers: Servers, tell: Path, account: Account, trusted: dict[str, str]
) -> None:
    """Not what an environment brings along.

    SCRAM-SHA-256-PLUS needs the binding tls-exporter (RFC 9266): it is what the client computes at its end.
    """
    protocol, _, start = how.partition("+")
    settings = {**trusted, **OUTSIDE}
    if how != "pop3":  # with it a login stage keeps root, without it gives that up
        settings["TLS_EXTERNAL"] = "emailaddress"
    with Frank(servers.port(how, after=tell, **settings)) as talk:
        if start:
            talk.line()
            ask_for_tls(talk, how)
        talk.secure()
        if not start:
            talk.line()
        assert b"EXTERNAL" not in mechanisms(talk, how)
        name, password = account.name.encode(), account.password.encode()
        if protocol == "pop3":
            talk.ask(b"USER " + name)
        talk.send(b"PASS %s\r\n" % password if protocol == "pop3" else b"l LOGIN %s %s\r\n" % (name, password))
        told = facts(talk)
        binding = talk.tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    assert subjects(told) == {}
    assert told["TLS_EXPORTER"] == binding.hex()
    assert told[f"{protocol.upper()}_TLS"] == "1"
    assert told["TLS_CONNECTED_PROTOCOL"].startswith("TLSv1.3,")


def test_there_is_no_binding_below_1_3(servers: Servers, tell: Path) -> None:
    with Talk(servers.behind(tell)) as talk:
        told = facts(talk.secure(context(maximum_version=ssl.TLSVersion.TLSv1_2)))
    assert told["TLS_CONNECTED_PROTOCOL"].startswith("TLSv1.2,")
    assert "TLS_EXPORTER" not in told
