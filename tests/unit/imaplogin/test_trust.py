"""Who is believed in the prefork form: what a login stage still may, and what a taken-over one can make of it."""

import json
import os
import pwd
import select
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from chain import Account, Chain, Listener, spares

from authdaemond import account as records
from authdaemond import ticket, ticketkey
from couriertcpd import handover, installed, stageserver

SECONDS = 120
GREETING = b"* OK [CAPABILITY "
BYE = b"* BYE Temporary problem, please try again later\r\n"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
prefork = pytest.mark.parametrize("chain", ["prefork"], indirect=True)


@pytest.fixture
def kim(chain: Chain) -> Account:
    account = chain.account("trust-kim@example.net")
    account.empty()
    for name in ("cur", "new", "tmp"):
        (account.maildir / name).mkdir(parents=True)
    account.own()
    return account


@pytest.fixture
def key(chain: Chain) -> Iterator[Path]:
    """The key of the chain's authdaemond, put back afterwards."""
    path = chain.prefix / "var/authdaemon/ticket.key"
    content = path.read_bytes()
    yield path
    path.write_bytes(content)
    path.chmod(0o600)


def greeted(listener: Listener) -> socket.socket:
    """A connection whose greeting has come, before any octet was sent."""
    client = listener.connect()
    assert client.recv(4096).startswith(GREETING)
    return client


def log_in(client: socket.socket, account: Account) -> bytes:
    client.sendall(b"a LOGIN %s %s\r\n" % (account.name.encode(), account.password.encode()))
    return client.recv(4096)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def serving(listener: Listener, client: socket.socket) -> psutil.Process:
    """The process that has the server's end of a connection, once it is one only."""
    port = client.getsockname()[1]
    while True:
        found = [
            process
            for process in psutil.Process(listener.pid).children(recursive=True)
            if any(end.raddr and end.raddr[1] == port for end in connections(process))
        ]
        if len(found) == 1:
            return found[0]


def connections(process: psutil.Process) -> list:
    try:
        return process.net_connections("tcp4")
    except psutil.NoSuchProcess:
        return []


def unprivileged(pid: int) -> None:
    now = status(pid)
    mail = pwd.getpwnam(installed.MAILUSER)
    assert now["Uid"].split() == [str(mail.pw_uid)] * 4
    assert now["Gid"].split() == [str(mail.pw_gid)] * 4
    assert "0" not in now["Groups"].split()
    assert {name: int(now[name], 16) for name in now if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0
    )
    assert now["NoNewPrivs"] == "1"
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0  # nobody of that user may look into it


@pytest.mark.root
@as_root
@prefork
@pytest.mark.parametrize("reuse", ["0", "1"])
def test_a_login_stage_has_given_up_everything_before_it_hears_the_client(
    chain: Chain, kim: Account, reuse: str
) -> None:
    listener = chain.listener(COURIER_REUSE=reuse)
    with greeted(listener) as client:
        process = serving(listener, client)
        assert process.pid in spares(listener.pid)[0]
        unprivileged(process.pid)
        assert log_in(client, kim) == b"a OK LOGIN Ok.\r\n"
        session = serving(listener, client)
        assert session.pid in spares(listener.pid)[1]
        assert status(session.pid)["Uid"].split() == [str(kim.uid)] * 4
        assert os.readlink(f"/proc/{session.pid}/cwd") == str(kim.maildir)


@prefork
def test_without_root_it_can_still_not_gain_any(chain: Chain) -> None:
    listener = chain.listener()
    with greeted(listener) as client:
        assert status(serving(listener, client).pid)["NoNewPrivs"] == "1"


@prefork
def test_a_login_stage_holds_no_more_than_it_needs(chain: Chain) -> None:
    """Client, log, slot, the way to the next stage, the fork server's log, the client again, a pipe for signals."""
    listener = chain.listener()
    with greeted(listener) as client:
        folder = f"/proc/{serving(listener, client).pid}/fd"
        held = {int(name): os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
    client_end, way_on, log = held[0], held[4], str(chain.log)
    assert way_on.startswith("socket:")
    assert way_on != client_end
    slot, signals = held[3], held[6]
    assert held == {
        0: client_end, 1: client_end, 2: log, 3: slot, 4: way_on, 5: client_end, 6: signals, 7: signals, 9: log
    }  # fmt: skip
    assert slot.startswith("pipe:")
    assert signals.startswith("pipe:")
    assert signals != slot


@prefork
def test_one_process_serves_one_client_after_another(chain: Chain, kim: Account) -> None:
    """With COURIER_REUSE, and nothing of one of them is left for the next."""
    listener = chain.listener(("-prefork=1", "-maxspare=4"), COURIER_REUSE="1")
    chain._wait_for_spares(listener.process)
    pids, descriptors = set(), set()
    for number in range(12):
        with greeted(listener) as client:
            process = serving(listener, client)
            pids.add(process.pid)
            descriptors.add(process.num_fds())
            for _ in range(9):  # one more would be the end
                client.sendall(b"x FROB\r\n")
                assert client.recv(4096).startswith(b"x BAD ")
            if number % 3 == 0:
                assert log_in(client, kim) == b"a OK LOGIN Ok.\r\n"
                assert serving(listener, client).pid not in pids
            elif number % 3 == 1:
                client.sendall(b"z LOGOUT\r\n")
                assert client.makefile("rb").read().endswith(b"z OK LOGOUT completed\r\n")
    assert len(pids) < 6
    assert len(descriptors) == 1


# The hand-over


class Pool:
    """A fork server of imapd with a key of its own; what the tests send to it is all that a login stage could send."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        self.folder = folder
        ticketkey.make(str(folder))
        self.sender, receiver = stageserver.pair()
        environment = {
            b"PATH": b"/usr/bin:/bin",
            b"AUTHDAEMONVAR": bytes(folder),
            b"KEPT": b"as it was",
            b"IMAP_CAPABILITY": b"IMAP4rev1",
        }
        argv = [str(chain.prefix / "bin/imapd"), "Maildir"]
        self.server = stageserver.StageServer(argv, environment, receiver, stageserver.Spares(2, 4))
        self.log = folder / "log"
        self._receiver = receiver
        self._start()

    def restart(self) -> None:
        """Kill the server, with the processes that wait, and start another in its place."""
        server = psutil.Process(self.server.pid)
        server.suspend()  # it is not to fork another while its children end
        for process in (*server.children(), server):
            process.kill()
        self.server.ended(os.waitpid(self.server.pid, 0)[1])
        self._start()

    def _start(self) -> None:
        self._spawn()
        while not self.server.up:
            assert select.select([self.server.descriptor], [], [], SECONDS)[0]
            self.server.heard()
            assert self.server.descriptor >= 0, "the fork server has ended"

    def _spawn(self) -> None:
        """With a log of its own."""
        kept = os.dup(2)
        with self.log.open("ab") as log:
            os.dup2(log.fileno(), 2)
        try:
            assert self.server.start(own_group=False)
        finally:
            os.dup2(kept, 2)
            os.close(kept)

    def ticket(self, account: Account, seconds: float = 0, audience: bytes = b"", **record: object) -> bytes:
        signed = records.Account(account.name.encode(), bytes(account.home), account.gid, account.uid)
        for name, value in record.items():
            setattr(signed, name, value)
        key = ticketkey.read(str(self.folder))
        return ticket.sign(key, signed, audience or self.server.audience, ticket.clock() + seconds)

    def send(self, ticket: bytes, log: Path, **environment: bytes) -> socket.socket:
        """Hand over a connection; the client's end of it."""
        told = {b"IMAPLOGINTAG": b"a", b"TCPREMOTEIP": b"192.0.2.7", b"TCPREMOTEPORT": b"999"}
        told |= {name.encode(): value for name, value in environment.items()}
        frame = handover.encode(handover.Frame([b"/bin/sh", b"-c", b"id"], told, ticket))
        client, server = socket.socketpair()
        read_end, write_end = os.pipe()
        with server, log.open("ab") as file:
            handover.send(self.sender, frame, (server.fileno(), server.fileno(), file.fileno(), write_end))
        os.close(read_end)
        os.close(write_end)
        client.settimeout(SECONDS)
        return client

    def end(self) -> None:
        self.sender.close()
        self._receiver.close()
        os.waitpid(self.server.pid, 0)
        self.server.forget()


@pytest.fixture
def pool(chain: Chain, tmp_path: Path) -> Iterator[Pool]:
    folder = tmp_path / "var"
    folder.mkdir(0o750)
    running = Pool(chain, folder)
    yield running
    running.end()


def everything(client: socket.socket) -> bytes:
    with client, client.makefile("rb") as file:
        return file.read()


def served(pool: Pool, account: Account, tmp_path: Path) -> None:
    with pool.send(pool.ticket(account), tmp_path / "handed") as client:
        assert client.recv(4096) == b"a OK LOGIN Ok.\r\n"


@prefork
def test_what_is_signed_counts_and_nothing_else(pool: Pool, kim: Account, tmp_path: Path) -> None:
    hook = kim.maildir / "loginexec"
    code = "import json,os;json.dump([dict(os.environ),os.getcwd(),os.getresuid()],open('witness','w'))"
    hook.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    hook.chmod(0o700)
    kim.own()
    signed = pool.ticket(kim, options=b"group=a", maildir=b"Maildir")
    lies = {
        "AUTHENTICATED": b"root", "OPTIONS": b"group=b", "MAILDIR": b"/etc", "PATH": b"/tmp/evil", "KEPT": b"not",
        "LD_PRELOAD": b"/tmp/evil.so", "BASH_ENV": b"/tmp/evil", "AUTHDAEMONVAR": b"/tmp", "TZ": b":/etc/shadow",
        "IMAP_CAPABILITY": b"IMAP4rev1 X", "PROTOCOL": b"IMAP",
    }  # fmt: skip
    with pool.send(signed, tmp_path / "handed", **lies) as client:
        client.sendall(b"b LOGOUT\r\n")
        assert everything(client).startswith(b"a OK LOGIN Ok.\r\n")
    environment, place, uids = json.loads((kim.maildir / "witness").read_text())
    assert (place, uids) == (str(kim.maildir), [kim.uid] * 3)
    for name, value in {
        "AUTHENTICATED": kim.name, "OPTIONS": "group=a", "MAILDIR": "Maildir", "PATH": "/usr/bin:/bin",
        "KEPT": "as it was", "TCPREMOTEIP": "192.0.2.7", "IMAP_CAPABILITY": "IMAP4rev1 X", "PROTOCOL": "IMAP",
    }.items():  # fmt: skip
        assert environment[name] == value
    assert not environment.keys() & {"LD_PRELOAD", "BASH_ENV", "TZ", "COURIER_FORKSERVER"}
    assert f"INFO: LOGIN, user={kim.name}, ip=[192.0.2.7], port=[999]" in (tmp_path / "handed").read_text()


def forged(signed: bytes) -> bytes:
    return signed.replace(b"trust-kim@", b"trust-sam@")


@prefork
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda pool, kim: b"", "no ticket"),
        (lambda pool, kim: forged(pool.ticket(kim)), "not signed with this host's key"),
        (lambda pool, kim: pool.ticket(kim)[:-3], "not signed with this host's key"),
        (lambda pool, kim: pool.ticket(kim)[32:], "not signed with this host's key"),
        (lambda pool, kim: bytes(32) + pool.ticket(kim)[32:], "not signed with this host's key"),
        (lambda pool, kim: bytes(ticket.MAX_TICKET_OCTETS + 1), "ticket too long"),
        (lambda pool, kim: pool.ticket(kim, audience=b"00" * 16), "ticket for somebody else"),
        (lambda pool, kim: pool.ticket(kim, seconds=7), "ticket from the future"),
        (lambda pool, kim: pool.ticket(kim, seconds=-35), "ticket expired"),
    ],
    ids=["none", "forged", "truncated", "no signature", "empty signature", "long", "audience", "future", "old"],
)
def test_what_is_not_signed_for_us_now_is_refused(
    pool: Pool, kim: Account, tmp_path: Path, make: Callable, reason: str
) -> None:
    assert everything(pool.send(make(pool, kim), tmp_path / "handed")) == BYE
    assert f"ALERT: hand-over refused: {reason}, ip=[192.0.2.7], port=[999]\n" in pool.log.read_text()
    assert (tmp_path / "handed").read_text() == ""
    served(pool, kim, tmp_path)


@prefork
def test_a_ticket_that_was_made_out_while_the_first_server_started(pool: Pool, kim: Account, tmp_path: Path) -> None:
    with pool.send(pool.ticket(kim, seconds=-25), tmp_path / "handed") as client:
        assert client.recv(4096) == b"a OK LOGIN Ok.\r\n"


@prefork
def test_a_second_server_of_that_name_takes_no_tickets_from_before_its_start(
    pool: Pool, kim: Account, tmp_path: Path
) -> None:
    signed = pool.ticket(kim)
    with pool.send(signed, tmp_path / "handed") as client:
        assert client.recv(4096) == b"a OK LOGIN Ok.\r\n"
    pool.restart()
    assert everything(pool.send(signed, tmp_path / "handed")) == BYE
    assert "ALERT: hand-over refused: ticket from before the start, " in pool.log.read_text()
    served(pool, kim, tmp_path)


@prefork
def test_a_ticket_is_good_for_one_process(pool: Pool, kim: Account, tmp_path: Path) -> None:
    signed = pool.ticket(kim)
    clients = [pool.send(signed, tmp_path / "handed") for _ in range(8)]
    for client in clients:
        client.sendall(b"b LOGOUT\r\n")
    answers = [everything(client) for client in clients]
    assert answers.count(BYE) == 7
    assert sum(answer.startswith(b"a OK LOGIN Ok.\r\n") for answer in answers) == 1
    refused = "ALERT: hand-over refused: ticket used before, ip=[192.0.2.7], port=[999]\n"
    assert pool.log.read_text().count(refused) == 7


@prefork
def test_a_key_that_was_replaced_or_is_gone(pool: Pool, kim: Account, tmp_path: Path) -> None:
    before = pool.ticket(kim)
    (pool.folder / "ticket.key").unlink()
    assert everything(pool.send(before, tmp_path / "handed")) == BYE
    assert "ALERT: hand-over refused: no key to check it with (" in pool.log.read_text()
    ticketkey.make(str(pool.folder))
    assert everything(pool.send(before, tmp_path / "handed")) == BYE
    assert "ALERT: hand-over refused: not signed with this host's key, " in pool.log.read_text()
    served(pool, kim, tmp_path)
    (pool.folder / "ticket.key").chmod(0o644)
    assert everything(pool.send(before, tmp_path / "handed")) == BYE
    assert "others than its owner may read or write it" in pool.log.read_text()


@prefork
def test_nobody_becomes_root(pool: Pool, kim: Account, tmp_path: Path) -> None:
    assert everything(pool.send(pool.ticket(kim, uid=0, gid=0), tmp_path / "handed")) == BYE
    log = (tmp_path / "handed").read_text()
    assert f"INFO: LOGIN FAILED, user={kim.name}, ip=[192.0.2.7], port=[999]\n" in log
    assert "mail is never served as root" in log


@prefork
@pytest.mark.parametrize("missing", [{"address": b""}, {"uid": None}, {"home": b""}])
def test_a_signed_record_that_lacks_something_is_nobody(
    pool: Pool, kim: Account, tmp_path: Path, missing: dict[str, object]
) -> None:
    assert everything(pool.send(pool.ticket(kim, **missing), tmp_path / "handed")) == BYE
    assert "ERR: authentication error: " in (tmp_path / "handed").read_text()


@prefork
def test_a_home_is_made_from_the_skeleton_of_the_fork_server_only(
    pool: Pool, chain: Chain, kim: Account, tmp_path: Path
) -> None:
    (tmp_path / "skeleton" / "Maildir").mkdir(parents=True)
    home = kim.home.parent / "trust-nobody-yet"
    signed = pool.ticket(kim, home=bytes(home))
    skeleton = bytes(tmp_path / "skeleton")
    assert everything(pool.send(signed, tmp_path / "handed", AUTH_MKHOMEDIR_SKEL=skeleton)) == BYE
    assert not home.exists()


# Without tickets


@prefork
def test_without_a_key_it_works_as_in_the_exec_form_and_the_log_says_so_once(
    chain: Chain, kim: Account, key: Path
) -> None:
    key.unlink()
    logged = len(chain.log_text())
    listener = chain.listen()
    for _ in range(4):
        with greeted(listener) as client:
            login_stage = serving(listener, client).pid
            assert status(login_stage)["NoNewPrivs"] == "0"
            client.sendall(b"a LOGIN %s %s\r\nb LOGOUT\r\n" % (kim.name.encode(), kim.password.encode()))
            answer = everything(client)
            assert answer.startswith(b"a OK LOGIN Ok.\r\n")
            assert answer.endswith(b"b OK LOGOUT completed\r\n")
    text = chain.log_text()[logged:]
    assert text.count(f"WARN: {key}: no key that authdaemond signs with, so imaplogin ") == 1
    ticketkey.make(str(key.parent))
    with greeted(listener) as client:
        assert status(serving(listener, client).pid)["NoNewPrivs"] == "1"
        assert log_in(client, kim) == b"a OK LOGIN Ok.\r\n"


@prefork
def test_a_login_stage_that_has_given_up_root_lets_nobody_in_without_a_ticket(
    chain: Chain, kim: Account, key: Path
) -> None:
    with greeted(chain.listener()) as client:
        key.unlink()
        assert log_in(client, kim) == BYE
    assert "ERR: authentication error: authdaemond has signed no ticket" in chain.log_text()


@pytest.mark.root
@as_root
@prefork
def test_where_the_mail_user_may_not_enter_it_is_not_used(chain: Chain, kim: Account, tmp_path: Path) -> None:
    folder = chain.prefix / "var/authdaemon"
    group = folder.stat().st_gid
    os.chown(folder, 0, 0)
    try:
        listener = chain.listen()
        with greeted(listener) as client:
            assert log_in(client, kim) == b"a OK LOGIN Ok.\r\n"
    finally:
        os.chown(folder, 0, group)
    assert f"WARN: {folder}: {installed.MAILUSER} may not enter it, so imaplogin stays root" in chain.log_text()


# A program that is not ours between imaplogin and imapd


@pytest.fixture
def wrapper(chain: Chain) -> Path:
    path = chain.place / "wrapper"
    path.write_text('#!/bin/sh\necho "$AUTHENTICATED $MAILDIR $(id -u) $(pwd) $*" >"$PWD/wrapped"\nexec "$@"\n')
    path.chmod(0o755)
    return path


def test_a_wrapper_runs_as_the_account(chain: Chain, kim: Account, wrapper: Path) -> None:
    imapd = chain.prefix / "bin/imapd"
    listener = chain.listen(stages=(chain.prefix / "sbin/imaplogin", wrapper, imapd, "Maildir"))
    with greeted(listener) as client:
        if chain.form == "prefork" and os.geteuid() == 0:
            unprivileged(serving(listener, client).pid)
        user, password = kim.name.encode(), kim.password.encode()
        client.sendall(b"a LOGIN %s %s\r\nb SELECT INBOX\r\nc LOGOUT\r\n" % (user, password))
        answer = everything(client)
    assert answer.startswith(b"a OK LOGIN Ok.\r\n")
    assert b"b OK [READ-WRITE] Ok\r\n" in answer
    assert answer.endswith(b"c OK LOGOUT completed\r\n")
    wrapped = (kim.home / "wrapped").read_text()
    assert wrapped == f"{kim.name} Maildir {kim.uid} {kim.home} {imapd} Maildir\n"


def test_a_program_that_cannot_be_run(chain: Chain, kim: Account) -> None:
    missing = chain.place / "missing"
    listener = chain.listen(stages=(chain.prefix / "sbin/imaplogin", missing, "Maildir"))
    logged = len(chain.log_text())
    with greeted(listener) as client:
        assert log_in(client, kim) == BYE
        assert client.recv(1) == b""
    text = chain.log_text()[logged:]
    assert f"ERR: exec({missing}) failed!!\nINFO: LOGIN FAILED, user={kim.name}, ip=[::ffff:127.0.0.1], port=[" in text
    assert f"ERR: authentication error: {missing}: No such file or directory\n" in text
