"""The keywords of a folder's messages, in the files of the original, `courierimapkeywords/`.

    :list            all of them
    NAME             an update: the keywords that message NAME has now
    .N.NAME          an update that has been taken into :list; kept a while, for others may still write an older :list
    .tmp.SECONDS...  being written

NAME counts before .N.NAME, that before :list.  Nobody needs a lock to read.  Ours take the folder's dot-lock to write,
so that two sessions that change one message's keywords do not undo each other; for the original the last writer wins.
"""

from __future__ import annotations

import contextlib
import errno
import stat
import time

from couriertcpd import log
from maildir import fs, keywordlist, listing, lock, names
from maildir.atomic import Replacement
from maildir.keywordlist import NONE, Spelling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    ByBase = dict[bytes, frozenset[bytes]]

DIRECTORY = b"/courierimapkeywords"
AGED_SECONDS = 900  # then an update that is in :list can go, and so can what a crash left behind
_STEP_SECONDS = 300  # what N counts
_ATTEMPTS = 1000  # of reading while others write, as in the original


class _Found:
    """What one reading of the directory gave."""

    __slots__ = ("aged", "fault", "listed", "litter", "outdated", "pending")

    def __init__(self) -> None:
        self.listed: ByBase = {}
        self.fault = ""
        self.pending: ByBase = {}
        self.aged: dict[bytes, tuple[int, frozenset[bytes], bool]] = {}  # N, keywords, whether it is old
        self.outdated: list[bytes] = []  # files with a lower N
        self.litter: list[bytes] = []  # other hidden files that are old

    def effective(self) -> ByBase:
        """The keywords by base name, each in one spelling."""
        spelling = Spelling()
        merged = self.listed | {base: keywords for base, (_, keywords, _) in self.aged.items()} | self.pending
        return {base: spelling.of_all(keywords) for base, keywords in merged.items()}


class Keywords:
    """The keywords of one folder, by base name of the message."""

    __slots__ = ("_cur", "_directory", "_folder", "_list", "_list_mark")

    def __init__(self, folder: bytes) -> None:
        self._folder = folder
        self._list: tuple[ByBase, str] = {}, ""  # the list that was last read, and what was wrong with it
        self._list_mark: tuple[int, int, int] | None = None
        self._directory = folder + DIRECTORY
        self._cur = folder + b"/cur/"

    def there(self) -> bool:
        """Whether there is anything to read; false spares the caller the making of a set of bases."""
        try:
            return bool(fs.listdir(self._directory))
        except FileNotFoundError:
            # Another session may just be making it; it is not there only when a second look says so.
            return fs.is_directory(self._directory) and bool(fs.listdir(self._directory))

    def read(self, bases: Collection[bytes], write: bool = True) -> ByBase:
        """The keywords of these messages, which are all that a scan has just found; those without any are left out.

        With write, updates are taken into the list, and what is there for messages that are gone is dropped.
        """
        found = self._gather()
        known = bases if isinstance(bases, (set, frozenset, dict)) else set(bases)
        if write and self._to_be_settled(found, known):
            try:
                with lock.held(self._folder):
                    found = self._gather()
                    self._settle(found, known)
            except OSError as error:
                if error.errno not in fs.UNWRITABLE:
                    raise
        return {base: keywords for base, keywords in found.effective().items() if keywords and base in known}

    def change(self, bases: Iterable[bytes], add: Iterable[bytes] = (), remove: Iterable[bytes] = ()) -> ByBase:
        """Add and remove keywords, relative to those on disk now; returns what the messages have then.

        It is on the disk when this returns.  OSError with EINVAL for what cannot be a keyword.
        """
        added, removed = frozenset(add), {keyword.lower() for keyword in remove}

        def changed(before: frozenset[bytes]) -> frozenset[bytes]:
            return frozenset(keyword for keyword in before | added if keyword.lower() not in removed)

        return self._update(bases, changed, added)

    def replace(self, bases: Iterable[bytes], keywords: Iterable[bytes]) -> ByBase:
        """Give the messages these keywords and no others; as change() otherwise."""
        wanted = frozenset(keywords)
        return self._update(bases, lambda before: wanted, wanted)

    def give(self, bases: Iterable[bytes], keywords: frozenset[bytes]) -> None:
        """As replace(), for messages that are about to be put into the folder, under its lock, which the caller has."""
        self._check(keywords)
        self._update_locked(bases, lambda before: keywords)

    def _update(
        self, bases: Iterable[bytes], change: Callable[[frozenset[bytes]], frozenset[bytes]], new: frozenset[bytes]
    ) -> ByBase:
        self._check(new)
        with lock.held(self._folder):
            return self._update_locked(bases, change)

    def _check(self, keywords: frozenset[bytes]) -> None:
        if not all(map(keywordlist.is_keyword, keywords)):
            raise OSError(errno.EINVAL, "not a keyword")

    def _update_locked(self, bases: Iterable[bytes], change: Callable[[frozenset[bytes]], frozenset[bytes]]) -> ByBase:
        self._make_directory()
        result: ByBase = {}
        now = self._gather().effective()
        spelling = Spelling()
        for keywords in now.values():
            spelling.of_all(keywords)
        for base in bases:
            before = now.get(base, NONE)
            result[base] = spelling.of_all(change(before))
            if result[base] != before:
                self._write_update(base, result[base])
        fs.sync_directory(self._directory)
        return result

    # -- reading

    def _gather(self) -> _Found:
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return self._gather_once()
        raise OSError(errno.EAGAIN, "the keywords are being changed all the time", self._directory)

    def _gather_once(self) -> _Found:
        """Read everything; FileNotFoundError when a file was renamed meanwhile."""
        found = _Found()
        try:
            entries = fs.listdir(self._directory)
        except FileNotFoundError:
            if fs.is_directory(self._directory):
                raise
            return found
        aged: dict[bytes, int] = {}
        for entry in entries:
            if entry == b":list":
                self._read_list(found)
            elif entry[:1] != b".":
                found.pending[entry] = self._read_update(entry)[0]
            else:
                self._sort_out(entry, aged, found)
        for base, step in aged.items():
            found.aged[base] = (step, *self._read_update(b".%d.%s" % (step, base)))
        return found

    def _read_list(self, found: _Found) -> None:
        before = fs.stat(self._directory + b"/:list")
        mark = before.st_ino, before.st_size, before.st_mtime_ns
        if mark != self._list_mark:
            data, state = fs.read_file(self._directory + b"/:list", keywordlist.MAX_BYTES)
            by_base, fault = keywordlist.parse_list(data)
            if state.st_size > keywordlist.MAX_BYTES:
                fault = fault or f"more than {keywordlist.MAX_BYTES >> 20} MiB"
            self._list = by_base, fault
            settled = time.time_ns() - before.st_mtime_ns > listing.SETTLED_NS
            self._list_mark = mark if settled and state.st_ino == before.st_ino else None
        found.listed, found.fault = self._list

    def _read_update(self, entry: bytes) -> tuple[frozenset[bytes], bool]:
        data, state = fs.read_file(self._directory + b"/" + entry, keywordlist.MAX_UPDATE_BYTES)
        return keywordlist.parse_update(data), _old(state.st_mtime)

    def _sort_out(self, entry: bytes, aged: dict[bytes, int], found: _Found) -> None:
        """Find the place of a hidden file: the highest N of a message counts."""
        digits, _, base = entry[1:].partition(b".")
        if not digits.isdigit() or len(digits) > 18 or not base:
            with contextlib.suppress(FileNotFoundError):
                if _old(fs.lstat(self._directory + b"/" + entry).st_mtime):
                    found.litter.append(entry)
            return
        step = int(digits)
        if b".%d.%s" % (step, base) != entry:  # leading zeros: not written by anybody
            found.litter.append(entry)
        elif step < aged.get(base, -1):
            found.outdated.append(entry)
        else:
            if base in aged:
                found.outdated.append(b".%d.%s" % (aged[base], base))
            aged[base] = step

    # -- writing

    def _to_be_settled(self, found: _Found, known: Collection[bytes]) -> bool:
        if found.pending or found.outdated or found.litter or found.fault:
            return True
        if any(old for _, _, old in found.aged.values()):
            return True
        return any(not keywords or base not in known for base, keywords in found.listed.items())

    def _settle(self, found: _Found, known: Collection[bytes]) -> None:
        """Take all updates into the list and age them; to be called under the lock."""
        effective = found.effective()
        unknown = {base for base in effective if base not in known}
        # The caller's scan may be older than a message that somebody has put there, with keywords.
        there = listing.find(self._cur, unknown) if unknown else {}
        wanted = {base: keywords for base, keywords in effective.items() if keywords}
        wanted = {base: keywords for base, keywords in wanted.items() if base in known or base in there}
        if wanted != found.listed or found.fault:
            with Replacement(self._folder + b"/tmp", b"keywords") as new_version:
                new_version.put(keywordlist.render_list(wanted))
                new_version.replace(self._directory + b"/:list", self._directory)
            if found.fault:
                where = log.printable(self._directory)
                log.warn(f"{where}/:list: {found.fault}: damaged; repaired, {len(wanted)} messages keep keywords")
        step = int(time.time()) // _STEP_SECONDS + 1
        for base in found.pending:
            self._age(base, max(step, found.aged[base][0] if base in found.aged else 0))
        lone = {base: aged for base, aged in found.aged.items() if base not in found.pending}
        expired = [b".%d.%s" % (n, base) for base, (n, _, old) in lone.items() if old]
        for entry in (*found.outdated, *found.litter, *expired):
            with contextlib.suppress(FileNotFoundError):
                fs.unlink(self._directory + b"/" + entry)

    def _age(self, base: bytes, step: int) -> None:
        path = self._directory + b"/" + base
        with contextlib.suppress(FileNotFoundError):
            fs.utime(path)
            try:
                fs.rename(path, self._directory + b"/.%d.%s" % (step, base))
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                fs.unlink(path)  # it is in the list; that somebody writes an older one has to be borne

    def _write_update(self, base: bytes, keywords: frozenset[bytes]) -> None:
        """Write an update file; one that is waiting is taken in first, as who reads must see each."""
        seconds, label = int(time.time()), names.temporary(b"keywords")
        hidden = self._directory + b"/.tmp.%d%s" % (seconds, label)
        with Replacement(self._folder + b"/tmp", b"keywords", 0o644) as update:
            update.put(keywordlist.render_update(keywords))
            update.replace(hidden)
        try:
            for _ in range(_ATTEMPTS):
                try:
                    fs.link(hidden, self._directory + b"/" + base)
                    return
                except FileExistsError:
                    found = self._gather()
                    self._settle(found, {base, *found.effective()})
            raise OSError(errno.EAGAIN, "the keywords are being changed all the time", self._directory)
        finally:
            with contextlib.suppress(OSError):
                fs.unlink(hidden)

    def _make_directory(self) -> None:
        try:
            fs.mkdir(self._directory)
        except FileExistsError:
            return
        fs.chmod(self._directory, stat.S_IMODE(fs.stat(self._folder).st_mode) & 0o777)
        fs.sync_directory(self._folder)


def _old(mtime: float) -> bool:
    return time.time() - mtime > AGED_SECONDS
