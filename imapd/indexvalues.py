"""What a folder's index may hold of one message, worked out from its file: for building an index, and for checking one.

A kind is a column of the index (see maildir/index.py): the name of a FETCH item as a client is told it, or, with `~`,
what SEARCH, SORT and THREAD ask for.
"""

from __future__ import annotations

from imapd import fetchitems, headercolumns, registry
from imapd.message import Message
from imapd.session import Session
from imapd.wire import fetchatt
from imapd.wire.lexer import Arguments
from imapd.wire.malformed import Malformed
from maildir.account import Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from imapd.feature import FetchItem
    from imapd.wire.fetchatt import Item

_COLUMNS = (
    *headercolumns.COMMON, headercolumns.SORT_FROM, headercolumns.SORT_TO, headercolumns.SORT_CC, headercolumns.SIZE,
    headercolumns.INTERNALDATE,
)  # fmt: skip


def usual() -> tuple[bytes, ...]:
    """What is worth remembering of every message, whatever clients come: no header lists, for each has its own."""
    return (*_COLUMNS, fetchitems.dated(), b"ENVELOPE", b"BODY", b"BODYSTRUCTURE")


class Maker:
    """Makes the values of some kinds; `unknown` are those that this program, or this time zone, does not know."""

    def __init__(self, kinds: Iterable[bytes]) -> None:
        self.unknown: list[bytes] = []
        self._columns: list[bytes] = []
        self._items: list[tuple[bytes, FetchItem, Item]] = []
        self._session = Session(Account(), "", registry.FETCH_ITEMS, {})
        for kind in kinds:
            if kind in _COLUMNS or kind.startswith(headercolumns.HEADER):
                self._columns.append(kind)
            elif (item := _item(kind)) is not None:
                self._items.append((kind, *item))
            else:
                self.unknown.append(kind)

    def values(self, message: Message) -> dict[bytes, bytes]:
        """The values of one message; raises OSError where it cannot be read."""
        found = headercolumns.fill(message, self._columns)
        for kind, row, item in self._items:
            found[kind] = row.value(self._session, message, item)
        return found


def _item(kind: bytes) -> tuple[FetchItem, Item] | None:
    """The FETCH item of that name; None when there is none that is the same for every session."""
    name = b"INTERNALDATE" if kind == fetchitems.dated() else kind
    try:
        items = fetchatt.parse(Arguments(name))
    except Malformed:
        return None
    if len(items) != 1:
        return None
    row = registry.FETCH_ITEMS.get(items[0].name if items[0].section is None else items[0].name + b"[]")
    return None if row is None or row.column is not None else (row, items[0])
