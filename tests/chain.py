"""The whole chain, from the installed tree: authdaemond and couriertcpd on loopback, and accounts that can log in.

The fixture `chain` lasts for the run (of one xdist worker) and belongs to everybody: make accounts of your own, or take
`account()` with a name that nobody else uses.  Every test of it runs twice: in the exec form, where each stage executes
the next, and in the prefork form, where processes of each stage wait.  A test of one form only says
`@pytest.mark.parametrize("chain", ["prefork"], indirect=True)`.  It runs as whoever runs the tests; when that is root,
the accounts are nobody's, because mail is never served as root.
"""

import contextlib
import ctypes
import errno
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

START_SECONDS = 120
END_SECONDS = 120
CLIENT_SECONDS = 120
PAUSE_SECONDS = 0.02

PASSWORD = "open-sesame.1"
FORMS = {"exec": 0, "prefork": 2}  # processes of each stage that wait at least
PROTOCOLS = {"imap": ("sbin/imaplogin", "bin/imapd"), "pop3": ("sbin/pop3login", "bin/pop3d")}

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Account:
    """Somebody who can log in; `home` is the home directory, `maildir` the Maildir in it, which need not exist yet."""

    def __init__(self, name: str, password: str, home: Path, uid: int, gid: int) -> None:
        self.name = name
        self.password = password
        self.home = home
        self.maildir = home / "Maildir"
        self.uid = uid
        self.gid = gid

    def own(self) -> None:
        """Give everything in the home to the account; call it after putting something there."""
        if os.geteuid() != 0:
            return
        for place, _, names in os.walk(self.home):
            for path in (place, *(os.path.join(place, name) for name in names)):
                with contextlib.suppress(FileNotFoundError):  # a session that has just ended may still write its index
                    os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def empty(self) -> None:
        """Remove everything from the home."""
        for path in self.home.iterdir():
            if path.is_dir() and not path.is_symlink():
                while path.exists():  # a session that has just ended may still write its index
                    shutil.rmtree(path, onerror=_unless_gone)
            else:
                path.unlink()


def _unless_gone(_function: object, path: str, error: tuple[type, BaseException, object]) -> None:
    if not isinstance(error[1], OSError) or error[1].errno not in (errno.ENOENT, errno.ENOTEMPTY):
        raise error[1]


class Listener:
    """One couriertcpd: its port on 127.0.0.1, and the process."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.port = port
        self.process = process

    @property
    def pid(self) -> int:
        """The listening process."""
        return self.process.pid

    def connect(self) -> socket.socket:
        """A connection to it that waits for nothing for ever."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=CLIENT_SECONDS)


class Chain:
    """The servers and their tree; `prefix` is a copy of the installed tree that may be changed."""

    def __init__(self, place: Path, installed: Path, form: str) -> None:
        self.form = form
        self.place = place
        self.prefix = place / "prefix"
        self.log = place / "log"
        self.log.touch()
        (place / "homes").mkdir()
        _relocate(installed, self.prefix)
        self._accounts: dict[str, Account] = {}
        self._hashes: dict[str, bytes] = {}
        self._listeners: dict[tuple[object, ...], Listener] = {}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start authdaemond with authuserdb, and wait until it answers."""
        settings = self.prefix / "etc" / "authdaemonrc"
        with settings.open("a") as file:
            file.write('authmodulelist="authuserdb"\ndaemons=2\n')
        (self.prefix / "etc/userdb").touch(mode=0o600)
        self.run("sbin/makeuserdb")
        daemon = self._spawn([self.prefix / "libexec/authlib/authdaemond.daemon"])
        self._wait(daemon, socket.AF_UNIX, str(self.prefix / "var/authdaemon/socket"))

    def listener(self, options: tuple[str, ...] = (), protocol: str = "imap", **settings: str) -> Listener:
        """A couriertcpd with these options, and these settings over those of etc/imapd; the same one for the same."""
        key = (protocol, options, *sorted(settings.items()))
        if key not in self._listeners:
            self._listeners[key] = self.listen(options, settings, protocol=protocol)
        return self._listeners[key]

    def listen(
        self,
        options: tuple[str, ...] = (),
        settings: Mapping[str, str] | None = None,
        stages: tuple[str | Path, ...] = (),
        protocol: str = "imap",
    ) -> Listener:
        """Start a couriertcpd of one's own; stages are what it starts, by default imaplogin, imapd and Maildir.

        With the protocol pop3 these are pop3login and pop3d, and the settings are those of etc/pop3d.
        """
        for _ in range(5):
            port = _free_port()
            process = self._spawn(self._couriertcpd(port, options, settings or {}, stages, protocol))
            try:
                self._wait(process, socket.AF_INET, ("127.0.0.1", port))
            except ChildProcessError:
                continue  # somebody else took the port meanwhile
            if self.form == "prefork" and not any(option.startswith("-prefork") for option in options):
                self._wait_for_spares(process)
            return Listener(port, process)
        raise ChildProcessError(f"couriertcpd does not start:\n{self.log_text()}")

    def _wait_for_spares(self, process: "subprocess.Popen[bytes]") -> None:
        """Until then connections may be served in the exec form."""
        deadline = time.monotonic() + START_SECONDS
        while not all(spares(process.pid)):
            assert process.poll() is None, self.log_text()
            assert time.monotonic() < deadline, f"nobody waits for connections:\n{self.log_text()}"
            time.sleep(PAUSE_SECONDS)

    def _couriertcpd(
        self,
        port: int,
        options: tuple[str, ...],
        settings: Mapping[str, str],
        stages: tuple[str | Path, ...],
        protocol: str,
    ) -> list[object]:
        """As imapd.rc and pop3d.rc do it, but in the foreground and with room for many tests at a time."""
        script = 'set -a; . "$0"; PATH=/usr/bin:/bin; exec env "$@"'
        assignments = [f"{name}={value}" for name, value in settings.items()]
        limits = ["-address=127.0.0.1", "-maxprocs=250", "-maxperip=250", "-nodnslookup"]
        limits += [f"-prefork={FORMS[self.form]}", *options]
        stages = stages or (*(self.prefix / program for program in PROTOCOLS[protocol]), "Maildir")
        server = [self.prefix / "libexec/couriertcpd", *limits, port, *stages]
        return ["/bin/sh", "-c", script, self.prefix / f"etc/{protocol}d", *assignments, *server]

    def account(self, name: str, password: str = PASSWORD, options: str = "") -> Account:
        """The account of that name, made when it is asked for first; its home is empty then."""
        if name not in self._accounts:
            home = self.place / "homes" / name
            home.mkdir()
            nobody = pwd.getpwnam("nobody")
            uid, gid = (nobody.pw_uid, nobody.pw_gid) if os.geteuid() == 0 else (os.getuid(), os.getgid())
            fields = [f"home={home}", f"uid={uid}", f"gid={gid}", "mail=Maildir"]
            if options:
                fields.append(f"options={options}")
            self.run("sbin/userdb", name, "set", *fields)
            self.run("sbin/userdb", name, "set", "systempw", given=self._hash(password))
            self.run("sbin/makeuserdb")
            self._accounts[name] = Account(name, password, home, uid, gid)
            self._accounts[name].own()
        return self._accounts[name]

    def _hash(self, password: str) -> bytes:
        if password not in self._hashes:
            self._hashes[password] = self.run("sbin/userdbpw", "-md5", given=password.encode() + b"\n")
        return self._hashes[password]

    def run(self, program: str, *arguments: str, given: bytes = b"") -> bytes:
        """Run a program of the tree to its end; what it printed."""
        command = [str(self.prefix / program), *arguments]
        done = subprocess.run(command, env={}, input=given, capture_output=True, timeout=START_SECONDS)
        assert done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"
        return done.stdout

    def log_text(self) -> str:
        """What all processes have logged so far."""
        return self.log.read_text(errors="replace")

    def end(self) -> None:
        """End every process that was started here."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _spawn(self, command: list[object]) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                env={},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.place,
                preexec_fn=_end_with_parent,
            )
        self._processes.append(process)
        return process

    def _wait(self, process: "subprocess.Popen[bytes]", family: int, address: object) -> None:
        """Wait until somebody listens at the address; ChildProcessError when the process ends instead."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket(family) as client:
                with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
                    client.connect(address)
                    return
            if process.poll() is not None:
                raise ChildProcessError(f"{process.args[0]} ended with {process.returncode}:\n{self.log_text()}")
            assert time.monotonic() < deadline, f"nobody listens at {address}:\n{self.log_text()}"
            time.sleep(PAUSE_SECONDS)


def spares(listener: int) -> tuple[list[int], list[int]]:
    """The pids of the processes that wait or serve in the prefork form: of the first stage, and of the next one.

    A fork server and its processes have the audience of their tickets in common, and differ in it from their parents.
    """
    found: tuple[list[int], list[int]] = [], []
    with contextlib.suppress(psutil.NoSuchProcess):
        for first in psutil.Process(listener).children():
            for process in first.children() if _audience(first.pid) else ():
                if _audience(process.pid) == _audience(first.pid):
                    found[0].append(process.pid)
                else:
                    found[1].extend(child.pid for child in process.children())
    return found


def _audience(pid: int) -> bytes:
    """What COURIER_AUDIENCE was when the program of the process was started; empty where it was not set."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
    return dict(item.partition(b"=")[::2] for item in environment.split(b"\0")).get(b"COURIER_AUDIENCE", b"")


def _relocate(installed: Path, prefix: Path) -> None:
    """Copy an installation to another place: its programs and installed.py name the directories."""
    shutil.copytree(installed, prefix, symlinks=True, ignore=shutil.ignore_patterns("site", "man"))
    (prefix / "lib/site").symlink_to(installed / "lib/site")
    owner = (installed / "var/authdaemon").stat()  # which copytree does not copy, and login stages need as it is
    os.chown(prefix / "var/authdaemon", owner.st_uid, owner.st_gid)
    for place in ("bin", "sbin", "libexec", "etc", "lib/courier/couriertcpd"):
        for path in (prefix / place).rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix != ".pyc":
                content = path.read_bytes()
                if str(installed).encode() in content:
                    path.write_bytes(content.replace(str(installed).encode(), str(prefix).encode()))


def _end_with_parent() -> None:
    """In the child: whatever becomes of the tests, nothing of the chain stays behind."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session", params=FORMS)
def chain(request: pytest.FixtureRequest, installed_tree) -> Iterator[Chain]:
    """The running chain, in each form."""
    # Not below pytest's own folder, which only its owner may enter.
    place = Path(tempfile.mkdtemp(prefix="courier-imap-chain."))
    place.chmod(0o755)
    running = Chain(place, installed_tree.prefix, request.param)
    try:
        running.start()
        yield running
    finally:
        running.end()
        shutil.rmtree(place, ignore_errors=True)
