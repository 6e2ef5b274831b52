"""Comparing a folder's full-text index with its messages, and counting what is in it; neither changes anything."""

from __future__ import annotations

import sqlite3

from imapd.indexcheck import MAX_TOLD, Opened, Wrong
from imapd.message import Message
from imapd.view import View
from maildir import bodytext, columns, fulltext, indexfile
from maildir.columns import MASK, SHIFT
from maildir.fulltext import NOT_IN, TOO_LONG, Block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imapd.indexcheck import Progress
    from maildir.folder import Folder


class TextDatabase(Opened):
    """A full-text index that is there.  Raises Wrong."""

    def __init__(self, path: bytes) -> None:
        # What has FTS5 check its tables is an INSERT, though nothing is written.
        super().__init__(path, indexfile.FULL_TEXT, "rw")

    def _begin(self) -> None:
        try:
            meta = dict(self._connection.execute("SELECT key, value FROM meta").fetchall())
            self.uidvalidity, self.given = int(meta[b"uidvalidity"]), int(meta[b"documents"])
            self.blocks = {
                number: Block(octets, number)
                for number, octets in self._connection.execute("SELECT id, octets FROM block")
            }
        except (columns.Damaged, KeyError, ValueError) as why:
            raise Wrong(str(why) or "a row is not what was written") from None

    def documents(self) -> list[int]:
        """The documents that are some message's, or were."""
        return [
            document
            for block in self.blocks.values()
            for document in block.documents
            if document not in (NOT_IN, TOO_LONG)
        ]

    def problems(self) -> list[str]:
        """What SQLite itself finds wrong, and FTS5."""
        found = super().problems()
        try:
            self._connection.execute("INSERT INTO text(text) VALUES ('integrity-check')")
        except sqlite3.Error as error:
            found.append(str(error))
        return found


class TextCheck:
    """The comparison of a full-text index with the messages that are there now."""

    def __init__(self, database: TextDatabase, folder: Folder) -> None:
        self.count = 0  # of problems
        self.problems: list[str] = []
        self.compared = 0  # messages
        self._database = database
        self._folder = folder

    def run(self, progress: Progress) -> None:
        """Compare everything."""
        database = self._database
        for problem in database.problems():
            self._found(problem)
        documents = database.documents()
        if len(set(documents)) < len(documents) or max(documents, default=0) > database.given:
            self._found("a document is of two messages, or of none that was ever put in")
        snapshot = self._folder.scan(write=False)
        if database.uidvalidity != snapshot.uidvalidity:
            return  # all of it is about other messages, and goes at the next look
        view = View(b"", b"", self._folder, snapshot, read_only=True)
        for index, uid in enumerate(view.uids):
            progress(index, len(view))
            block, slot = database.blocks.get(uid >> SHIFT), uid & MASK
            if block is not None and block.bases[slot] == view.base(index):
                self._compare(view, index, block.documents[slot], block.checksums[slot])
        progress(len(view), len(view))

    def _compare(self, view: View, index: int, document: int, checksum: int) -> None:
        with Message(view, index) as message:
            try:
                texts = bodytext.folded_texts(message.content, fulltext.MAX_TEXT)
            except OSError:
                return  # gone meanwhile, or no readable file
        self.compared += 1
        if (texts is None) != (document == TOO_LONG) or fulltext.checksum(texts) != checksum:
            self._found(f"uid {view.uids[index]}: its texts are not those of the message")

    def _found(self, problem: str) -> None:
        self.count += 1
        if len(self.problems) < MAX_TOLD:
            self.problems.append(problem)
