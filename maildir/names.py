"""The names of message files and of folders: what they say and how they are made.

A message is `BASE:2,FLAGS` in cur/ and `BASE` in new/.  BASE never changes and is the message's key in every other file
of the folder; the flags change with each rename.  This module knows no file, only names.
"""

from __future__ import annotations

import os
import re
import time
from itertools import islice
from operator import lt

from couriertcpd import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DRAFT = 1
FLAGGED = 2
ANSWERED = 4
SEEN = 8
DELETED = 16

_LETTERS = b"DFRST"  # the letter of bit 1 << n is _LETTERS[n]; also the order in which they are written
_BITS = {letter: 1 << place for place, letter in enumerate(_LETTERS)}
# What stands behind the base of a message that has these flags and nothing else.
SUFFIXES = [
    b":2," + bytes(letter for place, letter in enumerate(_LETTERS) if flags >> place & 1) for flags in range(32)
]
_INFO_MEMO: dict[bytes, int] = {}  # flag bits by what stands behind the last colon
_INFO_MEMO_SIZE = 1024

_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_COLON = re.compile(b":").search
_LONG_MAX = (1 << 63) - 1


def base(name: bytes) -> bytes:
    """The part of a name that stays: up to its last colon.  The key in the uid list."""
    return name.rpartition(b":")[0] or name


def flags_of(name: bytes) -> int:
    """The flag bits that a name in cur/ carries; letters of other programs count for nothing."""
    _, colon, info = name.rpartition(b":")
    if not colon:
        return 0
    known = _INFO_MEMO.get(info)
    return _learn(info) if known is None else known


def flags_of_all(names: Iterable[bytes]) -> bytearray:
    """The flag bits of many names, in their order."""
    return bytearray(map(flags_of, names))


def _learn(info: bytes) -> int:
    bits = 0
    if info.startswith(b"2,"):
        for letter in info[2:]:
            bits |= _BITS.get(letter, 0)
    if len(_INFO_MEMO) < _INFO_MEMO_SIZE:
        _INFO_MEMO[info] = bits
    return bits


def with_flags(name: bytes, flags: int) -> bytes:
    """The name with these flags and no others; the letters of other programs stay, all in ASCII order."""
    stem = base(name)
    info = name[len(stem) + 1 :]
    letters = [letter for letter, bit in _BITS.items() if flags & bit]
    if info.startswith(b"2,"):
        letters += [letter for letter in info[2:] if letter not in _BITS]
    return stem + b":2," + bytes(sorted(letters))


def sort_key(name: bytes) -> tuple[int, bytes]:
    """The order in which new messages get their uids: the number in front, then the bytes up to the first colon.

    The number is read as C's atol() does, so a name without digits has 0.
    """
    return _atol(name), name.partition(b":")[0]


def in_order(bases: list[bytes]) -> list[bytes]:
    """Bases in the order of sort_key()."""
    return sorted(bases) if _sort_as_octets(bases) else sorted(bases, key=sort_key)


def ascend(bases: list[bytes]) -> bool:
    """True when bases are in the order of sort_key() and none is there twice, as far as that is easily seen."""
    return _sort_as_octets(bases) and all(map(lt, bases, islice(bases, 1, None)))


def _sort_as_octets(bases: list[bytes]) -> bool:
    # Nearly always all begin with the seconds, in ten digits: then the number in front makes no difference.
    heads = b"".join([base[:11] for base in bases])
    return heads.translate(_DIGITS_ALIKE) == b"0000000000." * len(bases) and not any(map(_COLON, bases))


def _atol(name: bytes) -> int:
    text = name.lstrip(b" \t\n\v\f\r")
    sign = -1 if text[:1] == b"-" else 1
    if text[:1] in (b"-", b"+"):
        text = text[1:]
    end = len(text) - len(text.lstrip(b"0123456789"))
    return sign * min(int(text[:end]), _LONG_MAX) if end else 0


def hostname() -> bytes:
    """The host as it stands in unique names: $HOSTNAME, else gethostname()."""
    host = environ.octets("HOSTNAME") or os.fsencode(os.uname().nodename)
    # A slash or a colon would break the name in two; written as the maildir specification says.
    return host.replace(b"/", b"\\057").replace(b":", b"\\072")


def temporary(label: bytes = b"") -> bytes:
    """A name for a new file in tmp/: SECONDS.M<usec>P<pid>[_label].HOST."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    suffix = b"_" + label if label else b""
    return b"%d.M%dP%d%s.%s" % (seconds, nanoseconds // 1000, os.getpid(), suffix, hostname())


def unique(temporary_name: bytes, device: int, inode: int, bytes_on_disk: int) -> bytes:
    """The name for ever of a message that was written under a temporary name: with device, inode and `,S=` added."""
    stamp, dot, host = temporary_name.partition(b"P")
    digits = len(host) - len(host.lstrip(b"0123456789"))
    place = b"V%016XI%016X" % (device & 0xFFFFFFFFFFFFFFFF, inode)
    return b"%s%s%s%s%s,S=%d" % (stamp, dot, host[:digits], place, host[digits:], bytes_on_disk)


def is_folder(name: bytes) -> bool:
    """True for what can be the directory of a folder: b"." (INBOX) or a dot before each of its non-empty parts."""
    if name == b".":
        return True
    return name[:1] == b"." and b"/" not in name and b"\0" not in name and all(name[1:].split(b"."))
