"""TLS_EXTERNAL in the prefork form: a login process is root for a client with a certificate, and for nobody else."""

from __future__ import annotations

import os
import pwd
import ssl
import subprocess
from pathlib import Path

import psutil
import pytest
from chain import START_SECONDS, Account, Chain, Listener

from couriertcpd import installed

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up"),
    pytest.mark.parametrize("chain", ["prefork"], indirect=True),
]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's, the client's, and the authority that has signed it, all in one."""
    folder = tmp_path_factory.mktemp("external")
    key, path = folder / "key", folder / "all.pem"
    subject = "/CN=Kim/emailAddress=tls-external@example.com"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject]
    subprocess.run([*command, "-keyout", key, "-out", path], check=True, capture_output=True, timeout=60)
    path.write_bytes(key.read_bytes() + path.read_bytes())
    path.chmod(0o600)
    return path


@pytest.fixture
def kim(chain: Chain) -> Account:
    account = chain.account("tls-external@example.com")
    if not account.maildir.exists():
        chain.run("bin/maildirmake", str(account.maildir))
        account.own()
    return account


@pytest.fixture
def listener(chain: Chain, certificate: Path) -> Listener:
    settings = {
        "IMAP_TLS": "1", "TLS_CERTFILE": str(certificate), "TLS_VERIFYPEER": "PEER", "TLS_TRUSTCERTS": str(certificate),
        "TLS_EXTERNAL": "emailaddress",
    }  # fmt: skip
    stages = (chain.prefix / "bin/couriertls", "-server", "-tcpd", chain.prefix / "sbin/imaplogin")
    return chain.listen((), settings, (*stages, chain.prefix / "bin/imapd", "Maildir"))


def connect(listener: Listener, certificate: Path | None) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    client = context.wrap_socket(listener.connect())
    assert client.recv(4096).startswith(b"* OK ")
    return client


def without_root(listener: Listener) -> list[int]:
    """The login processes that have given up root."""
    user = pwd.getpwnam(installed.MAILUSER).pw_uid
    found = []
    for process in psutil.Process(listener.pid).children(recursive=True):
        parent = process.parent()
        if parent is not None and "sbin/imaplogin" in " ".join(parent.cmdline()[1:3]):
            found += [process.pid] if process.uids().effective == user else []
    return found


def test_root_is_for_clients_with_a_certificate_only(listener: Listener, certificate: Path, kim: Account) -> None:
    with connect(listener, certificate) as client:
        assert without_root(listener) == []
        client.sendall(b"a AUTHENTICATE EXTERNAL =\r\n")
        while b"a OK" not in (answer := client.recv(4096)):
            assert answer.startswith(b"+")
            client.sendall(b"\r\n")
    with connect(listener, None) as client:
        assert len(without_root(listener)) == 1
        client.sendall(b"a LOGIN %s %s\r\n" % (kim.name.encode(), kim.password.encode()))
        assert client.recv(4096).startswith(b"a OK")
    listener.process.terminate()
    listener.process.wait(START_SECONDS)
