"""Deciding SEARCH keys for messages (RFC 3501 section 6.4.4).

Key by key, not message by message: each key is asked which of the messages that are still in question it holds for,
the cheap keys first.  Sets of messages are masks: integers with an octet for each message, 0 or 1, the first message in
the lowest, so that flags become a mask by one translation and sets are joined by one operation.

Text is compared after decoding, without case, runs of blanks as one; a charset that cannot be decoded does not match.
Header fields are looked through in the form that headercolumns remembers, dates and sizes as columns of numbers.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from itertools import compress

from imapd import headercolumns
from imapd.errors import Bad, No
from imapd.message import Message
from maildir import bodytext, charsets, fulltext, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imapd.view import View
    from imapd.wire.searchkey import Node

    Choose = Callable[[int], int]  # of the messages in a mask, those that the key holds for
    Costed = tuple[int, Choose]
    Date = tuple[int, int, int]

# What a key has to look at, in rising cost.
VIEW, NUMBERS, TEXTS, WHOLE = range(4)

# However the clock was changed in between, a day begins within so many seconds of where mktime() says.
_DAY_SLACK = 2 * 86400

# For less than one in so many messages their texts are fetched one by one.
_FEW = 8

# What a search may take longer for putting what it has looked through into the full-text index.
_KEEPING_SECONDS = 0.3

_FLAG_KEYS = {
    b"ANSWERED": names.ANSWERED,
    b"DELETED": names.DELETED,
    b"DRAFT": names.DRAFT,
    b"FLAGGED": names.FLAGGED,
    b"SEEN": names.SEEN,
}


def matching(view: View, charset: bytes | None, node: Node) -> list[int]:
    """Indexes of the messages that match, ascending; one that is gone, or is no readable file, matches nothing.

    Raises No for an unknown charset and Bad for a key that makes no sense here.
    """
    search = _Search(view, charset)
    _, choose = search.compile(node)
    return search.indexes(choose(search.everything) & ~search.mask(search.lost))


class _Search:
    """One search: makes functions from mask to mask for one view and one charset."""

    def __init__(self, view: View, charset: bytes | None) -> None:
        self._view = view
        self._charset = known_charset(charset)
        self.everything = int.from_bytes(b"\1" * len(view), "little")
        self.lost: set[int] = set()
        self._builders: dict[bytes, Callable[..., Costed]] = {
            b"ALL": lambda: (VIEW, lambda mask: mask),
            b"AND": self._all_of,
            b"OR": self._either,
            b"NOT": self._negated,
            b"SEQ": lambda messages: self._fixed(view.indexes_of(messages)),
            b"UID": lambda uids: self._fixed(uids.indexes_of_uids(view.uids)),
            b"NEW": lambda: self._all_of([(b"RECENT",), (b"UNSEEN",)]),
            b"OLD": lambda: self._negated((b"RECENT",)),
            b"RECENT": lambda: self._with_uids(view.recent),
            b"KEYWORD": self._with_keyword,
            b"UNKEYWORD": lambda keyword: self._negated((b"KEYWORD", keyword)),
            b"LARGER": lambda octets: self._sized(lambda size: size > octets),
            b"SMALLER": lambda octets: self._sized(lambda size: size < octets),
            b"BEFORE": lambda date: self._arrived(lambda day: day < date, date),
            b"ON": lambda date: self._arrived(lambda day: day == date, date),
            b"SINCE": lambda date: self._arrived(lambda day: day >= date, date),
            b"SENTBEFORE": lambda date: self._sent(lambda day, limit: 0 < day < limit, date),
            b"SENTON": lambda date: self._sent(lambda day, limit: day == limit, date),
            b"SENTSINCE": lambda date: self._sent(lambda day, limit: day >= limit, date),
            b"HEADER": self._header,
            b"BODY": lambda text: self._in_text(text, with_headers=False),
            b"TEXT": lambda text: self._in_text(text, with_headers=True),
        }
        for name in (b"BCC", b"CC", b"FROM", b"SUBJECT", b"TO"):
            self._builders[name] = lambda text, name=name: self._header(name, text)
        for name, bit in _FLAG_KEYS.items():
            self._builders[name] = lambda bit=bit: self._flagged(bit, 1)
            self._builders[b"UN" + name] = lambda bit=bit: self._flagged(bit, 0)

    def compile(self, node: Node) -> Costed:
        """How a node chooses, and the most that it has to look at.  The grammar bounds how deep nodes are nested."""
        name, *operands = node
        assert isinstance(name, bytes)  # noqa: S101
        builder = self._builders.get(name)
        if builder is None:
            raise Bad(f"Unknown search key {name.decode('ascii', 'backslashreplace')}.")
        return builder(*operands)

    # Masks

    def indexes(self, mask: int) -> list[int]:
        """The messages of a mask."""
        if mask == self.everything:
            return list(range(len(self._view)))
        return list(compress(range(len(self._view)), mask.to_bytes(len(self._view), "little")))

    def mask(self, indexes: Iterable[int]) -> int:
        """The mask of some messages."""
        octets = bytearray(len(self._view))
        for index in indexes:
            octets[index] = 1
        return int.from_bytes(octets, "little")

    def _fixed(self, indexes: list[int] | range) -> Costed:
        chosen = self.mask(indexes)
        return VIEW, lambda mask: mask & chosen

    # Trees

    def _all_of(self, nodes: list[Node]) -> Costed:
        costed = sorted((self.compile(node) for node in nodes), key=lambda one: one[0])

        def choose(mask: int) -> int:
            for _, one in costed:
                if not mask:
                    break
                mask = one(mask)
            return mask

        return costed[-1][0], choose

    def _either(self, left: Node, right: Node) -> Costed:
        (cost, one), (other_cost, other) = sorted((self.compile(left), self.compile(right)), key=lambda one: one[0])

        def choose(mask: int) -> int:
            chosen = one(mask)
            rest = mask ^ chosen
            return chosen | other(rest) if rest else chosen

        return max(cost, other_cost), choose

    def _negated(self, node: Node) -> Costed:
        cost, one = self.compile(node)
        return cost, lambda mask: mask ^ one(mask)

    # What the view knows

    def _flagged(self, bit: int, wanted: int) -> Costed:
        table = bytes(int(bool(flags & bit) == wanted) for flags in range(256))
        chosen = int.from_bytes(self._view.flags.translate(table), "little")
        return VIEW, lambda mask: mask & chosen

    def _with_uids(self, wanted: Iterable[int]) -> Costed:
        uids = self._view.uids
        indexes = [(uid, bisect_left(uids, uid)) for uid in wanted]
        return self._fixed([index for uid, index in indexes if index < len(uids) and uids[index] == uid])

    def _with_keyword(self, keyword: bytes) -> Costed:
        wanted = keyword.lower()
        return self._with_uids(
            uid for uid, keywords in self._view.keywords.items() if any(word.lower() == wanted for word in keywords)
        )

    # Numbers

    def _sized(self, decide: Callable[[int], bool]) -> Costed:
        start = len(b"RFC822.SIZE ")
        return WHOLE, self._column(headercolumns.SIZE, lambda value: decide(int(value[start:])))

    def _arrived(self, decide: Callable[[Date], bool], date: Date) -> Costed:
        # The date as INTERNALDATE shows it; time and zone do not count (RFC 3501 section 6.4.4).
        try:
            begins = time.mktime((*date, 0, 0, 0, 0, 0, -1))
        except (OverflowError, ValueError):
            begins = None

        def test(value: bytes) -> bool:
            seconds = int(value)
            if begins is not None and abs(seconds - begins) > _DAY_SLACK:
                return decide((0, 0, 0) if seconds < begins else (10_000, 0, 0))
            return decide(time.localtime(seconds)[:3])

        return NUMBERS, self._column(headercolumns.INTERNALDATE, test)

    def _sent(self, decide: Callable[[int, int], bool], date: Date) -> Costed:
        limit = headercolumns.packed_day(*date)
        return NUMBERS, self._column(
            headercolumns.DATE, lambda value: decide(headercolumns.unpacked_date(value)[1], limit)
        )

    def _column(self, kind: bytes, test: Callable[[bytes], bool]) -> Choose:
        def choose(mask: int) -> int:
            indexes = self.indexes(mask)
            (values,) = headercolumns.read(self._view, (kind,), indexes, self.lost)
            return self.mask(index for index, value in zip(indexes, values, strict=True) if value and test(value))

        return choose

    # Texts

    def _header(self, name: bytes, text: bytes) -> Costed:
        lowered = name.lower()
        kind = b"~" + lowered if b"~" + lowered in headercolumns.COMMON else headercolumns.HEADER + lowered
        # Each field ends in a line end; a search for nothing finds all that there are.
        wanted = " ".join(self._wanted(text)).encode("utf-8", "surrogatepass") or b"\n"
        one_by_one = self._column(kind, lambda value: wanted in value)

        def choose(mask: int) -> int:
            if mask.bit_count() * _FEW < len(self._view):
                return one_by_one(mask)
            found, unknown = self._view.index.holding(kind, self._view.uids, wanted)
            chosen = mask & self.mask(found)
            rest = mask & self.mask(unknown) if unknown else 0
            return chosen | one_by_one(rest) if rest else chosen

        return TEXTS, choose

    def _in_text(self, text: bytes, with_headers: bool) -> Costed:
        words = self._wanted(text)
        phrase = bodytext.Phrase(words)

        def choose(mask: int) -> int:
            found, rest, lacking = self._remembered(" ".join(words), with_headers, mask)
            keeping = _Keeping(self._view, lacking)

            def test(message: Message) -> bool:
                keeping.keep(message)
                return phrase.is_in(message.content, with_headers)

            return found | self.mask(self._opened(rest, test))

        return WHOLE + 1, choose

    def _remembered(self, phrase: str, with_headers: bool, mask: int) -> tuple[int, int, frozenset[int]]:
        """By the full-text index: the messages that hold the phrase, those to be looked at, and which it lacks."""
        view = self._view
        full_text = view.folder.full_text
        if not full_text.wanted:
            return 0, mask, frozenset()
        found, unknown, lacking = full_text.find(phrase, with_headers, view.uidvalidity, view.uids, view.bases)
        held = mask & self.mask(found)
        for index in self.indexes(held):
            if not view.folder.is_there(view.name(index)):  # renamed or gone
                with Message(view, index) as message, headercolumns.Losing(message, self.lost):
                    message.open()
        return held, mask & self.mask(unknown), frozenset(lacking)

    def _opened(self, mask: int, test: Callable[[Message], bool]) -> Iterator[int]:
        for index in self.indexes(mask):
            with Message(self._view, index) as message, headercolumns.Losing(message, self.lost):
                message.open()
                if test(message):
                    yield index

    def _wanted(self, text: bytes) -> list[str]:
        decoded = charsets.decode(text, self._charset)
        if "\ufffd" in decoded:
            raise Bad("The search string is not valid in its charset.")
        return decoded.casefold().split()


class _Keeping:
    """Puts messages that are looked through anyway into the full-text index, as long as that takes no long."""

    def __init__(self, view: View, lacking: frozenset[int]) -> None:
        self._view = view
        self._lacking = lacking
        self._left = _KEEPING_SECONDS

    def keep(self, message: Message) -> None:
        """Take in a message."""
        view, index = self._view, message.index
        if self._left <= 0 or index not in self._lacking:
            return
        began = time.monotonic()
        texts = bodytext.folded_texts(message.content, fulltext.MAX_TEXT)
        view.folder.full_text.put(view.uidvalidity, view.uids[index], view.base(index), texts)
        self._left -= time.monotonic() - began


def known_charset(charset: bytes | None) -> bytes:
    """The charset of the search strings: UTF-8 where none was named, of which US-ASCII is a part.

    Raises No when it is not known.
    """
    if charset is None:
        return b"utf-8"
    if not charsets.is_known(charset):
        raise No("The requested character set is not supported.", b"BADCHARSET")
    return charset
