"""STORE and UID STORE (RFC 3501 sections 6.4.6 and 6.4.8)."""

from __future__ import annotations

from imapd.errors import Bad, No
from imapd.feature import SELECTED, Command, Feature
from imapd.view import ALL_FLAGS, flag_bits, keywords_enabled
from maildir import names
from maildir.keywordlist import NONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from imapd.session import Session
    from imapd.view import View
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
    bits = flag_bits(flags)
    words = frozenset(flag for flag in flags if not flag.startswith(b"\\"))
    if words and not keywords_enabled():
        raise No("Keywords are not enabled.", b"CANNOT")
    add = 0 if operation == b"-FLAGS" else bits
    remove = {b"FLAGS": ALL_FLAGS & ~bits, b"-FLAGS": bits}.get(operation, 0)
    problem: OSError | No | None = None
    expected: dict[int, tuple[int, frozenset[bytes]]] = {}  # of the messages that are there, flags and keywords
    try:
        for index in indexes:
            before = view.flags[index]
            try:
                view.renamed(index, *view.folder.change_flags(view.name(index), add, remove, batch=True))
            except FileNotFoundError:
                problem = No("Some of the messages no longer exist.", b"EXPUNGEISSUED")
                continue
            expected[index] = before & ~remove | add, _expected_keywords(view, index, operation, words)
        view.folder.sync_flags()
        if words or operation == b"FLAGS":
            _store_keywords(view, expected, operation, words)
    except OSError as error:
        problem = error
    yield from view.new_words(view.words_in_use())
    # Silence is for what the client knows: not for what another session changed (RFC 3501 section 6.4.6), nor for a
    # part of what it asked for.
    for index, wanted in expected.items():
        found = view.flags[index], view.keywords.get(view.uids[index], NONE)
        if not silent or problem is not None or found != wanted:
            yield view.flags_response(index, by_uid)
    yield from view.forgotten_words()
    if problem is not None:
        raise problem


def _expected_keywords(view: View, index: int, operation: bytes, words: frozenset[bytes]) -> frozenset[bytes]:
    """The keywords that a message has after a change, by what the client has been told."""
    if operation == b"FLAGS":
        return words
    before = view.keywords.get(view.uids[index], NONE)
    return before | words if operation == b"+FLAGS" else before - words


def _store_keywords(view: View, indexes: Iterable[int], operation: bytes, words: frozenset[bytes]) -> None:
    """Change the keywords on disk, relative to those that are there now, and in the view."""
    uids = {names.base(view.name(index)): view.uids[index] for index in indexes}
    if not uids or not (words or view.folder.keywords.there()):
        return
    if operation == b"FLAGS":
        result = view.folder.keywords.replace(uids, words)
    elif operation == b"+FLAGS":
        result = view.folder.keywords.change(uids, add=words)
    else:
        result = view.folder.keywords.change(uids, remove=words)
    for base, keywords in result.items():
        view.set_keywords(uids[base], keywords)


FEATURE = Feature(
    rfc="RFC 3501 sections 6.4.6, 6.4.8",
    commands=(
        Command(b"STORE", parse, store, b"STORE completed.", states=SELECTED, writes=True),
        Command(b"UID STORE", parse, uid_store, b"STORE completed.", states=SELECTED, writes=True),
    ),
)
