"""Our own scanner of TLS servers finds nothing to say against ours; and it does find what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from chain import Listener

from tests.tls.authority import Authority
from tests.tls.servers import HOW, Servers

SOURCE = Path(__file__).resolve().parents[2]


def scanned(listener: Listener, *options: str) -> tuple[int, dict]:
    """The exit status, and what was found."""
    command = [sys.executable, "-m", "tests.tls.scan", f"127.0.0.1:{listener.port}", "--json", *options]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, timeout=60, check=False)
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("chain", ["prefork"], indirect=True)
def test_nothing_is_wrong(how: str, servers: Servers, authority: Authority) -> None:
    """As shipped.  Names have certificates of their own."""
    authority.server("named.example").put(servers.certificate.with_name("server.pem.named.example"))
    protocol, _, start = how.partition("+")
    options = ["--starttls", protocol] if start else ["--alpn", protocol]
    status, found = scanned(servers.port(how, TLS_ALPN=protocol), "--name", "named.example", *options)
    assert (status, found["wrong"]) == (0, [])
    assert found["versions"] == {"TLSv1.0": False, "TLSv1.1": False, "TLSv1.2": True, "TLSv1.3": True}
    assert not any(found["weak"].values())
    assert found["resumption"] == {"TLSv1.2": True, "TLSv1.3": True}
    assert found["server preference"] is True
    assert found["renegotiation"] is False
    assert found["alpn"] is True
    assert found["alpn mismatch refused"] is True
    assert found["certificate"] == "CN=named.example"
    assert found["certificate of another name"] == "CN=mail.example"
    assert found["ciphers"]["TLSv1.2"][:2] == ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    assert not any("SHA1" in name or "CBC" in name for name in found["ciphers"]["TLSv1.3"])


@pytest.mark.parametrize("chain", ["exec"], indirect=True)
def test_what_is_wrong_is_found(servers: Servers) -> None:
    """Settings of long ago, without a protocol; and the exec form takes up no sessions."""
    settings = {"TLS_PROTOCOL": "TLSv1", "TLS_CIPHER_LIST": "ECDHE+AES256:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"}
    status, found = scanned(servers.port("imap", **settings))
    assert status == 1
    assert {
        "TLSv1.0 is spoken: set TLS_PROTOCOL=TLSv1.2",
        "TLSv1.1 is spoken: set TLS_PROTOCOL=TLSv1.2",
        "ciphers with no encryption are taken: see TLS_CIPHER_LIST",
        "a client that wants another protocol is not refused: set TLS_ALPN",
        "sessions of TLSv1.3 cannot be taken up again",
    } <= set(found["wrong"])


def test_nobody_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.tls.scan", "127.0.0.1:1"],
        cwd=SOURCE,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"scan: 127.0.0.1:1: Connection refused\n"
