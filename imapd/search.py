"""Deciding SEARCH keys for messages (RFC 3501 section 6.4.4).

A tree of keys becomes one predicate.  In a conjunction the cheap keys are asked first: flags and numbers cost nothing,
dates a look at the file, header fields the reading of it.  Text is compared after decoding, without case, runs of
blanks as one; a charset that cannot be decoded does not match.
"""

from __future__ import annotations

import errno
import time

from couriertcpd import log
from imapd.errors import Bad, No
from imapd.message import Message
from maildir import charsets, dates, encodedword, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imapd.view import View
    from imapd.wire.numset import SequenceSet
    from imapd.wire.searchkey import Node

    Test = Callable[[Message], bool]
    Costed = tuple[int, Test]
    Date = tuple[int, int, int]

# What a predicate has to look at, in rising cost.
VIEW, FILE, HEADER, BODY = range(4)

# A file is so, and stays so: permission, a directory or a pipe in its place, a link.  Other errors fail the search.
_UNREADABLE = frozenset((errno.EACCES, errno.EPERM, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENXIO))

_FLAG_KEYS = {
    b"ANSWERED": names.ANSWERED,
    b"DELETED": names.DELETED,
    b"DRAFT": names.DRAFT,
    b"FLAGGED": names.FLAGGED,
    b"SEEN": names.SEEN,
}


def matching(view: View, charset: bytes | None, node: Node) -> Iterator[int]:
    """Indexes of the messages that match, ascending; one that is gone, or is no readable file, matches nothing.

    Raises No for an unknown charset and Bad for a key that makes no sense here, before the first one is asked for.
    """
    return _scan(view, *_Compiler(view, charset).compile(node))


def _scan(view: View, cost: int, test: Test) -> Iterator[int]:
    for index in range(len(view)):
        with Message(view, index) as message:
            try:
                if cost > VIEW:
                    message.open()
                if test(message):
                    yield index
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in _UNREADABLE:
                    raise
                log.err(f"{log.printable(view.names[index])}: {error.strerror}; no search finds it")


class _Compiler:
    """Makes predicates for one view and one charset."""

    def __init__(self, view: View, charset: bytes | None) -> None:
        self._view = view
        self._charset = _known_charset(charset)
        self._builders: dict[bytes, Callable[..., Costed]] = {
            b"ALL": lambda: (VIEW, lambda message: True),
            b"AND": self._all_of,
            b"OR": self._either,
            b"NOT": self._negated,
            b"SEQ": self._numbered,
            b"UID": self._with_uid,
            b"NEW": lambda: self._all_of([(b"RECENT",), (b"UNSEEN",)]),
            b"OLD": lambda: self._negated((b"RECENT",)),
            b"RECENT": lambda: (VIEW, lambda message: message.uid in view.recent),
            b"KEYWORD": self._with_keyword,
            b"UNKEYWORD": lambda keyword: self._negated((b"KEYWORD", keyword)),
            b"LARGER": lambda octets: (BODY, lambda message: message.content.wire_octets > octets),
            b"SMALLER": lambda octets: (BODY, lambda message: message.content.wire_octets < octets),
            b"BEFORE": lambda date: (FILE, lambda message: _arrived(message) < date),
            b"ON": lambda date: (FILE, lambda message: _arrived(message) == date),
            b"SINCE": lambda date: (FILE, lambda message: _arrived(message) >= date),
            b"SENTBEFORE": lambda date: _sent(lambda sent: sent < date),
            b"SENTON": lambda date: _sent(lambda sent: sent == date),
            b"SENTSINCE": lambda date: _sent(lambda sent: sent >= date),
            b"HEADER": self._header,
            b"BODY": lambda text: self._in_text(text, with_headers=False),
            b"TEXT": lambda text: self._in_text(text, with_headers=True),
        }
        for name in (b"BCC", b"CC", b"FROM", b"SUBJECT", b"TO"):
            self._builders[name] = lambda text, name=name: self._header(name, text)
        for name, bit in _FLAG_KEYS.items():
            self._builders[name] = lambda bit=bit: (VIEW, lambda message: bool(view.flags[message.index] & bit))
            self._builders[b"UN" + name] = lambda bit=bit: (VIEW, lambda message: not view.flags[message.index] & bit)

    def compile(self, node: Node) -> Costed:
        """The predicate of a node and the most that it has to look at."""
        name, *operands = node
        assert isinstance(name, bytes)  # noqa: S101
        builder = self._builders.get(name)
        if builder is None:
            raise Bad(f"Unknown search key {name.decode('ascii', 'backslashreplace')}.")
        return builder(*operands)

    def _all_of(self, nodes: list[Node]) -> Costed:
        costed = sorted((self.compile(node) for node in nodes), key=lambda one: one[0])
        tests = [test for _, test in costed]
        return costed[-1][0], lambda message: all(test(message) for test in tests)

    def _either(self, left: Node, right: Node) -> Costed:
        (cost, test), (other_cost, other) = sorted((self.compile(left), self.compile(right)), key=lambda one: one[0])
        return max(cost, other_cost), lambda message: test(message) or other(message)

    def _negated(self, node: Node) -> Costed:
        cost, test = self.compile(node)
        return cost, lambda message: not test(message)

    def _numbered(self, messages: SequenceSet) -> Costed:
        chosen = set(self._view.indexes_of(messages))
        return VIEW, lambda message: message.index in chosen

    def _with_uid(self, uids: SequenceSet) -> Costed:
        chosen = set(uids.indexes_of_uids(self._view.uids))
        return VIEW, lambda message: message.index in chosen

    def _with_keyword(self, keyword: bytes) -> Costed:
        wanted = keyword.lower()
        chosen = {
            uid for uid, keywords in self._view.keywords.items() if any(word.lower() == wanted for word in keywords)
        }
        return VIEW, lambda message: message.uid in chosen

    def _header(self, name: bytes, text: bytes) -> Costed:
        wanted = self._wanted(text)
        lowered = name.lower()

        def test(message: Message) -> bool:
            return any(holds(encodedword.decode(value), wanted) for value in message.head.header.every(lowered))

        return HEADER, test

    def _in_text(self, text: bytes, with_headers: bool) -> Costed:
        wanted = self._wanted(text)
        return BODY, lambda message: any(holds(piece, wanted) for piece in _texts(message, with_headers))

    def _wanted(self, text: bytes) -> list[str]:
        decoded = charsets.decode(text, self._charset)
        if "\ufffd" in decoded:
            raise Bad("The search string is not valid in its charset.")
        return decoded.casefold().split()


def _known_charset(charset: bytes | None) -> bytes:
    """The charset of the search strings: UTF-8 where none was named, of which US-ASCII is a part."""
    if charset is None:
        return b"utf-8"
    if not charsets.is_known(charset):
        raise No("The requested character set is not supported.", b"BADCHARSET")
    return charset


def holds(text: str, words: list[str]) -> bool:
    """Whether the text has these casefolded words one behind the other, whatever blanks and line ends are between."""
    text = text.casefold()
    # Putting the blanks of a text right takes longer than all else, and most texts lack one of the words.
    if not all(word in text for word in words):
        return False
    return len(words) < 2 or " ".join(words) in " ".join(text.split())


def _arrived(message: Message) -> Date:
    # The date as INTERNALDATE shows it; time and zone do not count (RFC 3501 section 6.4.4).
    arrived = time.localtime(message.mtime)
    return arrived.tm_year, arrived.tm_mon, arrived.tm_mday


def _sent(decide: Callable[[Date], bool]) -> Costed:
    def test(message: Message) -> bool:
        value = message.head.header.first(b"date")
        parsed = dates.parse(value) if value is not None else None
        return parsed is not None and decide(parsed.day_written)

    return HEADER, test


def _texts(message: Message, with_headers: bool) -> Iterator[str]:
    for part in message.content.tree.walk():
        if with_headers:
            for field in part.header.fields:
                yield encodedword.decode(part.header.raw(field))
        if part.maintype == b"text":
            yield from encodedword.decoded_texts(part)
