"""The format of `courierimapkeywords/:list`, and of the update files beside it.

    k2                                            the keywords, one a line: 0, 1, ...
    k1
                                                  an empty line
    1795202700.M459141P27571V...,S=35:1 0         a message's base name and its keywords

An update file has the keywords of one message, one a line.  A keyword is the same in upper and lower case (ASCII), and
is written as it was spelled first.  This module knows no file.
"""

from __future__ import annotations

import re

MAX_BYTES = 64 << 20  # of :list
MAX_UPDATE_BYTES = 1 << 20
MAX_KEYWORDS = 10_000  # in a folder
MAX_LENGTH = 1000  # of a keyword

NONE: frozenset[bytes] = frozenset()

_DIGITS = re.compile(rb"[0-9]+")


class Spelling:
    """The first spelling of each keyword of a folder."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first: dict[bytes, bytes] = {}

    def of(self, keyword: bytes) -> bytes:
        """The keyword as it was spelled first, which may be now."""
        return self._first.setdefault(keyword.lower(), keyword)

    def of_all(self, keywords: frozenset[bytes]) -> frozenset[bytes]:
        """The same for a set."""
        return frozenset(map(self.of, keywords))


def is_keyword(keyword: bytes) -> bool:
    """True for what can stand in a line of the files; what a protocol allows is for the server to say."""
    return 0 < len(keyword) <= MAX_LENGTH and b"\n" not in keyword and b"\0" not in keyword


def parse_list(data: bytes) -> tuple[dict[bytes, frozenset[bytes]], str]:
    """Read a list: keywords by base name, and what was wrong with it ("" if nothing)."""
    head, gap, body = data.partition(b"\n\n")
    if data.startswith(b"\n"):
        head, gap, body = b"", b"\n", data[1:]
    if not gap:
        return {}, "no empty line behind the keywords" if data else "empty"
    keywords = head.split(b"\n") if head else []
    fault = "" if all(map(is_keyword, keywords)) and len(keywords) <= MAX_KEYWORDS else "a bad keyword"
    kept = [keyword if is_keyword(keyword) else b"" for keyword in keywords[:MAX_KEYWORDS]]
    found: dict[bytes, frozenset[bytes]] = {}
    sets: dict[bytes, frozenset[bytes]] = {}  # messages mostly share a few combinations
    for line in body.split(b"\n"):
        base, colon, numbers = line.rpartition(b":")
        if not colon or not base:
            fault = fault or ("a line without a message" if line else "")
            continue
        if numbers not in sets:
            sets[numbers] = _numbered(numbers, kept)
        found[base] = sets[numbers]
    return found, fault


def _numbered(numbers: bytes, keywords: list[bytes]) -> frozenset[bytes]:
    chosen = (int(digits) for digits in _DIGITS.findall(numbers) if len(digits) < 10)
    return frozenset(keywords[number] for number in chosen if number < len(keywords)) - {b""}


def render_list(by_base: dict[bytes, frozenset[bytes]]) -> bytes:
    """Write a list; messages without keywords are left out."""
    numbers: dict[bytes, int] = {}
    lines = []
    for base, keywords in by_base.items():
        if keywords:
            chosen = [b"%d" % numbers.setdefault(keyword, len(numbers)) for keyword in sorted(keywords)]
            lines.append(base + b":" + b" ".join(chosen) + b"\n")
    return b"".join(keyword + b"\n" for keyword in numbers) + b"\n" + b"".join(lines)


def parse_update(data: bytes) -> frozenset[bytes]:
    """Read an update file; lines that are no keyword count for nothing."""
    return frozenset(line for line in data.split(b"\n") if is_keyword(line))


def render_update(keywords: frozenset[bytes]) -> bytes:
    """Write an update file."""
    return b"".join(keyword + b"\n" for keyword in sorted(keywords))
