"""STORE and UID STORE (RFC 3501 sections 6.4.6 and 6.4.8)."""

from __future__ import annotations

from imapd.errors import Bad, No
from imapd.feature import SELECTED, Command, Feature
from imapd.view import ALL_FLAGS, flag_bits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from imapd.session import Session
    from imapd.wire.lexer import Arguments
    from imapd.wire.numset import SequenceSet

OPERATIONS = (b"FLAGS", b"+FLAGS", b"-FLAGS")


def parse(arguments: Arguments) -> tuple[SequenceSet, bytes, bool, list[bytes]]:
    """Read `SP sequence-set SP store-att-flags`: the set, the operation, whether silent, the flags."""
    messages = arguments.sequence_set()
    operation = arguments.keyword_upper()
    silent = operation.endswith(b".SILENT")
    operation = operation.removesuffix(b".SILENT")
    if operation not in OPERATIONS:
        raise Bad("STORE takes FLAGS, +FLAGS or -FLAGS, with .SILENT behind it or not.")
    return messages, operation, silent, arguments.store_flags()


def store(
    session: Session, messages: SequenceSet, operation: bytes, silent: bool, flags: list[bytes]
) -> Generator[bytes, None, None]:
    """Change flags by sequence number."""
    yield from _store(session, session.selected().indexes_of(messages), operation, silent, flags, False)


def uid_store(
    session: Session, messages: SequenceSet, operation: bytes, silent: bool, flags: list[bytes]
) -> Generator[bytes, None, None]:
    """Change flags by uid; uids that are not there are passed over."""
    yield from _store(session, messages.indexes_of_uids(session.selected().uids), operation, silent, flags, True)


def _store(
    session: Session, indexes: Iterable[int], operation: bytes, silent: bool, flags: list[bytes], by_uid: bool
) -> Generator[bytes, None, None]:
    view = session.selected()
    _refuse_keywords(flags)
    bits = flag_bits(flags)
    add = 0 if operation == b"-FLAGS" else bits
    remove = {b"FLAGS": ALL_FLAGS & ~bits, b"-FLAGS": bits}.get(operation, 0)
    gone = False
    changed = []
    for index in indexes:
        before = view.flags[index]
        try:
            view.names[index], view.flags[index] = view.folder.change_flags(
                view.names[index], add, remove, batch=True
            )
        except FileNotFoundError:
            gone = True
            continue
        # What another session changed is told even to a client that asked for silence (RFC 3501 section 6.4.6).
        if not silent or view.flags[index] != before & ~remove | add:
            changed.append(index)
    view.folder.sync_flags()
    for index in changed:
        yield view.flags_response(index, by_uid)
    if gone:
        raise No("Some of the messages no longer exist.", b"EXPUNGEISSUED")


def _refuse_keywords(flags: list[bytes]) -> None:
    if any(not flag.startswith(b"\\") for flag in flags):
        raise No("Keywords are not supported.", b"CANNOT")


FEATURE = Feature(
    rfc="RFC 3501 sections 6.4.6, 6.4.8",
    commands=(
        Command(b"STORE", parse, store, b"STORE completed.", states=SELECTED, writes=True),
        Command(b"UID STORE", parse, uid_store, b"STORE completed.", states=SELECTED, writes=True),
    ),
)
