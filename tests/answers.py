"""A client's reading of what an IMAP server sends: octets in, responses out, and nothing is forgiven.

What is half, or does not fit the grammar of RFC 3501, raises Garbled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

STATUSES = (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH")

_LITERAL = re.compile(rb"\{(\d+)\}\r\n")
_TOKEN = re.compile(
    rb'(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\\r\n]|\\["\\])*)"|(?P<atom>(?:[^\s()"{\[\]]|\[[^\]]*\])+)'
)
_STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH) (?:\[([^\]\r\n]+)\] ?)?([^\r\n]*)")
_NUMBERED = re.compile(rb"(\d+) (EXISTS|RECENT|EXPUNGE|FETCH)(?: |$)")

Value = bytes | int | None | list["Value"]


class Garbled(AssertionError):
    """The server sent what is no response."""


class Response:
    """One response, whole: `raw` with its CRLF.

    tag is b"*", b"+" or the client's; kind the response's name in upper case (b"FETCH", b"OK").  number is that of
    EXISTS, RECENT, EXPUNGE and FETCH; items what a FETCH tells; code and text are those of a status; values the rest.
    """

    __slots__ = ("code", "items", "kind", "number", "raw", "tag", "text", "values")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.tag, _, rest = raw[:-2].partition(b" ")
        self.kind = b""
        self.number = 0
        self.code = self.text = b""
        self.items: dict[bytes, Value] = {}
        self.values: list[Value] = []
        if not self.tag:
            raise Garbled(f"no tag: {raw!r}")
        if self.tag == b"+":
            self.text = rest
        elif status := _STATUS.fullmatch(rest):
            self.kind, self.code, self.text = status[1], status[2] or b"", status[3]
        elif self.tag != b"*":
            raise Garbled(f"a tag and no status: {raw!r}")
        elif numbered := _NUMBERED.match(rest):
            self._read_numbered(numbered, rest)
        else:
            word, _, values = rest.partition(b" ")
            self.kind = word.upper()
            self.values = list(_values(values, raw))

    def _read_numbered(self, numbered: re.Match[bytes], rest: bytes) -> None:
        self.number, self.kind = int(numbered[1]), numbered[2]
        values = list(_values(rest[numbered.end() :], self.raw))
        if self.kind != b"FETCH":
            if values:
                raise Garbled(f"too much: {self.raw!r}")
            return
        if len(values) != 1 or not isinstance(values[0], list) or len(values[0]) % 2:
            raise Garbled(f"not pairs of a name and a value: {self.raw!r}")
        pairs = iter(values[0])
        for name in pairs:
            if not isinstance(name, bytes) or name.upper() in self.items:
                raise Garbled(f"the name of an item: {self.raw!r}")
            self.items[name.upper()] = next(pairs)

    @property
    def is_tagged(self) -> bool:
        """True for the line that completes a command."""
        return self.tag not in (b"*", b"+")

    @property
    def uid(self) -> int | None:
        """What a FETCH tells as UID."""
        value = self.items.get(b"UID")
        return int(value) if isinstance(value, bytes) else None

    @property
    def flags(self) -> frozenset[bytes] | None:
        """What a FETCH tells as FLAGS."""
        value = self.items.get(b"FLAGS")
        if value is None:
            return None
        assert isinstance(value, list)
        return frozenset(word for word in value if isinstance(word, bytes))

    def octets(self, name: bytes) -> bytes:
        """The value of a FETCH item that is a string, an atom or a number."""
        value = self.items[name]
        assert isinstance(value, bytes), (name, value)
        return value

    def __repr__(self) -> str:
        return repr(self.raw)


def _values(octets: bytes, raw: bytes) -> Iterator[Value]:
    """The values of a line, parenthesised lists as lists."""
    stack: list[list[Value]] = []
    place = 0
    while place < len(octets):
        if octets[place : place + 1] == b" ":
            place += 1
            continue
        value: Value
        if literal := _LITERAL.match(octets, place):
            place = literal.end() + int(literal[1])
            value = octets[literal.end() : place]
        elif token := _TOKEN.match(octets, place):
            place = token.end()
            if token["open"]:
                stack.append([])
                continue
            if token["close"]:
                if not stack:
                    raise Garbled(f"a parenthesis too many: {raw!r}")
                value = stack.pop()
            elif token["quoted"] is not None:
                value = re.sub(rb"\\(.)", rb"\1", token["quoted"])
            else:
                value = None if token["atom"].upper() == b"NIL" else token["atom"]
        else:
            raise Garbled(f"at octet {place} of {octets!r}: {raw!r}")
        if stack:
            stack[-1].append(value)
        else:
            yield value
    if stack:
        raise Garbled(f"a parenthesis too few: {raw!r}")


class Reader:
    """Cuts what comes over a connection into responses."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._looked = 0  # up to here there is no end of a response

    @property
    def half(self) -> bytes:
        """What has come of the next response: at the end of a connection this must be nothing."""
        return bytes(self._buffer)

    def feed(self, octets: bytes) -> list[Response]:
        """Take octets; returns the responses that they complete."""
        self._buffer += octets
        complete = []
        while (end := self._end()) is not None:
            complete.append(Response(bytes(self._buffer[:end])))
            del self._buffer[:end]
            self._looked = 0
        return complete

    def _end(self) -> int | None:
        while True:
            end = self._buffer.find(b"\r\n", self._looked)
            if end < 0:
                return None
            end += 2
            opened = self._buffer.rfind(b"{", self._looked, end)
            literal = _LITERAL.fullmatch(self._buffer, opened, end) if opened >= 0 else None
            if literal is None:
                return end
            if len(self._buffer) < end + int(literal[1]):
                return None
            self._looked = end + int(literal[1])
