"""EXPUNGE (RFC 3501 section 6.4.3) and UID EXPUNGE (RFC 4315 section 2.1)."""

from __future__ import annotations

from imapd import operands, removal
from imapd.feature import SELECTED, Command, Feature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments
    from imapd.wire.numset import SequenceSet


def expunge(session: Session) -> Generator[bytes, None, None]:
    """Remove every message marked deleted; the row's look at the folder tells the EXPUNGEs."""
    removal.remove_deleted(session, range(len(session.selected())))
    yield from ()


def parse_uid(arguments: Arguments) -> tuple[SequenceSet]:
    """Read `SP sequence-set`."""
    return (arguments.sequence_set(),)


def uid_expunge(session: Session, uids: SequenceSet) -> Generator[bytes, None, None]:
    """Remove those of the named messages that are marked deleted."""
    removal.remove_deleted(session, uids.indexes_of_uids(session.selected().uids))
    yield from ()


FEATURE = Feature(
    rfc="RFC 3501 section 6.4.3, RFC 4315 section 2.1",
    capabilities=("XMAGICTRASH",),
    commands=(
        Command(
            b"EXPUNGE", operands.nothing, expunge, b"EXPUNGE completed", states=SELECTED, writes=True, refreshes=True
        ),
        Command(
            b"UID EXPUNGE", parse_uid, uid_expunge, b"EXPUNGE completed", states=SELECTED, writes=True, refreshes=True
        ),
    ),
)
