"""Comparing a folder's index with its messages, and counting what is in it; neither changes anything.

The database is read here by its own tables and not through maildir.index, which repairs what it finds wrong.
"""

from __future__ import annotations

import os
import sqlite3

from imapd.indexvalues import Maker
from imapd.message import Message
from imapd.view import View
from maildir import columns, indexfile, names, viewfile
from maildir.columns import SHIFT
from maildir.indexrows import BASE, NAME, Rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from maildir.columns import Values
    from maildir.folder import Folder
    from maildir.indexfile import Layout
    from maildir.storedview import Stored

    Progress = Callable[[int, int], None]  # gets how many messages are done, and of how many

MAX_TOLD = 20  # problems that are kept; they are counted all


class Wrong(Exception):
    """The file is no index that can be read; the text says why."""


class Kind:
    """One column: how many values, how many octets they have."""

    __slots__ = ("name", "octets", "values")

    def __init__(self, name: bytes, values: int, octets: int) -> None:
        self.name = name
        self.values = values
        self.octets = octets


class Opened:
    """A database that is there, to be looked at; mode is SQLite's ro or rw.  Raises Wrong."""

    def __init__(self, path: bytes, layout: Layout, mode: str) -> None:
        self.path = path
        name = os.fsdecode(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        try:
            self._connection = sqlite3.connect(f"file:{name}?mode={mode}", uri=True, timeout=5, isolation_level=None)
            self._connection.text_factory = bytes
            indexfile.check(self._connection, layout)
            self._begin()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise Wrong(f"not a database that can be read ({error})") from None
        except indexfile.Wrong as why:
            raise Wrong(str(why)) from None

    def _begin(self) -> None:
        """Read what everybody asks for; may raise sqlite3.Error."""
        raise NotImplementedError

    def octets(self) -> int:
        """On disk, with the log of writes beside it."""
        return indexfile.octets_of(self.path)

    def problems(self) -> list[str]:
        """What SQLite itself finds wrong."""
        try:
            told = [row[0] for row in self._connection.execute("PRAGMA integrity_check(20)")]
        except sqlite3.Error as error:
            return [str(error)]
        return [] if told == [b"ok"] else [text.decode("ascii", "backslashreplace") for text in told]

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class Database(Opened):
    """An index that is there, opened for reading.  Raises Wrong."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path, indexfile.INDEX, "ro")

    def _begin(self) -> None:
        self.rows = Rows(self._connection)
        try:
            self.uidvalidity = self.rows.meta()[1]
        except columns.Damaged:
            raise Wrong("its first row is missing") from None

    def kinds(self) -> list[Kind]:
        """All columns, by name."""
        try:
            names = dict(self._connection.execute("SELECT number, name FROM kind").fetchall())
            found = {number: Kind(name, 0, 0) for number, name in names.items()}
            for row, octets in self._connection.execute("SELECT id, octets FROM block"):
                kind = found.get(row >> 32)
                if kind is not None:
                    seal = columns.seal(kind.name, row & 0xFFFFFFFF)
                    values = [value for value in columns.decode(octets, seal) if value is not None]
                    kind.values += len(values)
                    kind.octets += sum(map(len, values))
        except (sqlite3.Error, columns.Damaged) as error:
            raise Wrong(f"damaged ({error or 'a block is not what was written'})") from None
        return sorted(found.values(), key=lambda kind: kind.name)

    def answers(self) -> int:
        """How many whole answers are remembered."""
        return int(self._connection.execute("SELECT count(*) FROM answer").fetchone()[0])

    def stored(self, marks: bytes) -> Stored | None:
        """The view, if it is the one of these marks; raises columns.Damaged or sqlite3.Error."""
        return self.rows.stored(marks) if marks else None


class Check:
    """The comparison of one index with the messages that are there now."""

    def __init__(self, database: Database, folder: Folder) -> None:
        self.count = 0  # of problems
        self.problems: list[str] = []
        self.messages = 0
        self.values = 0  # that were compared
        self.unknown: list[bytes] = []  # kinds that nobody here can work out
        self._database = database
        self._folder = folder
        self._is_current = False  # whether it says of itself that it is up to date

    def run(self, progress: Progress) -> None:
        """Compare everything."""
        for problem in self._database.problems():
            self._found(problem)
        marks = self._folder.marks()
        snapshot = self._folder.scan(write=False)
        if self._database.uidvalidity not in (0, snapshot.uidvalidity):
            return  # all of it is about other messages, and goes at the next look
        view = View(b"", b"", self._folder, snapshot, read_only=True)
        self.messages = len(view)
        try:
            self._check_view(view, marks)
            self._check_values(view, progress)
        except columns.Damaged:
            self._found("a block or a row is not what was written")
        except sqlite3.Error as error:
            self._found(str(error))

    def _found(self, problem: str) -> None:
        self.count += 1
        if len(self.problems) < MAX_TOLD:
            self.problems.append(problem)

    def _check_view(self, view: View, marks: bytes) -> None:
        stored = self._database.stored(marks)
        self._is_current = stored is not None
        for kept, where in ((stored, "index"), (viewfile.read(self._database.path, marks), "copy of the view")):
            if kept is None:
                continue
            if kept.uids != view.uids:
                self._found(f"the list of uids in the {where} is not that of the folder, and should be")
            elif kept.flags != bytes(view.flags):
                self._found(f"the flags in the {where} are not those of the folder, and should be")

    def _check_values(self, view: View, progress: Progress) -> None:
        kinds = [kind for kind in self._database.rows.kinds() if kind not in (BASE, NAME)]
        maker = Maker(kinds)
        self.unknown = maker.unknown
        kinds = [kind for kind in kinds if kind not in maker.unknown]
        block = -1
        held: dict[bytes, Values] = {}
        bases: Values = []
        for index, uid in enumerate(view.uids):
            if uid >> SHIFT != block:
                block = uid >> SHIFT
                bases = self._database.rows.block(BASE, block)
                held = {kind: self._database.rows.block(kind, block) for kind in kinds}
                progress(index, len(view))
            slot = uid & columns.MASK
            known = {kind: value for kind in kinds if (value := held[kind][slot]) is not None}
            if bases[slot] == names.base(view.name(index)):
                self._compare(view, index, known, maker)
            elif self._is_current:
                self._found(f"uid {uid}: remembered as another message")
        progress(len(view), len(view))

    def _compare(self, view: View, index: int, known: dict[bytes, bytes], maker: Maker) -> None:
        with Message(view, index) as message:
            try:
                right = maker.values(message)
            except OSError:
                return  # gone meanwhile, or no readable file: nobody is told what is remembered of it
        for kind, value in known.items():
            self.values += 1
            if right[kind] != value:
                name = kind.decode("ascii", "backslashreplace")
                told = f"{_short(value)} is remembered, {_short(right[kind])} is right"
                self._found(f"uid {view.uids[index]}: {name}: {told}")


def _short(value: bytes) -> str:
    text = value.decode("ascii", "backslashreplace")
    return repr(text if len(text) <= 60 else text[:57] + "...")
