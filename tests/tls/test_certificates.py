"""Which certificate is presented: by server name, by address, from separate files; and what follows a change."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path

import pytest
from chain import Chain, Listener
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from couriertcpd.tlscontext import NO_CERTIFICATE
from tests.tls.authority import Authority, Issued, put
from tests.tls.openssl import Frank
from tests.tls.servers import HOW, Servers, Talk, secured, until, until_told

_LOOKS = 3  # of a client, while nothing is to change


def presented(listener: Listener, name: bytes = b"", to: str = "127.0.0.1") -> bytes:
    """The certificate that a client gets."""
    with Frank(listener, to=to) as talk:
        certificate = talk.secure(name=name).tls.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return certificate.public_bytes(Encoding.DER)


class Files:
    """A TLS_CERTFILE of one test's own, and a server with it."""

    def __init__(self, servers: Servers, authority: Authority, folder: Path) -> None:
        self.servers, self.authority = servers, authority
        self.base = folder / "server.pem"

    def issue(self, name: str, suffix: str = "") -> Issued:
        """Put a certificate for that name there."""
        issued = self.authority.server(name)
        issued.put(self.base.with_name(self.base.name + suffix))
        return issued

    def listen(self, *options: str, **settings: str) -> Listener:
        return self.servers.port("imap", *options, TLS_CERTFILE=str(self.base), **settings)


@pytest.fixture
def files(servers: Servers, authority: Authority, tmp_path: Path) -> Files:
    return Files(servers, authority, tmp_path)


def test_by_name_and_by_address(files: Files) -> None:
    base = files.issue("base.example").der
    named = files.issue("named.example", ".named.example").der
    wild = files.issue("*.wild.example", ".*.wild.example").der
    slashed = files.issue("a.b", ".a.b").der
    addressed = files.issue("addressed.example", ".127.0.0.2").der
    listener = files.listen("-address=0")
    wanted = {
        b"": base, b"other.example": base, b"named.example": named, b"NAMED.Example": named,
        b"more.named.example": base, b"one.wild.example": wild, b"two.one.wild.example": base, b"wild.example": base,
        b"a/b": slashed, b"../server.pem": base, b"\xff\x01": base,
    }  # fmt: skip
    assert {name: presented(listener, name) for name in wanted} == wanted
    assert presented(listener, to="127.0.0.2") == addressed
    assert presented(listener, b"other.example", to="127.0.0.2") == addressed
    assert presented(listener, b"named.example", to="127.0.0.2") == named
    assert presented(listener, to="127.0.0.3") == base


def test_the_issuers_are_presented_too(files: Files, authority: Authority, tmp_path: Path) -> None:
    between = Authority("Between", authority)
    between.server("mail.example").put(files.base)
    (tmp_path / "roots.pem").write_bytes(authority.pem)
    client = ssl.create_default_context(cafile=tmp_path / "roots.pem")
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the test's certificates have no key identifiers
    with Talk(files.listen()) as talk:
        assert talk.secure(client, server_hostname="mail.example").line().startswith(b"* OK ")


def test_keys_in_files_of_their_own(files: Files, tmp_path: Path) -> None:
    issued, named = files.authority.server("base.example"), files.authority.server("named.example")
    together = files.authority.server("together.example")
    put(files.base, issued.chain)
    put(tmp_path / "server.pem.named.example", named.chain)
    together.put(tmp_path / "server.pem.together.example")
    key = put(tmp_path / "server.key", issued.key)
    put(tmp_path / "server.key.named.example", named.key)
    listener = files.listen(TLS_PRIVATE_KEYFILE=str(key))
    for one in (issued, named, together):
        name = one.certificate.subject.rfc4514_string().removeprefix("CN=")
        assert presented(listener, name.encode()) == one.der


def _temporary_key(listener: Listener) -> bytes:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{listener.port}", "-tls1_2", "-cipher", "DHE"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False)
    found = re.search(rb"(?:Server|Peer) Temp Key: ([^\n]*)", done.stdout)
    return found[1] if found else b""


def test_diffie_hellman_parameters(files: Files, tmp_path: Path) -> None:
    """DHE is spoken where there are parameters, in TLS_DHPARAMS or behind the certificate, and nowhere else."""
    parameters = tmp_path / "dhparams.pem"
    command = ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", parameters]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    files.authority.issue(("CN", "base.example"), rsa_bits=2048).put(files.base)
    assert _temporary_key(files.listen()) == b""
    assert _temporary_key(files.listen(TLS_DHPARAMS=str(tmp_path / "none"))) == b""
    assert _temporary_key(files.listen(TLS_DHPARAMS=str(parameters))) == b"DH, 2048 bits"
    with files.base.open("ab") as file:
        file.write(parameters.read_bytes())
    assert _temporary_key(files.listen(TLS_DHPARAMS="")) == b"DH, 2048 bits"


def test_a_new_certificate_needs_no_restart(files: Files) -> None:
    old = files.issue("base.example")
    listener = files.listen()
    with Talk(listener) as talk:
        assert talk.secure().line()
        new = files.issue("base.example")
        until(lambda: presented(listener) == new.der, files.servers.chain.log_text)
        assert talk.socket.getpeercert(True) == old.der  # type: ignore[attr-defined]
        assert talk.ask(b"a NOOP") == [b"a OK NOOP completed"]
    named = files.issue("named.example", ".named.example")
    until(lambda: presented(listener, b"named.example") == named.der, files.servers.chain.log_text)
    (files.base.with_name("server.pem.named.example")).unlink()
    until(lambda: presented(listener, b"named.example") == new.der, files.servers.chain.log_text)


def _lines(chain: Chain, path: Path) -> list[str]:
    """What the log says of that file."""
    return [line for line in chain.log_text().splitlines() if f" {path}: " in line]


@pytest.mark.parametrize("chain", ["prefork"], indirect=True)
def test_a_broken_pair_is_told_once_and_the_old_one_goes_on(files: Files, chain: Chain) -> None:
    """One that is not broken is taken meanwhile."""
    files.issue("base.example")
    named = files.issue("named.example", ".named.example")
    listener = files.listen()
    path = files.base.with_name("server.pem.named.example")
    broken = files.authority.server("named.example")
    put(path, broken.chain + named.key)
    until(lambda: _lines(chain, path), chain.log_text)
    base = files.issue("base.example")
    until(lambda: presented(listener) == base.der, chain.log_text)
    assert presented(listener, b"named.example") == named.der
    put(files.base, b"no certificate at all")
    until(lambda: _lines(chain, files.base), chain.log_text)
    for _ in range(_LOOKS):
        assert presented(listener) == base.der
    (told,) = _lines(chain, files.base)
    assert told.startswith(f"WARN: {files.base}: there is no certificate in it (TLS_CERTFILE); it must hold one in PEM")
    assert told.endswith("; what was there before stays in use")
    good = files.issue("base.example")
    until(lambda: presented(listener) == good.der, chain.log_text)
    assert len(_lines(chain, files.base)) == 1


@pytest.mark.parametrize("chain", ["exec"], indirect=True)
def test_without_a_usable_certificate_there_is_no_tls(files: Files, chain: Chain) -> None:
    files.issue("base.example")
    listener = files.listen()
    put(files.base, files.authority.server("base.example").chain)
    with Talk(listener) as talk, pytest.raises(OSError):
        talk.secure()
    until_told(chain, talk.address, f"INFO: IP, couriertls: {NO_CERTIFICATE}")
    assert _lines(chain, files.base)[0].startswith(f"ERR: {files.base}: there is no private key in it; put it there")


def test_a_broken_pair_for_a_name_leaves_the_others_alone(files: Files, chain: Chain) -> None:
    base = files.issue("base.example")
    path = files.base.with_name("server.pem.named.example")
    put(path, files.authority.server("named.example").chain)
    listener = files.listen()
    assert presented(listener) == base.der
    with Frank(listener) as talk, pytest.raises(SSL.Error):
        talk.secure(name=b"named.example")
    until_told(chain, talk.address, f"INFO: IP, couriertls: accept: {NO_CERTIFICATE}")
    reason = f"{path}: there is no private key in it; put it there, or name its file in TLS_PRIVATE_KEYFILE"
    assert f"ERR: {reason}" in chain.log_text().splitlines()
    assert "Traceback" not in chain.log_text()


def test_what_the_original_had_once_does_no_harm(servers: Servers) -> None:
    """Files that are gone, and words that meant something to GnuTLS."""
    old = {
        "TLS_DHCERTFILE": "/nowhere/dh.pem", "TLS_CACHEFILE": "/nowhere/cache", "TLS_CACHESIZE": "1",
        "TLS_PRIORITY": "NORMAL:-CTYPE-OPENPGP", "TLS_MIN_DH_BITS": "x", "TLS_COMPRESSION": "NULL",
        "TLS_KX_LIST": "ALL", "TLS_CERTS": "X509", "TLS_PEERCERTDIR": "/nowhere",
        "TLS_OURCACERT": "/nowhere", "TLS_ALLOWSELFSIGNEDCERT": "1",
        "TLS_DHPARAMS": "/nowhere/dhparams.pem", "TLS_DEBUG": "9",
    }  # fmt: skip
    for how in HOW:
        secured(servers, how, **old).close()
