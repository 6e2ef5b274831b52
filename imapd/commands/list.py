"""LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9), with the attributes of RFC 3348."""

from __future__ import annotations

import re

from couriertcpd import environ
from imapd.errors import No
from imapd.feature import Command, Feature
from imapd.mailbox import INBOX, INBOX_FOLDER, SEPARATOR, from_subscription, mailbox_of
from imapd.wire import response
from maildir.folder import Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments

# As the original; each wildcard can double the work of matching one name.
MAX_WILDCARDS = 10

# All names are in memory while the levels above them are worked out.
MAX_FOLDERS = 100_000


def parse(arguments: Arguments) -> tuple[bytes, bytes]:
    """Read `SP mailbox SP list-mailbox`."""
    return arguments.mailbox(), arguments.list_mailbox()


def list_mailboxes(session: Session, reference: bytes, pattern: bytes) -> Generator[bytes, None, None]:
    """Tell the mailboxes that match, then the levels of hierarchy that are none but have some below them."""
    if not pattern:
        yield _root(b"LIST", reference)
        return
    matches = _matcher(reference, pattern)
    mailboxes = _mailboxes(session)
    parents = _parents(mailboxes)
    for mailbox, folder in mailboxes.items():
        if matches(mailbox):
            yield _line(b"LIST", mailbox, [*_marked(session, folder), _children(mailbox in parents)])
    for parent in parents:
        if parent not in mailboxes and matches(parent):
            yield _line(b"LIST", parent, [b"\\Noselect", _children(True)])


def _mailboxes(session: Session) -> dict[bytes, bytes]:
    mailboxes: dict[bytes, bytes] = {}
    for folder in session.account.folders():
        mailbox = mailbox_of(folder)
        if mailbox != INBOX + folder or mailbox not in mailboxes:  # a name in UTF-8 counts before one from before 5.0
            mailboxes[mailbox] = folder
        if len(mailboxes) > MAX_FOLDERS:
            raise No(f"More than {MAX_FOLDERS} folders.", b"LIMIT")
    return mailboxes


def list_subscribed(session: Session, reference: bytes, pattern: bytes) -> Generator[bytes, None, None]:
    """Tell the subscribed names that match, whether they exist or not, and the levels above them as not selectable."""
    if not pattern:
        yield _root(b"LSUB", reference)
        return
    matches = _matcher(reference, pattern)
    subscribed = [_inbox_folded(from_subscription(name)) for name in session.account.subscriptions()]
    parents = _parents(subscribed)
    for mailbox in dict.fromkeys(subscribed):
        if matches(mailbox):
            yield _line(b"LSUB", mailbox, [_children(mailbox in parents)])
    for parent in parents:
        if parent not in subscribed and matches(parent):
            yield _line(b"LSUB", parent, [b"\\Noselect", _children(True)])


def _root(command: bytes, reference: bytes) -> bytes:
    """An empty pattern asks for the separator and the root of the reference (RFC 3501 section 6.3.8)."""
    root = b"INBOX." if reference.upper().startswith(b"INBOX.") else b""
    return response.untagged(b'%s (\\Noselect) "." "%s"' % (command, root))


def _matcher(reference: bytes, pattern: bytes) -> Callable[[bytes], bool]:
    whole = pattern
    if reference:
        whole = reference.removesuffix(SEPARATOR) + SEPARATOR + pattern
    whole = _inbox_folded(whole.removesuffix(SEPARATOR))
    if whole.count(b"*") + whole.count(b"%") > MAX_WILDCARDS:
        raise No("Invalid argument")
    wildcards = {b"*": b".*", b"%": b"[^.]*"}
    # Runs of wildcards say no more than one of them, and would make matching slow.
    whole = re.sub(rb"[*%]*\*[*%]*", b"*", whole)
    whole = re.sub(rb"%+", b"%", whole)
    expression = b"".join(wildcards.get(piece, re.escape(piece)) for piece in re.split(rb"([*%])", whole))
    compiled = re.compile(expression, re.DOTALL)
    return lambda mailbox: compiled.fullmatch(mailbox) is not None


def _inbox_folded(name: bytes) -> bytes:
    """INBOX is the one name without case (RFC 3501 section 5.1), also as the root of others."""
    return INBOX + name[5:] if name[:5].upper() == INBOX and name[5:6] in (b"", SEPARATOR, b"*", b"%") else name


def _parents(mailboxes: dict[bytes, bytes] | list[bytes]) -> dict[bytes, None]:
    """Every level above a mailbox, in the order in which they are met."""
    parents: dict[bytes, None] = {}
    for mailbox in mailboxes:
        parts = mailbox.split(SEPARATOR)
        for depth in range(1, len(parts)):
            parents[SEPARATOR.join(parts[:depth])] = None
    return parents


def _children(has: bool) -> bytes:
    return b"\\HasChildren" if has else b"\\HasNoChildren"


def _marked(session: Session, folder: bytes) -> Iterator[bytes]:
    """Whether a message waits unseen; like the original only for INBOX, unless configured for all."""
    if folder == INBOX_FOLDER or environ.enabled("IMAP_CHECK_ALL_FOLDERS"):
        try:
            yield b"\\Marked" if Folder(session.account.path(folder)).status().unseen else b"\\Unmarked"
        except OSError:
            return  # it cannot be looked into; SELECT will tell why


def _line(command: bytes, mailbox: bytes, attributes: list[bytes]) -> bytes:
    if environ.enabled("IMAP_OBSOLETE_CLIENT"):
        old = {b"\\HasNoChildren": b"\\Noinferiors", b"\\HasChildren": None}
        attributes = [word for word in (old.get(word, word) for word in attributes) if word is not None]
    return response.untagged(b'%s (%s) "." %s' % (command, b" ".join(attributes), response.mailbox(mailbox)))


FEATURE = Feature(
    rfc="RFC 3501 sections 6.3.8, 6.3.9, RFC 3348",
    capabilities=("CHILDREN",),
    commands=(
        Command(b"LIST", parse, list_mailboxes, b"LIST completed"),
        Command(b"LSUB", parse, list_subscribed, b"LSUB completed"),
    ),
)
