"""Clearing tmp/ of what crashed programs left there."""

from __future__ import annotations

import stat
import time

from maildir import fs

MAX_AGE_SECONDS = 36 * 3600  # by ctime; nobody takes so long over one message
INTERVAL_SECONDS = 3600.0  # how often a session that stays looks again

REMOVED = b"_removed."  # part of the name of a deleted folder that is being taken apart in tmp/
CREATED = b"_created."  # part of the name of a folder that is being put together in tmp/


def purge(tmp: bytes) -> None:
    """Remove old files, and our own old directories, from a tmp/ directory; what cannot be removed stays."""
    oldest = time.time() - MAX_AGE_SECONDS
    for name in fs.listdir(tmp):
        try:
            found = fs.lstat(tmp + b"/" + name)
            if found.st_ctime >= oldest:
                continue
            if not stat.S_ISDIR(found.st_mode):
                fs.unlink(tmp + b"/" + name)
            elif REMOVED in name or CREATED in name:
                fs.remove_tree(tmp + b"/" + name)
        except OSError:
            continue
