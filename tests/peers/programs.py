"""The C Courier-IMAP and Dovecot, run on loopback ports in namespaces of their own.

Each program that is started gets a mount namespace in which the unpacked packages lie over /usr and /etc, and a process
namespace, so that killing one process, ours, ends everything that it started: nothing is left behind, whatever dies.
The configuration, /run and the mail are folders of the caller's, the same in all cells.

Mail belongs to `UID`, which has a passwd entry inside: without one gamin costs the C imapd 1.2 s for each SELECT.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil

from tests.peers import packages
from tests.peers.packages import Missing

__all__ = ["UID", "Account", "Cell", "Courier", "Dovecot", "Missing", "Place", "Process", "free_port", "wait_for_port"]

UID = 5143 if os.geteuid() == 0 else os.geteuid()  # owns all mail, in every server
_IDENTITIES = (("vmail", UID), ("courier", 5144), ("dovecot", 5145), ("dovenull", 5146))
_START_SECONDS = 120


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path, host: str = "127.0.0.1") -> None:
    """Until something accepts connections; raises Missing with the log when the program ends or never does."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)  # no event tells that another process listens
        else:
            return
    raise Missing(f"nothing listens on port {port}: {log.read_text('utf-8', 'replace')[-500:]}")


def wait_for_file(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the path exists; raises Missing with the log when the program ends or never makes it."""
    deadline = time.monotonic() + _START_SECONDS
    while not path.exists():
        if time.monotonic() > deadline or process.poll() is not None:
            raise Missing(f"no {path}: {log.read_text('utf-8', 'replace')[-500:]}")
        time.sleep(0.02)


class Account:
    """A virtual user of all servers: a home under the place's, a Maildir in it, one cheap hash."""

    def __init__(self, address: str, password: str = "secret") -> None:
        self.address = address
        self.password = password

    @property
    def hash(self) -> str:
        """{SHA256}: so that a login measures the server and not the hash."""
        return "{SHA256}" + base64.b64encode(hashlib.sha256(self.password.encode()).digest()).decode()


class Place:
    """A folder for one run: homes with Maildirs, configuration and logs, enterable by the mail's uid."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="courier-peers."))
        self.path.chmod(0o755)
        self.accounts = tuple(accounts)
        self.homes = self.path / "homes"
        self.homes.mkdir()
        for account in accounts:
            self.own_mail(self.home(account))

    def home(self, account: Account) -> Path:
        """The account's home, made when it is missing."""
        home = self.homes / account.address
        for name in ("", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
        return home

    def maildir(self, account: Account) -> Path:
        """The account's INBOX."""
        return self.home(account) / "Maildir"

    def own_mail(self, path: Path) -> None:
        """Give everything below to the mail's uid; without root it has it already."""
        if os.geteuid() != 0:
            return
        os.lchown(path, UID, UID)
        for folder, names, files in os.walk(path):
            for name in (*names, *files):
                os.lchown(os.path.join(folder, name), UID, UID)

    def userdb(self) -> str:
        """The accounts in userdb's text format."""
        return "".join(
            f"{account.address}\tuid={UID}|gid={UID}|home={self.home(account)}|mail=Maildir|systempw={account.hash}\n"
            for account in self.accounts
        )

    def remove(self) -> None:
        """Take everything away."""
        shutil.rmtree(self.path, ignore_errors=True)


class Process:
    """A running program of ours, ended by `stop`, with everything below it when it runs in a cell."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self.log = log

    def tree(self) -> list[psutil.Process]:
        """The processes that it consists of now, without the namespace's own two."""
        try:
            below = psutil.Process(self.popen.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return below[1:]

    def stop(self) -> None:
        """Kill the first process of the namespace: it is gone, and unshare(1) ends, only when all others are."""
        try:
            first = psutil.Process(self.popen.pid).children()
        except psutil.NoSuchProcess:
            first = []
        for process in first:
            process.kill()
        if not first:
            self.popen.kill()
        self.popen.wait()


class Cell:
    """The namespaces in which a peer's programs run; each program gets a pair, all see the same folders.

    Raises Missing when this machine cannot make them.
    """

    def __init__(self, root: Path, place: Path, binds: dict[Path, str]) -> None:
        if os.geteuid() != 0:
            raise Missing("the C programs run in namespaces of their own, which takes root")
        self.place = place
        etc = place / "etc"
        etc.mkdir(parents=True, exist_ok=True)
        passwd, group = Path("/etc/passwd").read_text("utf-8"), Path("/etc/group").read_text("utf-8")
        for name, uid in _IDENTITIES:
            passwd += f"{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n"
            group += f"{name}:x:{uid}:\n"
        (etc / "passwd").write_text(passwd, "utf-8")
        (etc / "group").write_text(group, "utf-8")
        quoted = {name: shlex.quote(str(path)) for name, path in (("root", root), ("etc", etc))}
        lines = [
            "set -e",
            f"mount -t overlay overlay -o lowerdir={quoted['etc']}:{quoted['root']}/etc:/etc /etc",
            f"mount -t overlay overlay -o lowerdir={quoted['root']}/usr:/usr /usr",
        ]
        for path, inside in binds.items():
            path.mkdir(parents=True, exist_ok=True)
            lines.append(f"mount --bind {shlex.quote(str(path))} {shlex.quote(inside)}")
        self.mounts = "\n".join(lines)
        done = self.run(["true"])
        if done.returncode:
            raise Missing(f"no namespaces or overlays here: {done.stderr.decode().strip()[-300:]}")

    def _argv(self, script: str, argv: Sequence[str]) -> list[str]:
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return [*namespaces, "sh", "-c", f"{self.mounts}\n{script}", "sh", *argv]

    def run(self, argv: Sequence[str], octets: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end."""
        return subprocess.run(self._argv('exec "$@"', argv), input=octets, capture_output=True, timeout=60, check=False)

    def start(self, argv: Sequence[str], log: Path, settings: str = "") -> Process:
        """Start a program; `settings` are shell lines that export its environment. Its fd 2 is the log."""
        # The shell stays as the first process of the namespace: it collects what daemons leave.
        script = f'{settings}\n"$@" &\nwait'
        with log.open("ab") as stderr:
            popen = subprocess.Popen(
                self._argv(script, argv), stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, cwd="/"
            )
        return Process(popen, log)

    def serve(self, connection: socket.socket, argv: Sequence[str], log: Path, cwd: Path) -> subprocess.Popen[bytes]:
        """Start a program on a connection as the mail's uid; it is the process itself, for it sees our process ids.

        So its dot-locks name processes that we can see, and it sees ours: in a process namespace of its own each would
        take the locks of the other for dead.
        """
        script = f'{self.mounts}\nexec setpriv --reuid={UID} --regid={UID} --clear-groups "$@"'
        settings = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "AUTHENTICATED": "kim", "IMAP_KEYWORDS": "1"}
        with log.open("ab") as stderr:
            return subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script, "sh", *argv],
                stdin=connection, stdout=connection, stderr=stderr, cwd=cwd, env=settings,
            )  # fmt: skip


class Courier:
    """The C Courier-IMAP: authdaemond with authuserdb, couriertcpd, imaplogin, imapd.

    `auth` names the directory of another authdaemond's socket, which its login programs then use.
    """

    name = "courier"
    TCPD = "/usr/sbin/couriertcpd"
    IMAPLOGIN = "/usr/lib/courier/courier/imaplogin"
    IMAPD = "/usr/bin/imapd"
    COURIERTLS = "/usr/bin/couriertls"

    def __init__(self, place: Place, auth: Path | None = None) -> None:
        self.place = place
        root = packages.unpacked("courier")
        self.work = place.path / ("courier-other-auth" if auth else "courier")
        self.configuration = self.work / "configuration"
        self.auth = auth or self.work / "run/courier/authdaemon"
        if not self.configuration.exists():
            shutil.copytree(root / "etc/courier", self.configuration)
        for name in ("authdaemon", "courier/authdaemon"):
            (self.work / "run" / name).mkdir(parents=True, exist_ok=True)
        binds = {self.configuration: "/etc/courier", self.work / "run": "/run"}
        if auth:
            binds[auth] = "/run/courier/authdaemon"
        (self.work / "etc/courier").mkdir(parents=True, exist_ok=True)
        (self.configuration / "authdaemonrc").write_text(
            'authmodulelist="authuserdb"\nauthmodulelistorig="authuserdb"\ndaemons=5\n'
            'authdaemonvar=/run/courier/authdaemon\nDEBUG_LOGIN=0\nDEFAULTOPTIONS=""\nLOGGEROPTS=""\n'
        )
        self.cell = Cell(root, self.work, binds)
        self.processes: list[Process] = []
        self.port = 0
        self.log = self.work / "log"

    def write_userdb(self, text: str | None = None) -> None:
        """Write userdb and build its databases with the C makeuserdb; the accounts of the place by default."""
        source = self.configuration / "userdb"
        source.write_text(self.place.userdb() if text is None else text, "utf-8")
        source.chmod(0o600)
        done = self.cell.run(["makeuserdb"])
        if done.returncode:
            raise Missing(f"makeuserdb: {done.stderr.decode()}")

    def start_authdaemond(self) -> Process:
        """Start the C authdaemond; its socket is `auth / "socket"`."""
        self.write_userdb()
        settings = "set -a; . /etc/courier/authdaemonrc; set +a"
        argv = ["/usr/lib/courier/courier-authlib/authdaemond"]
        process = self.cell.start(argv, self.work / "authdaemond.log", settings)
        self.processes.append(process)
        wait_for_file(self.auth / "socket", process.popen, process.log)
        return process

    def start_imap(self, *options: str, login: Sequence[str] = (), settings: str = "") -> Process:
        """Start couriertcpd on a free port; `login` takes the place of imaplogin and what follows it."""
        self.port = free_port()
        chain = login or (self.IMAPLOGIN, self.IMAPD, "Maildir")
        environment = f"set -a; . /etc/courier/imapd; IMAP_STARTTLS=NO; {settings}\nset +a\nulimit -v unlimited"
        limits = options or ("-maxprocs=400", "-maxperip=400")
        argv = [self.TCPD, "-nodnslookup", *limits, f"127.0.0.1.{self.port}", *chain]
        process = self.cell.start(argv, self.log, environment)
        self.processes.append(process)
        wait_for_port(self.port, process.popen, process.log)
        return process

    def __enter__(self) -> Courier:
        if self.auth.is_relative_to(self.work):
            self.start_authdaemond()
        self.start_imap()
        return self

    def stop(self) -> None:
        """End all of it."""
        while self.processes:
            self.processes.pop().stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


_DOVECOT = """\
protocols = {protocol}
listen = 127.0.0.1
base_dir = /run/dovecot
log_path = /dev/stderr
ssl = {ssl}
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
mail_uid = {uid}
mail_gid = {uid}
first_valid_uid = 1
mail_max_userip_connections = 1000
default_process_limit = 1000
default_client_limit = 4000
passdb {{
  driver = passwd-file
  args = scheme=SHA256 username_format=%u /etc/dovecot/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u /etc/dovecot/users
}}
namespace inbox {{
  inbox = yes
  separator = .
  prefix = INBOX.
}}
service {protocol}-login {{
  inet_listener {protocol} {{
    port = {clear}
  }}
  inet_listener {protocol}s {{
    port = {encrypted}
  }}
{login}
}}
service {protocol} {{
  process_limit = 1000
{imap}
}}
{rest}
"""
_TUNED = {
    "login": "  service_count = 0\n  process_min_avail = 2\n  client_limit = 1000",
    "imap": "  service_count = 1000\n  process_min_avail = 4",
    "rest": "mail_fsync = never\nauth_cache_size = 1M",
}
_PLAIN = {"login": "", "imap": "", "rest": ""}
# By name, what differs: as installed; with login processes that serve many clients each; and the upper anchor, in which
# imap processes are used again too, nothing is fsynced and passwords are cached.
_DOVECOTS = {"dovecot": _PLAIN, "dovecot-login": {**_PLAIN, "login": _TUNED["login"]}, "dovecot-tuned": _TUNED}


class Dovecot:
    """Dovecot on the same homes, as its name says: see _DOVECOTS.

    With a certificate, which holds its key too, the port is one for TLS.
    """

    def __init__(
        self, place: Place, name: str = "dovecot", protocol: str = "imap", certificate: Path | None = None
    ) -> None:
        self.name = name
        root = packages.unpacked("dovecot")
        self.work = place.path / self.name
        self.configuration = self.work / "configuration"
        self.configuration.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        ports = {"clear": 0 if certificate else self.port, "encrypted": self.port if certificate else 0}
        ssl = f"required\nssl_cert = <{certificate}\nssl_key = <{certificate}" if certificate else "no"
        (self.configuration / "dovecot.conf").write_text(
            _DOVECOT.format(uid=UID, protocol=protocol, ssl=ssl, **ports, **_DOVECOTS[name])
        )
        users = "".join(f"{a.address}:{a.hash}:{UID}:{UID}::{place.home(a)}::\n" for a in place.accounts)
        (self.configuration / "users").write_text(users, "utf-8")
        (self.configuration / "users").chmod(0o644)
        self.cell = Cell(root, self.work, {self.configuration: "/etc/dovecot", self.work / "run": "/run"})
        self.processes: list[Process] = []
        self.log = self.work / "log"

    def __enter__(self) -> Dovecot:
        process = self.cell.start(["/usr/sbin/dovecot", "-F"], self.log)
        self.processes.append(process)
        wait_for_port(self.port, process.popen, self.log)
        return self

    def stop(self) -> None:
        """End all of it."""
        while self.processes:
            self.processes.pop().stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
