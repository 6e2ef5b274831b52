"""One account's mail: the main maildir, which is INBOX, and its folders, which are directories `.A.B` in it.

Folder names here are the bytes on the disk, b"." for INBOX; what a client calls them is the server's business.
"""

from __future__ import annotations

import errno
import time

from couriertcpd import log
from maildir import fs, indexfile, names, purge, subscriptions, uidlist
from maildir.folder import Folder
from maildir.uidlistfile import UidListFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

INBOX = b"."
PARTS = (b"/cur", b"/new", b"/tmp")


class Account:
    """The folders below one main maildir."""

    def __init__(self, root: bytes = b".") -> None:
        self.root = root

    def folders(self) -> Iterator[bytes]:
        """The names of all folders: b"." first, then the others in directory order."""
        yield INBOX
        for name in fs.subdirectories(self.root):
            if name != INBOX and names.is_folder(name):
                yield name

    def path(self, folder: bytes) -> bytes:
        """The directory of a folder; OSError with EINVAL for a name that no folder can have."""
        if not names.is_folder(folder):
            raise OSError(errno.EINVAL, "not a folder name", folder)
        return self.root if folder == INBOX else self.root + b"/" + folder

    def exists(self, folder: bytes) -> bool:
        """True when the folder is there."""
        return names.is_folder(folder) and fs.is_directory(self.path(folder))

    def create(self, folder: bytes) -> None:
        """Make a folder, all at once; FileExistsError when it is there."""
        path = self.path(folder)
        if fs.is_directory(path):
            self._complete(path)
            return
        made = self.root + b"/tmp/" + names.temporary() + purge.CREATED
        fs.mkdir(made)
        try:
            for part in PARTS:
                fs.mkdir(made + part)
            _mark(made)
            # At once, so that STATUS and SELECT tell one uidvalidity.
            UidListFile(made).rewrite([], [])
            fs.sync_directory(made)
            fs.rename(made, path)
        except OSError as error:
            _discard(made)
            if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):  # another session was faster, or a file is in the way
                raise FileExistsError(errno.EEXIST, "the folder exists", path) from error
            raise
        fs.sync_directory(self.root)

    def _complete(self, path: bytes) -> None:
        """Make a folder of a directory that has no parts of one; FileExistsError when it is a folder."""
        missing = [part for part in PARTS if not fs.is_directory(path + part)]
        if len(missing) < len(PARTS):
            raise FileExistsError(errno.EEXIST, "the folder exists", path)
        for part in missing:
            fs.mkdir(path + part)
        _mark(path)
        fs.sync_directory(path)

    def delete(self, folder: bytes) -> None:
        """Remove a folder with its messages, all at once; folders below it stay.  INBOX is PermissionError."""
        path = self.path(folder)
        if folder == INBOX:
            raise PermissionError(errno.EPERM, "INBOX cannot be deleted", path)
        uid_list = UidListFile(path).read() if fs.is_directory(path) else None
        doomed = self.root + b"/tmp/" + names.temporary() + purge.REMOVED
        indexfile.drop_elsewhere(path)
        fs.rename(path, doomed)
        fs.sync_directory(self.root)
        _discard(doomed)
        if uid_list:
            _outlive(uid_list.uidvalidity)

    def rename(self, old: bytes, new: bytes) -> None:
        """Rename a folder and all below it; uids stay.  On failure everything has its old name again.

        FileNotFoundError when there is neither the folder nor one below it, FileExistsError when a new name is taken,
        OSError with EINVAL for a place below itself, PermissionError for INBOX.
        """
        if INBOX in (old, new):
            raise PermissionError(errno.EPERM, "INBOX cannot be renamed like this", self.path(old))
        self.path(new)
        if new == old or new.startswith(old + b"."):
            raise OSError(errno.EINVAL, "a folder cannot be moved below itself", self.path(old))
        moves = [
            (name, new + name[len(old) :])
            for name in sorted(self.folders())
            if name == old or name.startswith(old + b".")
        ]
        if not moves:
            raise FileNotFoundError(errno.ENOENT, "no such folder", self.path(old))
        self.rename_all(moves)

    def rename_all(self, folders: list[tuple[bytes, bytes]]) -> None:
        """Rename folders from the first to the second of each pair; on failure all have their old names again.

        FileExistsError when a new name is taken.
        """
        moves = [(self.path(old), self.path(new)) for old, new in folders]
        for _, target in moves:
            if fs.is_directory(target):
                raise FileExistsError(errno.EEXIST, "the folder exists", target)
        self._move(moves)

    def move_inbox(self, new: bytes) -> None:
        """Move all messages of INBOX into a new folder, with their keywords; FileExistsError when that is there.

        On failure what was moved is brought back; a crash half-way leaves some of them here and some there.
        """
        self.create(new)
        inbox, target = Folder(self.root), Folder(self.path(new))
        snapshot = inbox.scan()
        keywords = inbox.keywords.read(snapshot.bases())
        try:
            inbox.move_to(target, snapshot.names)
            uids = target.scan().bases()
            for base, words in keywords.items():
                if base in uids:
                    target.keywords.replace([base], words)
        except OSError:
            target.move_to(inbox, target.scan().names)
            self.delete(new)
            raise

    def _move(self, moves: list[tuple[bytes, bytes]]) -> None:
        done: list[tuple[bytes, bytes]] = []
        try:
            for source, target in moves:
                indexfile.drop_elsewhere(source)
                done.append((source, target))  # first: an error need not mean that nothing happened
                fs.rename(source, target)
            fs.sync_directory(self.root)
        except OSError as error:
            for source, target in reversed(done):
                try:
                    if not fs.is_directory(source):
                        fs.rename(target, source)
                except OSError as second:
                    log.err(f"{log.printable(target)}: cannot be renamed back: {second.strerror}")
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, "the folder exists", done[-1][1]) from error
            raise

    def subscriptions(self) -> list[bytes]:
        """The subscribed mailboxes, by the names that the clients gave, UTF-8."""
        return subscriptions.read(self.root)

    def subscribe(self, name: bytes) -> None:
        """Subscribe to a mailbox, be it there or not."""
        subscriptions.add(self.root, name)

    def unsubscribe(self, name: bytes) -> None:
        """End a subscription, if there is one."""
        subscriptions.remove(self.root, name)


def _mark(path: bytes) -> None:
    """Write the empty file by which other programs know that the main maildir is the directory above."""
    try:
        fd = fs.create(path + b"/maildirfolder", 0o600)
    except FileExistsError:
        return
    fs.close(fd)


def _discard(path: bytes) -> None:
    try:
        fs.remove_tree(path)
    except OSError as error:
        log.warn(f"{log.printable(path)}: not removed yet: {error.strerror}; it will be in two days")


def _outlive(uidvalidity: int) -> None:
    """Wait until a folder made anew under the same name cannot get the same uidvalidity: at most a second."""
    now = time.time()
    if int(now) == uidvalidity + uidlist.EPOCH:
        time.sleep(1 - now % 1)
