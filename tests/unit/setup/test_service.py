"""An installation of its own, started and stopped by its rc scripts, as on a real host."""

import imaplib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import InstalledTree

from tests.unit.setup.host import (
    PASSWORD,
    SECONDS,
    answers,
    eventually,
    greeted,
    installed,
    log_in,
    port_of,
    processes_of,
    run,
    set_in,
)


@pytest.fixture(scope="module")
def service(installed_tree: InstalledTree) -> InstalledTree:
    return installed(Path(tempfile.mkdtemp(prefix="service.", dir=installed_tree.prefix.parent)))


@pytest.fixture(autouse=True)
def stopped(service: InstalledTree) -> Iterator[None]:
    """Nothing goes on after a test, whatever happened in it."""
    yield
    run(service.libexec / "imapd.rc", "stop")
    run(service.libexec / "authlib" / "authdaemond", "stop")


def test_start_serve_stop(service):
    rc, authdaemond = service.libexec / "imapd.rc", service.libexec / "authlib" / "authdaemond"
    port = port_of(service.etc / "imapd")
    for script in (authdaemond, rc):
        done = run(script, "start")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert eventually((service.var / "authdaemon" / "socket").exists)
    assert eventually(lambda: answers(port))

    client = imaplib.IMAP4("127.0.0.1", port, timeout=SECONDS)
    client.login("alice", PASSWORD)
    assert client.select("INBOX") == ("OK", [b"0"])
    assert (service.etc / "imapaccess.dat").exists()
    assert (service.run / "imapd.pid").read_text().strip().isdigit()

    # Those who may connect can change while the server runs.
    (service.etc / "imapaccess" / "all").write_text("127\tdeny\n")
    done = run(service.sbin / "makeimapaccess")
    assert (done.returncode, done.stderr) == (0, "")
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as refused:
        assert refused.recv(100) == b""
    (service.etc / "imapaccess" / "all").unlink()
    run(service.sbin / "makeimapaccess")
    imaplib.IMAP4("127.0.0.1", port, timeout=SECONDS).logout()

    assert run(authdaemond, "restart").returncode == 0
    assert run(rc, "stop").returncode == 0
    assert not answers(port)
    assert run(authdaemond, "stop").returncode == 0
    assert processes_of(service) == []


SERVERS = [("imapd-ssl", "imap", True), ("pop3d", "pop3", False), ("pop3d-ssl", "pop3", True)]


@pytest.fixture(scope="module")
def certified(service: InstalledTree) -> InstalledTree:
    """The same with certificates of its own."""
    for server in ("imapd", "pop3d"):
        template = service.etc / f"{server}.cnf"
        template.write_text(template.read_text().replace("3072", "2048"))
        assert run(service.sbin / f"mk{server}cert").returncode == 0
    return service


@pytest.mark.parametrize(("name", "protocol", "tls"), SERVERS)
def test_the_other_servers_are_started_and_stopped_too(certified, name, protocol, tls):
    rc, settings = certified.libexec / f"{name}.rc", certified.etc / name
    port = port_of(settings, "SSL" if tls else "")
    set_in(settings, **{"SSLLOGGEROPTS" if tls else "LOGGEROPTS": f"-name={name} -file={certified.prefix}/{name}.log"})
    assert run(certified.libexec / "authlib" / "authdaemond", "start").returncode == 0
    try:
        done = run(rc, "start")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert eventually(lambda: answers(port))
        assert run(rc, "start").returncode == 0  # a second time changes nothing
        with greeted(port, tls) as client:
            kept = log_in(client, protocol)
            shown = run(certified.sbin / "courierstat", "--json")
            assert '"alice"' in shown.stdout, shown
            assert run(rc, "restart").returncode == 0
            assert kept()  # sessions outlive a restart
            greeted(port, tls).close()
    finally:
        assert run(rc, "stop").returncode == 0
    assert not answers(port)
    assert run(certified.libexec / "authlib" / "authdaemond", "stop").returncode == 0
    assert processes_of(certified) == []


def test_a_copy_of_the_tree_brings_everything_back(service):
    """Programs, configuration, accounts and mail: all is in the one tree, and nothing elsewhere is needed."""
    kept = service.prefix.with_name("kept")
    port = port_of(service.etc / "imapd")
    assert run("cp", "-a", service.prefix, kept).returncode == 0
    shutil.rmtree(service.prefix)
    kept.rename(service.prefix)
    assert run(service.libexec / "authlib" / "authdaemond", "start").returncode == 0
    assert run(service.libexec / "imapd.rc", "start").returncode == 0
    assert eventually(lambda: answers(port))
    with greeted(port, False) as client:
        assert log_in(client, "imap")()


def test_a_port_that_is_taken_is_logged_and_the_start_can_be_repeated(service):
    log = service.prefix / "log"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        set_in(service.etc / "imapd", PORT=str(taken.getsockname()[1]), ADDRESS="127.0.0.1")
        run(service.libexec / "imapd.rc", "start")
        assert eventually(lambda: "Address already in use" in log.read_text())
    assert run(service.libexec / "imapd.rc", "stop").returncode == 0
    assert processes_of(service) == []


def test_an_old_configuration_starts_the_server_with_warnings(service):
    port = port_of(service.etc / "imapd")
    set_in(service.etc / "imapd", IMAP_ULIMITD="65536", IMAP_ENHANCEDIDLE="0", AUTHMODULES="authdaemon", OUTBOX=".Out")
    done = run(service.libexec / "imapd.rc", "start")
    assert done.returncode == 0
    assert eventually(lambda: answers(port))
    assert len(done.stderr.splitlines()) == 4
    assert "IMAP_ENHANCEDIDLE has no effect" in done.stderr
    assert "AUTHMODULES has no effect" in done.stderr
    assert "does not use yet: OUTBOX" in done.stderr
    assert "IMAP_ULIMITD=65536 is too small" in done.stderr
    assert run(service.libexec / "imapd.rc", "stop").returncode == 0
    assert processes_of(service) == []
