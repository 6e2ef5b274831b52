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
from maildir import directories, fs, listing, lock, names, purge
from maildir.fulltext import FullText
from maildir.incoming import UNLINKABLE, Incoming, Linked
from maildir.index import Index
from maildir.keywordlist import NONE
from maildir.keywords import Keywords
from maildir.scanner import Scanner
from maildir.uidlist import UidList
from maildir.uidlistfile import UidListFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from maildir.snapshot import Snapshot, Status

ATTEMPTS = 100  # how often a file may be renamed under our hands in one operation; each time somebody else got on


class Folder:
    """One folder of a maildir, by the path of its directory."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._cur = path + b"/cur/"
        self._new = path + b"/new/"
        self.keywords = Keywords(path)
        self.index = Index(path)
        self.full_text = FullText(path)
        self._uid_list = UidListFile(path)
        self._expunged: set[bytes] = set()  # bases that this object unlinked: certainly gone
        self._scanner = Scanner(path, self._uid_list, self.index, self._expunged)
        self._next_purge = 0.0

    # -- what is there

    def scan(self, write: bool = True) -> Snapshot:
        """Move what was delivered into cur/, give uids to what has none, and return what there is.

        With write=False the uid list stays as it is: messages without a uid get one in memory, for this object alone.
        When the list cannot be written (disk full, no permission), messages without a uid stay unseen until it can.
        """
        return directories.completing(self.path, lambda: self._scan(write))

    def _scan(self, write: bool) -> Snapshot:
        self._purge()
        return self._scanner.scan(write)

    def marks(self) -> bytes:
        """What changes when anything in the folder changes; the index has a view under it, or not."""
        return self._scanner.marks().octets

    def status(self) -> Status:
        """Count what is there; moves and writes nothing."""
        return directories.completing(self.path, self._scanner.status)

    def idle(self) -> float | None:
        """Put away what is to be remembered; returns after how many seconds there may be more, None for never."""
        return self._scanner.settle()

    # -- one message

    def open_message(self, name: bytes, search: bool = True) -> tuple[int, bytes]:
        """Open a message for reading, even if it has been renamed; return the descriptor and its name now.

        FileNotFoundError when it is gone, or without search when it does not have this name.
        """
        for _ in range(ATTEMPTS):
            try:
                return self._open(name), name
            except FileNotFoundError:
                if not search:
                    raise
                name = self.find(name)
        raise self._restless(name)

    def _open(self, name: bytes) -> int:
        path = self._cur + name
        try:
            return fs.open_message(path)
        except OSError as error:
            # Asked only now: most files are no links, and many are opened.
            if error.errno == errno.ENOENT or not environ.enabled("MAILDIR_SKIP_SYMLINK_CHECKS"):
                raise
        return fs.open_message(path, follow=True)

    def is_there(self, name: bytes) -> bool:
        """Whether a message has this name now."""
        try:
            fs.lstat(self._cur + name)
        except OSError:
            return False
        return True

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
                name = self.find(name)
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

    def find(self, name: bytes) -> bytes:
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

    def store(self, messages: Sequence[Incoming | Linked]) -> tuple[int, list[int]]:
        """Put committed messages into the folder, all or none; return the uidvalidity and their uids, ascending."""
        placed: list[bytes] = []
        try:
            with lock.held(self.path):
                uid_list, uids = self._store_locked(messages, placed)
            # What brings the first to the disk brings the second too, and nobody waits for our lock meanwhile.
            fs.sync_directory(self._cur)
            fs.sync_directory(self.path)
        except BaseException:
            self._take_back(placed)
            for message in messages:
                message.abort()
            raise
        for message in messages:
            message.forget_temporary()
        if self.index.there():
            for uid, message in zip(uids, messages, strict=True):
                self.index.arrived(uid_list.uidvalidity, uid, message.name)
        return uid_list.uidvalidity, uids

    def _store_locked(self, messages: Sequence[Incoming | Linked], placed: list[bytes]) -> tuple[UidList, list[int]]:
        self._uid_list.read_locked()
        self._store_keywords(messages)  # before anybody can see a message, and change them
        for message in messages:
            message.place(self._cur, placed)
        return self._uid_list.rewrite([], [message.name for message in messages], sync_directory=False)

    def _store_keywords(self, messages: Sequence[Incoming | Linked]) -> None:
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

        As a message never changes, a copy is another name of its file where the file system can do that.
        keywords has those of the messages that shall take some along, by base name.  FileNotFoundError when one of the
        messages is gone.
        """
        wanted, keywords = list(copied), keywords or {}
        try:
            return directories.completing(
                self.path,
                lambda: self.store([Linked(source, name, keywords.get(names.base(name), NONE)) for name in wanted]),
            )
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
        return self.store(self._read_from(source, wanted, keywords))

    def _read_from(
        self, source: Folder, copied: list[bytes], keywords: Mapping[bytes, frozenset[bytes]]
    ) -> list[Incoming]:
        """Copies that are files of their own."""
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
                        names.flags_of(name_now), fs.fstat(fd).st_mtime, keywords.get(names.base(name), NONE)
                    )
                finally:
                    fs.close(fd)
        except BaseException:
            for message in staged:
                message.abort()
            raise
        return staged

    # -- the directories

    def _purge(self) -> None:
        now = time.monotonic()
        if now >= self._next_purge:
            self._next_purge = now + purge.INTERVAL_SECONDS
            try:
                purge.purge(self.path + b"/tmp")
            except PermissionError:
                return  # somebody else's folder


def _reprieved(name: bytes, name_now: bytes) -> bool:
    return bool(names.flags_of(name) & ~names.flags_of(name_now) & names.DELETED)
