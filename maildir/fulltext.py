"""The full-text index of a folder (IMAP_FTS=1): which messages hold a text anywhere, answered without reading them.

SQLite's FTS5 with trigrams finds any part of a text that has three characters or more, and a phrase of trigrams stands
exactly where the text stands; so with what is put in as a search sees it (without case, runs of blanks as one) the
answer is what a scan would give.  Where that is not so, or a message is not in it, the message is said to be unknown.

    text      FTS5, contentless: header and body of a document, texts with line ends between them
    block     by uid >> 7: crc32 of all that follows, sealed as in columns; the document of each uid and the checksums
              of their texts (4 octets each, little-endian, 0 where it is not in); base names with "/" between them
    meta      uidvalidity; documents: how many numbers have been given to documents

A document is never changed or taken out, and its number is given once.  It counts as long as a block says that a uid is
that document, and the message with that uid has that base name: what is gone, or is another message now, answers
nothing.  When too many are left behind, all is dropped and filled again: taking one out would need its old text, which
kept compressed would make the file a sixth larger.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from struct import Struct
from zlib import crc32

from couriertcpd import environ
from maildir import columns
from maildir.derived import Derived
from maildir.indexfile import FULL_TEXT, transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from sqlite3 import Connection

    Texts = tuple[str, str]  # of the header fields, of the bodies
    Found = tuple[list[int], list[int], list[int]]  # positions that hold it, that must be read, of these: not in yet
    Bases = Callable[[int, int], list[bytes]]  # the base names from one position to another

MIN_PHRASE = 3  # characters: a trigram
MAX_PHRASE = 64  # of a longer one only the beginning is looked for, and what has that is unknown
MAX_TEXT = 1 << 20  # characters of one message; one with more is always unknown
BUFFER_CHARACTERS = 1 << 20
BUFFER_MESSAGES = 64

NOT_IN, TOO_LONG = 0, 0xFFFFFFFF  # instead of a document
_FEW_LEFT_BEHIND = 256
_MERGED_PAGES = 32  # at once

_NUMBERS = Struct(f"<{2 * columns.SPAN}I")
_HEAD = Struct(f"<{1 + 2 * columns.SPAN}I")
_SEAL = b"fulltext"
_SEPARATOR = b"/"  # no file name has one
# What the trigrams cannot tell from something else; the line end stands in no phrase.
_CONFUSED = re.compile("[\0\ud800-\udfff\ufffe\uffff]")


class FullText(Derived):
    """The full-text index of one folder, for one process."""

    __slots__ = ("_buffer", "_buffered", "_known", "_uidvalidity")

    def __init__(self, folder: bytes) -> None:
        super().__init__(folder, FULL_TEXT, "full-text index")
        self._uidvalidity = 0
        self._buffer: dict[int, tuple[bytes, Texts | None]] = {}
        self._buffered = 0
        self._known: tuple[int, array[int], array[int]] | None = None  # data version, uids, documents

    @property
    def wanted(self) -> bool:
        """Whether there is to be one."""
        return not self._off and environ.enabled("IMAP_FTS")

    # -- asking

    def find(self, phrase: str, with_headers: bool, uidvalidity: int, uids: array[int], bases: Bases) -> Found:
        """Which messages hold a folded text; uids ascend."""
        self.flush()
        everything = list(range(len(uids)))
        query = _query(phrase, with_headers)
        if query is None or not self.wanted:
            return [], everything, []
        if not self.there():
            return [], everything, everything
        exact = len(phrase) <= MAX_PHRASE
        found = self._attempt(lambda ask: self._find(ask, query, exact, uidvalidity, uids, bases))
        return ([], everything, []) if found is None else found

    def _find(
        self, connection: Connection, query: str, exact: bool, uidvalidity: int, uids: array[int], bases: Bases
    ) -> Found:
        with transaction(connection, "DEFERRED"):
            documents = self._all_documents(connection, uidvalidity, uids, bases)
            hits = {row[0] for row in connection.execute("SELECT rowid FROM text WHERE text MATCH ?", (query,))}
        found = [position for position, document in enumerate(documents) if document in hits] if hits else []
        lacking = _positions(documents, NOT_IN)
        unknown = lacking + _positions(documents, TOO_LONG)
        return (found, unknown, lacking) if exact else ([], found + unknown, lacking)

    def documents(self, uidvalidity: int, uids: Sequence[int], bases: list[bytes]) -> array[int] | None:
        """The documents of some messages, NOT_IN and TOO_LONG among them; None when nothing can be said or put in."""
        if not self.wanted:
            return None
        return self._attempt(lambda connection: _Blocks(connection, uidvalidity).documents(uids, bases))

    def _all_documents(self, connection: Connection, uidvalidity: int, uids: array[int], bases: Bases) -> array[int]:
        version = int(connection.execute("PRAGMA data_version").fetchone()[0])
        known = self._known
        if known is not None and known[0] == version and known[1] is uids:
            return known[2]
        blocks, documents, start = _Blocks(connection, uidvalidity), array("I"), 0
        while start < len(uids):
            end = min(start + columns.SPAN, len(uids))
            documents += blocks.documents(uids[start:end], bases(start, end))
            start = end
        self._known = version, uids, documents
        return documents

    # -- filling

    def put(self, uidvalidity: int, uid: int, base: bytes, texts: Texts | None) -> None:
        """Take in a message: its folded texts (see bodytext.folded), None when they are too long."""
        if not self.wanted:
            return
        if uidvalidity != self._uidvalidity:
            self._forget_buffered()
            self._uidvalidity = uidvalidity
        self._buffer[uid] = base, texts
        self._buffered += len(texts[0]) + len(texts[1]) if texts else 0
        if self._buffered > BUFFER_CHARACTERS or len(self._buffer) >= BUFFER_MESSAGES:
            self.flush()

    @property
    def buffered(self) -> int:
        """How many characters flush() would write."""
        return self._buffered

    def flush(self) -> None:
        """Write what was put in, in one transaction."""
        if self._buffer:
            buffer = self._buffer
            self._attempt(lambda connection: self._write(connection, buffer))
            self._forget_buffered()

    def _write(self, connection: Connection, buffer: dict[int, tuple[bytes, Texts | None]]) -> None:
        with transaction(connection):
            _Blocks(connection, self._uidvalidity).put(buffer)
        self._known = None

    def merge(self) -> bool:
        """Do a small part of what keeps searches fast after many writes; False when nothing of it is left."""
        return self.wanted and bool(self._attempt(_merge))

    def tidy(self, uidvalidity: int, count: int) -> bool:
        """Drop all when too much of it is of no message, of which there are so many; True when that was done."""
        return self.wanted and bool(self._attempt(lambda connection: self._tidy(connection, uidvalidity, count)))

    def _tidy(self, connection: Connection, uidvalidity: int, count: int) -> bool:
        with transaction(connection):
            blocks = _Blocks(connection, uidvalidity)
            if blocks.given <= count + count // 4 + _FEW_LEFT_BEHIND:
                return False
            blocks.begin_anew()
        self._known = None
        return True

    def close(self) -> None:
        """Write what is to be remembered and close the file."""
        self.flush()
        self._forget()

    def _forget_buffered(self) -> None:
        self._buffer, self._buffered = {}, 0

    def _forget(self) -> None:
        super()._forget()
        self._known = None

    def _give_up(self, why: Exception) -> None:
        super()._give_up(why)
        self._forget_buffered()


class _Blocks:
    """Which uid is which document, within a transaction or as of now.  Raises columns.Damaged and sqlite3.Error."""

    __slots__ = ("_connection", "_right", "_uidvalidity", "given")

    def __init__(self, connection: Connection, uidvalidity: int) -> None:
        self._connection = connection
        self._uidvalidity = uidvalidity
        rows = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        noted, given = rows.get(b"uidvalidity"), rows.get(b"documents")
        if not isinstance(noted, int) or not isinstance(given, int):
            raise columns.Damaged
        self._right = noted == uidvalidity
        self.given = given

    def documents(self, uids: Sequence[int], bases: list[bytes]) -> array[int]:
        """The documents of messages."""
        found = array("I", bytes(4 * len(uids)))
        if not self._right:
            return found
        start = 0
        while start < len(uids):
            number = uids[start] >> columns.SHIFT
            end = bisect_left(uids, number + 1 << columns.SHIFT, start)
            block = self._read(number)
            slots = range(columns.SPAN)
            if end - start < columns.SPAN:
                slots = [uid & columns.MASK for uid in uids[start:end]]  # type: ignore[assignment]
            if block.is_of(slots, bases[start:end]):
                found[start:end] = array("I", [block.documents[slot] for slot in slots])
            else:
                for position, slot in enumerate(slots, start):
                    if block.bases[slot] == bases[position]:
                        found[position] = block.documents[slot]
            start = end
        return found

    def put(self, messages: dict[int, tuple[bytes, Texts | None]]) -> None:
        """Take in messages that are not in yet."""
        if not self._right:
            self.begin_anew()
        changed: dict[int, Block] = {}
        for uid, (base, texts) in sorted(messages.items()):
            number, slot = uid >> columns.SHIFT, uid & columns.MASK
            block = changed[number] = changed.get(number) or self._read(number)
            if block.bases[slot] != base:
                block.bases[slot] = base
                block.documents[slot], block.checksums[slot] = self._insert(texts), checksum(texts)
        for number, block in changed.items():
            self._connection.execute("INSERT OR REPLACE INTO block VALUES (?, ?)", (number, block.encoded(number)))
        self._note("documents", self.given)

    def _insert(self, texts: Texts | None) -> int:
        if texts is None:
            return TOO_LONG
        self.given += 1
        stored = [_CONFUSED.sub("\n", text) for text in texts]
        self._connection.execute("INSERT INTO text(rowid, header, body) VALUES (?, ?, ?)", (self.given, *stored))
        return self.given

    def begin_anew(self) -> None:
        """Drop all."""
        self._connection.execute("INSERT INTO text(text) VALUES ('delete-all')")
        self._connection.execute("DELETE FROM block")
        self._note("uidvalidity", self._uidvalidity)
        self._note("documents", 0)
        self._right, self.given = True, 0

    def _note(self, key: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _read(self, number: int) -> Block:
        row = self._connection.execute("SELECT octets FROM block WHERE id = ?", (number,)).fetchone()
        return Block(None if row is None else row[0], number)


class Block:
    """What is in of SPAN uids.  Raises columns.Damaged."""

    __slots__ = ("_bases", "_joined", "checksums", "documents")

    def __init__(self, octets: bytes | None, number: int) -> None:
        self._bases: list[bytes] | None = None
        if octets is None:
            self.documents, self.checksums = [NOT_IN] * columns.SPAN, [0] * columns.SPAN
            self._joined = _SEPARATOR * columns.MASK
            return
        if not isinstance(octets, bytes) or len(octets) < _HEAD.size:
            raise columns.Damaged
        crc, *numbers = _HEAD.unpack_from(octets)
        self._joined = octets[_HEAD.size :]
        if crc32(memoryview(octets)[4:], columns.seal(_SEAL, number)) != crc or self._joined.count(b"/") < columns.MASK:
            raise columns.Damaged
        self.documents, self.checksums = numbers[: columns.SPAN], numbers[columns.SPAN :]

    @property
    def bases(self) -> list[bytes]:
        """The base names by slot, b"" where none is in."""
        if self._bases is None:
            self._bases = self._joined.split(_SEPARATOR)
        return self._bases

    def is_of(self, slots: Sequence[int], bases: list[bytes]) -> bool:
        """Whether it is about the messages with these bases in these slots and no other."""
        if len(slots) < columns.SPAN:
            expected = [b""] * columns.SPAN
            for slot, base in zip(slots, bases, strict=True):
                expected[slot] = base
            bases = expected
        return self._bases is None and _SEPARATOR.join(bases) == self._joined

    def encoded(self, number: int) -> bytes:
        """The octets of it."""
        body = _NUMBERS.pack(*self.documents, *self.checksums) + _SEPARATOR.join(self.bases)
        return crc32(body, columns.seal(_SEAL, number)).to_bytes(4, "little") + body


def _positions(documents: array[int], document: int) -> list[int]:
    if document not in documents:
        return []
    return [position for position, found in enumerate(documents) if found == document]


def _merge(connection: Connection) -> bool:
    before = connection.total_changes
    connection.execute("INSERT INTO text(text, rank) VALUES ('merge', ?)", (_MERGED_PAGES,))
    return connection.total_changes - before > 1  # as SQLite's documentation says


def checksum(texts: Texts | None) -> int:
    """What is noted of the texts of a message."""
    return crc32("\0".join(texts).encode("utf-8", "surrogatepass")) if texts else 0


def _query(phrase: str, with_headers: bool) -> str | None:
    """What FTS5 is asked for a phrase; None when it cannot answer."""
    if len(phrase) < MIN_PHRASE or _CONFUSED.search(phrase):
        return None
    quoted = phrase[:MAX_PHRASE].replace('"', '""')
    return f'"{quoted}"' if with_headers else f'body : "{quoted}"'
