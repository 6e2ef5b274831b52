"""FETCH answers made column by column: what the index remembers of many messages at once, the rest from their files.

A message's file is opened once, for all that is lacking of it, and what was found is remembered.  What is remembered
is told even of a message that somebody has removed since the view was told: it still is in the view (RFC 2180 section
4.1.2), and it cannot have changed.
"""

from __future__ import annotations

from bisect import bisect_left

from couriertcpd import log
from imapd.errors import No
from imapd.fetchlines import Lines
from imapd.message import Message
from imapd.wire import response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from imapd.feature import Basis, FetchItem
    from imapd.fetchlines import Column
    from imapd.session import Session
    from imapd.view import View
    from imapd.wire.fetchatt import Item

    Rows = list[tuple[FetchItem, Item]]

BLOCK = 256  # uids; a multiple of columns.SPAN
_MOST_BLOCKS = 4  # whose values are in memory at once
_REMEMBERED_OCTETS = 1 << 18  # of such values, if they are as large as those before them
_OCTETS = 65536  # of what was worked out, after which it is told

# A list of header fields that was never asked for before is remembered when it is asked of so many messages at once.
_WORTH = 10


def can_tell(rows: Rows) -> bool:
    """Whether all of these items can be told so: each is in the view, or small."""
    return all(row.column is not None or row.kind(item) is not None for row, item in rows)


def answers(session: Session, view: View, indexes: Sequence[int], rows: Rows) -> Generator[bytes, None, No | None]:
    """The responses; returns what was wrong with some of the messages."""
    kinds = _kinds(view, rows, len(indexes))
    lines = Lines(rows)
    if indexes and indexes[-1] - indexes[0] + 1 == len(indexes):
        indexes = range(indexes[0], indexes[-1] + 1)
    problem = None
    start, blocks = 0, 1
    while start < len(indexes):
        # A stretch ends where a block of the index does: none is read twice.
        border = (view.uids[indexes[start]] // BLOCK + blocks) * BLOCK
        end = bisect_left(indexes, border, start, key=view.uids.__getitem__)
        some = _Stretch(session, view, indexes[start:end], rows, kinds)
        yield from some.responses(lines)
        problem = problem or some.problem
        start = end
        blocks = max(1, min(_MOST_BLOCKS, blocks * _REMEMBERED_OCTETS // (some.octets + 1)))
    return problem


def _kinds(view: View, rows: Rows, messages: int) -> list[bytes]:
    """What each item is remembered as, b"" for those that are not."""
    kinds = [b"" if row.column is not None else row.kind(item) or b"" for row, item in rows]
    if messages < _WORTH and any(item.section is not None for _, item in rows):
        known = view.index.kinds()
        kinds = [
            kind if item.section is None or kind in known else b"" for kind, (_, item) in zip(kinds, rows, strict=True)
        ]
    return kinds


class _Stretch:
    """Some messages, and what is known of them, by item."""

    def __init__(self, session: Session, view: View, indexes: Sequence[int], rows: Rows, kinds: list[bytes]) -> None:
        self._session = session
        self._view = view
        self._indexes = indexes
        self._rows = rows
        self._kinds = kinds
        self._reads = [row.reads(item) for row, item in rows]
        self._uids = _uids(view, indexes)
        self._columns = [self._column(row, item, kind) for (row, item), kind in zip(rows, kinds, strict=True)]
        self.problem: No | None = None
        self.octets = 0  # told

    def _column(self, row: FetchItem, item: Item, kind: bytes) -> Column:
        if row.column is not None:
            return list(row.column(self._view, self._indexes))
        if not kind:
            return [None] * len(self._indexes)
        column = self._view.index.values(kind, self._uids)
        return self._told_by(row.basis, kind, column) if row.basis is not None and None in column else list(column)

    def _told_by(self, basis: Basis, kind: bytes, column: list[bytes | None]) -> Column:
        """The column with what follows from the item's basis, which is remembered."""
        index = self._view.index
        told: Column = []
        for uid, value, known in zip(self._uids, column, index.values(basis.kind, self._uids), strict=True):
            if value is None and known is not None:
                value = basis.tell(known)
                index.remember(kind, uid, value)
            told.append(value)
        return told

    def responses(self, lines: Lines) -> Iterator[bytes]:
        """The responses, many in one piece."""
        lacking = [place for place, column in enumerate(self._columns) if None in column]
        missing = sorted({number for place in lacking for number in _gaps(self._columns[place])})
        told = made = 0
        for number in missing:
            octets, trouble = self._make(number, lacking)
            made += octets
            if trouble is not None:
                yield self._join(lines, told, number)
                yield trouble
                told, made = number + 1, 0
            elif made >= _OCTETS:
                yield self._join(lines, told, number + 1)
                told, made = number + 1, 0
        yield self._join(lines, told, len(self._indexes))

    def _make(self, number: int, lacking: list[int]) -> tuple[int, bytes | None]:
        """Work out what is lacking of one message; returns its octets, and what to tell instead if it cannot be."""
        wanted = [place for place in lacking if self._columns[place][number] is None]
        index, uid = self._indexes[number], self._uids[number]
        session, view = self._session, self._view
        octets = 0
        with Message(view, index) as message:
            try:
                message.need(max([self._reads[place] for place in wanted]))
                for place in wanted:
                    row, item = self._rows[place]
                    value = row.value(session, message, item)
                    octets += len(value)
                    self._columns[place][number] = value
                    if self._kinds[place]:
                        view.index.remember(self._kinds[place], uid, value)
                    if row.basis is not None:
                        view.index.remember(row.basis.kind, uid, row.basis.read(message))
            except FileNotFoundError:
                self.problem = self.problem or No("Some of the messages no longer exist.", b"EXPUNGEISSUED")
                return 0, b""
            except OSError as error:
                log.err(f"{session.user}: {log.printable(view.name(index))}: {error.strerror}")
                self.problem = No("Some of the messages cannot be read.", b"SERVERBUG")
                return 0, response.untagged(b"NO [ALERT] Cannot open message %d" % (index + 1))
        return octets, None

    def _join(self, lines: Lines, start: int, end: int) -> bytes:
        """The responses for some of the messages, whose values are let go."""
        whole = start == 0 and end == len(self._indexes)
        columns = self._columns if whole else [column[start:end] for column in self._columns]
        for (row, _), column in zip(self._rows, columns, strict=True):
            if row.literal is not None:
                self._session.header_octets += sum(map(len, column))  # type: ignore[arg-type]
        indexes = self._indexes[start:end]
        if isinstance(indexes, range):
            numbers: Sequence[int] = range(indexes.start + 1, indexes.stop + 1)
        else:
            numbers = [index + 1 for index in indexes]
        if not whole:
            for column in self._columns:
                column[start:end] = [b""] * (end - start)
        told = lines.joined(numbers, columns)
        self.octets += len(told)
        return told


def _gaps(column: Column) -> list[int]:
    return [number for number, value in enumerate(column) if value is None]


def _uids(view: View, indexes: Sequence[int]) -> Sequence[int]:
    """The uids, which ascend; a range where it can be one, for nobody needs to look if that ascends."""
    if not isinstance(indexes, range):
        return [view.uids[index] for index in indexes]
    first, last = view.uids[indexes[0]], view.uids[indexes[-1]]
    if last - first == indexes[-1] - indexes[0]:
        return range(first, last + 1)
    return view.uids[indexes[0] : indexes[-1] + 1]
