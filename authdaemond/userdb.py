"""The userdb databases as makeuserdb leaves them: userdb.dat (public) and userdbshadow.dat (passwords), both GDBM.

A key is the account's name, a value its fields joined with `|`.  Writers build a new file and rename it, so a reader
that keeps one open looks at the name before each lookup.  This module only reads.
"""

import errno
import os
import time
from collections.abc import Iterator
from typing import Any

from authdaemond.account import Account
from couriertcpd import installed

_LOCK_SECONDS = 2.0  # how long a database that somebody writes in place is waited for
_LOCK_PAUSE_SECONDS = 0.05


class Unavailable(Exception):
    """The database cannot be read now; the text names the file and the remedy."""


def public_path(source: str = "") -> str:
    """The path of the database with everything but passwords, made from the userdb file (or folder) `source`."""
    return (source or installed.USERDB) + ".dat"


def shadow_path(source: str = "") -> str:
    """The path of the database with the passwords."""
    return (source or installed.USERDB) + "shadow.dat"


def fields(record: bytes) -> dict[bytes, bytes]:
    """The fields of a record; of a name that is there twice the first counts, a name without `=` has the value b""."""
    found: dict[bytes, bytes] = {}
    for field in record.split(b"|"):
        name, _, value = field.partition(b"=")
        found.setdefault(name, value)
    return found


def account(name: bytes, record: bytes) -> Account | None:
    """The account of a public record; None when it lacks uid, gid or home, or has an impossible one."""
    known = fields(record)
    uid, gid, home = (known.get(field, b"") for field in (b"uid", b"gid", b"home"))
    if not (uid.isdigit() and gid.isdigit() and home) or max(len(uid), len(gid)) > 10:
        return None
    found = Account(address=name, home=home, gid=int(gid), uid=int(uid))
    found.fullname = known.get(b"gecos", b"").partition(b",")[0]
    found.maildir = known.get(b"mail", b"")
    found.quota = known.get(b"quota", b"")
    found.options = known.get(b"options", b"")
    return found


class Database:
    """One GDBM file, open for reading, and opened anew whenever its name leads to another file or its time changed.

    Every method raises FileNotFoundError when there is no such file, and Unavailable when it cannot be read.
    """

    __slots__ = ("_gdbm", "_seen", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._gdbm: Any = None
        self._seen: tuple[int, int, int] = (0, 0, 0)

    def close(self) -> None:
        """Let go of the file; the next lookup opens it again."""
        if self._gdbm is not None:
            self._gdbm.close()
            self._gdbm = None

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        self._refresh()
        try:
            value: bytes | None = self._gdbm.get(key)
        except OSError as error:  # _gdbm.error is one
            self.close()
            raise Unavailable(self._complaint(error)) from None
        return value

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values, in no order."""
        self._refresh()
        try:
            key = self._gdbm.firstkey()
            while key is not None:
                yield key, self._gdbm[key]
                key = self._gdbm.nextkey(key)
        except (OSError, KeyError) as error:
            self.close()
            raise Unavailable(self._complaint(error)) from None

    def _refresh(self) -> None:
        status = os.stat(self.path)
        seen = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if self._gdbm is None or seen != self._seen:
            self.close()
            self._gdbm = self._open()
            self._seen = seen

    def _open(self) -> Any:
        try:
            import dbm.gnu
        except ImportError:
            raise Unavailable(f"{self.path}: this Python has no dbm.gnu; install python3-gdbm") from None
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                return dbm.gnu.open(self.path, "r")
            except FileNotFoundError:
                raise
            except OSError as error:
                if error.errno != errno.EAGAIN or time.monotonic() >= deadline:
                    raise Unavailable(self._complaint(error)) from None
            time.sleep(_LOCK_PAUSE_SECONDS)

    def _complaint(self, error: Exception) -> str:
        if isinstance(error, OSError) and error.errno == errno.EAGAIN:
            return f"{self.path}: locked by a program that writes to it; use makeuserdb, which replaces it instead"
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
            return f"{self.path}: {error.strerror}; authdaemond must run as a user who may read it"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "damaged"
        return f"{self.path}: {reason}; run makeuserdb to build it anew"
