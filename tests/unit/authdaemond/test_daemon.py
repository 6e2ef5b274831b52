"""The daemon as a process: octets on its socket, its workers, its signals, its log."""

import base64
import contextlib
import dbm.gnu
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from authdaemond import chain, daemon, rcfile, ticket
from couriertcpd import installed

SHA_SECRET = b"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="
KIM = b"UID=1005\nGID=1006\nHOME=/srv/mail/kim\nADDRESS=kim@example.net\n"
ACCEPTED = KIM + b"PASSWD=" + SHA_SECRET + b"\nPASSWD2=secret\nOPTIONS=disableimap=0,group=a,disablepop3=1\n.\n"
LOGIN = b"AUTH 34\nimap\nlogin\nkim@example.net\nsecret\n"
ROOT = Path(__file__).parents[3]

PREAMBLE = """
import sys
sys.path[:0] = [{root!r}]
from couriertcpd import installed
installed.USERDB, installed.SBINDIR = {directory!r} + "/userdb", {directory!r} + "/sbin"
installed.SYSCONFDIR = {directory!r}
import authdaemond.modules
authdaemond.modules.__path__.append({directory!r} + "/modules")
from authdaemond.daemon import main
sys.exit(main(["authdaemond"]))
"""

# A back end that misbehaves on demand.
ODD = """
import os
from authdaemond.account import Account
from authdaemond.backend import Backend, TemporaryFailure, Reject
class Odd(Backend):
    def lookup(self, request):
        if request.userid == b"later": raise TemporaryFailure("the oracle is asleep; wake it")
        if request.userid == b"fault": raise ValueError("secret-in-the-text")
        if request.userid == b"die": os._exit(7)
        if request.userid == b"split": return Account(b"x", b"/h\\nUID=0", 5, 5)
        if request.userid == b"ip": return Account(b"ip", b"/" + request.remote_ip, 5, 5)
        raise Reject
BACKEND = Odd
"""


class Running:
    """A daemon in a folder of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE.format(root=str(ROOT), directory=str(directory))], stderr=subprocess.PIPE
        )
        self.log: list[str] = []

    def until(self, text: str) -> str:
        """Read the log up to the line with that text."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.decode().rstrip("\n"))
            if text in self.log[-1]:
                return self.log[-1]
        raise AssertionError(f"no {text!r} in {self.log}")

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(120)
        connection.connect(str(self.directory / "var" / "socket"))
        return connection

    def ask(self, octets: bytes, half_close: bool = False) -> bytes:
        with self.connect() as connection:
            connection.sendall(octets)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return rest(connection)

    def workers(self, count: int) -> list[int]:
        """The workers' process ids, once there are that many."""
        parent = psutil.Process(self.process.pid)
        deadline = time.monotonic() + 120
        while True:
            found = [child.pid for child in parent.children() if child.status() != psutil.STATUS_ZOMBIE]
            if len(found) == count:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.01)

    def stop(self) -> list[str]:
        """End it, and give its whole log."""
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.stderr is not None
        self.log += self.process.stderr.read().decode().splitlines()
        assert self.process.wait(120) == 0
        self.process.stderr.close()
        return self.log


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other end closes; a reset is an end too."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while octets := connection.recv(65536):
            found += octets
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with dbm.gnu.open(str(tmp_path / "userdb.dat"), "nf", 0o644) as public:
        public[b"kim@example.net"] = b"uid=1005|gid=1006|home=/srv/mail/kim|options=disableimap=0,group=a|_="
    with dbm.gnu.open(str(tmp_path / "userdbshadow.dat"), "nf", 0o600) as shadow:
        shadow[b"kim@example.net"] = b"systempw=" + SHA_SECRET
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "authodd.py").write_text(ODD)
    (tmp_path / "modules" / "authlacking.py").write_text("import no_such_database_driver\n")
    configure(tmp_path)
    return tmp_path


def configure(directory: Path, **changed: str) -> None:
    settings = {
        "authmodulelist": "authuserdb authodd",
        "daemons": "3",
        "authdaemonvar": str(directory / "var"),
        "DEFAULTOPTIONS": "disableimap=1,disablepop3=1",
        "DEBUG_LOGIN": "0",
    }
    settings.update(changed)
    (directory / "authdaemonrc").write_text("".join(f'{name}="{value}"\n' for name, value in settings.items()))


@pytest.fixture
def start(directory: Path) -> Iterator[Callable[[], Running]]:
    started: list[Running] = []

    def begin() -> Running:
        started.append(Running(directory))
        started[-1].until("Installation complete")
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(120)
        if running.process.stderr is not None:
            running.process.stderr.close()


def test_octets(start: Callable[[], Running]) -> None:
    running = start()
    assert running.ask(LOGIN) == ACCEPTED
    assert running.ask(LOGIN.replace(b"AUTH 34", b"AUTH 33")[:-1]) == ACCEPTED
    assert running.ask(b"TCPREMOTEIP=192.0.2.1\nX=y\n" + LOGIN) == ACCEPTED
    assert running.ask(LOGIN.replace(b"secret", b"secres")) == b"FAIL\n"
    preauth = KIM + b"PASSWD=" + SHA_SECRET + b"\nOPTIONS=disableimap=0,group=a,disablepop3=1\n.\n"
    assert running.ask(b"PRE . imap kim@example.net\n") == preauth
    assert running.ask(b"PRE authuserdb imap kim@example.net\n") == preauth
    assert running.ask(b"PRE authodd imap kim@example.net\n") == b"FAIL\n"
    assert running.ask(b"PRE authnone imap kim@example.net\n") == b"FAIL\n"
    assert running.ask(b"TCPREMOTEIP=192.0.2.1\nPRE . imap ip\n").startswith(b"UID=5\nGID=5\nHOME=/192.0.2.1\n")
    assert running.ask(b"ENUMERATE\n") == (
        b"# authuserdb\n\nkim@example.net\t1005\t1006\t/srv/mail/kim\t\tdisableimap=0,group=a,disablepop3=1\n.\n"
    )


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"HELLO\n", b""),
        (b"AUTH 8192\n" + b"x" * 8192, b""),
        (b"AUTH -1\n", b""),
        (b"x" * 20000, b""),
        (b"A=B\n" * 100, b""),
        (b"PRE . imap", b""),
        (b"AUTH 100\nimap\n", b""),
        (b"", b""),
        (b"PASSWD imap\tkim\n", b""),
        (b"PASSWD imap\tkim\x01\told\tnew\n", b"FAIL\n"),
        (b"AUTH 8191\nimap\nlogin\n" + b"x" * 8180, b"FAIL\n"),
    ],
)
def test_bad_requests(start: Callable[[], Running], octets: bytes, reply: bytes) -> None:
    running = start()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        assert running.ask(octets, half_close=True) == reply
    assert running.ask(LOGIN) == ACCEPTED
    assert not [line for line in running.stop() if "ERR" in line]


def test_start_and_stop(start: Callable[[], Running], directory: Path) -> None:
    configure(directory, authmodulelist="authuserdb authnone authlacking ../authodd authodd")
    running = start()
    running.until("complete: authodd")
    assert (directory / "var").stat().st_mode & 0o7777 == 0o750
    assert (directory / "var" / "socket").stat().st_mode & 0o7777 == 0o777
    assert sorted(os.listdir(directory / "var")) == ["socket", "ticket.key"]
    workers = [psutil.Process(pid) for pid in running.workers(3)]
    assert running.stop() == [
        'INFO: modules="authuserdb authnone authlacking ../authodd authodd", daemons=3',
        "INFO: Installing libauthuserdb",
        "INFO: Installation complete: authuserdb",
        "INFO: Installing libauthnone",
        "INFO: file not found: authnone is no back end of this installation, skipped",
        "INFO: Installing libauthlacking",
        "INFO: authlacking: No module named 'no_such_database_driver', skipped",
        "INFO: Installing lib../authodd",
        "INFO: file not found: ../authodd is no back end of this installation, skipped",
        "INFO: Installing libauthodd",
        "INFO: Installation complete: authodd",
        "INFO: stopping authdaemond children",
    ]
    assert not any(worker.is_running() for worker in workers)
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_workers_share_the_load(start: Callable[[], Running]) -> None:
    running = start()
    running.workers(3)
    with running.connect() as first, running.connect() as second:
        for slow in (first, second):
            slow.sendall(LOGIN[:10])
        for _ in range(5):
            assert running.ask(LOGIN) == ACCEPTED
        for slow in (first, second):
            slow.sendall(LOGIN[10:])
            assert rest(slow) == ACCEPTED


def test_a_worker_that_is_killed_is_replaced_alone(start: Callable[[], Running]) -> None:
    running = start()
    before = running.workers(3)
    os.kill(before[1], signal.SIGKILL)
    running.until(f"ERR: authdaemond worker {before[1]} ended (signal 9), another takes its place")
    after = running.workers(3)
    assert set(before) - set(after) == {before[1]}
    assert running.ask(LOGIN) == ACCEPTED


def test_temporary_failure_and_fault(start: Callable[[], Running]) -> None:
    running = start()
    workers = running.workers(3)
    assert running.ask(b"PRE . imap later\n") == b""
    assert running.until("oracle") == "ERR: authodd: the oracle is asleep; wake it"
    assert running.ask(b"PRE . imap split\n") == b""
    assert running.until("line feed") == "ERR: authodd: a line feed or NUL in the account's HOME"
    assert running.ask(b"PRE . imap fault\n") == b""
    assert "secret-in-the-text" not in running.until("ValueError")
    assert running.workers(3) == workers
    assert running.ask(b"PRE . imap die\n") == b""
    running.until("(exit status 7)")
    assert running.ask(LOGIN) == ACCEPTED


def test_reload_keeps_the_socket_and_the_requests(start: Callable[[], Running], directory: Path) -> None:
    running = start()
    running.until("complete: authodd")
    before = running.workers(3)
    inode = (directory / "var" / "socket").stat().st_ino
    configure(directory, DEFAULTOPTIONS="new=1", daemons="2", authmodulelist="authuserdb")
    with running.connect() as slow:
        slow.sendall(LOGIN[:10])
        running.process.send_signal(signal.SIGHUP)
        running.until("Installation complete: authuserdb")
        new = ACCEPTED.replace(b"disablepop3=1", b"new=1")
        while (reply := running.ask(LOGIN)) != new:
            assert reply == ACCEPTED  # a worker that has not gone yet
        slow.sendall(LOGIN[10:])
        assert rest(slow) in (ACCEPTED, new)
    assert not set(running.workers(2)) & set(before)
    assert (directory / "var" / "socket").stat().st_ino == inode
    assert not [line for line in running.stop() if "ERR" in line]


def test_reload_of_a_broken_file_changes_nothing(start: Callable[[], Running], directory: Path) -> None:
    running = start()
    before = running.workers(3)
    (directory / "authdaemonrc").write_text("daemons=1\nauthmodulelist\n")
    running.process.send_signal(signal.SIGHUP)
    running.until(f"ERR: Bad line in {directory}/authdaemonrc: authmodulelist (line 2: write name=value")
    running.until("ERR: the configuration is as it was before")
    assert running.ask(LOGIN) == ACCEPTED
    assert running.workers(3) == before


def test_workers_go_when_the_parent_is_killed(start: Callable[[], Running]) -> None:
    running = start()
    workers = [psutil.Process(pid) for pid in running.workers(3)]
    running.process.kill()
    running.process.wait(120)
    assert psutil.wait_procs(workers, timeout=120)[1] == []


def test_a_crash_at_the_start_is_no_fork_loop(start: Callable[[], Running], directory: Path) -> None:
    (directory / "modules" / "authcrash.py").write_text("def BACKEND():\n    raise OSError('no database')\n")
    configure(directory, authmodulelist="authcrash", daemons="3")
    running = start()
    for _ in range(4):
        running.until("ERR: authdaemond worker")
    running.process.terminate()
    log = running.stop()
    assert "ERR: authdaemond worker: OSError: no database" in log
    assert len(log) < 30


def test_pauses_before_replacing_grow_and_end(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(daemon.time, "monotonic", lambda: now[0])
    with socket.socket(socket.AF_UNIX) as listener:
        parent = daemon.Parent("x", rcfile.read(str(directory / "authdaemonrc")), listener, "")
        pauses = []
        for _ in range(9):
            parent._back_off()
            pauses.append(parent._not_before - now[0])
            now[0] = parent._not_before
        assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60]
        now[0] += 61
        parent._back_off()
        assert parent._not_before == now[0]


def test_passwords_change_and_are_never_logged(start: Callable[[], Running], directory: Path) -> None:
    configure(directory, DEBUG_LOGIN="2")
    (directory / "sbin").mkdir()
    for name in ("userdb", "makeuserdb"):
        program = directory / "sbin" / name
        program.write_text(f'#!/bin/sh\n{{ echo "{name} $*"; cat; }} >>"{directory}/ran"\n')
        program.chmod(0o755)
    running = start()
    assert running.ask(b"PASSWD imap\tkim@example.net\tsecret\tfresh-one\n") == b"OK\n"
    assert running.ask(b"PASSWD imap\tkim@example.net\twrong-one\tfresh-one\n") == b"FAIL\n"
    assert running.ask(LOGIN) == ACCEPTED
    ran = (directory / "ran").read_text()
    assert ran.startswith("userdb kim@example.net set systempw\n$1$")
    assert ran.endswith("\nmakeuserdb \n")
    log = "\n".join(running.stop())
    assert "INFO: DEBUG_LOGIN=2 works as 1: passwords are never logged" in log
    assert "DEBUG: received auth request, service=imap, authtype=login" in log
    assert "DEBUG: authuserdb: trying this module" in log
    assert "DEBUG: authuserdb: REJECT - try next module" in log
    assert "DEBUG: FAIL, all modules rejected" in log
    assert "DEBUG: Authenticated: sysusername=<null>, sysuserid=1005, sysgroupid=1006, homedir=/srv/mail/kim" in log
    for secret in ("secret", "fresh-one", "wrong-one", SHA_SECRET.decode()):
        assert secret not in log + ran


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("daemons\n", 'ERR: Bad line in {rc}: daemons (line 1: write name=value or name="value")'),
        (None, "ERR: {rc}: No such file or directory; make install-configure writes one"),
        (
            'daemons=1\nauthmodulelist=""\nauthdaemonvar=/dev/null/x\n',
            "ERR: /dev/null/x: Not a directory; it must be a directory that authdaemond may write to",
        ),
        (
            "daemons=1\nauthdaemonvar=@/" + "x" * 200,
            f"ERR: @/{'x' * 200}: AF_UNIX path too long; it must be a directory that authdaemond may write to",
        ),
    ],
)
def test_what_keeps_it_from_starting(directory: Path, text: str | None, said: str) -> None:
    rc = directory / "authdaemonrc"
    if text is None:
        rc.unlink()
    else:
        rc.write_text(text.replace("@", str(directory)))
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE.format(root=str(ROOT), directory=str(directory))],
        capture_output=True,
        check=False,
        timeout=120,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == said.format(rc=rc).replace("@", str(directory))


def test_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert daemon.main(["authdaemond", "--help"]) == 1
    assert capfd.readouterr().err == "ERR: Usage: authdaemond [authdaemonrc]\n"


def test_a_left_over_socket_is_no_obstacle(directory: Path) -> None:
    (directory / "var").mkdir(0o750)
    (directory / "var" / "socket.tmp").touch()
    (directory / "var" / "socket").touch()
    with daemon.listen(str(directory / "var")) as listener:
        assert listener.getblocking() is False
        assert sorted(os.listdir(directory / "var")) == ["socket", "ticket.key"]


def test_an_open_directory_is_warned_of(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (directory / "var").mkdir()
    (directory / "var").chmod(0o755)
    daemon.listen(str(directory / "var")).close()
    assert capfd.readouterr().err.startswith(f"WARN: {directory}/var: every user of this host may enter it")


@pytest.mark.root
def test_the_mail_group_may_enter_what_root_makes(directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give away a directory")
    daemon.listen(str(directory / "var")).close()
    made = (directory / "var").stat()
    assert (made.st_uid, made.st_gid) == (0, pwd.getpwnam(installed.MAILUSER).pw_gid)
    assert made.st_mode & 0o777 == 0o750


@pytest.mark.root
def test_a_directory_of_the_mail_user_becomes_root_s(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give away a directory")
    mail = pwd.getpwnam(installed.MAILUSER)
    (directory / "var").mkdir()
    os.chown(directory / "var", mail.pw_uid, mail.pw_gid)
    (directory / "var").chmod(0o770)
    daemon.listen(str(directory / "var")).close()
    left = (directory / "var").stat()
    assert (left.st_uid, left.st_gid, left.st_mode & 0o777) == (0, mail.pw_gid, 0o750)
    assert capfd.readouterr().err.startswith(f"INFO: {directory}/var: now belongs to root; ")


def test_tickets_come_to_those_who_ask_with_a_password(start: Callable[[], Running], directory: Path) -> None:
    running = start()
    key = directory / "var" / "ticket.key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    record, separator, line = running.ask(b"TICKET=00ff\n" + LOGIN).partition(b"TICKET=")
    assert record + b".\n" == ACCEPTED
    signed = base64.b64decode(line.removesuffix(b"\n.\n"))
    assert separator
    used = ticket.UsedTickets(str(key), 0.0)
    account = ticket.verify(key.read_bytes(), signed, b"00ff", ticket.clock(), used)
    assert (account.address, account.uid, account.gid) == (b"kim@example.net", 1005, 1006)
    assert account.options == b"disableimap=0,group=a,disablepop3=1"
    assert (account.passwd, account.passwd2) == (b"", b"")


def test_tickets_come_to_nobody_who_has_proved_nothing(start: Callable[[], Running]) -> None:
    running = start()
    assert b"TICKET" not in running.ask(LOGIN)
    assert b"TICKET" not in running.ask(b"TICKET=00ff\nPRE . imap kim@example.net\n")
    assert b"TICKET" not in running.ask(b"TICKET=" + b"0" * 65 + b"\n" + LOGIN)
    assert running.ask(b"TICKET=00ff\n" + LOGIN.replace(b"secret", b"secres")) == b"FAIL\n"


def test_without_a_key_nothing_is_signed(start: Callable[[], Running], directory: Path) -> None:
    running = start()
    (directory / "var" / "ticket.key").unlink()
    assert running.ask(b"TICKET=00ff\n" + LOGIN) == ACCEPTED


def test_the_key_outlives_a_crash_and_is_gone_after_the_end(start: Callable[[], Running], directory: Path) -> None:
    crashed = start()
    key = directory / "var" / "ticket.key"
    before = key.read_bytes()
    crashed.process.kill()
    crashed.process.wait(120)
    again = start()
    assert key.read_bytes() == before
    again.stop()
    assert not key.exists()


def test_a_key_that_others_could_read_is_replaced(start: Callable[[], Running], directory: Path) -> None:
    (directory / "var").mkdir(0o750)
    key = directory / "var" / "ticket.key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o640)
    running = start()
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_bytes() != b"k" * 32
    log = running.stop()
    assert f"WARN: {key}: others than its owner may read or write it; another key takes its place" in log


def test_usual_modules_are_those_that_are_there() -> None:
    assert chain.usual_modules()[0] == "authuserdb"
    assert {"authcustom", "authpipe"} <= set(chain.usual_modules())
    assert all((ROOT / "authdaemond" / "modules" / f"{name}.py").exists() for name in chain.usual_modules())
