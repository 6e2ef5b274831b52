"""After a successful login: become the account, for good, and then the next stage."""

from __future__ import annotations

import os

from couriertcpd import environ, log, privileges, stage
from imaplogin import preauth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from authdaemond.account import Account
    from imaplogin.preauth import Peer


class Refused(Exception):
    """The account record does not allow a login; the client is told as for a wrong password."""


class TemporaryFailure(Exception):
    """The account cannot be served now; identity may already be given up, so the process has to end."""


def next_stages(operands: list[str]) -> list[str] | None:
    """The stages to come, from the operands of a login stage; None when there are too few.

    Before 4.0 the names of authentication modules stood in front of the server (`authuserdb ... imapd Maildir`).  They
    are tolerated and mean nothing.
    """
    stages = list(operands)
    while len(stages) > 2 and os.path.basename(stages[0]).startswith("auth"):
        del stages[0]
    return stages if len(stages) >= 2 else None


def hand_on(account: Account, stages: list[str], peer: Peer) -> None:
    """Become the account and the next stage; returns only by raising Refused or TemporaryFailure."""
    name = log.printable(account.address)
    _check(account, name)
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
    maildir = account.maildir or os.fsencode(stages[-1])
    environ.put("MAILDIR", maildir)
    environ.put("AUTHENTICATED", account.address)
    environ.put("OPTIONS", account.options)
    preauth.lift_limits()
    try:
        stage.become([*stages[:-1], os.fsdecode(maildir)])
    except OSError as error:
        log.err(f"exec({stages[0]}) failed!!")
        raise TemporaryFailure(f"{stages[0]}: {error.strerror}") from None


def _check(account: Account, name: str) -> None:
    if not account.address:
        log.warn("No address!!")
        raise Refused
    if account.uid is None and not account.username:
        log.warn(f"{name}: No UID/GID!!")
        raise Refused
    if not account.home:
        raise TemporaryFailure(f"{name}: no home directory")


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
