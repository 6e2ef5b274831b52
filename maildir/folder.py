"""One folder: what is in it, its messages' flags, new messages, and their end.

Other sessions, delivery agents, the original's server and `rm` change a folder at any moment.  What holds it together:

- A message is known by its base name, so one that was renamed since it was listed is found again.
- Uids are given and recorded under the dot-lock, new ones always above all that were ever given.
- The uid list is replaced atomically, so who only reads needs no lock: a scan takes it when something must be written.
- What was not seen in one reading of a directory is not believed to be gone (see listing).
- Success is told after the file and its directory are on the disk.
"""

from __future__ import annotations

import errno
import time

from couriertcpd import environ, log
from maildir import directories, fs, listing, lock, names, purge, recent, uidlist
from maildir.anew import rename_anew
from maildir.incoming import Incoming
from maildir.keywordlist import NONE
from maildir.keywords import Keywords
from maildir.snapshot import Match, Snapshot, Status
from maildir.uidlist import UidList
from maildir.uidlistfile import UidListFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ATTEMPTS = 100  # how often a file may be renamed under our hands in one operation; each time somebody else got on


class Folder:
    """One folder of a maildir, by the path of its directory."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._cur = path + b"/cur/"
        self._new = path + b"/new/"
        self.keywords = Keywords(path)
        self._uid_list = UidListFile(path)
        self._unwritten: UidList | None = None  # numbers given in memory by scans that may not write
        self._expunged: set[bytes] = set()  # bases that this object unlinked: certainly gone
        self._last: Snapshot | None = None
        self._last_marks: tuple[object, ...] = ()
        self._next_purge = 0.0
        self._warned = False

    # -- what is there

    def scan(self, write: bool = True) -> Snapshot:
        """Move what was delivered into cur/, give uids to what has none, and return what there is.

        With write=False the uid list stays as it is: messages without a uid get one in memory, for this object alone.
        When the list cannot be written (disk full, no permission), messages without a uid stay unseen until it can.
        """
        return directories.completing(self.path, lambda: self._scan(write))

    def _scan(self, write: bool) -> Snapshot:
        self._purge()
        marks = self._marks()
        if marks and marks == self._last_marks and self._last is not None:
            return self._last
        moved = self._move_new()
        if write and moved:
            return self._number()
        uid_list = self._uid_list.read()
        seen = listing.read(self._cur)
        if uid_list is None or uid_list.fault or seen.twins:
            return self._number() if write else self._number_in_memory(uid_list, seen)
        match = Match(uid_list.uids, seen.by_base)
        if not match.exact:
            return self._number() if write else self._number_in_memory(uid_list, seen)
        snapshot = Snapshot(uid_list, match, set())
        if marks:
            self._last, self._last_marks = snapshot, marks
        return snapshot

    def _marks(self) -> tuple[object, ...]:
        """What changes when anything changes; () while a change could hide in the grain of the file times."""
        oldest = time.time_ns() - listing.SETTLED_NS
        times = fs.stat(self._cur).st_mtime_ns, fs.stat(self._new).st_mtime_ns
        mark = self._uid_list.mark()
        return (*times, mark) if mark and max(*times, mark[2]) < oldest else ()

    def _move_new(self) -> bool:
        """Move new messages into cur/; True when there were any.  Who may not, leaves them where they are."""
        arrived = [name for name in fs.listdir(self._new) if name[:1] != b"."]
        for name in arrived:
            try:
                fs.rename(self._new + name, self._cur + (name if b":" in name else name + b":2,"))
            except FileNotFoundError:
                continue  # another session was faster
            except OSError as error:
                if error.errno not in fs.UNWRITABLE:
                    raise
                self._warn(error)
                return False
        return bool(arrived)

    def _number(self) -> Snapshot:
        """Bring the uid list up to date under the lock."""
        try:
            with lock.held(self.path):
                return self._number_locked()
        except OSError as error:
            if error.errno not in fs.UNWRITABLE:
                raise
            self._warn(error)
        uid_list = self._uid_list.read()
        seen = listing.read(self._cur)
        if uid_list is None:  # nothing can contradict numbers of a uidvalidity that nobody has been told
            return self._number_in_memory(None, seen)
        return Snapshot(uid_list, Match(uid_list.uids, self._with_missed(uid_list.uids, seen)), set())

    def _number_locked(self) -> Snapshot:
        uid_list = self._uid_list.read_locked()
        seen = listing.read(self._cur)
        broken = [name for base, name in seen.by_base.items() if b"\n" in base]  # two lines of the uid list
        if broken or seen.twins:
            for name in broken:
                rename_anew(self._cur, name, b"broken", "a line break in the name; it gets another")
            for _, name in seen.twins:
                rename_anew(self._cur, name, b"twin", "a second file of that name; it counts as another message")
            seen = listing.read(self._cur)
        known = {} if uid_list is None else uid_list.uids
        by_base = self._with_missed(known, seen)
        match = Match(known, by_base)
        if uid_list is not None and match.exact and not uid_list.fault:
            return Snapshot(uid_list, match, set())
        arrived = sorted(match.unlisted, key=names.sort_key)
        written, fresh = self._uid_list.rewrite(match.vanished, arrived)
        self._expunged.clear()
        return Snapshot(written, Match(written.uids, by_base), set(fresh))

    def _with_missed(self, known: dict[bytes, int], seen: listing.Listing) -> dict[bytes, bytes]:
        """The reading, with the listed messages that it missed because they were being renamed."""
        if not seen.settled:
            missing = known.keys() - seen.by_base.keys() - self._expunged
            if missing:
                seen.by_base.update(listing.find(self._cur, missing))
        return seen.by_base

    def _number_in_memory(self, uid_list: UidList | None, seen: listing.Listing) -> Snapshot:
        """Numbers for a caller that may not write: as a writer would give them, kept for this object's next scan."""
        own = self._unwritten
        if own is None or (uid_list is not None and uid_list.uidvalidity != own.uidvalidity):
            own = uid_list.copy() if uid_list else UidList(uidlist.first_uidvalidity(int(time.time())))
        known = {} if uid_list is None else uid_list.uids
        by_base = self._with_missed(known, seen)
        taken = set(known.values())
        ahead = {key: uid for key, uid in own.uids.items() if key not in known and uid not in taken}
        view = UidList(own.uidvalidity, own.uidnext, known | ahead)
        if uid_list is not None:
            view.uidnext = max(view.uidnext, uid_list.uidnext)
        view.number(sorted(by_base.keys() - view.uids.keys(), key=names.sort_key))
        view.uids = dict(sorted(view.uids.items(), key=lambda entry: entry[1]))
        self._unwritten = view
        return Snapshot(view, Match(view.uids, by_base), {view.uids[key] for key in by_base if key not in known})

    def status(self) -> Status:
        """Count what is there; moves and writes nothing."""
        return directories.completing(self.path, self._status)

    def _status(self) -> Status:
        arrived = {names.base(name) for name in fs.listdir(self._new) if name[:1] != b"."}
        uid_list = self._uid_list.read() or UidList(uidlist.first_uidvalidity(int(time.time())))
        by_base = self._with_missed(uid_list.uids, listing.read(self._cur))
        arrived -= by_base.keys()  # moved while this was counting
        unlisted = len(by_base.keys() - uid_list.uids.keys()) + len(arrived - uid_list.uids.keys())
        seen = sum(1 for bits in names.flags_of_all(by_base.values()) if bits & names.SEEN)
        messages = len(by_base) + len(arrived)
        noted = recent.look(self.path, uid_list.uidvalidity)
        listed = 0 if noted is None else sum(uid >= noted and base in by_base for base, uid in uid_list.uids.items())
        return Status(messages, unlisted + listed, uid_list.uidnext + unlisted, uid_list.uidvalidity, messages - seen)

    # -- one message

    def open_message(self, name: bytes) -> tuple[int, bytes]:
        """Open a message for reading, even if it has been renamed; return the descriptor and its name now.

        FileNotFoundError when it is gone.
        """
        follow = environ.enabled("MAILDIR_SKIP_SYMLINK_CHECKS")
        for _ in range(ATTEMPTS):
            try:
                return fs.open_message(self._cur + name, follow), name
            except FileNotFoundError:
                name = self._find(name)
        raise self._restless(name)

    def change_flags(self, name: bytes, add: int = 0, remove: int = 0, *, batch: bool = False) -> tuple[bytes, int]:
        """Set and clear flags relative to those on disk now; return the message's name and flags after it.

        FileNotFoundError when the message is gone.  The change is on the disk when this returns, or with batch after
        the next sync_flags().
        """
        for _ in range(ATTEMPTS):
            before = names.flags_of(name)
            flags = (before | add) & ~remove
            try:
                if flags == before:
                    fs.lstat(self._cur + name)
                    target = name
                else:
                    target = names.with_flags(name, flags)
                    fs.rename(self._cur + name, self._cur + target)
            except FileNotFoundError:
                name = self._find(name)
                continue
            if not batch:
                self.sync_flags()
            return target, flags
        raise self._restless(name)

    def sync_flags(self) -> None:
        """Bring all flag changes so far to the disk."""
        fs.sync_directory(self._cur)

    def expunge(self, doomed: Iterable[bytes]) -> list[bytes]:
        r"""Remove messages; those that are gone already are no error.  Returns the file names that were removed.

        One that was listed as \Deleted, and has lost the flag to another session meanwhile, is left.
        """
        removed = self._take_away(doomed, lambda name: fs.unlink(self._cur + name))
        fs.sync_directory(self._cur)
        return removed

    def move_to_trash(self, trash: Folder, doomed: Iterable[bytes]) -> list[bytes]:
        r"""Remove messages as expunge() does, but into a trash folder, where they are neither \Deleted nor \Draft."""

        def move(name: bytes) -> None:
            flags = names.flags_of(name) & ~(names.DELETED | names.DRAFT)
            try:
                fs.rename(self._cur + name, trash._cur + names.with_flags(name, flags))
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                fs.unlink(self._cur + name)  # as in the original: another account's trash can be out of reach

        removed = self._take_away(doomed, move)
        fs.sync_directory(trash._cur)
        fs.sync_directory(self._cur)
        return removed

    def move_to(self, target: Folder, moved: Iterable[bytes]) -> list[bytes]:
        """Move messages into another folder of the file system, as they are; returns the names that were moved."""
        done = self._take_away(moved, lambda name: fs.rename(self._cur + name, target._cur + name))
        fs.sync_directory(target._cur)
        fs.sync_directory(self._cur)
        return done

    def _take_away(self, doomed: Iterable[bytes], act: Callable[[bytes], None]) -> list[bytes]:
        """Do something that ends each message here; returns the names by which they were found."""
        pending, removed = list(doomed), []
        for _ in range(ATTEMPTS):
            renamed = {}
            for name in pending:
                try:
                    act(name)
                except FileNotFoundError:
                    renamed[names.base(name)] = name
                except IsADirectoryError:  # put there by hand; it must not keep all the others
                    log.err(f"{log.printable(self._cur + name)}: a directory, which is not removed")
                else:
                    self._expunged.add(names.base(name))
                    removed.append(name)
            if not renamed:
                return removed
            found = listing.find(self._cur, set(renamed))
            pending = [now for key, now in found.items() if not _reprieved(renamed[key], now)]
        raise self._restless(pending[0])

    def _find(self, name: bytes) -> bytes:
        """The name that a renamed message has now; FileNotFoundError when it is gone."""
        key = names.base(name)
        found = {} if key in self._expunged else listing.find(self._cur, {key})
        if key not in found:
            raise FileNotFoundError(errno.ENOENT, "the message is gone", self._cur + name)
        return found[key]

    def _restless(self, name: bytes) -> OSError:
        return OSError(errno.EAGAIN, "the message is being renamed all the time", self._cur + name)

    # -- new messages

    def new_message(self) -> Incoming:
        """Begin a message in this folder."""
        return directories.completing(self.path, lambda: Incoming(self.path))

    def store(self, messages: list[Incoming]) -> tuple[int, list[int]]:
        """Put committed messages into the folder, all or none; return the uidvalidity and their uids, ascending."""
        placed: list[bytes] = []
        try:
            with lock.held(self.path):
                uid_list, uids = self._store_locked(messages, placed)
        except BaseException:
            self._take_back(placed)
            for message in messages:
                message.abort()
            raise
        for message in messages:
            message.forget_temporary()
        return uid_list.uidvalidity, uids

    def _store_locked(self, messages: list[Incoming], placed: list[bytes]) -> tuple[UidList, list[int]]:
        self._uid_list.read_locked()
        self._store_keywords(messages)  # before anybody can see a message, and change them
        for message in messages:
            name = names.with_flags(message.name, message.flags)
            placed.append(name)  # first: an error from link() need not mean that it did nothing
            fs.link(message.path, self._cur + name)
        fs.sync_directory(self._cur)
        return self._uid_list.rewrite([], [message.name for message in messages])

    def _store_keywords(self, messages: list[Incoming]) -> None:
        by_keywords: dict[frozenset[bytes], list[bytes]] = {}
        for message in messages:
            if message.keywords:
                by_keywords.setdefault(message.keywords, []).append(message.name)
        for keywords, bases in by_keywords.items():
            self.keywords.give(bases, keywords)

    def _take_back(self, placed: list[bytes]) -> None:
        for name in placed:
            try:
                self.expunge([name])
            except OSError as error:
                log.err(f"{log.printable(self._cur + name)}: cannot be taken back: {error.strerror}")

    def copy_from(
        self, source: Folder, copied: Iterable[bytes], keywords: Mapping[bytes, frozenset[bytes]] | None = None
    ) -> tuple[int, list[int]]:
        """Copy messages of another folder, or of this one, with flags and dates, all or none; as store() otherwise.

        keywords has those of the messages that shall take some along, by base name.  FileNotFoundError when one of the
        messages is gone.
        """
        staged: list[Incoming] = []
        try:
            for name in copied:
                fd, name_now = source.open_message(name)
                try:
                    message = self.new_message()
                    staged.append(message)
                    while block := fs.read(fd):
                        message.write_stored(block)
                    message.commit(
                        names.flags_of(name_now), fs.fstat(fd).st_mtime, (keywords or {}).get(names.base(name), NONE)
                    )
                finally:
                    fs.close(fd)
        except BaseException:
            for message in staged:
                message.abort()
            raise
        return self.store(staged)

    # -- the directories

    def _purge(self) -> None:
        now = time.monotonic()
        if now >= self._next_purge:
            self._next_purge = now + purge.INTERVAL_SECONDS
            try:
                purge.purge(self.path + b"/tmp")
            except PermissionError:
                return  # somebody else's folder

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            where = log.printable(self.path)
            log.warn(f"{where}: cannot be written, so new messages are not shown: {error.strerror}")


def _reprieved(name: bytes, name_now: bytes) -> bool:
    return bool(names.flags_of(name) & ~names.flags_of(name_now) & names.DELETED)
