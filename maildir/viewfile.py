"""The copy of an index's view that opens a folder without opening the database: one small file, read in one go.

What is in it, storedview says.  Nothing need be waited for when it is written: a file that a crash has torn is none.
"""

from __future__ import annotations

import os
from array import array

from maildir import fs, names, storedview

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.storedview import Reading, Stored

SUFFIX = b"-view"
_MAX_OCTETS = 256 << 20


def read(path: bytes, marks: bytes) -> Stored | None:
    """The view that was stored under these marks; None when it is another, or of no use."""
    try:
        descriptor = _open(path)
        try:
            return _read(descriptor, marks)
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _read(descriptor: int, marks: bytes) -> Stored | None:
    """Straight to where it stays, for a large folder's view is half a megabyte."""
    octets = os.pread(descriptor, storedview.MAX_HEAD, 0)
    end = storedview.head_length(octets)
    found = storedview.of_body(octets[:end], marks)
    size = os.fstat(descriptor).st_size
    if found is None or size > _MAX_OCTETS or size != end + storedview.body_octets(found[1].messages):
        return None
    crc, stored = found
    stored.uids = array("I", (0,)) * stored.messages
    at = os.preadv(descriptor, (stored.uids,), end) if stored.messages else 0
    stored.flags = os.pread(descriptor, stored.messages, end + at)
    return stored if storedview.is_body(stored, crc) else None


def counts(path: bytes, marks: bytes) -> Stored | None:
    """As read(), but only the numbers."""
    try:
        descriptor = _open(path)
        try:
            octets = os.pread(descriptor, storedview.MAX_HEAD, 0)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return storedview.numbers(octets[: storedview.head_length(octets)], marks)


def write(path: bytes, generation: int, reading: Reading) -> None:
    """Replace the file.  Raises OSError."""
    temporary = os.path.dirname(path) + b"/" + names.temporary(b"indexview")
    descriptor = fs.create(temporary, 0o600)
    try:
        try:
            fs.write(descriptor, b"".join(storedview.head_and_body(generation, reading)))
        finally:
            fs.close(descriptor)
        fs.rename(temporary, path + SUFFIX)
    except OSError:
        fs.unlink(temporary)
        raise


def _open(path: bytes) -> int:
    return os.open(path + SUFFIX, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
