"""Becoming an account: what a login stage does before the next stage, or the next stage when it has a ticket.

A login stage that is still root becomes the account itself, and then the next program (become()).  One that has given
up root hands the connection to a process of the next stage's fork server, which is root and believes only the ticket
that came along (take()): authdaemond has signed it, for this fork server, seconds ago, and nobody has used it.  All the
rest of a hand-over is the choice of whoever may have taken over the login stage.  So it decides nothing here: neither
who the account is, nor the program, nor what an environment can make programs do.
"""

from __future__ import annotations

import os
import signal

from couriertcpd import environ, log, privileges, stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from authdaemond.account import Account
    from authdaemond.ticket import UsedTickets
    from couriertcpd.handover import Arrival

SECONDS = 60  # for name services to say who somebody is, and for last words; then the process is killed
FAILED = 1
MAX_PEER_OCTETS = 64

# What the stages before may say in the environment; all other variables are as the fork server was started with.
_OF_CONNECTION = (
    b"TCP", b"IMAP", b"POP3", b"SMAP", b"AUTH", b"MAX", b"TLS", b"SSL", b"PROTOCOL", b"UTF8", b"COURIER_SLOT",
)  # fmt: skip


class Refused(Exception):
    """The account record does not allow a login; the client is told as for a wrong password."""


class TemporaryFailure(Exception):
    """The account cannot be served now; identity may already be given up, so the process has to end."""


def check(account: Account) -> None:
    """See that the record has what a login needs.  Raises Refused, TemporaryFailure."""
    name = log.printable(account.address)
    if not account.address:
        log.warn("No address!!")
        raise Refused
    if account.uid is None and not account.username:
        log.warn(f"{name}: No UID/GID!!")
        raise Refused
    if not account.home:
        raise TemporaryFailure(f"{name}: no home directory")


def become(account: Account) -> None:
    """Become the account for good, at home.  Raises Refused, TemporaryFailure."""
    check(account)
    name = log.printable(account.address)
    uid, username = _identity(account, name)
    make_home(account.home, uid, account.gid)
    try:
        privileges.become(uid, account.gid, username)
    except privileges.NotPermitted as error:
        raise TemporaryFailure(f"{name}: {error}") from None
    try:
        os.chdir(account.home)
    except OSError as error:
        log.warn(f"{name}: chdir({log.printable(account.home)}) failed!!")
        raise TemporaryFailure(f"{log.printable(account.home)}: {error.strerror}") from None


def variables(account: Account, maildir: bytes) -> dict[bytes, bytes]:
    """What the next stages are told about the account; the maildir is that of their command line."""
    return {
        b"MAILDIR": account.maildir or maildir,
        b"AUTHENTICATED": account.address,
        b"OPTIONS": account.options,
    }


def _identity(account: Account, name: str) -> tuple[int, str | None]:
    if account.username is None:
        assert account.uid is not None  # noqa: S101
        return account.uid, None
    import pwd

    try:
        return pwd.getpwnam(account.username).pw_uid, account.username
    except KeyError:
        raise TemporaryFailure(f"{name}: no system account {account.username}") from None


def make_home(home: bytes, uid: int, gid: int) -> None:
    """Copy AUTH_MKHOMEDIR_SKEL to a home directory that does not exist yet, owned by the account."""
    skeleton = environ.octets("AUTH_MKHOMEDIR_SKEL")
    if not skeleton or os.path.lexists(home) or not os.path.isdir(skeleton):
        return
    import shutil

    try:
        shutil.copytree(os.fsdecode(skeleton), os.fsdecode(home), symlinks=True)
        for folder, _, files in os.walk(home):
            for entry in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(entry, uid, gid, follow_symlinks=False)
    except OSError as error:
        log.err(f"{log.printable(home)}: cannot copy {log.printable(skeleton)}: {error.strerror}")


class _Known:
    """What a fork server knows, and all its children share."""

    __slots__ = ("argv", "environment", "farewell", "folder", "used")

    def __init__(self, argv: list[str], farewell: bytes) -> None:
        from authdaemond import ticketkey
        from authdaemond.ticket import UsedTickets, clock

        self.argv = argv
        self.environment = environ.everything()
        self.farewell = farewell
        self.folder = ticketkey.directory()
        # The first to take tickets under its name takes those too that were made out while it started.
        since = clock() if stage.restarted else 0.0
        self.used = UsedTickets(os.path.join(self.folder, ticketkey.NAME), since)


_known: _Known | None = None


def prepare(argv: list[str], farewell: bytes) -> None:
    """Be ready, in a fork server, for its children to call take(); farewell is for clients that cannot be served."""
    global _known
    _known = _Known(argv, farewell)


def take(handed: Arrival) -> None:
    """Become the account that a ticket names, in a child of a fork server; ends the process where there is none.

    Afterwards the arrival holds the argv and the environment of the account.
    """
    from authdaemond.ticket import BadTicket

    known = _known
    assert known is not None  # noqa: S101
    signal.alarm(SECONDS)
    peer = _peer(handed.environment)
    try:
        account = _account(handed.ticket, known.folder, known.used)
    except BadTicket as reason:
        os.dup2(stage.own_log, 2)  # who sent this may want it to be said elsewhere
        log.alert(f"hand-over refused: {reason}, {peer}")
        _dismiss(known.farewell)
    try:
        become(account)
    except (Refused, TemporaryFailure) as failure:
        log.info(f"LOGIN FAILED, user={log.printable(account.address)}, {peer}")
        log.err(f"authentication error: {failure or 'the account may not log in'}")
        _dismiss(known.farewell)
    signal.alarm(0)
    told = variables(account, os.fsencode(known.argv[-1]))
    handed.environment = {**_environment(known.environment, handed.environment), **told}
    handed.argv = [*known.argv[:-1], os.fsdecode(told[b"MAILDIR"])]


def _account(ticket_octets: bytes, folder: str, used: UsedTickets) -> Account:
    """The account of the ticket; key and list of used tickets are gone from this process then.  Raises BadTicket."""
    from authdaemond import ticket, ticketkey

    try:
        key = ticketkey.read(folder)
    except (OSError, ticketkey.Untrusted) as error:
        raise ticket.BadTicket(f"no key to check it with ({error})") from None
    try:
        return ticket.verify(key, ticket_octets, stage.addressee, ticket.clock(), used)
    finally:
        key[:] = bytes(len(key))
        used.close()


def _peer(environment: dict[bytes, bytes]) -> str:
    """The client for log lines, as the stage before tells it."""
    address, port = (environment.get(name, b"")[:MAX_PEER_OCTETS] for name in (b"TCPREMOTEIP", b"TCPREMOTEPORT"))
    return f"ip=[{log.printable(address)}], port=[{log.printable(port)}]"


def _environment(known: dict[bytes, bytes], handed: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The environment of main(): from the stage before only what is about the connection."""
    environment = {name: value for name, value in known.items() if not name.startswith(_OF_CONNECTION)}
    environment.update((name, value) for name, value in handed.items() if name.startswith(_OF_CONNECTION))
    return environment


def _dismiss(farewell: bytes) -> NoReturn:
    try:
        os.write(1, farewell)
    except OSError:
        raise SystemExit(FAILED) from None
    stage.farewell(1)
    raise SystemExit(FAILED)
