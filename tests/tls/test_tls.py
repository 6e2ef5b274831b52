"""TLS through the whole chain, in both forms: the encrypted port, and STARTTLS."""

from __future__ import annotations

import imaplib
import os
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from chain import START_SECONDS, Account, Chain, Listener

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
    """Of this form's servers only: a test replaces it."""
    path = tmp_path_factory.mktemp("certificates") / "imapd.pem"
    make_certificate(path, "first.example")
    make_certificate(path.with_name("imapd.pem.named.example"), "named.example")
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


def test_what_comes_before_the_handshake_is_thrown_away(plain: Listener) -> None:
    with plain.connect() as connection:
        assert b"STARTTLS" in connection.recv(4096)
        connection.sendall(b"a STARTTLS\r\nb NOOP\r\n")
        assert connection.recv(4096) == b"a OK Begin SSL/TLS negotiation now.\r\n"
        with CLIENT.wrap_socket(connection) as secured:
            secured.sendall(b"c NOOP\r\n")
            assert secured.recv(4096) == b"c OK NOOP completed\r\n"


def test_a_failed_handshake_is_told_and_logged_once(plain: Listener, chain: Chain) -> None:
    before = chain.log_text().count("couriertls: accept: ")
    with plain.connect() as connection:
        connection.recv(4096)
        connection.sendall(b"a STARTTLS\r\n")
        connection.recv(4096)
        connection.sendall(b"this is no TLS at all\r\n")
        answer = b""
        while b"STARTTLS failed" not in answer:
            octets = connection.recv(4096)
            assert octets
            answer += octets
    assert chain.log_text().count("couriertls: accept: ") == before + 1


def test_tls_on_the_port_for_clear_text_is_logged(plain: Listener, chain: Chain) -> None:
    before = chain.log_text().count("TLS on a port for clear text")
    with pytest.raises(ssl.SSLError), plain.connect() as connection, CLIENT.wrap_socket(connection):
        pass
    deadline = time.monotonic() + START_SECONDS
    while chain.log_text().count("TLS on a port for clear text") != before + 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def presented(port: int, name: str | None = None) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with CLIENT.wrap_socket(connection, server_hostname=name) as secured:
            certificate = secured.getpeercert(True)
            assert certificate is not None
            return certificate


def test_server_names_choose_the_certificate(encrypted: Listener) -> None:
    assert b"named.example" in presented(encrypted.port, "named.example")
    assert b"first.example" in presented(encrypted.port, "other.example")


def test_old_versions_and_other_protocols_are_refused(encrypted: Listener) -> None:
    for option in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-alpn", "pop3"]):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{encrypted.port}", *option]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=60)
        assert done.returncode != 0
        assert b"alert" in done.stderr


def test_a_new_certificate_is_used_without_a_restart(encrypted: Listener, certificate: Path, chain: Chain) -> None:
    assert b"first.example" in presented(encrypted.port)
    make_certificate(certificate, "second.example")
    deadline = time.monotonic() + START_SECONDS
    while b"second.example" not in presented(encrypted.port):
        assert time.monotonic() < deadline, chain.log_text()
        time.sleep(0.05)


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
