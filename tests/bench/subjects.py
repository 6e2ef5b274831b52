"""The base subject of RFC 5256 section 2.1, by plain means: what SORT and THREAD are compared with."""

from __future__ import annotations

import re

_TRAILER = re.compile(r"(?:\(fwd\)|\s)$", re.IGNORECASE)
_BLOB = r"\[[^\[\]]*\]\s*"
_LEADER = re.compile(rf"^(?:(?:{_BLOB})*(?:re|fwd?)\s*(?:{_BLOB})?:|\s)", re.IGNORECASE)
_FIRST_BLOB = re.compile(rf"^{_BLOB}")
_FORWARDED = re.compile(r"^\[fwd:(.*)\]$", re.IGNORECASE | re.DOTALL)


def base(subject: str) -> tuple[str, bool]:
    """The base subject, and whether the subject is that of a reply or forward."""
    text = re.sub(r"[ \t\r\n]+", " ", subject)
    is_reply = False
    while True:
        while found := _TRAILER.search(text):
            is_reply |= found[0] != " "
            text = text[: found.start()]
        text, replied = _without_leaders(text)
        is_reply |= replied
        wrapped = _FORWARDED.match(text)
        if not wrapped:
            return text, is_reply
        text, is_reply = wrapped[1], True


def _without_leaders(text: str) -> tuple[str, bool]:
    is_reply = False
    while True:
        if found := _LEADER.match(text):
            is_reply |= found[0] != " "
            text = text[found.end() :]
        elif (found := _FIRST_BLOB.match(text)) and found.end() < len(text):
            text = text[found.end() :]
        else:
            return text, is_reply
