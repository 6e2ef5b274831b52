"""Message-IDs, as threading compares them (RFC 5256 section 3, step 1; RFC 5322 section 3.6.4).

    own(value) -> bytes                 of a Message-ID field, b"" for none
    lineage(references, in_reply_to)    the messages that one stands below, the eldest first

An id is what stands between angle brackets, with quoting taken off (`<"a.b"@c>` and `<a.b@c>` are one), without blanks.
"""

from __future__ import annotations

import re

MAX_ID = 998  # octets; longer ones are none
MAX_VALUE = 1 << 16  # octets of a field that are looked at: the last ones, which name the nearest relatives
MAX_LINEAGE = 12_000  # octets of the ids of one message together; the eldest are left out

_ID = re.compile(rb"<([^<>]*+)>")
_ADDRESS = re.compile(rb"<([^<>@]*+@[^<>]*+)>")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def own(value: bytes | None) -> bytes:
    """The id of a message, from its unfolded field."""
    match = _ID.search(value[:MAX_VALUE]) if value else None
    return _plain(match[1]) if match else b""


def lineage(references: bytes | None, in_reply_to: bytes | None) -> list[bytes]:
    """The ids of a References field; without any, the first one of In-Reply-To."""
    if references:
        found = list(filter(None, map(_plain, _ID.findall(references[-MAX_VALUE:]))))
        if found:
            return _last(found)
    match = _ADDRESS.search(in_reply_to[:MAX_VALUE]) if in_reply_to else None
    plain = _plain(match[1]) if match else b""
    return [plain] if plain else []


def _plain(text: bytes) -> bytes:
    if b'"' in text or b"\\" in text:
        text = _ESCAPE.sub(rb"\1", text).replace(b'"', b"")
    text = b"".join(text.split())
    return text if len(text) <= MAX_ID else b""


def _last(ids: list[bytes]) -> list[bytes]:
    """The last ones that there is room for."""
    room = MAX_LINEAGE
    for place in range(len(ids) - 1, -1, -1):
        room -= len(ids[place]) + 1
        if room < 0:
            return ids[place + 1 :]
    return ids
