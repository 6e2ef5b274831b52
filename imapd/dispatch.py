"""From a whole command to its answer: look up, check the state, parse, run, complete.

The error mapping stands here and nowhere else: the client is wrong (BAD), the answer is no (NO), the connection ends
(Bye, which the driver handles).  An OSError from storage becomes a NO by an errno table.
"""

from __future__ import annotations

import errno

from couriertcpd import log
from imapd import registry
from imapd.errors import Bad, Bye, No
from imapd.feature import AUTHENTICATED, SELECTED
from imapd.session import MAX_VIOLATIONS
from imapd.wire import response
from imapd.wire.lexer import Arguments, Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from imapd.feature import Command, Wait
    from imapd.session import Session
    from imapd.wire import fragment
    from maildir.incoming import Incoming

# The largest literal kept in memory with its command (mailbox names, search strings); the original takes 8192.
MAX_LITERAL_OCTETS = 65536

TOO_LONG = b"NO [ALERT] IMAP command too long."

_ERRNO_ANSWERS = {
    errno.ENOSPC: (b"OVERQUOTA", "Out of disk space."),
    errno.EDQUOT: (b"OVERQUOTA", "Disk quota exceeded."),
    errno.ENOENT: (b"NONEXISTENT", "It is no longer there."),
    errno.EACCES: (b"NOPERM", "Permission denied."),
    errno.EPERM: (b"NOPERM", "Permission denied."),
    errno.EROFS: (b"NOPERM", "The file system is read-only."),
    errno.ETIMEDOUT: (b"INUSE", "The folder is locked by another process, please try again."),
}


def execute(session: Session, command: fragment.Command) -> Iterator[bytes | Wait]:
    """Run one command; yield all of its answer, the tagged line last.  Raises Bye when the session is over."""
    arguments = Arguments(command.octets, command.streamed)
    tag = b"*"
    try:
        tag = arguments.tag()
        row = _command(session, arguments)
        text = yield from _run(session, row, arguments)
        session.violations = 0
        yield response.tagged(tag, b"OK", text.decode("utf-8", "replace"))
    except (Bad, Malformed) as problem:
        yield from _violation(session, tag, str(problem))
    except No as answer:
        session.violations = 0
        yield response.tagged(tag, b"NO", answer.text, answer.code)
    except OSError as error:
        session.violations = 0
        code, text_of_error = storage_problem(session, error)
        yield response.tagged(tag, b"NO", text_of_error, code)
    finally:
        session.forget_incoming()


def receiver(session: Session, literal: fragment.Literal) -> Incoming | None:
    """Where the octets of an announced literal shall go; None: keep them with the command.

    Raises Bad, No, Malformed or OSError when they are refused.
    """
    arguments = Arguments(literal.prefix)
    arguments.tag()
    row = _command(session, arguments)
    incoming = row.receive(session, arguments, literal.size) if row.receive is not None else None
    if incoming is None and literal.size > MAX_LITERAL_OCTETS:
        raise No("Literal too large.", b"TOOBIG")
    return incoming


def refusal(session: Session, prefix: bytes, problem: Exception) -> Iterator[bytes]:
    """Answer a command whose literal was refused."""
    tag = tag_of(prefix)
    session.forget_incoming()
    if isinstance(problem, Bad | Malformed):
        yield from _violation(session, tag, str(problem))
    elif isinstance(problem, No):
        yield response.tagged(tag, b"NO", problem.text, problem.code)
    else:
        assert isinstance(problem, OSError)  # noqa: S101
        code, text = storage_problem(session, problem)
        yield response.tagged(tag, b"NO", text, code)


def too_long(session: Session, prefix: bytes) -> Iterator[bytes]:
    """Answer a command that went over the line or command limit."""
    session.forget_incoming()
    yield response.untagged(TOO_LONG)
    yield from _violation(session, tag_of(prefix), "Command line too long.")


def tag_of(prefix: bytes) -> bytes:
    """The tag of a command that cannot be read further, or `*`."""
    try:
        return Arguments(prefix).tag()
    except Malformed:
        return b"*"


def storage_problem(session: Session, error: OSError) -> tuple[bytes, str]:
    """Response code and text for a failed system call; what the administrator should see goes to the log."""
    if error.errno in _ERRNO_ANSWERS:
        code, text = _ERRNO_ANSWERS[error.errno]
    else:
        code, text = b"SERVERBUG", f"Storage error: {error.strerror}"
    if error.errno not in (errno.ENOENT, errno.ETIMEDOUT):
        name = log.printable(error.filename) if isinstance(error.filename, bytes | str) else "-"
        log.err(f"{session.user}: {name}: {error.strerror}")
    return code, text


def _command(session: Session, arguments: Arguments) -> Command:
    name = arguments.keyword_upper()
    if name == b"UID":
        name += b" " + arguments.keyword_upper()
    row = registry.COMMANDS.get(name)
    if row is None:
        raise Bad(f"Unknown command {log.printable(name)}.")
    if session.view is None and not row.states & AUTHENTICATED:
        raise Bad(f"{name.decode()} needs a selected mailbox.")
    if row.writes and row.states == SELECTED and session.selected().read_only:
        raise No("Current box is selected READ-ONLY.")
    return row


def _run(session: Session, row: Command, arguments: Arguments) -> Generator[bytes | Wait, None, bytes]:
    parsed = row.parse(arguments)
    arguments.expect_end()
    text = yield from row.run(session, *parsed)
    if row.refreshes and session.view is not None:
        yield from session.view.changes()
    return row.done if text is None else text


def _violation(session: Session, tag: bytes, reason: str) -> Iterator[bytes]:
    session.violations += 1
    if session.violations >= MAX_VIOLATIONS:
        log.err(f"{session.user}: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS")
        raise Bye("[ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: ", 1)
    yield response.tagged(tag, b"BAD", reason)
