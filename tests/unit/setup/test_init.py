"""The init script, as it is copied to /etc/init.d, with every server of the installation."""

import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import InstalledTree

from tests.unit.setup.host import (
    ANYBODY,
    SECONDS,
    answers,
    eventually,
    greeted,
    installed,
    log_in,
    port_of,
    processes_of,
    set_in,
)

SERVERS = {"imapd": ("imap", False), "imapd-ssl": ("imap", True), "pop3d": ("pop3", False), "pop3d-ssl": ("pop3", True)}
SHORT = {"DH_BITS": "1024", "PATH": "/usr/bin:/bin"}  # the default takes openssl up to a minute
TOO_SHORT = re.compile(r".*/share/dhparams\.pem: .*: dh key too small .*\n")  # as is told


class Host:
    """An installation, its init script in a directory of its own, and the port of each server."""

    def __init__(self, tree: InstalledTree) -> None:
        self.tree = tree
        self.script = tree.prefix / "init.d" / "courier-imap"
        self.script.parent.mkdir()
        shutil.copy2(tree.share / "courier-imap.sysvinit", self.script)
        self.ports: dict[str, int] = {}
        for name, (protocol, tls) in SERVERS.items():
            start = f"{protocol.upper()}D{'SSL' if tls else ''}START"
            logger = {"SSLLOGGEROPTS" if tls else "LOGGEROPTS": f"-name={name} -file={tree.prefix}/log"}
            set_in(tree.etc / name, **{start: "YES"}, **logger)
            self.ports[name] = port_of(tree.etc / name, "SSL" if tls else "")
        for server in ("imapd", "pop3d"):
            template = tree.etc / f"{server}.cnf"
            template.write_text(template.read_text().replace("3072", "2048"))

    def run(self, verb: str) -> "subprocess.CompletedProcess[str]":
        """As an administrator does it who is in that directory."""
        done = subprocess.run(
            [f"./{self.script.name}", verb], cwd=self.script.parent, env=SHORT, capture_output=True, text=True,
            timeout=4 * SECONDS,
        )  # fmt: skip
        done.stderr = TOO_SHORT.sub("", done.stderr)
        return done

    def made(self) -> dict[str, tuple[bytes, int]]:
        """What a first start makes: content and mode."""
        names = ("dhparams.pem", "imapd.pem", "pop3d.pem")
        paths = [self.tree.share / name for name in names]
        return {path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in paths}


@pytest.fixture(scope="module")
def host(installed_tree: InstalledTree) -> Iterator[Host]:
    host = Host(installed(Path(tempfile.mkdtemp(prefix="init.", dir=installed_tree.prefix.parent))))
    yield host
    host.run("stop")
    assert processes_of(host.tree) == []


def all_serve(host: Host) -> None:
    """Every server is there at the same time, and takes the same account."""
    for port in host.ports.values():
        assert eventually(lambda port=port: answers(port))  # type: ignore[misc]
    clients = {name: greeted(host.ports[name], tls) for name, (_, tls) in SERVERS.items()}
    try:
        sessions = [log_in(client, SERVERS[name][0]) for name, client in clients.items()]
        assert all(goes_on() for goes_on in sessions)
    finally:
        for client in clients.values():
            client.close()


def test_the_first_start_makes_what_tls_needs_and_later_ones_keep_it(host: Host) -> None:
    done = host.run("start")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Starting Courier-IMAP server: imap generating-DH-parameters... generating-SSL-certificate... imap-ssl pop3"
        " generating-SSL-certificate... pop3-ssl\n"
    )
    made = host.made()
    assert [mode for _, mode in made.values()] == [0o644, 0o600, 0o600]
    all_serve(host)
    pids = {name: (host.tree.run / f"{name}.pid").read_text() for name in SERVERS}
    done = host.run("restart")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Stopping Courier-IMAP server: imap imap-ssl pop3 pop3-ssl\n"
        "Starting Courier-IMAP server: imap imap-ssl pop3 pop3-ssl\n"
    )
    all_serve(host)
    assert host.made() == made
    assert all((host.tree.run / f"{name}.pid").read_text() != pid for name, pid in pids.items())
    done = host.run("stop")
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(answers(port) for port in host.ports.values())
    assert processes_of(host.tree) == []


def capabilities(host: Host, name: str) -> bytes:
    protocol, tls = SERVERS[name]
    with greeted(host.ports[name], tls) as client, client.makefile("rb") as lines:
        client.sendall(b"a CAPABILITY\r\nb LOGOUT\r\n" if protocol == "imap" else b"CAPA\r\nQUIT\r\n")
        return lines.read()


@pytest.mark.parametrize("line", ["", 'COURIERTLS=""\n', "COURIERTLS=/nowhere/couriertls\n"])
def test_where_the_program_for_tls_is_not_named(host: Host, line: str) -> None:
    """Without the line it is our own.  One that is not there: TLS is not started, and all else is."""
    files = [host.tree.etc / name for name in ("imapd-ssl", "pop3d-ssl")]
    before = [path.read_text() for path in files]
    for path, text in zip(files, before, strict=True):
        kept = [one for one in text.splitlines(keepends=True) if not one.startswith("COURIERTLS=")]
        path.write_text("".join(kept) + line)
    try:
        done = host.run("start")
        wrong = "nowhere" in line
        plain = [name for name, (_, tls) in SERVERS.items() if not tls]
        for name in plain if wrong else SERVERS:
            assert eventually(lambda name=name: answers(host.ports[name]))  # type: ignore[misc]
        for name, word in (("imapd", b"STARTTLS"), ("pop3d", b"STLS")):
            assert (word in capabilities(host, name)) == (line == "")
        if wrong:
            assert done.stdout.endswith("server: imap pop3\n")
            etc, told = host.tree.etc, "COURIERTLS=/nowhere/couriertls: there is no such program"
            assert done.stderr.splitlines() == [
                f"{etc}/imapd-ssl: {told}: STARTTLS is not offered",
                f"{etc}/imapd-ssl: {told}: remove the line",
                f"{etc}/pop3d-ssl: {told}: STLS is not offered",
                f"{etc}/pop3d-ssl: {told}: remove the line",
            ]
            assert not any(answers(port) for name, port in host.ports.items() if name not in plain)
    finally:
        host.run("stop")
        for path, text in zip(files, before, strict=True):
            path.write_text(text)


def test_what_is_not_to_be_started_is_not(host: Host) -> None:
    set_in(host.tree.etc / "imapd", IMAPDSTART="no")
    set_in(host.tree.etc / "pop3d-ssl", POP3DSSLSTART="0")
    try:
        assert host.run("start").stdout == "Starting Courier-IMAP server: imap-ssl pop3\n"
        assert eventually(lambda: answers(host.ports["imapd-ssl"]) and answers(host.ports["pop3d"]))
        assert not answers(host.ports["imapd"])
        assert not answers(host.ports["pop3d-ssl"])
    finally:
        host.run("stop")
        set_in(host.tree.etc / "imapd", IMAPDSTART="YES")
        set_in(host.tree.etc / "pop3d-ssl", POP3DSSLSTART="YES")


def let_in(port: int, tls: bool, count: int) -> list[socket.socket]:
    """So many clients from one address, all greeted; and one more is not."""
    clients = [greeted(port, tls) for _ in range(count)]
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as one_more:
        if tls:
            with pytest.raises((ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError)):
                ANYBODY.wrap_socket(one_more)
        else:
            assert b"Too many connections" in one_more.recv(4096)
    return clients


def test_each_server_has_the_limits_of_its_files(host: Host) -> None:
    """Four from one address unless told otherwise; in a file for TLS it counts for that server alone."""
    before = {name: (host.tree.etc / name).read_bytes() for name in ("imapd-ssl", "pop3d")}
    set_in(host.tree.etc / "imapd-ssl", MAXPERIP="2")
    set_in(host.tree.etc / "pop3d", MAXPERIP="1")
    clients: list[socket.socket] = []
    try:
        assert host.run("start").returncode == 0
        for port in host.ports.values():
            assert eventually(lambda port=port: answers(port))  # type: ignore[misc]
        for name, count in (("imapd", 4), ("imapd-ssl", 2), ("pop3d", 1), ("pop3d-ssl", 1)):
            assert eventually(lambda name=name: connections(host, name) == 0)  # type: ignore[misc]
            clients += let_in(host.ports[name], SERVERS[name][1], count)
    finally:
        for client in clients:
            client.close()
        host.run("stop")
        for name, content in before.items():
            (host.tree.etc / name).write_bytes(content)


def connections(host: Host, name: str) -> int:
    """How many the server has now: our look whether it answers is one for a moment."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(SECONDS)
        asking.connect(str(host.tree.run / f"{name}.pid.status"))
        with asking.makefile("rb") as told:
            return int(json.loads(told.read())["connections"])


def test_files_without_headers_will_do(host: Host) -> None:
    """As they were before 1.3: install-configure can do nothing with them, but the servers can."""
    files = [host.tree.etc / name for name in SERVERS]
    before = [path.read_bytes() for path in files]
    try:
        for path, content in zip(files, before, strict=True):
            lines = content.splitlines(keepends=True)
            path.write_bytes(b"".join(line for line in lines if not line.startswith(b"#")))
        done = host.run("start")
        assert (done.returncode, done.stderr) == (0, "")
        all_serve(host)
    finally:
        host.run("stop")
        for path, content in zip(files, before, strict=True):
            path.write_bytes(content)


def test_other_verbs_are_told_what_there_is(host: Host) -> None:
    done = host.run("reload")
    assert (done.returncode, done.stderr) == (1, "Usage: ./courier-imap start|stop|restart\n")
    assert os.access(host.tree.share / "courier-imap.sysvinit", os.X_OK)
    assert "# chkconfig: 2345 80 30\n" in host.script.read_text()
