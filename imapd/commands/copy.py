"""COPY and UID COPY (RFC 3501 sections 6.4.7 and 6.4.8) with COPYUID (RFC 4315)."""

from __future__ import annotations

from imapd import trash
from imapd.errors import No
from imapd.feature import SELECTED, Command, Feature
from imapd.mailbox import locate
from imapd.wire import numset
from maildir import names, recent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from imapd.session import Session
    from imapd.wire.lexer import Arguments
    from imapd.wire.numset import SequenceSet


def parse(arguments: Arguments) -> tuple[SequenceSet, bytes]:
    """Read `SP sequence-set SP mailbox`."""
    return arguments.sequence_set(), arguments.mailbox()


def copy(session: Session, messages: SequenceSet, mailbox: bytes) -> Generator[bytes, None, bytes | None]:
    """Copy by sequence number."""
    return (yield from _copy(session, session.selected().indexes_of(messages), mailbox))


def uid_copy(session: Session, messages: SequenceSet, mailbox: bytes) -> Generator[bytes, None, bytes | None]:
    """Copy by uid; uids that are not there are passed over."""
    return (yield from _copy(session, messages.indexes_of_uids(session.selected().uids), mailbox))


def _copy(session: Session, indexes: Iterable[int], mailbox: bytes) -> Generator[bytes, None, bytes | None]:
    """All or nothing (RFC 3501 section 6.4.7): when one message cannot be copied, none is."""
    view = session.selected()
    name = locate(session.account, mailbox)
    if not session.account.exists(name):
        raise No("Mailbox does not exist.", b"TRYCREATE")
    chosen = list(indexes)
    if not chosen:
        return None
    target = session.target(name)
    copied = [view.name(index) for index in chosen]
    originals = [view.uids[index] for index in chosen]
    try:
        uidvalidity, uids = target.copy_from(view.folder, copied, view.keywords_by_base(chosen))
    except FileNotFoundError as error:
        raise No("Some of the messages no longer exist.", b"EXPUNGEISSUED") from error
    except OSError as error:
        raise No("COPY failed - no write permission or out of disk space.", b"ALERT") from error
    if trash.takes_expunged():
        session.copied.update(map(names.base, copied))
    recent.leave(target.path, uidvalidity, uids[0])
    if view.folder is target:
        yield from view.changes_if_readable()
    else:
        session.arrivals.copied(target, uids, view.index, originals)
    return b"[COPYUID %d %s %s] COPY completed." % (uidvalidity, numset.compact(originals), numset.compact(uids))


FEATURE = Feature(
    rfc="RFC 3501 sections 6.4.7, 6.4.8, RFC 4315 section 3",
    commands=(
        Command(b"COPY", parse, copy, b"COPY completed.", states=SELECTED),
        Command(b"UID COPY", parse, uid_copy, b"COPY completed.", states=SELECTED),
    ),
)
