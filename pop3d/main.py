"""pop3d: the POP3 server, after authentication.

Run by pop3login it is the last stage of the chain: it already is the mail account and stands in its home directory.
Run from a shell it serves the maildir of whoever started it.  See pop3d(8).
"""

from __future__ import annotations

import os
import socket
import time

from couriertcpd import accountoptions, environ, log, slotnote, stage
from couriertcpd.dialogue import Disconnected, Shutdown, Stalled, TimedOut
from couriertcpd.stage import DONE
from maildir import fs, homelock, loginexec
from maildir.maildrop import Maildrop
from pop3d.commands import TooManyViolations
from pop3d.serve import Driver
from pop3d.session import Session
from pop3d.wire import response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from couriertcpd.handover import Arrival

# For the fork server (couriertcpd.forkserver): all that a session may import at some time.
PRELOAD = (
    "authdaemond.arrival", "authdaemond.sasl.registry", "authdaemond.ticket", "authdaemond.ticketkey", "hashlib",
    "hmac", "mmap", "pop3d.rehearsal", "pwd",
)  # fmt: skip

FAILED = 1  # exit status of the original when there will be no session


class Unavailable(Exception):
    """There will be no session; the line says why."""

    def __init__(self, text: bytes, code: bytes, status: int = FAILED) -> None:
        super().__init__(text)
        self.line = response.error(text, code)
        self.status = status


class Client:
    """Who is served, for log lines; from the environment that the stages before have filled."""

    def __init__(self) -> None:
        self.user = environ.text("AUTHADDR") or environ.text("AUTHENTICATED") or "nobody"
        address = environ.text("TCPREMOTEIP") or "127.0.0.1"
        self.peer = f"user={self.user}, ip=[{address}], port=[{environ.text('TCPREMOTEPORT') or '0'}]"
        self.tls = environ.enabled("POP3_TLS")

    @property
    def stls(self) -> str:
        """The suffix of log lines that tells that the connection has TLS."""
        return ", stls=1" if self.tls else ""


def prepare(argv: list[str]) -> None:
    """Before the first fork of a fork server."""
    from authdaemond import arrival

    arrival.prepare(argv, response.error(b"Temporary problem, please try again later", response.TEMPORARY))


def rehearse() -> None:
    """Get ready to talk, before there is a client that would wait for it."""
    from pop3d import rehearsal

    rehearsal.rehearse()


def arrive(handed: Arrival) -> None:
    """Become the account of the ticket that was handed over, or end."""
    from authdaemond import arrival

    handed.environment.pop(b"AUTHADDR", None)  # the ticket says who it is, and nobody else
    arrival.take(handed)


def main(argv: list[str]) -> int:
    """Serve one client on descriptors 0 and 1."""
    driver = Driver()
    driver.install_signals()
    client = Client()
    try:
        session = _open(client, argv)
        driver.write(response.ok(b"logged in."))
        driver.flush()
    except Unavailable as problem:
        _last_words(driver, problem.line)
        return problem.status
    except (Disconnected, Shutdown):
        return DONE
    slotnote.note("transaction", client.user, "POP3", client.tls)
    return _serve(driver, session, client)


def _open(client: Client, argv: list[str]) -> Session:
    """Go to the maildir and see what is there; raises Unavailable."""
    if homelock.locked():
        log.info(f"LOCKED, {client.peer}")
        text = b"Your account is temporarily unavailable (+t bit set on home directory)."
        raise Unavailable(text, response.TEMPORARY, DONE)
    path = (os.fsencode(argv[1]) if len(argv) > 1 else b"") or environ.octets("MAILDIR") or b"./Maildir"
    try:
        os.chdir(path)
    except OSError as error:
        log.err(f"{client.user}: {log.printable(path)}: {error.strerror}")
        raise Unavailable(b"chdir %b failed" % path, response.PERMANENT) from None
    loginexec.run()
    if accountoptions.enabled("disablepop3"):
        raise Unavailable(b"POP3 access disabled for this account.", response.PERMANENT)
    if accountoptions.enabled("disableinsecurepop3") and not client.tls:
        raise Unavailable(b"POP3 access disabled via insecure connection.", response.PERMANENT)
    log.info(f"LOGIN, {client.peer}{client.stls}")
    if not environ.text("HOSTNAME"):
        environ.put("HOSTNAME", socket.gethostname())
    return Session(_maildrop(client), client.peer)


def _maildrop(client: Client) -> Maildrop:
    if not fs.is_directory(b"cur"):
        raise Unavailable(b"Maildir invalid (no 'cur' directory)", response.PERMANENT)
    try:
        drop = Maildrop()
    except OSError as error:
        log.err(f"{client.user}: {log.printable(error.filename or b'.')}: {error.strerror}")
        raise Unavailable(b"The mailbox cannot be read now.", response.TEMPORARY) from None
    if drop.unsaved is not None:
        reason = drop.unsaved.strerror or drop.unsaved
        log.err(f"Error while saving courierpop3dsizelist, user={client.user}, reason={reason}")
    return drop


def _serve(driver: Driver, session: Session, client: Client) -> int:
    began = time.monotonic()
    status = DONE
    event = "INFO: LOGOUT"
    try:
        driver.serve(session)
    except Stalled:
        event = "INFO: LOGOUT" if session.over else "INFO: I/O error disconnect"
    except Disconnected:
        event = "INFO: DISCONNECTED"
    except TooManyViolations:
        event, status = "INFO: DISCONNECTED", FAILED
        _last_words(driver, response.TOO_MANY_VIOLATIONS)
    except TimedOut:
        event = "INFO: TIMEOUT"
    except Shutdown:
        event = "NOTICE: Disconnected during shutdown by signal"
        if not driver.answering:
            _last_words(driver, response.error(b"Courier-IMAP server shut down by signal.", response.TEMPORARY))
    except Exception as error:
        event, status = "INFO: DISCONNECTED", FAILED
        log.err(f"{client.user}: internal error: {log.whereabouts(error)}")
    level, _, what = event.partition(": ")
    log.emit(
        level,
        f"{what}, {client.peer}, top={session.top_octets}, retr={session.retr_octets}, "
        f"rcvd={driver.received}, sent={driver.sent}, time={int(time.monotonic() - began)}{client.stls}",
    )
    return status


def _last_words(driver: Driver, line: bytes) -> None:
    """Tell the client why the connection ends, if it still listens."""
    try:
        driver.write(line)
        driver.flush()
    except Disconnected:
        return
    stage.farewell(driver.sink)
