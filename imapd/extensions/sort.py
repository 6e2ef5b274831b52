"""SORT and UID SORT (RFC 5256): search, and tell what was found in an order."""

from __future__ import annotations

from imapd.feature import SELECTED, Command, Feature
from imapd.wire import response, sortkey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments
    from imapd.wire.searchkey import Node
    from imapd.wire.sortkey import Criterion

    Criteria = tuple[Criterion, ...]


def parse(arguments: Arguments) -> tuple[Criteria, bytes, Node]:
    """Read `SP sort-criteria SP charset 1*(SP search-key)`."""
    return sortkey.parse_sort(arguments)


def sort(session: Session, criteria: Criteria, charset: bytes, keys: Node) -> Generator[bytes, None, None]:
    """Tell the sequence numbers of the messages that match, in order."""
    yield _line(_sorted(session, criteria, charset, keys, with_uids=False))


def uid_sort(session: Session, criteria: Criteria, charset: bytes, keys: Node) -> Generator[bytes, None, None]:
    """Tell the uids of the messages that match, in order."""
    yield _line(_sorted(session, criteria, charset, keys, with_uids=True))


def _line(numbers: bytes) -> bytes:
    return response.untagged(b"SORT", numbers) if numbers else response.untagged(b"SORT")


def _sorted(session: Session, criteria: Criteria, charset: bytes, keys: Node, with_uids: bool) -> bytes:
    from imapd import search, sortorder  # which most sessions never need

    sortorder.check_enabled()
    view = session.selected()
    return sortorder.told(view, criteria, search.matching(view, charset, keys), with_uids)


FEATURE = Feature(
    rfc="RFC 5256",
    capabilities=("SORT",),
    commands=(
        Command(b"SORT", parse, sort, b"SORT done.", states=SELECTED),
        Command(b"UID SORT", parse, uid_sort, b"SORT done.", states=SELECTED),
    ),
)
