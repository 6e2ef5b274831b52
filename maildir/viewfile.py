"""The copy of an index's view that opens a folder without opening the database: one small file, read in one go.

What is in it, storedview says.  Nothing need be waited for when it is written: a file that a crash has torn is none.
"""

from __future__ import annotations

import os

from maildir import fs, names, storedview

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.storedview import Reading, Stored

SUFFIX = b"-view"
_MAX_OCTETS = 256 << 20


def read(path: bytes, marks: bytes) -> Stored | None:
    """The view that was stored under these marks; None when it is another, or of no use."""
    octets = _read(path + SUFFIX, _MAX_OCTETS)
    end = storedview.head_length(octets)
    return storedview.whole(octets[:end], memoryview(octets)[end:], marks)


def counts(path: bytes, marks: bytes) -> Stored | None:
    """As read(), but only the numbers."""
    octets = _read(path + SUFFIX, storedview.MAX_HEAD)
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


def _read(path: bytes, limit: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, min(os.fstat(descriptor).st_size, limit))
    except OSError:
        return b""
    finally:
        os.close(descriptor)
