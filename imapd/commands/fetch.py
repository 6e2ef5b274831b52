"""FETCH and UID FETCH (RFC 3501 sections 6.4.5 and 6.4.8).

Answers are yielded as they are made: neither a list of responses nor a large message is ever held.
"""

from __future__ import annotations

from couriertcpd import log
from imapd import fetchcolumns, fetchitems
from imapd.errors import Bad, No
from imapd.feature import SELECTED, Command, Feature, FetchItem
from imapd.message import Message
from imapd.wire import fetchatt, response
from maildir import heap, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from imapd.session import Session
    from imapd.view import View
    from imapd.wire.fetchatt import Item
    from imapd.wire.lexer import Arguments
    from imapd.wire.numset import SequenceSet

    Rows = list[tuple[FetchItem, Item]]

_MANY = 200  # messages, to tell of which memory is used again and again


def parse(arguments: Arguments) -> tuple[SequenceSet, list[Item]]:
    """Read `SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")`."""
    return arguments.sequence_set(), fetchatt.parse(arguments)


def fetch(session: Session, messages: SequenceSet, items: list[Item]) -> Generator[bytes, None, None]:
    """Tell about messages by sequence number."""
    yield from _fetch(session, session.selected().positions_of(messages), items, False)


def uid_fetch(session: Session, messages: SequenceSet, items: list[Item]) -> Generator[bytes, None, None]:
    """Tell about messages by uid; the answer has the uid, asked for or not (RFC 3501 section 6.4.8)."""
    if not any(item.name == b"UID" for item in items):
        items = [fetchatt.Item(b"UID"), *items]
    yield from _fetch(session, messages.indexes_of_uids(session.selected().uids), items, True)


def _fetch(session: Session, indexes: Sequence[int], items: list[Item], by_uid: bool) -> Generator[bytes, None, None]:
    view = session.selected()
    rows = _rows(session, items)
    sets_seen = not view.read_only and any(row.sets_seen is not None and row.sets_seen(item) for row, item in rows)
    if len(indexes) >= _MANY:
        heap.expect_some()
    if not sets_seen and fetchcolumns.can_tell(rows):
        problem = yield from fetchcolumns.answers(session, view, indexes, rows)
    else:
        problem = yield from _one_by_one(session, indexes, rows, by_uid if sets_seen else None)
    if problem is not None:
        raise problem


def _one_by_one(
    session: Session, indexes: Sequence[int], rows: Rows, seen_by_uid: bool | None
) -> Generator[bytes, None, No | None]:
    r"""Messages as they come, with what may be large; \Seen is set and told, with the uid or not, unless it is None."""
    view = session.selected()
    reads = max(row.reads(item) for row, item in rows)
    problem: No | None = None
    for index in indexes:
        with Message(view, index) as message:
            # All that can fail is done before the first octet of the response goes out.
            try:
                message.need(reads)
            except FileNotFoundError:
                problem = problem or No("Some of the messages no longer exist.", b"EXPUNGEISSUED")
                continue
            except OSError as error:
                log.err(f"{session.user}: {log.printable(view.name(index))}: {error.strerror}")
                yield response.untagged(b"NO [ALERT] Cannot open message %d" % (index + 1))
                problem = No("Some of the messages cannot be read.", b"SERVERBUG")
                continue
            yield from _response(session, message, rows)
        if seen_by_uid is not None and not view.flags[index] & names.SEEN:
            yield from _set_seen(view, index, seen_by_uid)
    if seen_by_uid is not None:
        view.folder.sync_flags()
    return problem


def _rows(session: Session, items: list[Item]) -> Rows:
    rows = []
    for item in items:
        name = item.name if item.section is None else item.name + b"[]"
        row = session.fetch_items.get(name)
        if row is None:
            raise Bad(f"Unknown FETCH item {name.decode('ascii', 'backslashreplace')}.")
        rows.append((row, item))
    return rows


def _response(session: Session, message: Message, rows: Rows) -> Iterator[bytes]:
    separator = b"* %d FETCH (" % (message.index + 1)
    for row, item in rows:
        yield separator
        separator = b" "
        value = row.render(session, message, item)
        if isinstance(value, bytes):
            yield value
        else:
            yield from value
    yield b")\r\n"


def _set_seen(view: View, index: int, by_uid: bool) -> Iterator[bytes]:
    r"""Set \Seen after the message was told, and tell the flags in a response of their own, as the original does."""
    try:
        view.renamed(index, *view.folder.change_flags(view.name(index), add=names.SEEN, batch=True))
    except FileNotFoundError:
        return  # removed while it was being sent
    yield view.flags_response(index, by_uid)


FEATURE = Feature(
    rfc="RFC 3501 sections 6.4.5, 6.4.8",
    commands=(
        Command(b"FETCH", parse, fetch, b"FETCH completed.", states=SELECTED),
        Command(b"UID FETCH", parse, uid_fetch, b"FETCH completed.", states=SELECTED),
    ),
    fetch_items=fetchitems.ITEMS,
)
