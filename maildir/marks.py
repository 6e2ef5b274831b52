"""What changes when anything in a folder changes: by that a stored view is known to be how the folder is."""

from __future__ import annotations

import time

from maildir import fs, listing

_LARGE_DIRECTORY = 1 << 20  # octets of the directory itself: some ten thousand names


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
        times = cur.st_mtime_ns, new.st_mtime_ns, uid_list[2] if uid_list else 0
        self.settled = uid_list is not None and max(times) < oldest
        self.settles = (max(times) - oldest) / 1e9  # in so many seconds
        self.origin = b"%d %d %d" % uid_list if uid_list and uid_list[2] < oldest else b""
        # The times of the inodes tell when somebody has set the others back.
        self.octets = b"%d %d %d, %d %d %d, %d %d %d" % (
            cur.st_ino, cur.st_mtime_ns, cur.st_ctime_ns, new.st_ino, new.st_mtime_ns, new.st_ctime_ns,
            *(uid_list or (0, 0, 0)),
        )  # fmt: skip
