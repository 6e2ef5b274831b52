"""Measures of SEARCH over all messages of a mailbox; results are compared with what the standard library finds."""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from functools import cache

from tests.answers import Response
from tests.bench.bench import Bench, Measures, Run, first_and_again
from tests.bench.mail import Corpus

SUBJECT = "kitchen"
FROM = "lovelace"
BODY = "kitchen garden letter"  # in few messages, so that nearly all are read to their end


def decoded(value: str) -> str:
    """The text of a header field."""
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, UnicodeError, HeaderParseError):
        return value


Found = tuple[frozenset[int], frozenset[int]]  # numbers that a right answer must have, and those that it may have


@cache
def with_field(corpus: Corpus, field: str, word: str) -> Found:
    """The messages with the word in a field of that name; it may also be a field of a message in the message."""
    certain, possible = set(), set()
    for number, letter in enumerate(corpus.letters(), 1):
        values = [part.get_all(field, []) for part in letter.walk()]
        there = [any(word in decoded(str(value)).lower() for value in of_part) for of_part in values]
        if there[0]:
            certain.add(number)
        if any(there):
            possible.add(number)
    return frozenset(certain), frozenset(possible)


@cache
def _with_text(corpus: Corpus) -> Found:
    """The messages with BODY in a text; it may also be anywhere else in them, or across two lines."""
    certain, possible = set(), set()
    for number, letter in enumerate(corpus.letters(), 1):
        parts = list(letter.walk())
        texts = [_text(part) for part in parts if part.get_content_maintype() == "text"]
        everything = " ".join([*texts, *(decoded(str(value)) for part in parts for value in part.values())])
        if BODY in re.sub(r"\s+", " ", everything):
            possible.add(number)
        sound = ("MIME-Version" in letter or "Content-Type" not in letter) and not any(part.defects for part in parts)
        whole = letter.get_content_type() != "message/partial"
        if sound and whole and any(BODY in text for text in texts):
            certain.add(number)
    return frozenset(certain), frozenset(possible)


def _text(part: Message) -> str:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    try:
        return octets.decode(part.get_content_charset("utf-8"), "replace").lower()
    except LookupError:
        return octets.decode("latin-1").lower()


def _found(responses: list[Response]) -> set[int]:
    return {
        int(number)
        for response in responses
        if response.kind == b"SEARCH"
        for number in response.values
        if isinstance(number, bytes)
    }


def _check(bench: Bench, what: str, found: set[int], right: Found) -> None:
    certain, possible = right
    bench.expect(f"SEARCH {what}, not found", sorted(certain - found), [])
    bench.expect(f"SEARCH {what}, found where it is not", sorted(found - possible), [])


def _check_subject(bench: Bench, run: Run, responses: list[Response]) -> None:
    _check(bench, "SUBJECT", _found(responses), with_field(run.corpus, "subject", SUBJECT))


def _check_from(bench: Bench, run: Run, responses: list[Response]) -> None:
    _check(bench, "FROM", _found(responses), with_field(run.corpus, "from", FROM))


def _check_body(bench: Bench, run: Run, responses: list[Response]) -> None:
    _check(bench, "BODY", _found(responses), _with_text(run.corpus))


MEASURES: Measures = {
    **first_and_again("search-subject", "SEARCH SUBJECT", f'SEARCH SUBJECT "{SUBJECT}"'.encode(), _check_subject),
    **first_and_again("search-from", "SEARCH FROM", f'SEARCH FROM "{FROM}"'.encode(), _check_from),
    **first_and_again("search-body", "SEARCH BODY", f'SEARCH BODY "{BODY}"'.encode(), _check_body),
}
