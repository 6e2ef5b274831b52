"""The file of the list of sizes: read, and replaced by a new version.

The original takes no lock for it and neither gives nor heeds one.  So a new version is put in place only while the file
still is the one that it was made from.
"""

from __future__ import annotations

import errno
import time

from maildir import fs, sizelist
from maildir.atomic import Replacement
from maildir.sizelist import SizeList

FILE = b"courierpop3dsizelist"
MAX_BYTES = 256 << 20  # a list of a million messages is smaller

NO_FILE = "no file"  # the fault of a list that is not there

Mark = tuple[int, int, int]  # of one version of the file: inode, size, mtime in nanoseconds


class Overtaken(Exception):
    """Somebody else has replaced the file meanwhile."""


class SizeListFile:
    """The list of one maildir."""

    __slots__ = ("_mark", "_root", "path")

    def __init__(self, root: bytes) -> None:
        self._root = root
        self.path = root + b"/" + FILE
        self._mark: Mark | None = None

    def content(self) -> bytes | None:
        """What is in the file now; None where there is none."""
        content = fs.read_if_there(self.path, MAX_BYTES)
        if content is None:
            self._mark = None
            return None
        octets, found = content
        self._mark = found.st_ino, found.st_size, found.st_mtime_ns
        return octets

    def read(self) -> SizeList:
        """The list; one with a fault where there is none that can be used."""
        return understood(self.content())

    def replace(self, known: SizeList) -> None:
        """Write a new version, on the disk when this returns; raises Overtaken when the one last read is gone."""
        with Replacement(self._root + b"/tmp", b"pop3") as new_version:
            written = 0
            for piece in known.render():
                new_version.put(piece)
                written += len(piece)
            if written > MAX_BYTES:
                raise OSError(errno.EFBIG, "too many messages in one folder", self.path)
            if self._now() != self._mark:
                raise Overtaken
            new_version.replace(self.path, self._root)

    def _now(self) -> Mark | None:
        try:
            found = fs.stat(self.path)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def understood(octets: bytes | None) -> SizeList:
    """The list in a file's content; one with a fault where there is none that can be used."""
    if octets is not None:
        return sizelist.parse(octets, int(time.time()))
    fresh = SizeList(int(time.time()))
    fresh.fault = NO_FILE
    return fresh
