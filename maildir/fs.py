"""Every system call on stored mail, one function each.

The rest of the package calls `fs.link(...)` and the like and touches no file otherwise, so that a test can put its own
function in the place of any of these and make the N-th call fail.  All paths are bytes; OSError crosses upward.

`IMAP_FSYNC` (1 unless set otherwise) says whether sync() and sync_directory() do anything: with 0 a power failure may
take what was acknowledged in the last seconds, a crash of the server alone never does.
"""

from __future__ import annotations

import errno
import os
import stat as modes

from couriertcpd import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

READ_SIZE = 1 << 20

# Errors of writing after which a folder can still be read.
UNWRITABLE = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ETIMEDOUT)
)


def listdir(path: bytes) -> list[bytes]:
    """The names in a directory, in directory order, hidden ones included."""
    return os.listdir(path)


def subdirectories(path: bytes) -> Iterator[bytes]:
    """The names of the directories in a directory (links to directories too), in directory order."""
    with os.scandir(path) as entries:
        for entry in entries:
            if _leads_to_directory(entry):
                yield entry.name


def _leads_to_directory(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere
        return False


def open_message(path: bytes, follow: bool = False) -> int:
    """Open a regular file for reading; anything else (a link unless follow, a pipe, a directory) is OSError."""
    # O_NONBLOCK: opening a named pipe would wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    fd = os.open(path, flags)
    try:
        if not modes.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
    except OSError:
        os.close(fd)
        raise
    return fd


def read(fd: int, size: int = READ_SIZE) -> bytes:
    """The next bytes of an open file, b"" at its end."""
    return os.read(fd, size)


def read_file(path: bytes, limit: int) -> tuple[bytes, os.stat_result]:
    """What a regular file holds, at most its first limit bytes, and its fstat()."""
    fd = open_message(path, follow=True)
    try:
        found = os.fstat(fd)
        blocks = []
        while limit > 0 and (block := read(fd, min(limit, READ_SIZE))):
            blocks.append(block)
            limit -= len(block)
        return b"".join(blocks), found
    finally:
        close(fd)


def read_if_there(path: bytes, limit: int) -> tuple[bytes, os.stat_result] | None:
    """As read_file(), but None when there is no such file, and only then.

    A second look must agree, for a state file that is taken to be absent is soon written anew.
    """
    try:
        return read_file(path, limit)
    except FileNotFoundError:
        try:
            lstat(path)
        except FileNotFoundError:
            return None
        raise


def create(path: bytes, mode: int = 0o666) -> int:
    """Make a new file for writing; FileExistsError when the name is taken."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)


def append(path: bytes, data: bytes) -> None:
    """Add data to a file that is there, in one piece, so that what others add stays whole too."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def write(fd: int, data: bytes) -> None:
    """Write all of data."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync(fd: int) -> None:
    """Bring a file's content to the disk (see IMAP_FSYNC)."""
    if environ.enabled("IMAP_FSYNC", True):
        os.fsync(fd)


def sync_octets(fd: int) -> None:
    """The same for its octets and no more than it takes to find them."""
    if environ.enabled("IMAP_FSYNC", True):
        os.fdatasync(fd)


def sync_directory(path: bytes) -> None:
    """Bring a directory's entries to the disk (see IMAP_FSYNC)."""
    if not environ.enabled("IMAP_FSYNC", True):
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that keeps its directories safe in another way
            raise
    finally:
        os.close(fd)


def close(fd: int) -> None:
    """Close a descriptor."""
    os.close(fd)


def fstat(fd: int) -> os.stat_result:
    """What is known about an open file."""
    return os.fstat(fd)


def stat(path: bytes) -> os.stat_result:
    """What is known about the file that a name leads to."""
    return os.stat(path)


def lstat(path: bytes) -> os.stat_result:
    """What is known about a name itself, be it a link."""
    return os.lstat(path)


def is_directory(path: bytes) -> bool:
    """True when the name leads to a directory that can be reached."""
    try:
        return modes.S_ISDIR(stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def link(source: bytes, target: bytes) -> None:
    """Give a file a second name; FileExistsError when that is taken."""
    os.link(source, target, follow_symlinks=False)


def rename(source: bytes, target: bytes) -> None:
    """Rename, atomically replacing a target that exists."""
    os.rename(source, target)


def unlink(path: bytes) -> None:
    """Remove a name."""
    os.unlink(path)


def mkdir(path: bytes, mode: int = 0o700) -> None:
    """Make a directory."""
    os.mkdir(path, mode)


def rmdir(path: bytes) -> None:
    """Remove an empty directory."""
    os.rmdir(path)


def chmod(path: bytes, mode: int) -> None:
    """Set the permission bits."""
    os.chmod(path, mode)


def utime(path: bytes, seconds: float | None = None) -> None:
    """Set access and modification time, to now when no time is given."""
    os.utime(path, None if seconds is None else (seconds, seconds))


def remove_tree(path: bytes) -> None:
    """Remove a directory and what is in it, never following a link; what is gone already is no error."""
    todo, directories = [path], []
    while todo:
        name = todo.pop()
        try:
            if modes.S_ISDIR(lstat(name).st_mode):
                directories.append(name)
                todo += [name + b"/" + entry for entry in listdir(name)]
            else:
                unlink(name)
        except FileNotFoundError:
            continue
    for name in reversed(directories):
        try:
            rmdir(name)
        except FileNotFoundError:
            continue
