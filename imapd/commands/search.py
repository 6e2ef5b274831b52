"""SEARCH and UID SEARCH (RFC 3501 sections 6.4.4 and 6.4.8)."""

from __future__ import annotations

from imapd.feature import SELECTED, Command, Feature
from imapd.wire import response, searchkey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments
    from imapd.wire.searchkey import Node


def parse(arguments: Arguments) -> tuple[bytes | None, Node]:
    """Read `[SP "CHARSET" SP astring] 1*(SP search-key)`."""
    return searchkey.parse(arguments)


def search(session: Session, charset: bytes | None, keys: Node) -> Generator[bytes, None, None]:
    """Tell the sequence numbers of the messages that match."""
    yield response.numbers(b"SEARCH", [index + 1 for index in _matching(session, charset, keys)])


def uid_search(session: Session, charset: bytes | None, keys: Node) -> Generator[bytes, None, None]:
    """Tell the uids of the messages that match."""
    uids = session.selected().uids
    yield response.numbers(b"SEARCH", [uids[index] for index in _matching(session, charset, keys)])


def _matching(session: Session, charset: bytes | None, keys: Node) -> list[int]:
    from imapd import search as engine  # decoders and charsets, which most sessions never need

    return engine.matching(session.selected(), charset, keys)


FEATURE = Feature(
    rfc="RFC 3501 sections 6.4.4, 6.4.8",
    commands=(
        Command(b"SEARCH", parse, search, b"SEARCH done.", states=SELECTED),
        Command(b"UID SEARCH", parse, uid_search, b"SEARCH done.", states=SELECTED),
    ),
)
