"""imapd: the IMAP server, after authentication.

Run by imaplogin it is the last stage of the chain: it already is the mail account and stands in its home directory.
Run from a shell (no IMAPLOGINTAG) it greets with PREAUTH and serves the maildir of whoever started it.  See imapd(8).
"""

from __future__ import annotations

import os
import socket
import time

from couriertcpd import accountoptions, environ, installed, log, slotnote
from couriertcpd.dialogue import Disconnected, Shutdown, TimedOut
from couriertcpd.stage import DONE
from imapd import registry, trash
from imapd.errors import Bye
from imapd.serve import Driver, bye
from imapd.session import Session
from imapd.wire import response
from maildir import clock, directories, fs, homelock, loginexec
from maildir.account import Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from couriertcpd.handover import Arrival

# For the fork server (couriertcpd.forkserver): all that a session may import at some time.
PRELOAD = (
    "authdaemond.arrival", "authdaemond.ticket", "authdaemond.ticketkey", "ctypes", "encodings.ascii",
    "encodings.cp1251", "encodings.cp1252", "encodings.iso8859_1", "encodings.iso8859_15", "encodings.iso8859_2",
    "encodings.koi8_r", "encodings.latin_1", "encodings.utf_7", "encodings.utf_8", "hashlib", "hmac",
    "imapd.filling", "imapd.rehearsal", "imapd.search", "imapd.sortorder", "imapd.textfilling", "imapd.threadlist",
    "maildir.charsets", "maildir.encodedword", "pwd", "sqlite3", "unicodedata", "zlib",
)  # fmt: skip

FAILED = 1  # exit status of the original after a fatal error


class Client:
    """Who is served, for log lines; from the environment that the stages before have filled."""

    def __init__(self) -> None:
        self.tag = environ.octets("IMAPLOGINTAG")
        if not self.tag:
            environ.put("TCPREMOTEIP", "127.0.0.1")
            environ.put("TCPREMOTEPORT", "0")
            if not environ.text("AUTHENTICATED"):
                environ.put("AUTHENTICATED", _own_name())
        elif not environ.text("AUTHENTICATED"):
            raise Bye("AUTHENTICATED environment variable not set.")
        self.user = environ.text("AUTHENTICATED")
        self.peer = f"user={self.user}, ip=[{environ.text('TCPREMOTEIP')}], port=[{environ.text('TCPREMOTEPORT')}]"
        self.tls = environ.enabled("IMAP_TLS")

    def tell(self, state: str) -> None:
        """Let couriertcpd's status know."""
        slotnote.note(state, self.user, environ.text("PROTOCOL") or "IMAP", self.tls)

    @property
    def starttls(self) -> str:
        """The suffix of log lines that tells that the connection has TLS."""
        return ", starttls=1" if self.tls else ""


def prepare(argv: list[str]) -> None:
    """Before the first fork of a fork server."""
    from authdaemond import arrival

    arrival.prepare(argv, response.untagged(b"BYE Temporary problem, please try again later"))


def rehearse() -> None:
    """Get ready to talk, before there is a client that would wait for it."""
    from imapd import rehearsal

    rehearsal.rehearse()


def arrive(handed: Arrival) -> None:
    """Become the account of the ticket that was handed over, or end."""
    from authdaemond import arrival

    arrival.take(handed)


def main(argv: list[str]) -> int:
    """Serve one client on descriptors 0 and 1."""
    if argv[1:] == ["--version"]:
        os.write(1, f"Courier-IMAP in Python {installed.VERSION}\n".encode())
        return DONE
    driver = Driver()
    driver.install_signals()
    try:
        client = Client()
        session = _open(client, argv)
        _greet(driver, client)
    except Bye as end:
        bye(driver, end.text)
        return end.status
    except (Disconnected, Shutdown):
        return DONE
    return _serve(driver, session, client)


def _own_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _open(client: Client, argv: list[str]) -> Session:
    """Go to the maildir and check that it may be served; raises Bye."""
    if homelock.locked():
        log.info(f"LOCKED, {client.peer}")
        raise Bye("Your account is temporarily unavailable (+t bit set on home directory).")
    path = environ.octets("MAILDIR") or (os.fsencode(argv[1]) if len(argv) > 1 else b"./Maildir")
    try:
        os.chdir(path)
    except OSError as error:
        log.err(f"{client.user}: {log.printable(path)}: {error.strerror}")
        raise Bye(f"[ALERT] Fatal error: {error.strerror}: {error.strerror}", FAILED) from None
    loginexec.run()
    _check_owner(client)
    if not environ.text("HOSTNAME"):
        environ.put("HOSTNAME", socket.gethostname())
    _check_clock(client)
    account = Account()
    trash.empty_old(account)
    return Session(account, client.user, registry.FETCH_ITEMS, registry.STATUS_ITEMS)


def _check_owner(client: Client) -> None:
    if not environ.enabled("IMAP_MAILBOX_SANITY_CHECK", True):
        return
    maildir = os.stat(".")
    if (maildir.st_uid, maildir.st_gid) != (os.geteuid(), os.getegid()):
        owner, served = f"{maildir.st_uid}.{maildir.st_gid}", f"{os.geteuid()}.{os.getegid()}"
        log.err(f"{client.user}: maildir owned by {owner}, served as {served}")
        raise Bye("[ALERT] Fatal error: Account's mailbox directory is not owned by the correct uid or gid: ", FAILED)


def _check_clock(client: Client) -> None:
    """The clock of the file server; a maildir that cannot be written to is served without that being known."""
    try:
        skew = directories.completing(b".", lambda: clock.clock_skew(b"."))
    except OSError as error:
        log.err(f"{client.user}: {log.printable(error.filename or b'.')}: {error.strerror}")
        if error.errno not in fs.UNWRITABLE:
            raise Bye(f"[ALERT] Fatal error: {error.strerror}: {error.strerror}", FAILED) from None
        return
    if abs(skew) > clock.MAX_SKEW_SECONDS:
        raise Bye("Clock skew detected. Check the clock on the file server", FAILED)


def _greet(driver: Driver, client: Client) -> None:
    if client.tag:
        driver.write(response.tagged(client.tag, b"OK", "LOGIN Ok."))
    else:
        driver.write(response.untagged(b"PREAUTH Ready."))
    driver.flush()
    # The original looks at the account's options only after it has said OK, and filters know the order.
    if accountoptions.enabled("disableimap"):
        raise Bye("IMAP access disabled for this account.")
    if accountoptions.enabled("disableinsecureimap") and not client.tls:
        raise Bye("IMAP access disabled via insecure connection.")
    protocol = environ.text("PROTOCOL") or "IMAP"
    log.info(f"LOGIN, {client.peer}, protocol={protocol}{client.starttls}")
    client.tell("authenticated")


def _serve(driver: Driver, session: Session, client: Client) -> int:
    began = time.monotonic()
    status = DONE
    event = "INFO: LOGOUT"
    try:
        driver.serve(session, client.tell)
        driver.flush()
        trash.empty_old(session.account)
    except Bye as end:
        event, status = "INFO: DISCONNECTED", end.status
        bye(driver, end.text)
    except Disconnected:
        event = "INFO: LOGOUT" if session.logged_out else "INFO: DISCONNECTED"
    except TimedOut:
        event = "INFO: TIMEOUT"
        bye(driver, "Disconnected for inactivity.")
    except Shutdown:
        event = "NOTICE: Disconnected during shutdown by signal"
        bye(driver, "Courier-IMAP server shut down by signal.")
    except Exception as error:
        event, status = "INFO: DISCONNECTED", FAILED
        log.err(f"{client.user}: internal error: {log.whereabouts(error)}")
        bye(driver, "[SERVERBUG] Internal error, see the server's log.")
    finally:
        session.forget_incoming()
    level, _, what = event.partition(": ")
    log.emit(
        level,
        f"{what}, {client.peer}, headers={session.header_octets}, body={session.body_octets}, "
        f"rcvd={driver.received}, sent={driver.sent}, time={int(time.monotonic() - began)}{client.starttls}",
    )
    return status
