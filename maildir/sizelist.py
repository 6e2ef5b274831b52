"""`courierpop3dsizelist`: what a POP3 server remembers of the messages in INBOX, in the original's format.

    /3 4 1795202700                     version, next number, validity of new numbers
    NAME 39 1:1795202700:0              file name as it was then, octets on the wire, NUMBER:VALIDITY:EIGHTBIT

A message is known by its key, its name up to the first colon.  Version 2 has no EIGHTBIT, version 1 no validities, and
before that there was neither a first line nor a number.  What was given out then stays: the UIDL of a message whose
validity is 0 is `UIDn`, that of one whose number is 0 is the key.
"""

from __future__ import annotations

import re

from maildir import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 3
_DIGITS = 18  # of a number

_FIRST_LINE = re.compile(rb"/(\d{1,9}) (\d{1,18})(?: (\d{1,18}))?[ \t]*\n")
_LINE = re.compile(rb"(.+) (\d{1,18}) (\d{1,18})(?::(\d{1,18})(?::(\d{1,18}))?)?\n")
_OLDEST_LINE = re.compile(rb"(.+) (\d{1,18})()()()\n")
_ESCAPED = re.compile(rb"[^!-~]|['\"+]")

# Name, octets on the wire, number, validity, whether a header in it has raw octets beyond ASCII.
Entry = tuple[bytes, int, int, int, bool]


class SizeList:
    """The content of a file: entries by key, in its order.

    `fault` says why it has to be written anew whatever is in the folder; empty when it need not be.
    """

    __slots__ = ("entries", "fault", "next_number", "validity")

    def __init__(self, validity: int, next_number: int = 1) -> None:
        self.validity = validity
        self.next_number = next_number
        self.entries: dict[bytes, Entry] = {}
        self.fault = ""

    def give(self, name: bytes, size: int, eightbit: bool) -> None:
        """Add a message with the next number."""
        self.entries[key(name)] = (name, size, self.next_number, self.validity, eightbit)
        self.next_number += 1

    def render(self) -> Iterable[bytes]:
        """The file that says this, in pieces."""
        yield b"/%d %d %d\n" % (VERSION, self.next_number, self.validity)
        ordered = sorted(self.entries.values(), key=lambda entry: names.sort_key(entry[0]))
        yield b"".join([b"%b %d %d:%d:%d\n" % entry for entry in ordered])


def key(name: bytes) -> bytes:
    """What stays of a name when its flags change."""
    return name.partition(b":")[0]


def parse(octets: bytes, now: int) -> SizeList:
    """The content of a file of any version; now is the validity of one that has none.

    Lines that are none give a fault, and so do numbers that have been reached already.
    """
    first = _FIRST_LINE.match(octets)
    if first is None and octets.startswith(b"/"):
        return _useless("line 1 is not that of a list of sizes", now)
    version = int(first[1]) if first else 0
    if version > VERSION:
        return _useless(f"version {version} is unknown", now)
    start = first.end() if first else 0
    known = SizeList(int(first[3] or 0) or now, int(first[2])) if first else SizeList(now)
    lines = (_LINE if first else _OLDEST_LINE).findall(octets, start)
    known.entries = _entries(lines)
    if version < VERSION:
        known.fault = f"version {version}"
    if octets.count(b"\n", start) != len(lines) or not octets.endswith(b"\n"):
        known.fault = "a line that is none"
    if len(known.entries) != len(lines):
        known.entries = _entries(reversed(lines))  # the first one counts
        known.fault = "two messages of one name"
    highest = max([entry[2] for entry in known.entries.values()], default=0)
    if highest >= known.next_number:
        known.next_number = highest + 1
        known.fault = "a number beyond the next one"
    return known


class Usual:
    """A list as servers write it today, in columns; raw holds the positions of messages with raw headers."""

    __slots__ = ("keys", "raw", "sizes", "uidls")

    def __init__(self, keys: list[bytes], sizes: list[int], uidls: list[bytes], raw: set[int]) -> None:
        self.keys, self.sizes, self.uidls, self.raw = keys, sizes, uidls, raw


def usual(octets: bytes) -> Usual | None:
    """A list of the newest version; None where there is anything to it that only parse() understands.

    This is for opening a large mailbox that has not changed: it takes a third of the time.
    """
    first = _FIRST_LINE.match(octets)
    if first is None or int(first[1]) != VERSION or first[3] is None or not octets.endswith(b"\n"):
        return None
    words = octets[first.end() :].replace(b"\n", b" ").split(b" ")
    names, sizes, ids = words[:-1:3], words[1::3], words[2::3]
    lines = octets.count(b"\n", first.end())
    if not len(names) == len(sizes) == len(ids) == lines or [1 for one in ids if one.count(b":") != 2]:
        return None
    keys = [name.partition(b":")[0] for name in names]
    columns = b":".join(ids).split(b":") if ids else []
    numbers, validities = columns[::3], columns[1::3]
    if not _are_numbers(sizes) or not _are_numbers(columns) or b" 0" in b" ".join((b"", *numbers, *validities)):
        return None
    if len(set(keys)) != lines or _highest(numbers) >= int(first[2]):
        return None
    raw = {index for index, eightbit in enumerate(columns[2::3]) if eightbit != b"0"}
    octets_on_wire = list(map(int, b" ".join(sizes).decode("ascii").split()))  # int() of bytes takes twice as long
    return Usual(keys, octets_on_wire, _uidls(numbers, validities), raw)


def _highest(numbers: list[bytes]) -> int:
    """The highest of numbers without leading zeros."""
    longest = max(map(len, numbers), default=0)
    return int(max([number for number in numbers if len(number) == longest], default=b"0"))


def _uidls(numbers: list[bytes], validities: list[bytes]) -> list[bytes]:
    if numbers and validities.count(validities[0]) == len(validities):
        end = b"-" + validities[0]
        return (b"UID" + (end + b" UID").join(numbers) + end).split(b" ")
    return [b"UID%b-%b" % one for one in zip(numbers, validities, strict=True)]


def _are_numbers(words: list[bytes]) -> bool:
    return b"" not in words and (not words or (b"".join(words).isdigit() and len(max(words, key=len)) <= _DIGITS))


def _entries(lines: Iterable[tuple[bytes, bytes, bytes, bytes, bytes]]) -> dict[bytes, Entry]:
    return {
        name.partition(b":")[0]: (name, int(size), int(number or 0), int(validity or 0), eightbit not in (b"", b"0"))
        for name, size, number, validity, eightbit in lines
    }


def _useless(fault: str, now: int) -> SizeList:
    known = SizeList(now)
    known.fault = fault
    return known


def uidl(entry: Entry) -> bytes:
    """The unique id of a message (RFC 1939 section 7)."""
    name, _, number, validity, _ = entry
    if number == 0:
        return _ESCAPED.sub(lambda octet: b"+%02X" % octet[0][0], key(name))
    return b"UID%d-%d" % (number, validity) if validity else b"UID%d" % number
