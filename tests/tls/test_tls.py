"""TLS through the whole chain, in both forms: the encrypted port, and STARTTLS."""

from __future__ import annotations

import imaplib
import os
import ssl
import subprocess
from pathlib import Path

import pytest
from chain import Account, Chain, Listener

CLIENT = ssl.create_default_context()
CLIENT.check_hostname, CLIENT.verify_mode = False, ssl.CERT_NONE


def make_certificate(path: Path, name: str) -> None:
    """A certificate for that name and its key, put into place at once."""
    key, certificate = path.with_suffix(".k"), path.with_suffix(".c")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    ready = path.with_suffix(".r")
    ready.write_bytes(key.read_bytes() + certificate.read_bytes())
    ready.chmod(0o600)
    ready.rename(path)


@pytest.fixture(scope="module")
def certificate(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certificates") / "imapd.pem"
    make_certificate(path, "first.example")
    return path


@pytest.fixture(scope="module")
def account(chain: Chain) -> Account:
    account = chain.account("tls@example.com")
    if not account.maildir.exists():
        chain.run("bin/maildirmake", str(account.maildir))
    account.own()
    return account


@pytest.fixture(scope="module")
def encrypted(chain: Chain, certificate: Path) -> Listener:
    settings = {"IMAP_TLS": "1", "TLS_CERTFILE": str(certificate), "TLS_VERIFYPEER": "NONE", "TLS_ALPN": "imap"}
    stages = (chain.prefix / "bin/couriertls", "-server", "-tcpd", chain.prefix / "sbin/imaplogin")
    return chain.listen((), settings, (*stages, chain.prefix / "bin/imapd", "Maildir"))


@pytest.fixture(scope="module")
def plain(chain: Chain, certificate: Path) -> Listener:
    settings = {"IMAP_STARTTLS": "YES", "COURIERTLS": str(chain.prefix / "bin/couriertls"), "IMAP_TLS_REQUIRED": "1"}
    return chain.listen((), {**settings, "TLS_CERTFILE": str(certificate), "TLS_VERIFYPEER": "NONE"})


def test_a_login_on_the_encrypted_port(encrypted: Listener, account: Account) -> None:
    with imaplib.IMAP4_SSL("127.0.0.1", encrypted.port, ssl_context=CLIENT, timeout=30) as client:
        assert "STARTTLS" not in client.capabilities
        client.login(account.name, account.password)
        assert client.select()[0] == "OK"


def test_a_login_after_starttls(plain: Listener, account: Account) -> None:
    with imaplib.IMAP4("127.0.0.1", plain.port, timeout=30) as client:
        assert {"STARTTLS", "LOGINDISABLED"} <= set(client.capabilities)
        assert client.starttls(CLIENT)[0] == "OK"
        assert not {"STARTTLS", "LOGINDISABLED"} & set(client.capabilities)
        client.login(account.name, account.password)
        assert client.select()[0] == "OK"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
@pytest.mark.parametrize("chain", ["prefork"], indirect=True)
def test_the_waiting_processes_know_no_files(encrypted: Listener) -> None:
    import psutil

    first = psutil.Process(encrypted.pid).children()[0]
    waiting = [process for process in first.children() if process.uids().effective != 0]
    assert waiting
    for process in waiting:
        assert "(deleted)" in os.readlink(f"/proc/{process.pid}/root")
