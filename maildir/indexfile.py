"""The file of a folder's index: an SQLite database, opened when first needed, made anew when it is of no use.

    meta      generation: another number whenever something that was remembered may belong to another message
    view      one row: the folder as a scan found it, and the marks that it had then
    kind      the columns that there are; `used` is the day on which somebody last asked for it
    block     values (see columns); id is the kind's number << 32 | uid >> 7
    answer    whole answers by key

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

NAME = b"courierimapindex"
APPLICATION_ID = 0x43494458
VERSION = 1
BUSY_SECONDS = 0.1  # how long somebody else's transaction is waited for
SUFFIXES = (b"-view", b"-wal", b"-shm", b"")  # the database itself last
OFF_WORDS = ("off", "no", "0")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE view (id INTEGER PRIMARY KEY, uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, marks BLOB NOT NULL,
    messages INTEGER NOT NULL, unseen INTEGER NOT NULL, uids BLOB NOT NULL, flags BLOB NOT NULL);
CREATE TABLE kind (number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, used INTEGER NOT NULL);
CREATE TABLE block (id INTEGER PRIMARY KEY, octets BLOB NOT NULL);
CREATE TABLE answer (key BLOB PRIMARY KEY, used INTEGER NOT NULL, octets BLOB NOT NULL);
INSERT INTO meta VALUES ('generation', random());
"""


class Unusable(Exception):
    """The index cannot be used now; the text says why, for people."""


class IndexFile:
    """The database of one folder."""

    __slots__ = ("_connection", "_folder", "_inode", "_remade", "path")

    def __init__(self, folder: bytes) -> None:
        self._folder = folder
        self.path = b""  # once opened
        self._connection: Connection | None = None
        self._inode = 0
        self._remade = False

    def connection(self) -> Connection:
        """The open database.  Raises Unusable, OSError or sqlite3.Error."""
        if self._connection is None:
            self.path = path_of(self._folder, make=True)
            self._connection = self._open()
        return self._connection

    def exists(self) -> bool:
        """True when there is a file; it may still be of no use."""
        try:
            return stat.S_ISREG(fs.stat(path_of(self._folder)).st_mode)
        except (Unusable, OSError):
            return False

    def moved(self) -> bool:
        """True when the file that is open is not the one that is there now."""
        try:
            return self._connection is not None and fs.stat(self.path).st_ino != self._inode
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
        """Throw away a file that is of no use, with one log line.  Raises Unusable the second time, and OSError."""
        self.close()
        if self._remade:
            raise Unusable(why)
        self._remade = True
        log.warn(f"{log.printable(self.path)}: {why}; it is made anew")
        _remove(self._folder, self.path, self._inode)

    def _open(self) -> Connection:
        import sqlite3

        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            self._inode = fs.stat(self.path).st_ino
            # isolation_level None: transactions begin where we say so.
            connection = sqlite3.connect(
                os.fsdecode(self.path), timeout=BUSY_SECONDS, isolation_level=None, cached_statements=32
            )
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
        except _Old:
            self.discard("of another version")
            return self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self.discard(f"damaged ({error})")
            return self._open()
        return connection


class _Old(Exception):
    pass


def _prepare(connection: Connection) -> None:
    ask = connection.execute
    ask("PRAGMA cache_size = -256")
    application, version = ask("PRAGMA application_id").fetchone()[0], ask("PRAGMA user_version").fetchone()[0]
    if (application, version) != (APPLICATION_ID, VERSION):
        if application or version or ask("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise _Old
        _make(connection)
    ask("PRAGMA synchronous = NORMAL")


def _make(connection: Connection) -> None:
    """Make the tables, unless somebody else is faster."""
    ask = connection.execute
    ask("PRAGMA page_size = 16384")
    ask("PRAGMA journal_mode = WAL")
    ask("BEGIN IMMEDIATE")
    try:
        if not ask("PRAGMA user_version").fetchone()[0]:
            for statement in _SCHEMA.split(";"):
                ask(statement)
            ask(f"PRAGMA application_id = {APPLICATION_ID}")
            ask(f"PRAGMA user_version = {VERSION}")
        ask("COMMIT")
    except BaseException:
        if connection.in_transaction:
            ask("ROLLBACK")
        raise


def path_of(folder: bytes, make: bool = False) -> bytes:
    """Where the index of a folder is (IMAP_INDEX); Unusable when it is switched off or its directory is not safe.

    With make, a directory elsewhere is made when it is missing.
    """
    setting = environ.text("IMAP_INDEX")
    if setting.lower() in OFF_WORDS:
        raise Unusable("switched off")
    if not setting.startswith("/"):
        return folder + b"/" + NAME
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
    return directory + b"/" + hashlib.sha256(os.path.realpath(folder)).hexdigest()[:32].encode()


def drop(folder: bytes) -> None:
    """Remove the index of a folder that is removed or renamed, or that is not wanted any more."""
    try:
        path = path_of(folder)
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
            if inode and fs.stat(path).st_ino != inode:
                return  # somebody else was faster
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                fs.unlink(path + suffix)


@contextlib.contextmanager
def _alone(directory: bytes) -> Iterator[None]:
    """Keep others from doing the same; BlockingIOError when they are at it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
