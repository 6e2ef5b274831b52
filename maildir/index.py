"""What is remembered of a folder's messages, so that it need not be read or worked out again.

The index is derived from the files and never believed over them.  Values belong to a uid; that the uid still is the
same message is held by the base names that the index has too: they are compared whenever a scan is stored, and where
one differs everything about its block is forgotten.  The file's generation changes with that, so that no other session
goes on believing what it believed before.

Whatever is wrong with the index, its methods work as if nothing was known.
"""

from __future__ import annotations

from itertools import islice
from operator import ge

from maildir import columns, viewfile
from maildir.derived import Derived
from maildir.indexfile import INDEX, Unusable, path_of
from maildir.indexrows import BASE, NAME, Rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from sqlite3 import Connection
    from typing import TypeVar

    from maildir.columns import Values
    from maildir.storedview import Reading, Stored

    Result = TypeVar("Result")

MAX_ANSWER = 4 << 20
BUFFER_OCTETS = 1 << 20
_ENTRY_OCTETS = 150  # what a buffered value costs beside its octets


class Index(Derived):
    """The index of one folder, for one process."""

    __slots__ = (
        "_asked", "_block", "_buffer", "_buffered", "_doubtful", "_generation", "_pending", "_rows", "_uidvalidity",
    )  # fmt: skip

    def __init__(self, folder: bytes) -> None:
        super().__init__(folder, INDEX, "index")
        self._rows: Rows | None = None
        self._generation: int | None = None  # while the file has this one, uids mean to it what they mean to us
        self._uidvalidity = 0
        self._doubtful = False  # whether the copy of the view may be of another generation than the database
        self._pending: Reading | None = None
        self._asked: dict[bytes, None] = {}
        self._buffer: dict[bytes, dict[int, bytes]] = {}
        self._buffered = 0
        self._block: dict[bytes, tuple[int, Values]] = {}  # what value() read last, by kind

    # -- values

    def values(self, kind: bytes, uids: Sequence[int]) -> list[bytes | None]:
        """What is known for these uids, in their order; ascending ones are fast."""
        self._asked[kind] = None
        if not (isinstance(uids, range) and uids.step > 0) and any(map(ge, uids, islice(uids, 1, None))):
            ascending = sorted(set(uids))
            by_uid = dict(zip(ascending, self.values(kind, ascending), strict=True))
            return [by_uid[uid] for uid in uids]
        found: list[bytes | None] | None = None
        if uids and self.store():
            found = self._read(kind, uids)
        if found is None:
            found = [None] * len(uids)
        fresh = self._buffer.get(kind)
        if fresh:
            found = [fresh.get(uid, value) for uid, value in zip(uids, found, strict=True)]
        return found

    def holding(self, kind: bytes, uids: Sequence[int], text: bytes) -> tuple[list[int], list[int]]:
        """Positions of the uids, which ascend, whose value holds the text, and of those of which nothing is known.

        Values are looked through without taking them apart: they must end in something that text has nowhere else but
        at its end.
        """
        self._asked[kind] = None
        if kind in self._buffer:
            self.flush()
        found: tuple[list[int], list[int]] | None = None
        if uids and self.store():
            generation = self._generation
            assert generation is not None  # noqa: S101
            found = self._ask(lambda rows: rows.holding(generation, kind, uids, text))
            if found is None:
                self._generation = None
        return found or ([], list(range(len(uids))))

    def value(self, kind: bytes, uid: int) -> bytes | None:
        """One value of a kind that nobody remembers values of one by one (base, name): those around it come along."""
        block, held = self._block.get(kind, (-1, []))
        if block != uid >> columns.SHIFT or self._generation is None:
            block = uid >> columns.SHIFT
            held = self.values(kind, range(block << columns.SHIFT, (block + 1) << columns.SHIFT))
            self._block[kind] = block, held
        return held[uid & columns.MASK]

    def _read(self, kind: bytes, uids: Sequence[int]) -> list[bytes | None] | None:
        generation = self._generation
        assert generation is not None  # noqa: S101
        found = self._ask(lambda rows: rows.read(generation, kind, uids))
        if found is None:
            self._generation, self._doubtful = None, True
        return found

    def remember(self, kind: bytes, uid: int, value: bytes) -> None:
        """Keep a value: it is written with the next flush, and seen by values() at once."""
        if self._off or len(value) > columns.MAX_VALUE:
            return
        self._asked[kind] = None
        self._buffer.setdefault(kind, {})[uid] = value
        self._buffered += len(value) + _ENTRY_OCTETS
        if self._buffered > BUFFER_OCTETS:
            self.flush()

    def arrived(self, uidvalidity: int, uid: int, base: bytes) -> None:
        """A message was put into the folder: what is remembered of its uid can be kept before a scan has seen it."""
        if self._generation is None and self._pending is None:
            self._uidvalidity = uidvalidity
        if self._uidvalidity == uidvalidity:
            self.remember(BASE, uid, base)

    def flush(self) -> None:
        """Write what is buffered, in one short transaction."""
        if not self._buffer:
            return
        if self._pending is None or self.store():
            self._ask(lambda rows: rows.write(lambda: self._flush(rows)))
        self._buffer, self._buffered = {}, 0

    def _flush(self, rows: Rows) -> None:
        generation, uidvalidity = rows.meta()
        if self._generation is not None and generation != self._generation:
            self._generation, self._doubtful = None, True
            return
        if uidvalidity != self._uidvalidity:
            if not self._uidvalidity or BASE not in self._buffer:
                return
            rows.begin_anew(self._uidvalidity)
        for kind in sorted(self._buffer, key=lambda kind: kind != BASE):
            rows.put_values(kind, self._buffer[kind])

    # -- answers

    def answer(self, key: bytes) -> bytes | None:
        """A whole answer that was remembered; the key must hold a digest of all that it depends on."""
        if not self.store():
            return None
        generation = self._generation
        assert generation is not None  # noqa: S101
        return self._ask(lambda rows: rows.answer(generation, key))

    def remember_answer(self, key: bytes, octets: bytes) -> None:
        """Keep an answer, if it is not too large; of many the oldest goes."""
        if len(octets) <= MAX_ANSWER and self.store():
            generation = self._generation
            assert generation is not None  # noqa: S101
            self._ask(lambda rows: rows.write(lambda: rows.put_answer(generation, key, octets)))

    def kinds(self) -> list[bytes]:
        """The columns that clients of this folder have asked for."""
        known = self._ask(lambda rows: rows.kinds()) or []
        return [kind for kind in dict.fromkeys([*known, *self._asked]) if kind not in (BASE, NAME)]

    def close(self) -> None:
        """Write what is to be remembered and close the file."""
        self.store()
        self.flush()
        self._forget()

    # -- the folder's view

    def usable(self) -> bool:
        """Whether there is an index; asking makes one."""
        return self._ask(lambda rows: True) is True

    @property
    def known(self) -> bool:
        """True when uids mean the same to the index as to us."""
        return self._generation is not None

    @property
    def pending(self) -> bool:
        """True when a scan waits to be stored."""
        return self._pending is not None

    @property
    def lost(self) -> bool:
        """True when a session has come between: the folder must be told of again by stored() or offer()."""
        return self._generation is None and self._pending is None and not self._off

    def stored(self, marks: bytes) -> Stored | None:
        """The folder as a scan under these marks found it; from now on values are those of its messages."""
        found = None
        if not self._doubtful:
            found = viewfile.read(self._path(), marks)
        if found is None and self.there():
            found = self._ask(lambda rows: rows.stored(marks))
        if found is None:
            return None
        self._meant(found.uidvalidity)
        self._generation, self._pending = found.generation, None
        self._block = {}
        return found

    def counts(self, marks: bytes) -> Stored | None:
        """How much the folder held when it was scanned under these marks."""
        found = viewfile.counts(self._path(), marks)
        if found is None and self.there():
            found = self._ask(lambda rows: rows.counts(marks))
        return found

    def _path(self) -> bytes:
        """Where the index is, b"" when there can be none."""
        try:
            return b"" if self._off else path_of(self._folder)
        except Unusable:
            return b""

    def offer(self, reading: Reading) -> None:
        """Take over what a scan has found; store() stores it, and so does everything that needs it stored."""
        if self._off:
            return
        self._meant(reading.uidvalidity)
        self._generation, self._pending = None, reading
        self._block = {}

    def store(self) -> bool:
        """Store what a scan has found, if that is due; True when uids mean the same to the index as to us."""
        reading = self._pending
        if reading is not None:
            generation = self._ask(lambda rows: self._store(rows, reading))
            if generation is not None:
                self._generation, self._pending, self._doubtful = generation, None, False
        return self._generation is not None

    def _store(self, rows: Rows, reading: Reading) -> int:
        generation = rows.told(reading)
        if generation is None:
            generation = rows.write(lambda: rows.store(reading))
        if reading.marks:
            viewfile.write(self._path(), generation, reading)
        return generation

    def _meant(self, uidvalidity: int) -> None:
        if uidvalidity != self._uidvalidity:
            self._buffer, self._buffered = {}, 0
            self._uidvalidity = uidvalidity

    # -- what can go wrong

    def _ask(self, act: Callable[[Rows], Result]) -> Result | None:
        """Do something with the rows; None when that cannot be done."""
        return self._attempt(lambda connection: act(self._rows_of(connection)))

    def _rows_of(self, connection: Connection) -> Rows:
        if self._rows is None:
            self._rows = Rows(connection)
        return self._rows

    def _forget(self) -> None:
        super()._forget()
        self._doubtful = self._doubtful or self._rows is not None
        self._rows = None
        self._generation = None
        self._block = {}

    def _let_pass(self, why: Exception) -> None:
        self._tell("goes on for a moment without its index", why)

    def _give_up(self, why: Exception) -> None:
        super()._give_up(why)
        self._buffer, self._buffered, self._pending = {}, 0, None
