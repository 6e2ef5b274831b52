"""An installation of its own, started and stopped by its rc scripts, as on a real host."""

import imaplib
import os
import pwd
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import InstalledTree, make

PASSWORD = "correct horse"
SECONDS = 120
ANYBODY = ssl.create_default_context()
ANYBODY.check_hostname, ANYBODY.verify_mode = False, ssl.CERT_NONE


def run(*command: str | Path, text: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True, timeout=SECONDS)


def set_in(path: Path, **settings: str) -> None:
    """Add assignments to a configuration file; the later one counts."""
    with path.open("a") as file:
        file.writelines(f'{name}="{value}"\n' for name, value in settings.items())


def port_of(path: Path, prefix: str = "") -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    set_in(path, **{f"{prefix}PORT": str(port), f"{prefix}ADDRESS": "127.0.0.1"})
    return port


def eventually(happens: Callable[[], bool]) -> bool:
    """Whether it happens in time.  A start returns as soon as the logger runs, like the original's."""
    deadline = time.monotonic() + SECONDS
    while not happens() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happens()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def processes_of(tree: InstalledTree) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue  # it has ended
        if f"{tree.prefix}/" in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def service(installed_tree: InstalledTree) -> InstalledTree:
    """An installation with one account, alice."""
    prefix = Path(tempfile.mkdtemp(prefix="service.", dir=installed_tree.prefix.parent))
    prefix.chmod(0o755)
    make("install", "install-configure", f"prefix={prefix}", f"piddir={prefix}/run")
    tree = InstalledTree(prefix)
    home = prefix / "home"
    home.mkdir()
    owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    assert run(tree.bin / "maildirmake", home / "Maildir").returncode == 0
    for path in (home, *home.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    fields = [f"home={home}", f"uid={owner.pw_uid}", f"gid={owner.pw_gid}", "mail=Maildir"]
    assert run(tree.sbin / "userdb", "alice", "set", *fields).returncode == 0
    password = run(tree.sbin / "userdbpw", "-md5", text=f"{PASSWORD}\n").stdout
    assert run(tree.sbin / "userdb", "alice", "set", "systempw", text=password).returncode == 0
    assert run(tree.sbin / "makeuserdb").returncode == 0
    set_in(tree.etc / "authdaemonrc", authmodulelist="authuserdb", LOGGEROPTS=f"-file={prefix}/authlog")
    set_in(tree.etc / "imapd", LOGGEROPTS=f"-name=imapd -file={prefix}/log")
    return tree


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


def greeted(port: int, tls: bool) -> socket.socket:
    """A connection with its greeting read."""
    client = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    if tls:
        client = ANYBODY.wrap_socket(client)
    assert b"OK" in client.recv(4096)
    return client


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


def log_in(client: socket.socket, protocol: str) -> Callable[[], bool]:
    """Log alice in; what tells whether her session goes on."""
    if protocol == "imap":
        client.sendall(f'a LOGIN alice "{PASSWORD}"\r\n'.encode())
        assert client.recv(4096).startswith(b"a OK")
    else:
        for line in (b"USER alice", b"PASS " + PASSWORD.encode()):
            client.sendall(line + b"\r\n")
            assert client.recv(4096).startswith(b"+OK")

    def goes_on() -> bool:
        client.sendall(b"n NOOP\r\n" if protocol == "imap" else b"NOOP\r\n")
        return b"OK" in client.recv(4096)

    return goes_on


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
