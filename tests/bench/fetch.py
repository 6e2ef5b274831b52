"""Measures of FETCH for all messages of a mailbox."""

from __future__ import annotations

import base64
import random
import re
import statistics
import zlib
from datetime import datetime
from email.message import Message
from functools import cache
from itertools import pairwise, takewhile

from tests.answers import Response, Value
from tests.bench.bench import Bench, Measure, Measures, Run, first_and_again, selected
from tests.bench.client import Client, WrongAnswer
from tests.bench.mail import PICKED, Corpus, fields

_USUAL = re.compile(r"(?:text|image|application|message)/(?!partial)[a-z0-9.+-]+")

_OPINIONS = 0.01  # of the messages may be divided otherwise, for some are odd

LARGE_OCTETS = 50_000_000
_LARGE = "Large"
_BODIES = 2000

_contents_seen: set[str] = set()  # servers whose octets were compared


def flags(bench: Bench, run: Run) -> float:
    """FETCH 1:* (FLAGS): the median of five in one session."""
    client, _ = selected(bench, run)
    times = []
    for _ in range(5):
        times.append(client.command(b"FETCH 1:* (FLAGS)") * 1000)
        bench.expect("FETCH FLAGS", client.answer().count(b" FETCH (FLAGS ("), run.corpus.count)
    client.close()
    return statistics.median(times)


def bodies(bench: Bench, run: Run) -> float:
    """FETCH BODY.PEEK[] of the first 2,000 messages: megabytes in a second."""
    sums = run.corpus.sums[:_BODIES]
    client, _ = selected(bench, run)
    took = client.command(b"FETCH 1:%d BODY.PEEK[]" % len(sums))
    bench.expect("sizes of messages", [size for _, size in client.literals()] == [size for size, _ in sums], True)
    if bench.name not in _contents_seen:  # once is enough for the octets; their sizes are looked at each time
        bench.expect("contents of messages", _sums(client) == sums, True)
        _contents_seen.add(bench.name)
    client.close()
    return sum(size for size, _ in sums) / took / 1e6


def _sums(client: Client) -> list[tuple[int, int]]:
    with memoryview(client.buffer) as view:
        return [(size, zlib.adler32(view[at : at + size])) for at, size in client.literals()]


def large(bench: Bench, run: Run) -> float:
    """FETCH BODY.PEEK[] of one message of 50 MB: megabytes in a second."""
    if bench.large is None:
        bench.large = bench.make_folder(run.corpus, _LARGE, 0)
        (bench.large / "cur" / "1600000000.M1P7.mail.example.com:2,S").write_bytes(_large_message())
        bench.place.own_mail(bench.large)
        bench.settle(bench.large.name)
    client = bench.login(run.buffer)
    client.command(b"SELECT INBOX." + _LARGE.encode())
    took = client.command(b"FETCH 1 BODY.PEEK[]")
    wire = _large_message().replace(b"\n", b"\r\n")
    bench.expect("the large message", _sums(client), [(len(wire), zlib.adler32(wire))])
    client.close()
    return len(wire) / took / 1e6


@cache
def _large_message() -> bytes:
    lines = base64.encodebytes(random.Random(50).randbytes(LARGE_OCTETS * 57 // 78))
    return b"From: sam@example.com\nSubject: a large one\nContent-Transfer-Encoding: base64\n\n" + lines


def _told(bench: Bench, run: Run, responses: list[Response]) -> list[Response]:
    """The FETCH responses, one for each message and in order."""
    told = [response for response in responses if response.kind == b"FETCH"]
    numbers = [response.number for response in told]
    bench.expect("messages told in order", numbers == list(range(1, run.corpus.count + 1)), True)
    return told


def _check_list(bench: Bench, run: Run, responses: list[Response]) -> None:
    uids = []
    for response, path, (size, _), date in zip(
        _told(bench, run, responses), run.corpus.paths, run.corpus.sums, run.corpus.dates, strict=True
    ):
        bench.expect(f"size of {path}", int(response.octets(b"RFC822.SIZE")), size)
        when = datetime.strptime(response.octets(b"INTERNALDATE").decode().strip(), "%d-%b-%Y %H:%M:%S %z")
        bench.expect(f"date of {path}", int(when.timestamp()), date)
        found = (response.flags or frozenset()) - {b"\\Recent"}
        bench.expect(f"flags of {path}", found, run.corpus.flags(response.number))
        uids.append(response.uid or 0)
    bench.expect("uids ascend", uids == sorted(set(uids)) and uids[0] > 0, True)


def _check_envelopes(bench: Bench, run: Run, responses: list[Response]) -> None:
    for response, known in zip(_told(bench, run, responses), _identities(run.corpus), strict=True):
        envelope = response.items[b"ENVELOPE"]
        assert isinstance(envelope, list)
        bench.expect(f"items in the envelope of {response.number}", len(envelope), 10)
        if known is not None:
            bench.expect(f"message-id of {response.number}", envelope[9], known)


@cache
def _identities(corpus: Corpus) -> list[bytes | None]:
    """The Message-ID of each message that has exactly one."""
    identities: list[bytes | None] = []
    for header in corpus.headers:
        found = [field for field in fields(header) if field.lower().startswith(b"message-id:")]
        identities.append(found[0].partition(b":")[2].strip() if len(found) == 1 else None)
    return identities


def _check_structures(bench: Bench, run: Run, responses: list[Response]) -> None:
    told = _told(bench, run, responses)
    structures = [response.items[b"BODYSTRUCTURE"] for response in told]
    pairs = enumerate(zip(structures, _types(run.corpus), strict=True), 1)
    other = [number for number, (structure, types) in pairs if types and _leaves(structure) != types]
    if len(other) > run.corpus.count * _OPINIONS:
        raise WrongAnswer(f"{bench.name}: {len(other)} messages of other parts than they have: {other[:20]}")


def _leaves(structure: Value) -> list[str]:
    """The media types of what is no multipart, in order."""
    assert isinstance(structure, list)
    if isinstance(structure[0], list):
        parts = takewhile(lambda value: isinstance(value, list), structure)
        return [leaf for part in parts for leaf in _leaves(part)]
    main, sub = structure[:2]
    assert isinstance(main, bytes)
    assert isinstance(sub, bytes)
    own = f"{main.decode()}/{sub.decode()}".lower()
    below = structure[8] if own == "message/rfc822" and len(structure) > 8 else None
    return [own, *_leaves(below)] if isinstance(below, list) else [own]


@cache
def _types(corpus: Corpus) -> list[list[str] | None]:
    """The media types in each message, as the standard library sees them; None where there is room for opinions."""
    return [_types_in(letter) for letter in corpus.letters()]


def _types_in(letter: Message) -> list[str] | None:
    if "MIME-Version" not in letter or any(part.defects for part in letter.walk()):
        return None
    boundaries = sorted(filter(None, (part.get_boundary() for part in letter.walk())))
    if any(longer.startswith(shorter) for shorter, longer in pairwise(boundaries)):
        return None  # the C Courier takes the longer one's delimiters for the shorter one's
    types = _leaf_types(letter)
    return types if all(_USUAL.fullmatch(kind) for kind in types) else None


def _leaf_types(part: Message) -> list[str]:
    kind = part.get_content_type()
    below = part.get_payload() if part.get_content_maintype() == "multipart" or kind == "message/rfc822" else []
    assert isinstance(below, list)
    own = [] if part.get_content_maintype() == "multipart" else [kind]
    return own + [leaf for one in below if isinstance(one, Message) for leaf in _leaf_types(one)]


def _check_headers(bench: Bench, run: Run, responses: list[Response]) -> None:
    for response, picked, (size, _) in zip(
        _told(bench, run, responses), run.corpus.picked, run.corpus.sums, strict=True
    ):
        text = next(value for name, value in response.items.items() if name.startswith(b"BODY["))
        assert isinstance(text, bytes)
        bench.expect(f"header fields of {response.number}", fields(text), picked)
        bench.expect(f"size of {response.number}", int(response.octets(b"RFC822.SIZE")), size)


MEASURES: Measures = {
    "flags": Measure("FETCH 1:* (FLAGS), ms", flags),
    **first_and_again(
        "list", "FETCH 1:* size, date, flags", b"FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)", _check_list
    ),
    **first_and_again("envelope", "FETCH 1:* ENVELOPE", b"FETCH 1:* ENVELOPE", _check_envelopes),
    **first_and_again("structure", "FETCH 1:* BODYSTRUCTURE", b"FETCH 1:* BODYSTRUCTURE", _check_structures),
    **first_and_again(
        "headers", "FETCH 1:* Thunderbird's list",
        b"FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (%s)])" % PICKED, _check_headers,
    ),
    "bodies": Measure("BODY.PEEK[] of 2,000 messages, MB/s", bodies, more=True),
    "large": Measure("BODY.PEEK[] of 50 MB, MB/s", large, more=True),
}  # fmt: skip
