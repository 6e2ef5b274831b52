"""The messages that sessions store, the flags that they put on them, and what they ask about them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from maildir import names
from tests.clientview import Violation
from tests.faults.truth import DELETED

# The flags that are played with, by bit in a file name, or by name for keywords.
WORDS: dict[int | str, bytes] = {
    names.DRAFT: b"\\Draft",
    names.FLAGGED: b"\\Flagged",
    names.ANSWERED: b"\\Answered",
    names.SEEN: b"\\Seen",
    names.DELETED: DELETED,
    "k1": b"k1",
    "k2": b"k2",
}
FLAGS = tuple(WORDS.values())
SEARCHED = {b"FLAGGED": b"\\Flagged", b"DELETED": DELETED, b"SEEN": b"\\Seen", b"KEYWORD k1": b"k1"}

ITEMS = (
    b"(UID FLAGS)",
    b"(FLAGS RFC822.SIZE)",
    b"(UID BODY.PEEK[])",
    b"(ENVELOPE UID)",
    b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
    b"(INTERNALDATE RFC822.SIZE)",
    b"(BODYSTRUCTURE)",
    b"BODY[]",
    b"FULL",
)
FROM_VIEW = ITEMS[0]  # needs no file: never fails
SETTING_SEEN = b"BODY[]"
CHANGING = {b"UID", b"FLAGS"}  # what is no fact about the message

CROWDED = 90  # so many messages, and more are deleted than made

_TOKEN = re.compile(rb"x\d+x")


def message_of(token: bytes, size: int) -> bytes:
    """A message, as a client sends it, that says in its header and at its end which one it is."""
    filling = b"fill " * (size // 5)
    return b"From: ann@example.com\r\nSubject: %s\r\n\r\n%s\r\n%s\r\n" % (token, filling, token)


def token_on_disk(message: bytes) -> bytes:
    """Which message it is; it must be whole."""
    found = _TOKEN.findall(message)
    if len(found) != 2 or found[0] != found[1] or not message.rstrip(b"\r\n").endswith(found[0]):
        raise Violation(f"not a whole message: {message!r}")
    return bytes(found[0])


def joined(numbers: Iterable[int | None]) -> bytes:
    """As a sequence set."""
    return b",".join(b"%d" % number for number in numbers if number is not None)


def numbers_of(numbers: bytes) -> list[int]:
    """The numbers of a sequence set."""
    ranges = [part.partition(b":") for part in numbers.split(b",")]
    return [uid for low, _, high in ranges for uid in range(int(low), int(high or low) + 1)]
