"""The bookkeeping of a quota: `maildirsize` in the main maildir.

Its first line is the quota, as in `10000000S,1000C`.  Each further line has octets and messages, which are to be added
up; a change is one more line.
"""

from __future__ import annotations

import stat

from couriertcpd import log
from maildir import fs, names
from maildir.atomic import Replacement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = b"/maildirsize"
TRASH = b".Trash"  # whatever IMAP_TRASHFOLDERNAME says, as in the original
MAX_BYTES = 5120  # what anybody reads; a file that has grown so large is counted anew


def message_octets(path: bytes) -> int:
    """What a message counts, by `,S=` in its name, else by its file; OSError when that is gone."""
    base = path.rpartition(b"/")[2].partition(b":")[0]
    _, mark, digits = base.rpartition(b",S=")
    size = digits.partition(b",")[0]
    return int(size) if mark and size.isdigit() and len(size) <= 18 else fs.stat(path).st_size


def counts(name: bytes) -> bool:
    r"""Whether a message of this name counts at all: those marked \Deleted do not."""
    return not names.flags_of(name) & names.DELETED


def took_away(root: bytes, octets: int, messages: int) -> None:
    """Record that messages have been removed.  Without a maildirsize there is no quota, and nothing to do.

    What cannot be recorded is logged: whoever finds the quota exceeded counts anew.
    """
    path = root + FILE
    try:
        fs.append(path, b"%12d %12d\n" % (-octets, -messages))
        if fs.stat(path).st_size >= MAX_BYTES:
            recount(root)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warn(f"{log.printable(path)}: {error.strerror}; it counts mail that is gone")


def recount(root: bytes) -> None:
    """Count all mail and write maildirsize anew, with the quota that it names; OSError when that fails.

    When mail comes or goes meanwhile the old file stays, for the next one to try.
    """
    content, _ = fs.read_file(root + FILE, MAX_BYTES)
    folders = list(_counted_folders(root))
    before = _newest(folders)
    octets = messages = 0
    for folder in folders:
        for name in fs.listdir(folder):
            if name[:1] == b"." or not counts(name):
                continue
            try:
                octets += message_octets(folder + b"/" + name)
            except FileNotFoundError:
                continue
            messages += 1
    with Replacement(root + b"/tmp", b"maildirsize") as new_version:
        new_version.put(b"%b\n%12d %12d\n" % (content.partition(b"\n")[0], octets, messages))
        if _newest(folders) == before:
            new_version.replace(root + FILE)


def _counted_folders(root: bytes) -> Iterable[bytes]:
    """The directories whose messages count: of INBOX and all folders but the trash."""
    places = [root, *(root + b"/" + name for name in fs.subdirectories(root) if _is_counted(root, name))]
    for place in places:
        for part in (b"/new", b"/cur"):
            if fs.is_directory(place + part):
                yield place + part


def _is_counted(root: bytes, name: bytes) -> bool:
    if name in (b".", TRASH) or not names.is_folder(name):
        return False
    return not stat.S_ISLNK(fs.lstat(root + b"/" + name).st_mode)


def _newest(folders: list[bytes]) -> int:
    return max([fs.stat(folder).st_mtime_ns for folder in folders], default=0)
