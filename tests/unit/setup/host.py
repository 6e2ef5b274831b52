"""An installation of its own with one account, started and stopped by its scripts, as on a real host."""

import os
import pwd
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

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


def installed(prefix: Path) -> InstalledTree:
    """An installation at the prefix with one account, alice."""
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


def greeted(port: int, tls: bool) -> socket.socket:
    """A connection with its greeting read."""
    client = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    if tls:
        client = ANYBODY.wrap_socket(client)
    assert b"OK" in client.recv(4096)
    return client


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
