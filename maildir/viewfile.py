r"""The copy of an index's view that opens a folder without opening the database: one small file, read in one go.

    courierimapindex-view CRC GENERATION UIDVALIDITY UIDNEXT MESSAGES UNSEEN MARKS\n
    MESSAGES times 4 octets (uids, in the byte order of the machine), MESSAGES octets (flags)

CRC is of all behind it, so that nothing need be waited for when it is written: a file that a crash has torn is none.
"""

from __future__ import annotations

import os
import sys
from zlib import crc32

from maildir import fs, names
from maildir.indexrows import Stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.indexrows import Reading

SUFFIX = b"-view"
_MAGIC = b"courierimapindex-view-%b " % sys.byteorder.encode()
_HEAD_OCTETS = 512
_MAX_OCTETS = 256 << 20


def read(path: bytes, marks: bytes) -> tuple[int, Stored] | None:
    """The generation and the view that was stored under these marks; None when it is another, or of no use."""
    octets = _read(path + SUFFIX, _MAX_OCTETS)
    found = _parse(octets, marks)
    if found is None:
        return None
    crc, start, generation, stored = found
    body = memoryview(octets)[start:]
    if len(body) != 5 * stored.messages or crc32(memoryview(octets)[octets.index(b" ", len(_MAGIC)) :]) != crc:
        return None
    stored.uids.frombytes(body[: 4 * stored.messages])
    stored.flags = bytes(body[4 * stored.messages :])
    return generation, stored


def counts(path: bytes, marks: bytes) -> Stored | None:
    """As read(), but only the numbers, and without being sure that the rest is in order."""
    found = _parse(_read(path + SUFFIX, _HEAD_OCTETS), marks)
    return None if found is None else found[3]


def write(path: bytes, generation: int, reading: Reading) -> None:
    """Replace the file.  Raises OSError."""
    marks, uids, flags = reading.marks, reading.uids, bytes(reading.flags)
    rest = b" %d %d %d %d %d %b\n" % (
        generation, reading.uidvalidity, reading.uidnext, len(flags), reading.unseen, marks,
    )  # fmt: skip
    crc = crc32(flags, crc32(uids.tobytes(), crc32(rest)))
    temporary = os.path.dirname(path) + b"/" + names.temporary(b"indexview")
    descriptor = fs.create(temporary, 0o600)
    try:
        try:
            fs.write(descriptor, b"%b%d%b%b%b" % (_MAGIC, crc, rest, uids.tobytes(), flags))
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


def _parse(octets: bytes, marks: bytes) -> tuple[int, int, int, Stored] | None:
    """CRC, where the uids begin, generation and numbers."""
    end = octets.find(b"\n", 0, _HEAD_OCTETS)
    if end < 0 or not octets.startswith(_MAGIC):
        return None
    fields = octets[len(_MAGIC) : end].split(b" ", 6)
    if len(fields) != 7 or fields[6] != marks:
        return None
    try:
        crc, generation, uidvalidity, uidnext, messages, unseen = map(int, fields[:6])
    except ValueError:
        return None
    return crc, end + 1, generation, Stored(uidvalidity, uidnext, messages, unseen)
