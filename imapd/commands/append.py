"""APPEND (RFC 3501 section 6.3.11) with APPENDUID (RFC 4315)."""

from __future__ import annotations

from imapd.errors import No
from imapd.feature import Command, Feature
from imapd.mailbox import locate
from imapd.view import flag_bits, keywords_enabled
from imapd.wire.lexer import Arguments, Malformed
from maildir import names, recent
from maildir.keywordlist import NONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from maildir.folder import Folder
    from maildir.incoming import Incoming

NO_ROOM = "Cannot create message - no write permission or out of disk space."


def receive(session: Session, arguments: Arguments, size: int) -> Incoming | None:
    """Open a file for the message when the literal just announced is it; None for the mailbox name's literal."""
    start = arguments.position
    try:
        arguments.mailbox()
    except Malformed:
        return None  # not yet at the message: the literal of the mailbox name, or a mistake that parse will tell
    arguments.position = start
    mailbox, _, _ = _before_message(arguments)  # what is wrong here is told before the message is sent
    try:
        return _folder(session, mailbox).new_message()
    except OSError as error:
        raise No(NO_ROOM, b"ALERT") from error


def parse(arguments: Arguments) -> tuple[bytes, list[bytes], float | None]:
    """Read `SP mailbox [SP flag-list] [SP date-time] SP literal`; list and date may be NIL as in the original."""
    before = _before_message(arguments)
    arguments.literal_position()
    return before


def _before_message(arguments: Arguments) -> tuple[bytes, list[bytes], float | None]:
    mailbox = arguments.mailbox()
    flags = arguments.flag_list() if arguments.peek in (b"(", b"N", b"n") else []
    if arguments.peek == b'"':
        return mailbox, flags, arguments.date_time()
    arguments.maybe_nil()
    return mailbox, flags, None


def append(
    session: Session, mailbox: bytes, flags: list[bytes], internaldate: float | None
) -> Generator[bytes, None, bytes]:
    """Store what was received; the OK promises that it is on disk."""
    folder = _folder(session, mailbox)
    if session.receive_error is not None:
        raise No(NO_ROOM, b"ALERT") from session.receive_error
    incoming = session.incoming.pop()
    words = frozenset(flag for flag in flags if not flag.startswith(b"\\"))
    try:
        incoming.commit(flag_bits(flags), internaldate, words if keywords_enabled() else NONE)
        uidvalidity, uids = folder.store([incoming])
    except OSError as error:
        incoming.abort()
        raise No(NO_ROOM, b"ALERT") from error
    recent.leave(folder.path, uidvalidity, uids[0])
    if session.view is not None and session.view.folder is folder:
        yield from session.view.changes_if_readable()
    else:
        session.arrivals.appended(folder, uids[0], names.with_flags(incoming.name, incoming.flags))
    return b"[APPENDUID %d %d] APPEND Ok." % (uidvalidity, uids[0])


def _folder(session: Session, mailbox: bytes) -> Folder:
    name = locate(session.account, mailbox)
    if not session.account.exists(name):
        raise No("Must create mailbox before append", b"TRYCREATE")
    if session.view is not None and session.view.folder_name == name and session.view.read_only:
        raise No("Current box is selected READ-ONLY.")
    return session.target(name)


FEATURE = Feature(
    rfc="RFC 3501 section 6.3.11, RFC 4315 section 3",
    capabilities=("UIDPLUS",),
    commands=(Command(b"APPEND", parse, append, b"APPEND Ok.", receive=receive),),
)
