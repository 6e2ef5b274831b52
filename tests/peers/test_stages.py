"""Each stage of the chain can be the original's or ours: they know each other only by the contract of a stage."""

from __future__ import annotations

import imaplib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import FORMS, spares

from tests.peers.conftest import ACCOUNT
from tests.peers.ours import Ours
from tests.peers.programs import Courier, Place

_SECONDS = 120


def _messages_after_login(imap: imaplib.IMAP4) -> int:
    """Log in, read one message, log out; gives how many messages there are."""
    imap.login(ACCOUNT.address, ACCOUNT.password)
    status, data = imap.select()
    assert status == "OK"
    status, parts = imap.fetch("1", "(UID BODY.PEEK[])")
    assert status == "OK"
    assert isinstance(parts[0], tuple)
    assert b"Message-ID" in parts[0][1]
    assert imap.logout()[0] == "BYE"
    return int(data[0] or b"0")


def _connect(port: int) -> imaplib.IMAP4:
    return imaplib.IMAP4("127.0.0.1", port, timeout=_SECONDS)


@pytest.fixture(params=["exec", "prefork"])
def through_theirs(request: pytest.FixtureRequest, place: Place, ours: Ours, courier: Courier) -> Iterator[Ours]:
    """Our listener, login stage and server, in both forms; the C authdaemond, which cannot sign tickets."""
    chain = Ours(place, auth=courier.auth)
    process = chain.start_imap("-maxprocs=400", "-maxperip=400", f"-prefork={FORMS[request.param]}")
    deadline = time.monotonic() + _SECONDS
    while request.param == "prefork" and not all(spares(process.popen.pid)):
        assert time.monotonic() < deadline, "nobody waits for connections"
        time.sleep(0.02)
    yield chain
    chain.stop()
    said = chain.log.read_text().count("no key that authdaemond signs with, so imaplogin stays root until the login")
    assert said == (request.param == "prefork")
    chain.log.unlink()


@pytest.fixture
def through_ours(place: Place, ours: Ours, courier: Courier) -> Iterator[Courier]:
    """The C listener, login stage and server; our authdaemond."""
    chain = Courier(place, auth=ours.auth)
    chain.start_imap()
    yield chain
    chain.stop()


def test_our_imaplogin_with_their_authdaemond(through_theirs: Ours) -> None:
    assert _messages_after_login(_connect(through_theirs.port)) == 40
    imap = _connect(through_theirs.port)
    status, _ = imap.authenticate("PLAIN", lambda _: f"\0{ACCOUNT.address}\0{ACCOUNT.password}".encode())
    assert status == "OK"
    imap.logout()


def test_their_imaplogin_with_our_authdaemond(through_ours: Courier) -> None:
    assert _messages_after_login(_connect(through_ours.port)) == 40
    imap = _connect(through_ours.port)
    with pytest.raises(imaplib.IMAP4.error, match=r"Login failed"):
        imap.login(ACCOUNT.address, "wrong")
    imap.shutdown()


def test_same_log_lines(courier: Courier, ours: Ours) -> None:
    """What a log filter sees of one session is the same but for the counters."""
    lines = []
    for server in (courier, ours):
        imap = _connect(server.port)
        marker = f"port=[{imap.socket().getsockname()[1]}]"
        _messages_after_login(imap)
        lines.append([line.split(marker)[0] for line in _logged(server, marker, "LOGOUT")])
    assert lines[0] == lines[1]
    assert [line.split(",")[0] for line in lines[1]] == ["DEBUG: Connection", "INFO: LOGIN", "INFO: LOGOUT"]


def _logged(server: Courier | Ours, marker: str, last: str) -> list[str]:
    """The lines with the marker, when one with `last` is among them: a server logs the end after it has answered."""
    deadline = time.monotonic() + _SECONDS
    while True:
        lines = [line for line in server.log.read_text("utf-8").splitlines() if marker in line]
        if any(last in line for line in lines):
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)


@pytest.mark.parametrize("mixed", ["their login, our server", "our login, their server"])
def test_mixed_login_and_server(place: Place, courier: Courier, ours: Ours, mixed: str) -> None:
    our_login, our_server = str(ours.prefix / "sbin/imaplogin"), str(ours.prefix / "bin/imapd")
    login = (courier.IMAPLOGIN, our_server) if mixed.startswith("their") else (our_login, courier.IMAPD)
    chain = Courier(place, auth=courier.auth)
    chain.log = chain.work / "mixed.log"
    try:
        chain.start_imap(login=(*login, "Maildir"), settings="AUTHDAEMONVAR=/run/courier/authdaemon")
        assert _messages_after_login(_connect(chain.port)) == 40
    finally:
        chain.stop()


def test_their_couriertls_before_our_imaplogin(place: Place, courier: Courier, ours: Ours, tmp_path: Path) -> None:
    chain = Courier(place, auth=ours.auth)
    chain.log = chain.work / "tls.log"
    certificate = chain.configuration / "test.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", str(certificate), "-out", str(tmp_path / "certificate")],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl(1) makes no certificate here")
    with certificate.open("ab") as file:
        file.write((tmp_path / "certificate").read_bytes())
    certificate.chmod(0o644)
    login = [courier.COURIERTLS, "-server", "-tcpd", "-user=courier", str(ours.prefix / "sbin/imaplogin")]
    settings = (
        "AUTHDAEMONVAR=/run/courier/authdaemon IMAP_TLS=1 TLS_CERTFILE=/etc/courier/test.pem TLS_VERIFYPEER=NONE\n"
        "unset TLS_DHPARAMS TLS_CACHEFILE TLS_TRUSTCERTS"
    )
    try:
        chain.start_imap(login=(*login, str(ours.prefix / "bin/imapd"), "Maildir"), settings=settings)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        imap = imaplib.IMAP4_SSL("127.0.0.1", chain.port, ssl_context=context, timeout=_SECONDS)
        assert _messages_after_login(imap) == 40
    finally:
        chain.stop()
    assert "starttls=1" in chain.log.read_text("utf-8")


def test_nothing_is_left_behind(place: Place, courier: Courier) -> None:
    """Stopping a chain ends daemons that its programs made, too: the port is free, the processes are gone."""
    chain = Courier(place, auth=courier.auth)
    chain.start_imap()
    imap = _connect(chain.port)
    imap.login(ACCOUNT.address, ACCOUNT.password)
    processes = [process for started in chain.processes for process in started.tree()]
    assert {"couriertcpd", "imapd"} <= {process.name() for process in processes}
    chain.stop()
    assert not any(process.is_running() and process.status() != "zombie" for process in processes)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", chain.port), timeout=5)
    imap.shutdown()
