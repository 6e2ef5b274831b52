"""What changes when anything in a folder changes: by that a stored view is known to be how the folder is."""

from __future__ import annotations

import time

from maildir import fs, listing

_SECOND_NS = 1_000_000_000
# The uid list is only ever replaced as a whole, and by somebody who finds that the directories have changed: where the
# clock of files is no coarser than a second, so much time is enough to be sure that it has been replaced once only.
_LIST_NS = 100_000_000
_LARGE_DIRECTORY = 1 << 20  # octets of the directory itself: some ten thousand names


def is_fixed(uid_list: tuple[int, int, int]) -> bool:
    """Whether the mark of a uid list (inode, size, mtime) stands for one version: its time is no more the present."""
    grain = _LIST_NS if uid_list[2] % _SECOND_NS else listing.SETTLED_NS
    return uid_list[2] < time.time_ns() - grain


class Marks:
    """What changes when anything in a folder changes.

    settled says that no change can hide in the grain of the file times, origin that none can in those of the uid list:
    its mark, or b"".
    """

    __slots__ = ("large", "octets", "origin", "settled", "settles")

    def __init__(self, folder: bytes, uid_list: tuple[int, int, int] | None) -> None:
        oldest = time.time_ns() - listing.SETTLED_NS
        cur, new = fs.stat(folder + b"/cur/"), fs.stat(folder + b"/new/")
        self.large = cur.st_size > _LARGE_DIRECTORY
        times = max(cur.st_mtime_ns, new.st_mtime_ns)
        fixed = uid_list is not None and is_fixed(uid_list)
        self.settled = fixed and times < oldest
        self.settles = max((times - oldest) / _SECOND_NS, 0.0 if fixed else _LIST_NS / _SECOND_NS)  # in so many seconds
        self.origin = b"%d %d %d" % uid_list if uid_list and fixed else b""
        # The times of the inodes tell when somebody has set the others back.
        self.octets = b"%d %d %d, %d %d %d, %d %d %d" % (
            cur.st_ino, cur.st_mtime_ns, cur.st_ctime_ns, new.st_ino, new.st_mtime_ns, new.st_ctime_ns,
            *(uid_list or (0, 0, 0)),
        )  # fmt: skip
