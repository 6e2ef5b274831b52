"""The login stage without root: who it is then, and when it has to stay root after all.

In the prefork form the processes that talk to clients before authentication give up root for good, before the first
octet from the network.  That takes an authdaemond that signs tickets: without its key nobody else could become the
account, and a process stays root until the login has succeeded, as in the exec form.

Nor does authdaemond sign for a certificate (TLS_EXTERNAL).  On an encrypted port only the client's handshake tells
whether it has one, so that is waited for: with whoever has none there is talked without root.
"""

from __future__ import annotations

import mmap
import os
import sys

from authdaemond import ticketkey
from couriertcpd import environ, installed, log, privileges, stage, tlslaunch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from couriertcpd.handover import Arrival


class _Known:
    """What a fork server knows, and all its children share."""

    __slots__ = ("argv", "audience", "environment", "folder", "program", "said", "uid", "user")

    def __init__(self, program: str) -> None:
        self.program = program
        self.argv, self.environment = list(sys.argv), environ.everything()
        self.audience = stage.audience
        self.folder = ticketkey.directory()
        self.said = mmap.mmap(-1, 1)  # one octet: the log has been told that there is no key
        self.uid = os.geteuid()
        self.user = _login_user()


_known: _Known | None = None
_renounced = False


def prepare(program: str) -> None:
    """Be ready, in the fork server of this program, for its children to call arrive()."""
    global _known
    _known = _Known(program)
    privileges.prepare()


def arrive(certificate: bool = True) -> None:
    """Give up root, unless there is no key for tickets.  Ends the process when it should and cannot.

    certificate says whether the client may be one that logs in with a certificate.  stage.audience is set where
    tickets are to be asked for.
    """
    global _renounced
    known = _known
    assert known is not None  # noqa: S101
    if _renounced or os.geteuid() != known.uid or not known.audience:
        return  # it has been done, and there is no way back; or the chain ends here
    stage.audience = b""
    try:
        if known.user is None:
            _say_so(known, f"no user {installed.MAILUSER} on this host")
            return
        uid, gid, groups = known.user
        obstacle = _obstacle(known.folder, uid, groups, certificate)
        if obstacle:
            _say_so(known, obstacle)
            return
        privileges.renounce(uid, gid, groups)
        os.chdir("/")
        stage.audience = known.audience
        _renounced = True
    except (OSError, privileges.NotPermitted) as error:
        log.alert(f"a login stage cannot give up its privileges: {error}; PREFORK=0 does without")
        raise SystemExit(stage.TEMPORARY) from None


def receive(handed: Arrival) -> None:
    """Believe couriertls, which has no privileges, no more than it may say, where we still have some.

    Give them up for a client of an encrypted port that has shown no certificate.
    """
    known = _known
    assert known is not None  # noqa: S101
    if not stage.sender or _renounced:
        return
    handed.argv = known.argv
    handed.environment = tlslaunch.believed(known.environment, handed.environment)
    field = b"TLS_SUBJECT_" + environ.text("TLS_EXTERNAL").upper().encode("utf-8", "replace")
    if not stage.reused and not handed.environment.get(field):
        arrive(certificate=False)


def _login_user() -> tuple[int, int, list[int]] | None:
    """The mail user, who may enter authdaemond's directory by its group; without root, whoever we are.

    Looked up once: the C library may read a dozen files for it.
    """
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid(), []
    import pwd

    try:
        user = pwd.getpwnam(installed.MAILUSER)
    except KeyError:
        return None
    return user.pw_uid, user.pw_gid, os.getgrouplist(installed.MAILUSER, user.pw_gid)


def _obstacle(folder: str, uid: int, groups: list[int], certificate: bool) -> str:
    """Why the login user would be no use; empty when it can talk to an authdaemond that signs."""
    if certificate and environ.text("TLS_EXTERNAL") and _may_have_tls():
        return "TLS_EXTERNAL: logins with a certificate have no password for which authdaemond would sign"
    if not ticketkey.trusted(folder):
        return f"{os.path.join(folder, ticketkey.NAME)}: no key that authdaemond signs with"
    if os.geteuid() != 0:
        return ""
    place = os.path.abspath(folder)
    while True:
        status = os.stat(place)
        owner, group = status.st_uid == uid, status.st_gid in groups
        if not status.st_mode & (0o100 if owner else 0o010 if group else 0o001):
            return f"{place}: {installed.MAILUSER} may not enter it"
        if place == os.path.dirname(place):
            return ""
        place = os.path.dirname(place)


def _may_have_tls() -> bool:
    return bool(stage.sender) or environ.yes("IMAP_STARTTLS") or environ.yes("POP3_STARTTLS")


def _say_so(known: _Known, obstacle: str) -> None:
    if known.said[0]:
        return
    known.said[0] = 1
    who = "stays root until" if known.uid == 0 else "becomes the next program after"
    log.warn(f"{obstacle}, so {known.program} {who} the login, as with PREFORK=0")
