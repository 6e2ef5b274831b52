"""The rows of an index: columns, bases, view and answers, as methods on an open database.

Everything here raises sqlite3.Error, and columns.Damaged for what cannot have been written by this module.  SQLite
checks little of what it reads: what clients are told of, or what says whose something is, has a checksum here, and it
covers where the row belongs; of the rest the type is looked at.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from zlib import crc32

from maildir import columns, storedview
from maildir.columns import MASK, SHIFT, SPAN
from maildir.indexfile import transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from sqlite3 import Connection
    from typing import TypeVar

    from maildir.columns import Values
    from maildir.storedview import Reading, Stored

    Result = TypeVar("Result")

BASE = b"base"  # the kind that says which message a uid is
NAME = b"name"  # file names that do not follow from base and flags

MAX_KINDS = 48
MAX_ANSWERS = 16
_DAY_SECONDS = 86400
_BLOCK = 0xFFFFFFFF  # the block's part of a row id
_MAX_NUMBER = 0x7FFFFFFF  # of a kind


class Rows:
    """The rows of one open database."""

    __slots__ = ("_ask", "_connection", "_numbers", "_used")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ask = connection.execute
        self._numbers: dict[bytes, int] = {}
        self._used: dict[bytes, int] = {}

    def write(self, act: Callable[[], Result]) -> Result:
        """Do something in a transaction of its own."""
        try:
            with transaction(self._connection):
                return act()
        except BaseException:
            self._numbers = {}
            raise

    def meta(self) -> tuple[int, int]:
        """The generation, and the uidvalidity that everything here belongs to (0: none yet)."""
        generation, uidvalidity = self._ask(
            "SELECT (SELECT value FROM meta WHERE key = 'generation'),"
            " coalesce((SELECT value FROM meta WHERE key = 'uidvalidity'), 0)"
        ).fetchone()
        if not isinstance(generation, int) or not isinstance(uidvalidity, int):
            raise columns.Damaged
        return generation, uidvalidity

    def begin_anew(self, uidvalidity: int) -> None:
        """Forget everything, as all uids mean other messages now."""
        for table in ("view", "block", "answer"):
            self._ask(f"DELETE FROM {table}")  # noqa: S608
        self._ask("DELETE FROM meta WHERE key = 'origin'")
        self._ask("INSERT OR REPLACE INTO meta VALUES ('uidvalidity', ?)", (uidvalidity,))
        self._next_generation()

    def _next_generation(self) -> None:
        self._ask("UPDATE meta SET value = random() WHERE key = 'generation'")

    # -- kinds

    def kinds(self) -> list[bytes]:
        """All columns."""
        found = [row[0] for row in self._ask("SELECT iif(typeof(name) = 'blob', name, NULL) FROM kind ORDER BY number")]
        if None in found:
            raise columns.Damaged
        return found

    def number(self, kind: bytes) -> int | None:
        """The number of a kind, None when nothing is known of it."""
        number = self._numbers.get(kind)
        if number is None:
            row = self._ask("SELECT number, used FROM kind WHERE name = ?", (kind,)).fetchone()
            if row is None:
                return None
            if not 0 < row[0] <= _MAX_NUMBER:
                raise columns.Damaged
            number = self._numbers[kind] = row[0]
            self._used[kind] = row[1]
        return number

    def number_made(self, kind: bytes) -> int:
        """The number of a kind that is used today; in a transaction."""
        number = self.number(kind)
        today = int(time.time()) // _DAY_SECONDS
        if number is None:
            self._make_room()
            number = self._ask("INSERT INTO kind (name, used) VALUES (?, ?)", (kind, today)).lastrowid
            if number is None or number > _MAX_NUMBER:
                raise columns.Damaged
            self._numbers[kind] = number
        elif self._used.get(kind) != today:
            self._ask("UPDATE kind SET used = ? WHERE number = ?", (today, number))
        self._used[kind] = today
        return number

    def _make_room(self) -> None:
        """Drop the columns that nobody has asked for longest; sections that clients named go before the others."""
        rows = self._ask("SELECT number, name, used FROM kind").fetchall()
        doomed = [row for row in rows if row[1] not in (BASE, NAME)]
        doomed.sort(key=lambda row: (not row[1].startswith(b"BODY["), row[2], row[0]))
        for number, name, _ in doomed[: max(0, len(rows) + 1 - MAX_KINDS)]:
            self._ask("DELETE FROM block WHERE id BETWEEN ? AND ?", (number << 32, number << 32 | _BLOCK))
            self._ask("DELETE FROM kind WHERE number = ?", (number,))
            self._numbers.pop(name, None)

    # -- values

    def read(self, generation: int, kind: bytes, uids: Sequence[int]) -> list[bytes | None] | None:
        """The values of a kind for these uids, in their order; None when the generation is another one now."""
        number = self.number(kind)
        if number is None:
            return [None] * len(uids) if self.meta()[0] == generation else None
        first, last = min(uids[0], uids[-1]) >> SHIFT, max(uids[0], uids[-1]) >> SHIFT
        if last - first <= len(uids):
            return self._in_blocks(generation, kind, uids, self._blocks(number << 32 | first, number << 32 | last))
        wanted = sorted({uid >> SHIFT for uid in uids})
        rows = (row for block in wanted for row in self._blocks(number << 32 | block, number << 32 | block))
        return self._in_blocks(generation, kind, uids, rows)

    def _blocks(self, first: int, last: int) -> Iterator[tuple[int, int | None, bytes]]:
        return self._ask(
            "SELECT value, id, octets FROM meta LEFT JOIN block ON id BETWEEN ? AND ? WHERE key = 'generation'",
            (first, last),
        )

    def _in_blocks(
        self, generation: int, kind: bytes, uids: Sequence[int], rows: Iterator[tuple[int, int | None, bytes]]
    ) -> list[bytes | None] | None:
        """Pick from blocks as they come; uids that do not ascend are put in order first."""
        found: list[bytes | None] = []
        position = 0
        for now, row, octets in rows:
            if now != generation:
                return None
            if row is None:
                continue
            start = (row & _BLOCK) << SHIFT
            begin = bisect_left(uids, start, position)
            position = bisect_left(uids, start + SPAN, begin)
            if begin == position:
                continue
            found += [None] * (begin - len(found))
            values = columns.decode(octets, columns.seal(kind, row & _BLOCK))
            found += values if position - begin == SPAN else [values[uid & MASK] for uid in uids[begin:position]]
        return found + [None] * (len(uids) - len(found))

    def holding(
        self, generation: int, kind: bytes, uids: Sequence[int], text: bytes
    ) -> tuple[list[int], list[int]] | None:
        """Positions of the uids, which ascend, whose value holds the text, and of those without a value.

        None when the generation is another one now; see columns.holding() for what text may be.
        """
        number = self.number(kind)
        if number is None:
            return [], list(range(len(uids)))
        found: list[int] = []
        absent: list[int] = []
        end = 0
        for now, row, octets in self._blocks(number << 32 | uids[0] >> SHIFT, number << 32 | uids[-1] >> SHIFT):
            if now != generation:
                return None
            if row is None:
                continue
            start = (row & _BLOCK) << SHIFT
            begin = bisect_left(uids, start, end)
            absent += range(end, begin)
            end = bisect_left(uids, start + SPAN, begin)
            holding, unknown = columns.holding(octets, columns.seal(kind, row & _BLOCK), text)
            found += _positions(uids, begin, end, start, holding)
            absent += _positions(uids, begin, end, start, unknown)
        absent += range(end, len(uids))
        return found, absent

    def get(self, kind: bytes, block: int) -> bytes | None:
        """One block."""
        number = self.number(kind)
        if number is None:
            return None
        found = self._ask("SELECT octets FROM block WHERE id = ?", (number << 32 | block,)).fetchone()
        return None if found is None else found[0]

    def block(self, kind: bytes, block: int) -> Values:
        """The values of the uids of a block."""
        octets = self.get(kind, block)
        return [None] * SPAN if octets is None else columns.decode(octets, columns.seal(kind, block))

    def _put(self, kind: bytes, block: int, octets: bytes) -> None:
        self._ask("INSERT OR REPLACE INTO block VALUES (?, ?)", (self.number_made(kind) << 32 | block, octets))

    def _merge(self, kind: bytes, block: int, changes: dict[int, bytes | None]) -> None:
        self._put(kind, block, columns.merge(self.get(kind, block), columns.seal(kind, block), changes))

    def put_bases(self, block: int, bases: dict[int, bytes | None]) -> None:
        """Say which messages some uids are; what is remembered of a block with another message goes."""
        old = self.block(BASE, block)
        if any(old[slot] not in (None, base) for slot, base in bases.items()):
            self.purge([block])
        self._merge(BASE, block, bases)

    def put_values(self, kind: bytes, values: dict[int, bytes]) -> None:
        """Write values by uid, for messages whose base is known; in a transaction."""
        self.number_made(kind)
        by_block: dict[int, dict[int, bytes | None]] = {}
        for uid, value in values.items():
            by_block.setdefault(uid >> SHIFT, {})[uid & MASK] = value
        for block, changes in sorted(by_block.items()):
            if kind == BASE:
                self.put_bases(block, changes)
                continue
            bases = self.block(BASE, block)
            sure = {slot: value for slot, value in changes.items() if bases[slot] is not None}
            if sure:
                self._merge(kind, block, sure)

    def purge(self, blocks: list[int], bases_too: bool = False) -> None:
        """Forget what is remembered of the messages of some blocks, but for which messages they are."""
        kinds = self._ask("SELECT number, name FROM kind").fetchall()
        for number, name in kinds:
            if bases_too or name != BASE:
                self._ask_many("DELETE FROM block WHERE id = ?", [(number << 32 | block,) for block in blocks])
        self._ask("DELETE FROM answer")
        self._ask("DELETE FROM view")
        self._next_generation()

    def _ask_many(self, statement: str, rows: list[tuple[int]]) -> None:
        for row in rows:
            self._ask(statement, row)

    # -- scans

    def stored(self, marks: bytes) -> Stored | None:
        """The view that was stored under these marks, if that is the last one."""
        row = self._ask(
            "SELECT value, head, body FROM view, meta WHERE id = 1 AND marks = ? AND key = 'generation'", (marks,)
        ).fetchone()
        if row is None:
            return None
        generation, head, body = row
        if not isinstance(head, bytes) or not isinstance(body, bytes):
            raise columns.Damaged
        found = storedview.whole(head, memoryview(body), marks)
        if found is None or found.generation != generation:
            raise columns.Damaged
        return found

    def counts(self, marks: bytes) -> Stored | None:
        """As stored(), but only the numbers."""
        row = self._ask("SELECT head FROM view WHERE id = 1 AND marks = ?", (marks,)).fetchone()
        if row is None:
            return None
        found = storedview.numbers(row[0], marks) if isinstance(row[0], bytes) else None
        if found is None:
            raise columns.Damaged
        return found

    def told(self, reading: Reading) -> int | None:
        """The generation, when a scan shows nothing that is to be stored: its list is known, and its flags may change.

        That is so again and again while many clients work in a folder, and none need wait for another's transaction.
        """
        if reading.marks or not reading.origin or self.number(NAME) is not None or reading.odd():
            return None
        row = self._ask(
            "SELECT value FROM meta WHERE key = 'generation'"
            " AND ? = (SELECT value FROM meta WHERE key = 'origin')"
            " AND ? = (SELECT value FROM meta WHERE key = 'uidvalidity')",
            (reading.origin, reading.uidvalidity),
        ).fetchone()
        if row is not None and not isinstance(row[0], int):
            raise columns.Damaged
        return None if row is None else row[0]

    def store(self, reading: Reading) -> int:
        """Bring bases and view up to date and return the generation; in a transaction."""
        _, uidvalidity = self.meta()
        if uidvalidity != reading.uidvalidity:
            self.begin_anew(reading.uidvalidity)
        origin = self._ask("SELECT value FROM meta WHERE key = 'origin'").fetchone()
        if not reading.origin or origin is None or origin[0] != reading.origin:
            self._store_bases(reading.blocks())
            self._ask("INSERT OR REPLACE INTO meta VALUES ('origin', ?)", (reading.origin,))
        self._store_odd(reading.odd())
        generation, _ = self.meta()
        if reading.marks:
            self._ask(
                "INSERT OR REPLACE INTO view VALUES (1, ?, ?, ?)",
                (reading.marks, *storedview.head_and_body(generation, reading)),
            )
        return generation

    def _store_bases(self, blocks: Iterator[tuple[int, Values]]) -> None:
        number = self.number_made(BASE)
        rows = self._ask("SELECT id FROM block WHERE id BETWEEN ? AND ?", (number << 32, number << 32 | _BLOCK))
        vanished = {row[0] & _BLOCK for row in rows}
        for block, bases in blocks:
            vanished.discard(block)
            octets = columns.encode(bases, columns.seal(BASE, block))
            old = self.get(BASE, block)
            if octets == old:
                continue
            if old is None:
                self._put(BASE, block, octets)
            else:  # who has vanished is left as it is: the uid still means that message
                self.put_bases(block, {slot: base for slot, base in enumerate(bases) if base is not None})
        if vanished:
            self.purge(sorted(vanished), bases_too=True)

    def _store_odd(self, odd: dict[int, bytes]) -> None:
        number = self.number(NAME)
        if number is None and not odd:
            return
        number = self.number_made(NAME)
        by_block: dict[int, dict[int, bytes | None]] = {}
        for uid, name in odd.items():
            by_block.setdefault(uid >> SHIFT, {})[uid & MASK] = name
        rows = self._ask("SELECT id FROM block WHERE id BETWEEN ? AND ?", (number << 32, number << 32 | _BLOCK))
        for block in {row[0] & _BLOCK for row in rows} - by_block.keys():
            self._ask("DELETE FROM block WHERE id = ?", (number << 32 | block,))
        for block, changes in by_block.items():
            octets = columns.merge(None, columns.seal(NAME, block), changes)
            if octets != self.get(NAME, block):
                self._put(NAME, block, octets)

    # -- answers

    def answer(self, generation: int, key: bytes) -> bytes | None:
        """An answer that was remembered under this generation."""
        row = self._ask(
            "SELECT crc, octets FROM answer, meta WHERE answer.key = ? AND meta.key = 'generation' AND value = ?",
            (key, generation),
        ).fetchone()
        if row is None:
            return None
        crc, octets = row
        if not isinstance(octets, bytes) or crc != _answer_crc(generation, key, octets):
            raise columns.Damaged
        return octets

    def put_answer(self, generation: int, key: bytes, octets: bytes) -> None:
        """Keep an answer, unless the generation is another one now; of many the oldest goes.  In a transaction."""
        if self.meta()[0] != generation:
            return
        crc = _answer_crc(generation, key, octets)
        self._ask(
            "INSERT OR REPLACE INTO answer SELECT ?, coalesce(max(used), 0) + 1, ?, ? FROM answer", (key, crc, octets)
        )
        self._ask("DELETE FROM answer WHERE used <= (SELECT max(used) FROM answer) - ?", (MAX_ANSWERS,))


def _answer_crc(generation: int, key: bytes, octets: bytes) -> int:
    return crc32(octets, crc32(b"%d %b" % (generation, key)))


def _positions(uids: Sequence[int], begin: int, end: int, start: int, slots: list[int]) -> list[int]:
    """Positions, between begin and end, of the slots of the block that starts with a uid; of those that are there."""
    if end - begin == SPAN:
        return [begin + slot for slot in slots]
    found = [(slot, bisect_left(uids, start + slot, begin, end)) for slot in slots]
    return [position for slot, position in found if position < end and uids[position] == start + slot]
