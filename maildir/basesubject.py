"""The subject without "Re:", "Fwd:" and labels, and the form in which texts are put in order.

    base_subject(text) -> (base, is_answer)     RFC 5256 section 2.1, over the decoded text of the field
    collation_key(text) -> bytes                i;unicode-casemap (RFC 5051): equal and in order as its octets are

Neither raises.  Only the first MAX_SUBJECT characters of a subject count: to take labels off one by one takes time
that grows with the square of its length.
"""

from __future__ import annotations

import re

MAX_SUBJECT = 2000

_BLOB = r"\[[^\[\]]*+\] ?"
# subj-leader, where blanks are single: any number of labels, then "Re:", "Fw:" or "Fwd:" with a label of its own.
_LEADER = re.compile(rf"(?:{_BLOB})*(?:re|fwd?) ?(?:{_BLOB})?: ?", re.IGNORECASE | re.ASCII)
_LABEL = re.compile(_BLOB)
_TRAILER = "(fwd)"
_FORWARD_HEAD, _FORWARD_TAIL = "[fwd:", "]"
# Letters whose title case is not their upper case: digraphs, Georgian, Greek with iota below.
_TITLED = re.compile("[\u01c4-\u01cc\u01f1-\u01f3\u10d0-\u10ff\u1c90-\u1cbf\u1f80-\u1fff]")
_MAY_LEAD = frozenset("[rRfF")


def base_subject(text: str) -> tuple[str, bool]:
    """The base subject, and whether the subject is that of an answer or of forwarded mail."""
    text = " ".join(text[:MAX_SUBJECT].split())
    is_answer = False
    while True:
        while text[-5:].lower() == _TRAILER:
            text = text[:-5].rstrip(" ")
            is_answer = True
        text, was_led = _without_leaders(text)
        is_answer = is_answer or was_led
        if text[:5].lower() != _FORWARD_HEAD or not text.endswith(_FORWARD_TAIL):
            return text, is_answer
        text = text[5:-1].strip(" ")
        is_answer = True


def _without_leaders(text: str) -> tuple[str, bool]:
    """Take off what stands in front (steps 3 to 5)."""
    was_led = False
    while text[:1] in _MAY_LEAD:
        leader = _LEADER.match(text)
        if leader is not None:
            text = text[leader.end() :]
            was_led = True
            continue
        label = _LABEL.match(text)
        if label is None or label.end() == len(text):
            break
        text = text[label.end() :]
    return text, was_led


def collation_key(text: str) -> bytes:
    """What compares in place of the text."""
    if text.isascii():
        return text.upper().encode()
    from unicodedata import normalize

    upper = text.upper()
    if len(upper) != len(text) or _TITLED.search(text):
        # Single letters only: RFC 5051 knows the simple mappings, in which "ß" stays what it is.
        upper = "".join([title if len(title := sign.title()) == 1 else sign for sign in text])
    return normalize("NFKD", upper).encode("utf-8", "surrogatepass")
