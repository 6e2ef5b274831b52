"""THREAD and UID THREAD (RFC 5256): search, and tell what was found as conversations."""

from __future__ import annotations

from imapd.feature import SELECTED, Command, Feature
from imapd.wire import response, sortkey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments
    from imapd.wire.searchkey import Node


def parse(arguments: Arguments) -> tuple[bytes, bytes, Node]:
    """Read `SP thread-alg SP charset 1*(SP search-key)`."""
    return sortkey.parse_thread(arguments)


def thread(session: Session, algorithm: bytes, charset: bytes, keys: Node) -> Generator[bytes, None, None]:
    """Tell the threads of the messages that match, by sequence numbers."""
    yield _line(_threads(session, algorithm, charset, keys, with_uids=False))


def uid_thread(session: Session, algorithm: bytes, charset: bytes, keys: Node) -> Generator[bytes, None, None]:
    """Tell the threads of the messages that match, by uids."""
    yield _line(_threads(session, algorithm, charset, keys, with_uids=True))


def _threads(session: Session, algorithm: bytes, charset: bytes, keys: Node, with_uids: bool) -> bytes:
    from imapd import search, sortorder, threadlist  # which most sessions never need

    sortorder.check_enabled()
    view = session.selected()
    return threadlist.threads(view, algorithm, search.matching(view, charset, keys), with_uids)


def _line(threads: bytes) -> bytes:
    return response.untagged(b"THREAD", threads) if threads else response.untagged(b"THREAD")


FEATURE = Feature(
    rfc="RFC 5256",
    capabilities=("THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES"),
    commands=(
        Command(b"THREAD", parse, thread, b"THREAD done.", states=SELECTED),
        Command(b"UID THREAD", parse, uid_thread, b"THREAD done.", states=SELECTED),
    ),
)
