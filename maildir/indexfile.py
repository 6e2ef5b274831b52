"""The file of a folder's index, or of that of its texts: an SQLite database, made anew when it is of no use.

It is opened when first needed.  Tables of the index (those of the full-text index are told of in fulltext):

    meta      generation: another number whenever something that was remembered may belong to another message
    view      one row: the folder as a scan found it (see storedview), and the marks that it had then
    kind      the columns that there are; `used` is the day on which somebody last asked for it
    block     values (see columns); id is the kind's number << 32 | uid >> 7
    answer    whole answers by key; `crc` is of generation, key and octets

Another version has another number in user_version, and an older file is thrown away.  Nothing here is the truth: see
share/doc/architecture.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

from couriertcpd import environ, log
from maildir import fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection

BUSY_SECONDS = 0.1  # how long somebody else's transaction is waited for
SUFFIXES = (b"-view", b"-wal", b"-shm", b"")  # the database itself last
OFF_WORDS = ("off", "no", "0")

VERSION = 3
_TABLES = (  # by name
    "CREATE TABLE answer (key BLOB PRIMARY KEY, used INTEGER NOT NULL, crc INTEGER NOT NULL, octets BLOB NOT NULL)",
    "CREATE TABLE block (id INTEGER PRIMARY KEY, octets BLOB NOT NULL)",
    "CREATE TABLE kind (number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, used INTEGER NOT NULL)",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE view (id INTEGER PRIMARY KEY, marks BLOB NOT NULL, head BLOB NOT NULL, body BLOB NOT NULL)",
)


class Layout:
    """What a database holds: its name, its numbers, its tables by name, and what is done when they have been made.

    Tables whose names begin with text_ are SQLite's own, below one of the full-text index.
    """

    __slots__ = ("application", "cache", "elsewhere", "name", "start", "tables", "version")

    def __init__(
        self, name: bytes, application: int, version: int, tables: tuple[str, ...], start: tuple[str, ...],
        elsewhere: bytes = b"", cache: int = 256,
    ) -> None:  # fmt: skip
        self.name = name
        self.elsewhere = elsewhere  # behind the name that it has in a directory elsewhere
        self.application = application
        self.version = version
        self.tables = tables
        self.start = start
        self.cache = cache  # KiB


INDEX = Layout(b"courierimapindex", 0x43494458, VERSION, _TABLES, ("INSERT INTO meta VALUES ('generation', random())",))
FULL_TEXT = Layout(
    b"courierimapfulltext",
    0x43494654,
    1,
    (
        "CREATE TABLE block (id INTEGER PRIMARY KEY, octets BLOB NOT NULL)",
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
        "CREATE VIRTUAL TABLE text USING fts5(header, body, content='', columnsize=0, "
        "tokenize='trigram case_sensitive 1')",
    ),
    (
        "INSERT INTO meta VALUES ('uidvalidity', 0)",
        "INSERT INTO meta VALUES ('documents', 0)",
        "INSERT INTO text(text, rank) VALUES ('pgsz', 16000)",
        # Writers do not merge what others have written: that is done in small parts.
        "INSERT INTO text(text, rank) VALUES ('automerge', 0)",
        "INSERT INTO text(text, rank) VALUES ('crisismerge', 1000)",
    ),
    elsewhere=b"-fulltext",
    cache=2048,
)
LAYOUTS = (INDEX, FULL_TEXT)

# SQLite's primary result codes: what says nothing against the file and does not last (BUSY, LOCKED, PROTOCOL), and what
# lasts (PERM, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, NOLFS, AUTH).
_PASSING = (5, 6, 15)
_LASTING = (3, 7, 8, 9, 10, 13, 14, 22, 23)
_READONLY_DBMOVED = 8 | 4 << 8  # the file was unlinked under our hands

_MAX_TOLD = 1000
_told: set[tuple[bytes, str]] = set()  # what the log has been told by this process, of which folder


class Unusable(Exception):
    """The index cannot be used now; the text says why, for people."""


class Unwanted(Unusable):
    """There is to be no index, which is nothing to be said in the log."""


class Wrong(Exception):
    """What is in the index's place is none; the text says why."""


class IndexFile:
    """The database of one folder."""

    __slots__ = ("_connection", "_folder", "_inode", "_layout", "_remade", "path")

    def __init__(self, folder: bytes, layout: Layout = INDEX) -> None:
        self._folder = folder
        self._layout = layout
        self.path = b""  # once opened
        self._connection: Connection | None = None
        self._inode = 0
        self._remade = False

    def connection(self) -> Connection:
        """The open database.  Raises Unusable, OSError or sqlite3.Error."""
        if self._connection is None:
            self.path = path_of(self._folder, make=True, layout=self._layout)
            self._connection = self._open()
        return self._connection

    @property
    def is_open(self) -> bool:
        """True when connection() has nothing left to do."""
        return self._connection is not None

    def exists(self) -> bool:
        """True when there is a file; it may still be of no use."""
        try:
            return stat.S_ISREG(fs.stat(path_of(self._folder, layout=self._layout)).st_mode)
        except (Unusable, OSError):
            return False

    def moved(self) -> bool:
        """True when the file that is open is not the one that is there now."""
        try:
            return self._connection is not None and fs.lstat(self.path).st_ino != self._inode
        except OSError:
            return True

    def close(self) -> None:
        """Close the database, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            import sqlite3

            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def discard(self, why: str) -> None:
        """Throw away a file that is of no use.  Raises Unusable the second time, and OSError."""
        self.close()
        if self._remade:
            raise Unusable(why)
        self._remade = True
        _remove(self._folder, self.path, self._inode)
        tell(self._folder, f"{log.printable(self.path)}: {why};", "it is made anew")

    def _open(self) -> Connection:
        import sqlite3

        try:
            self._look()
            # isolation_level None: transactions begin where we say so.
            connection = sqlite3.connect(
                os.fsdecode(self.path), timeout=BUSY_SECONDS, isolation_level=None, cached_statements=32
            )
            try:
                _prepare(connection, self._layout)
            except BaseException:
                connection.close()
                raise
        except Wrong as why:
            self.discard(str(why))
            return self._open()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if not is_damage(error):
                raise
            self.discard(f"damaged ({error})")
            return self._open()
        return connection

    def _look(self) -> None:
        """Look at the files before SQLite does, and make the database where it is missing."""
        own, self._inode = os.geteuid(), 0
        for suffix in reversed(SUFFIXES):
            try:
                found = fs.lstat(self.path + suffix)
            except FileNotFoundError:
                continue
            if not suffix:
                self._inode = found.st_ino
            if not stat.S_ISREG(found.st_mode):
                raise Wrong("no file")
            if found.st_uid != own:
                raise Wrong("of another owner")
            if found.st_mode & 0o600 != 0o600:
                raise Wrong("of a mode with which it cannot be read and written")
        if not self._inode:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            self._inode = fs.lstat(self.path).st_ino


def is_damage(error: Exception) -> bool:
    """Whether what SQLite raised says that the file is not what was written, and not that it cannot be used now."""
    code = getattr(error, "sqlite_errorcode", None)  # None: it could not decode a text
    return code is None or code & 0xFF not in (*_PASSING, *_LASTING)


def is_passing(error: Exception) -> bool:
    """Whether it may work the next time."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _PASSING or code == _READONLY_DBMOVED


def tell(folder: bytes, what: str, outcome: str, why: str = "") -> None:
    """Say something in the log, unless this process has said so of that folder before."""
    said = os.path.realpath(folder), outcome
    if said not in _told:
        if len(_told) >= _MAX_TOLD:
            _told.clear()
        _told.add(said)
        log.warn(f"{what} {outcome}{why and ': ' + why}")


def _prepare(connection: Connection, layout: Layout) -> None:
    connection.text_factory = bytes  # a TEXT where none belongs must not be decoded before it is looked at
    ask = connection.execute
    ask(f"PRAGMA cache_size = -{layout.cache}")
    application, version = ask("PRAGMA application_id").fetchone()[0], ask("PRAGMA user_version").fetchone()[0]
    if application or version:
        check(connection, layout)
    elif ask("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise Wrong("not an index")
    else:
        _make(connection, layout)
    ask("PRAGMA synchronous = NORMAL")
    ask("PRAGMA wal_autocheckpoint = 256")  # often, so that it takes no long


def check(connection: Connection, layout: Layout = INDEX) -> None:
    """Raise Wrong when the database is no index, or one of another version."""
    ask = connection.execute
    if ask("PRAGMA application_id").fetchone()[0] != layout.application:
        raise Wrong("not an index")
    version = ask("PRAGMA user_version").fetchone()[0]
    if version != layout.version:
        raise Wrong(f"of version {version}, and this program knows {layout.version}")
    found = ask(
        "SELECT CAST(sql AS BLOB) FROM sqlite_master WHERE sql IS NOT NULL AND name NOT GLOB 'text_*' ORDER BY name"
    ).fetchall()
    if found != [(statement.encode(),) for statement in layout.tables]:  # as SQLite has them
        raise Wrong("with other tables than it was made with")


def _make(connection: Connection, layout: Layout) -> None:
    """Make the tables, unless somebody else is faster."""
    ask = connection.execute
    ask("PRAGMA page_size = 16384")
    ask("PRAGMA journal_mode = WAL")
    with transaction(connection):
        if not ask("PRAGMA user_version").fetchone()[0]:
            for statement in (*layout.tables, *layout.start):
                ask(statement)
            ask(f"PRAGMA application_id = {layout.application}")
            ask(f"PRAGMA user_version = {layout.version}")


@contextlib.contextmanager
def transaction(connection: Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Statements that belong together: all is taken back when something is raised among them or by the end."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        import sqlite3

        with contextlib.suppress(sqlite3.Error):  # what went wrong first is what counts
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def path_of(folder: bytes, make: bool = False, layout: Layout = INDEX) -> bytes:
    """Where an index of a folder is (IMAP_INDEX); Unusable when it is switched off or its directory is not safe.

    With make, a directory elsewhere is made when it is missing.
    """
    setting = environ.text("IMAP_INDEX")
    if setting.lower() in OFF_WORDS:
        raise Unwanted("switched off")
    if not setting.startswith("/"):
        if make and fs.stat(folder).st_uid != os.geteuid():
            raise Unwanted("in the folder of another account only that one's processes make an index")
        return folder + b"/" + layout.name
    import hashlib

    directory = environ.octets("IMAP_INDEX").rstrip(b"/") + b"/%d" % os.geteuid()
    if make:
        with contextlib.suppress(FileExistsError):
            fs.mkdir(directory)
    try:
        found = fs.lstat(directory)
    except FileNotFoundError:
        raise Unusable(f"{log.printable(directory)} is not there") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Unusable(f"{log.printable(directory)} must be a directory of this user that no other can write to")
    return directory + b"/" + hashlib.sha256(os.path.realpath(folder)).hexdigest()[:32].encode() + layout.elsewhere


def octets_of(path: bytes) -> int:
    """What the files of an index take on disk."""
    octets = 0
    for suffix in SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            octets += fs.lstat(path + suffix).st_size
    return octets


def drop(folder: bytes) -> None:
    """Remove the indexes of a folder that is removed or renamed, or that are not wanted any more."""
    for layout in LAYOUTS:
        try:
            path = path_of(folder, layout=layout)
        except Unusable:
            return
        _remove(folder, path, 0)


def drop_elsewhere(folder: bytes) -> None:
    """Remove the index of a folder that is about to be removed or renamed, if it would be left behind."""
    if environ.text("IMAP_INDEX").startswith("/"):
        try:
            drop(folder)
        except OSError as error:
            log.warn(f"{log.printable(folder)}: its index is left behind: {error.strerror}")


def _remove(folder: bytes, path: bytes, inode: int) -> None:
    """Unlink the files, if the database is the one with that inode (0: whichever it is)."""
    with _alone(os.path.dirname(path) or folder):
        with contextlib.suppress(FileNotFoundError):
            if inode and fs.lstat(path).st_ino != inode:
                return  # somebody else was faster
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                try:
                    fs.unlink(path + suffix)
                except IsADirectoryError:
                    fs.rmdir(path + suffix)


@contextlib.contextmanager
def _alone(directory: bytes) -> Iterator[None]:
    """Keep others from doing the same; BlockingIOError when they are at it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
