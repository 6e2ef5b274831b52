"""The file of the uid list: read when it is another version than last time, replaced under the lock."""

from __future__ import annotations

import errno
from array import array

from couriertcpd import log
from maildir import fs, marks, uidcolumns, uidlist
from maildir.atomic import Replacement
from maildir.uidcolumns import UidColumns
from maildir.uidlist import UidList

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

Mark = tuple[int, int, int]  # of one version of the file: inode, size, mtime in nanoseconds


class UidListFile:
    """The uid list of one folder, with the version that was last read."""

    __slots__ = ("_body", "_columns", "_columns_mark", "_folder", "_known", "_mark", "path")

    def __init__(self, folder: bytes) -> None:
        self._folder = folder
        self.path = folder + b"/" + uidlist.FILE
        self._known: UidList | None = None
        self._mark: Mark | None = None  # of the version that _known was read from
        self._body: bytes | None = None  # its lines as they stand in the file, when they can be used again
        self._columns: UidColumns | None = None
        self._columns_mark: Mark | None = None

    def mark(self) -> Mark | None:
        """The mark of the version that is there now; None when there is no file."""
        try:
            return _mark_of(fs.stat(self.path))
        except FileNotFoundError:
            return None

    def read(self) -> UidList | None:
        """The list, None when there is none that can be believed.  Not to be changed; needs no lock."""
        if self._known is None or self.mark() != self._mark:
            self._read_anew()
            self._body = None
        return self._known

    def columns(self) -> UidColumns | None:
        """The list as columns, None when it is not wholly in order; not to be changed."""
        if self._columns is None or self._columns_mark is None or self.mark() != self._columns_mark:
            content = fs.read_if_there(self.path, uidlist.MAX_BYTES)
            if content is None:
                return UidColumns(0, 1, array("I"), [])
            mark = _mark_of(content[1])
            self._columns_mark = mark if marks.is_fixed(mark) else None
            self._columns = uidcolumns.parse(content[0]) if content[1].st_size <= uidlist.MAX_BYTES else None
        return self._columns

    def columns_locked(self) -> UidColumns | None:
        """As columns(), certainly of the newest version: under the lock a mark is not enough, for inodes come again."""
        self._columns = None
        return self.columns()

    def write(self, listed: UidColumns) -> UidColumns:
        """Replace the list, under the lock; one without a uidvalidity gets it.  Returns what was written."""
        with Replacement(self._folder + b"/tmp", b"imapuid") as new_version:
            listed.uidvalidity = listed.uidvalidity or uidlist.first_uidvalidity(new_version.mtime)
            if self._put(new_version, listed.render()) > uidlist.MAX_BYTES:
                raise OSError(errno.EFBIG, "too many messages in one folder", self.path)
            new_version.replace(self.path, self._folder)
        self.forget()
        return listed

    def forget(self) -> None:
        """Keep nothing of the version that was last read."""
        self._known = self._mark = self._body = None
        self._columns = self._columns_mark = None

    def read_locked(self) -> UidList | None:
        """The list, certainly the newest version: what a change must start from, under the lock."""
        self._read_anew()
        return self._known

    def _read_anew(self) -> None:
        content = fs.read_if_there(self.path, uidlist.MAX_BYTES)
        if content is None:
            self._known = self._mark = self._body = None
            return
        data, found = content
        mark = _mark_of(found)
        known = self._known
        # With the same mark and the same next uid nobody has given a number: parsing again would show nothing else.
        if known is None or mark != self._mark or uidlist.head_of(data) != (known.uidvalidity, known.uidnext):
            known = uidlist.parse(data)
        if known is not None and found.st_size > uidlist.MAX_BYTES:
            known.fault = known.fault or f"more than {uidlist.MAX_BYTES >> 20} MiB"
        self._known, self._mark = known, mark
        self._body = data[data.index(b"\n") + 1 :] if known is not None and not known.fault else None

    def rewrite(
        self, vanished: list[bytes], arrived: list[bytes], sync_directory: bool = True
    ) -> tuple[UidList, list[int]]:
        """Drop keys from the list last read under the lock, number new ones, and write it; returns it and the uids.

        It is on the disk when this returns, or without sync_directory when the caller has done that to the folder.
        """
        with Replacement(self._folder + b"/tmp", b"imapuid") as new_version:
            fresh = UidList(uidlist.first_uidvalidity(new_version.mtime))
            latest, given = self._next(vanished, arrived, fresh)
            if self._body is not None and not vanished and latest is not fresh:
                size = self._put(new_version, latest.head(), self._body, latest.lines(arrived))
            else:
                size = self._put(new_version, latest.render())
            if size > uidlist.MAX_BYTES:
                raise OSError(errno.EFBIG, "too many messages in one folder", self.path)
            new_version.replace(self.path, self._folder if sync_directory else b"")
        self._report(len(latest.uids) - len(given))
        self._known, self._mark, self._body = latest, self.mark(), None
        return latest, given

    def _put(self, new_version: Replacement, *parts: bytes) -> int:
        for part in parts:
            new_version.put(part)
        return sum(map(len, parts))

    def _next(self, vanished: list[bytes], arrived: list[bytes], fresh: UidList) -> tuple[UidList, list[int]]:
        latest = self._known.copy() if self._known else fresh
        for key in vanished:
            latest.uids.pop(key, None)
        kept = list(latest.uids)
        try:
            return latest, latest.number(arrived)
        except uidlist.Exhausted:
            log.warn(f"{log.printable(self.path)}: the uids are used up; all messages have new ones")
            fresh.number(kept)
            return fresh, fresh.number(arrived)

    def _report(self, kept: int) -> None:
        """Log that a damaged file has been replaced."""
        name = log.printable(self.path)
        if self._known is None and self._mark is not None:
            log.warn(f"{name}: line 1 is not that of a uid list; all messages have new uids, clients fetch them again")
        elif self._known is not None and self._known.fault:
            log.warn(f"{name}: {self._known.fault}: damaged; repaired, {kept} messages keep their uids")


def _mark_of(found: os.stat_result) -> Mark:
    return found.st_ino, found.st_size, found.st_mtime_ns
