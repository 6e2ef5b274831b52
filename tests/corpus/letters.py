"""Whole messages: a letter's header over a MIME body, with LF line ends, as a delivery agent leaves them in a Maildir.

Everything follows from the seed and the number of the message, except threads, which also need the ones before.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from random import Random
from typing import NamedTuple

from tests.corpus import shapes, words

EPOCH = 1704067200  # 2024-01-01 00:00:00 UTC, when the first message came
SECONDS_BETWEEN = 311
MEDIAN_OCTETS = 7_000
_SIGMA = math.log(150_000 / MEDIAN_OCTETS) / 2.326  # so that the 99th percentile is 150 kB


class _Letter(NamedTuple):
    """What an answer needs to know of the letter that it answers."""

    message_id: bytes
    references: tuple[bytes, ...]
    subject: bytes


def _address(rng: Random) -> bytes:
    name = rng.choice(words.NAMES)
    local = rng.choice(("sam", "ada.l", "info", "j+tag", "kim", "o'brien", "x" * 60, '"quoted local"', "postmaster"))
    address = f"{local}@{rng.choice(words.DOMAINS)}".encode()
    roll = rng.random()
    if roll < 0.25:
        return address
    if roll < 0.28:
        return address + b" (a comment (nested) here)"
    if roll < 0.30:
        return b"<@relay.example.com,@b.example.com:" + address + b">"
    if name.isascii():
        shown = name.replace("\\", "\\\\").replace('"', '\\"')
        return b'"' + shown.encode() + b'" <' + address + b">" if roll < 0.7 else b"Mary Smith <" + address + b">"
    if roll < 0.33:
        return b'"' + name.encode() + b'" <' + address + b">"  # raw UTF-8, as careless programs send it
    return shapes.encoded_word(rng, name, "utf-8") + b" <" + address + b">"


def _addresses(rng: Random) -> bytes:
    roll = rng.random()
    if roll < 0.03:
        return b"undisclosed-recipients:;"
    if roll < 0.06:
        return b"A Group: " + _address(rng) + b", second@example.org; , " + _address(rng)
    if roll < 0.065:
        return b",\n\t".join(_address(rng) for _ in range(150))
    return b",\n ".join(_address(rng) for _ in range(rng.choice((1, 1, 1, 2, 3, 8))))


def _subject(rng: Random) -> bytes:
    roll = rng.random()
    if roll < 0.02:
        return b""
    language = words.language_of(rng)
    content = words.sentence(rng, language)
    if roll < 0.04:
        content = words.sentence(rng, language, 60, 120)
    if language == "en":
        return content.encode() if roll > 0.05 else content.replace(" ", "\n\t", 1).encode()
    if roll < 0.08:
        return content.encode()
    return shapes.encoded_word(rng, content, rng.choice(words.CHARSETS[language]))


def _date(rng: Random, seconds: int) -> bytes:
    moment = datetime.fromtimestamp(seconds, timezone(timedelta(minutes=rng.choice((0, 60, -300, 330, 540)))))
    usual = format_datetime(moment).encode()
    roll = rng.random()
    if roll < 0.90:
        return usual
    return rng.choice((
        usual + b" (CET)", usual[5:], moment.strftime("%d %b %y %H:%M EST").encode(), b"yesterday",
        moment.strftime("%a, %d %b %Y %H:%M:%S UT").encode(), usual.replace(b" ", b"  "), usual.upper(),
    ))  # fmt: skip


def _list_header(rng: Random) -> bytes:
    name = rng.choice(words.LISTS)
    label = shapes.encoded_word(rng, name, "utf-8") if not name.isascii() else name.encode()
    return (
        b"List-Id: " + label + b" <%s.lists.example.org>\n" % name.encode("ascii", "ignore")
        + b"List-Post: <mailto:list@lists.example.org>\nList-Unsubscribe: <https://lists.example.org/u>,\n"
        b" <mailto:leave@lists.example.org?subject=unsubscribe>\nPrecedence: list\n"
        b"Sender: list-bounces@lists.example.org\nErrors-To: list-bounces@lists.example.org\n"
    )  # fmt: skip


def _received(rng: Random, seconds: int) -> bytes:
    hops = rng.choice((1, 2, 2, 3, 6))
    return b"".join(
        b"Received: from mx%d.example.net (mx.example.net [192.0.2.%d])\n\tby mail.example.com (Postfix) with ESMTPS "
        b"id %08X\n\tfor <sam@example.com>; %s\n"
        % (hop, rng.randint(1, 254), rng.getrandbits(32), format_datetime(
            datetime.fromtimestamp(seconds - hop, UTC)).encode())
        for hop in range(hops)
    )  # fmt: skip


def _answer(rng: Random, letters: deque[_Letter]) -> tuple[bytes, tuple[bytes, ...]]:
    """Subject and references of an answer to a recent letter; nothing when this one starts a thread."""
    if not letters or rng.random() < 0.45:
        return _subject(rng), ()
    parent = rng.choice(letters)
    prefix = b"" if parent.subject.startswith(b"Re: ") else rng.choice((b"Re: ", b"Re: ", b"Fwd: ", b"RE: "))
    return prefix + parent.subject, (*parent.references, parent.message_id)


def _header(rng: Random, seconds: int, letter: _Letter) -> list[bytes]:
    """The letter's own fields, each with its line end, in the order in which they are usually found."""
    fields = [b"Date: " + _date(rng, seconds) + b"\n", b"From: " + _address(rng) + b"\n"]
    fields += [b"To: " + _addresses(rng) + b"\n", b"Subject: " + letter.subject + b"\n"]
    fields.append(b"Message-ID: " + letter.message_id + b"\n")
    if letter.references:
        known = letter.references[:1] + letter.references[-9:] if rng.random() < 0.9 else ()
        if known:
            fields.append(b"References: " + b"\n\t".join(known) + b"\n")
        fields.append(b"In-Reply-To: " + letter.references[-1] + rng.choice((b"", b" (of Mon, 1 Jan)")) + b"\n")
    if rng.random() < 0.3:
        fields.append(b"Cc: " + _addresses(rng) + b"\n")
    if rng.random() < 0.1:
        fields.append(b"Reply-To: " + _address(rng) + b"\n")
    if rng.random() < 0.05:
        fields.append(b"Bcc: " + _addresses(rng) + b"\n")
    fields.append(
        rng.choice((b"", b"X-Mailer: Example 1.0 (Linux)\n", b"X-Spam-Status: No, score=-1.9\n\ttests=A,B\n"))
    )
    return fields


def _made_odd(rng: Random, fields: list[bytes]) -> list[bytes]:
    """Sometimes a field is missing, twice there, in another case, empty, or very long."""
    roll = rng.random()
    if roll < 0.03:
        del fields[rng.randrange(len(fields))]
    elif roll < 0.04:
        return []
    elif roll < 0.05:
        fields.insert(0, b"Subject: the first of two\n")
    elif roll < 0.06:
        fields = [field.upper() if field.startswith((b"Date", b"From")) else field for field in fields]
    elif roll < 0.07:
        fields.append(b"X-Long: " + b"\n ".join(b"%06d" % n * 9 for n in range(300)) + b"\n")
    elif roll < 0.08:
        fields.append(b"X-One-Line: " + b"word " * 4000 + b"end\n")
    elif roll < 0.09:
        fields = [field.replace(b": ", b":", 1) for field in fields] + [b"X-Empty:\n", b"X-Blank: \n"]
    elif roll < 0.10:
        rng.shuffle(fields)
    return fields


def messages(seed: int, count: int, max_octets: int = 8_000_000) -> Iterator[bytes]:
    """`count` messages, LF-ended; the same for the same seed, and the first ones do not depend on `count`."""
    recent: deque[_Letter] = deque(maxlen=40)
    shapes_of, weights = zip(*shapes.SHAPES, strict=True)
    for number in range(count):
        rng = Random(f"{seed}:{number}")
        seconds = EPOCH + number * SECONDS_BETWEEN
        subject, references = _answer(rng, recent)
        letter = _Letter(b"<%d.%d.%08x@example.com>" % (seed, number, rng.getrandbits(32)), references, subject)
        recent.append(letter)
        fields = _made_odd(rng, _header(rng, seconds, letter))
        if rng.random() < 0.2:
            fields.append(_list_header(rng))
        octets = rng.lognormvariate(math.log(MEDIAN_OCTETS), _SIGMA)
        if rng.random() < 0.0005:
            octets = rng.uniform(1e6, 5e6)
        # Two fifths of the size are kept back for what encodings and headers add.
        octets = int(min(octets, max_octets) * 0.6)
        part = rng.choices(shapes_of, weights)[0](rng, octets)
        mime = (b"MIME-Version: 1.0\n" if rng.random() < 0.97 else b"") + part.header if part.header else b""
        whole = b"Return-Path: <sam@example.com>\nDelivered-To: kim@example.com\n" + _received(rng, seconds)
        if rng.random() < 0.02:
            whole = b""
        whole += b"".join(fields) + mime
        # One in two hundred has a header and nothing after it, not even the empty line.
        yield whole if whole and rng.random() < 0.005 else whole + b"\n" + part.body
