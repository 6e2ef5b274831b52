"""The trash: moving what is expunged into it, and emptying it, by the rules of the original.

The settings are for the caller to read: the trash folder's name (Trash), and `IMAP_EMPTYTRASH`, which is a number of
days for the trash folder, or a list as in `Trash:7,Sent:30`.
"""

from __future__ import annotations

import contextlib
import time

from couriertcpd import environ, log
from maildir import fs, names
from maildir.folder import Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from maildir.account import Account

DAY_SECONDS = 86400
MAX_RULES = 1000


def expunge_to_trash(account: Account, folder: Folder, trash: bytes, doomed: Iterable[bytes]) -> list[bytes]:
    """Remove messages of a folder into the account's trash folder, which is made when it is not there.

    trash is its directory, as in b".Trash".  Returns the file names that were removed from the folder.
    """
    if not account.exists(trash):
        with contextlib.suppress(FileExistsError):
            account.create(trash)
    return folder.move_to_trash(Folder(account.path(trash)), doomed)


def rules(setting: str, trash: str) -> list[tuple[bytes, int]]:
    """Folder directories and days from a value of IMAP_EMPTYTRASH; trash is the trash folder's name.

    A number counts as in C: text without digits is 0, and what is less than a day is one.
    """
    if not setting:
        return []
    if ":" not in setting and "," not in setting:
        setting = f"{trash}:{setting}"
    found = []
    for entry in setting.split(",", MAX_RULES)[:MAX_RULES]:
        name, colon, days = entry.strip().rpartition(":")
        folder = b"." + name.encode("utf-8", "surrogateescape")
        if colon and name and names.is_folder(folder):
            found.append((folder, max(environ.atoi(days), 1)))
    return found


def empty(account: Account, emptied: Iterable[tuple[bytes, int]]) -> int:
    """Remove what has been in these folders for more than these days (by ctime); returns how many messages that was.

    What cannot be removed stays, with a line in the log.
    """
    count = 0
    for folder, days in emptied:
        if account.exists(folder):
            try:
                count += _empty_folder(account.path(folder), time.time() - days * DAY_SECONDS)
            except OSError as error:
                log.warn(f"{log.printable(folder)}: not emptied: {error.strerror}")
    return count


def _empty_folder(path: bytes, oldest: float) -> int:
    count = 0
    for part in (b"/new/", b"/cur/"):
        for name in fs.listdir(path + part):
            if name[:1] == b".":
                continue
            with contextlib.suppress(FileNotFoundError):
                if fs.lstat(path + part + name).st_ctime < oldest:
                    fs.unlink(path + part + name)
                    count += 1
    return count
