"""Address lists of header fields (RFC 5322 §3.4, obsolete syntax §4.4, broken forms taken; never raises).

    parse(value) -> [Address]    Address = (name, adl, mailbox, host), as RFC 3501 §7.4.2 wants them:
        (name or None, route or None, local part, host)    a mailbox; host is b"" where there is none
        (None, None, group name, None)                     a group begins
        (None, None, None, None)                           a group ends

    split(value) -> [bytes]      the list cut at its commas; empty where a comma could be anything else than an end
    usual(piece) -> Address | None   the mailbox, where it is all there is and in a usual form: what split() gives, if
                                     each piece is one, is what parse() gives

Quoting and comments are taken off; a comment is the name of a mailbox that has no other.  Encoded words stay as they
are, and nothing inside one separates addresses.  `value` is an unfolded field.

A quoted string or comment that never ends is read as if its first character were an ordinary one, so that the address
behind it is found.  A group that never ends is ended.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Address = tuple[bytes | None, bytes | None, bytes | None, bytes | None]

MAX_ADDRESSES = 10_000  # entries of one list, groups' marks counted too; further ones are left out

# A mailbox in its usual forms, with the comma behind it: nearly all that there are.
_PLAIN = rb"[^\x00-\x20()<>\[\],;:\"\\@]++"
_LOCAL = rb"(?:(" + _PLAIN + rb")|\"([^\"\\]++)\")@(" + _PLAIN + rb")"
_ROUTE = rb"(?:(@" + _PLAIN + rb"(?:,@" + _PLAIN + rb")*):)?"
_NAME = rb"(?:\"((?:[^\"\\]++|\\.)*)\"|(" + _PLAIN + rb"(?:[ ]" + _PLAIN + rb")*))[ \t]*+"
_COMMENT = rb"\(((?:[^()\\]++|\\.|\((?:[^()\\]++|\\.)*\))*)\)"
_USUAL = re.compile(
    rb"[ \t]*+(?:(?:" + _NAME + rb")?<" + _ROUTE + _LOCAL + rb">|" + _LOCAL + rb"(?:[ \t]*+" + _COMMENT + rb")?)"
    rb"[ \t]*+(?:,|\Z)",
    re.DOTALL,
)
# A comma in an encoded word looks like one between two addresses.
_COMMA_WITHIN = re.compile(rb"=\?[^?\s]{1,60}+\?[BbQq]\?[^?\s,]*+,")
_ATOM = (
    rb"(?P<blank>[\s\x00]++)"
    rb"|(?P<atom>=\?[^?\s]{1,60}+\?[BbQq]\?[^?\s]*+\?=|\[[^\[\]<>,;\"()]*+\]?|[^\s\x00()<>\[\],;:\"@\\]++|\\)"
)
_QUOTED = rb"|(?P<quoted>\"((?:[^\"\\]++|\\.)*)(\")?)"
_SPECIAL = rb"|(?P<special>.)"
_TOKEN = re.compile(_ATOM + _QUOTED + _SPECIAL, re.DOTALL)
_TOKEN_UNQUOTED = re.compile(_ATOM + _SPECIAL, re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_MARK = re.compile(rb"[()]|\\.", re.DOTALL)
_GROUP_END: Address = (None, None, None, None)


def parse(value: bytes) -> list[Address]:
    """The addresses of one field; see the module."""
    found: list[Address] = []
    at = 0
    match = None if _has_comma_within(value) else _USUAL.match(value)
    while match and len(found) < MAX_ADDRESSES:
        found.append(_address(match))
        at = match.end()
        if at == len(value):
            return found
        match = _USUAL.match(value, at)
    return found if match else _List(found).read(value[at:])


def split(value: bytes) -> list[bytes]:
    """The list in pieces; see the module."""
    return [] if _has_comma_within(value) or value.count(b",") >= MAX_ADDRESSES else value.split(b",")


def usual(piece: bytes) -> Address | None:
    """The one mailbox of a piece without a comma; see the module."""
    match = _USUAL.match(piece)
    return _address(match) if match and match.end() == len(piece) and b"," not in piece else None


def _has_comma_within(value: bytes) -> bool:
    return b"=?" in value and _COMMA_WITHIN.search(value) is not None


def _address(match: re.Match[bytes]) -> Address:
    quoted, name, route, mailbox, quoted_mailbox, host, bare_mailbox, bare_quoted, bare_host, comment = match.groups()
    if bare_host is not None:
        if comment:
            comment = _unescaped(comment).strip()
        return comment or None, None, bare_mailbox or bare_quoted, bare_host
    if quoted and b"\\" in quoted:
        quoted = _unescaped(quoted)
    return quoted or name or None, route, mailbox or quoted_mailbox, host


def _unescaped(text: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", text)


class _Words:
    """Pieces of text, with a blank where there was one between them, and where the unquoted @ are."""

    __slots__ = ("ats", "last_at", "pieces", "run", "spaced")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.spaced: list[bool] = []
        self.ats: set[int] = set()
        self.last_at = -1
        self.run = 0  # the first of the last pieces that stand together

    def add(self, piece: bytes, spaced: bool, is_at: bool = False) -> None:
        if is_at:
            self.last_at = len(self.pieces)
            self.ats.add(self.last_at)
        self.pieces.append(piece)
        self.spaced.append(spaced)
        last = len(self.pieces) - 1
        if last and not self._glued(last):
            self.run = last

    def take_run(self) -> _Words:
        """The last pieces that stand together, taken out."""
        taken = _Words()
        for piece, spaced in zip(self.pieces[self.run :], self.spaced[self.run :], strict=True):
            taken.add(piece, spaced)
        del self.pieces[self.run :], self.spaced[self.run :]
        return taken

    def phrase(self) -> bytes:
        """All of it, each run of blanks as one."""
        return _phrase(self.pieces, self.spaced)

    def is_route(self) -> bool:
        """Whether it begins with @, as a route does."""
        return 0 in self.ats

    def take_route(self) -> bytes | None:
        """The route up to the colon, which is taken out with it; None when there is none."""
        if not self.is_route() or b":" not in self.pieces:
            return None
        colon = self.pieces.index(b":")
        route = b"".join(self.pieces[:colon])
        del self.pieces[: colon + 1], self.spaced[: colon + 1]
        self.ats = {at - colon - 1 for at in self.ats if at > colon}
        self.last_at = max(self.ats, default=-1)
        return route

    def address(self) -> tuple[bytes, bytes, bytes]:
        """What stands before the address, local part, host.

        Blanks around dots and @ are obsolete syntax and taken out; others end the address, on both sides.
        """
        pieces = self.pieces
        if not self.ats:
            return b"", self.phrase(), b""
        at = self.last_at
        first = max(at - 1, 0)
        while first > 0 and self._glued(first):
            first -= 1
        last = at + 1
        while last + 1 < len(pieces) and self._glued(last + 1):
            last += 1
        return (
            _phrase(pieces[:first], self.spaced[:first]),
            b"".join(pieces[first:at]),
            b"".join(pieces[at + 1 : last + 1]),
        )

    def _glued(self, number: int) -> bool:
        """Whether a piece belongs to the same address as the one before it."""
        if not self.spaced[number] or self.pieces[number].startswith(b".") or self.pieces[number - 1].endswith(b"."):
            return True
        return number in self.ats or number - 1 in self.ats


def _phrase(pieces: list[bytes], spaced: list[bool]) -> bytes:
    return b"".join([b" " + piece if blank else piece for piece, blank in zip(pieces, spaced, strict=True)]).strip()


class _List:
    """The state of reading one list."""

    def __init__(self, found: list[Address]) -> None:
        self.found = found
        self.in_group = False
        self._next()

    def _next(self) -> None:
        self.words = _Words()
        self.angle: _Words | None = None
        self.after = _Words()  # what stands behind the angle bracket
        self.in_angle = False
        self.comment = b""

    def read(self, value: bytes) -> list[Address]:
        """All entries that were found before, and those of the list."""
        for kind, text, spaced in _tokens(value):
            if kind == "word":
                self._current().add(text, spaced)
            elif kind == "comment":
                self.comment = self.comment or text
            else:
                self._special(text, spaced)
            if len(self.found) >= MAX_ADDRESSES - 1:
                self._next()
                break
        self._end_mailbox()
        if self.in_group:
            self.found.append(_GROUP_END)
        return self.found

    def _current(self) -> _Words:
        if self.angle is None:
            return self.words
        return self.angle if self.in_angle else self.after

    def _special(self, text: bytes, spaced: bool) -> None:
        words = self._current()
        if text == b"<":
            if words is self.after:
                self._end_mailbox()  # a comma is missing
                self.words = words
            self.angle = self.angle or _Words()
            self.in_angle = True
        elif text == b">":
            self.in_angle = False
        elif text == b"@" and words is self.words and 0 <= words.last_at < words.run:
            following = words.take_run()
            self._end_mailbox()  # a comma is missing
            self.words = following
            self.words.add(text, spaced, is_at=True)
        elif text == b"@" or (words is self.angle and words.is_route() and text in b",:"):
            words.add(text, spaced, is_at=text == b"@")  # <@route,@route:mailbox@host>
        elif text in b",;":
            self._end_mailbox()
            if text == b";" and self.in_group:
                self.in_group = False
                self.found.append(_GROUP_END)
        elif text == b":" and not (self.in_group or self.angle or words.ats):
            self.found.append((None, None, words.phrase(), None))
            self.in_group = True
            self._next()
        else:
            words.add(text, spaced)

    def _end_mailbox(self) -> None:
        route = None
        if self.angle is not None:
            route = self.angle.take_route()
            name = self.words.phrase() or self.comment
            _, mailbox, host = self.angle.address()
        else:
            before, mailbox, host = self.words.address()
            name = before or self.comment
        if self.angle is not None or mailbox or host:
            self.found.append((name or None, route, mailbox, host))
        self._next()


def _tokens(value: bytes) -> Iterator[tuple[str, bytes, bool]]:
    """Words, comments and specials: kind, text without quoting, and whether a blank stands before."""
    at = 0
    token, comments, spaced = _TOKEN, True, False
    while match := token.match(value, at):
        at = match.end()
        kind, text = match.lastgroup, match[0]
        if kind == "blank":
            spaced = True
            continue
        if kind == "quoted":
            if match[5]:
                yield "word", _ESCAPED.sub(rb"\1", match[4]), spaced
            else:
                # No quoted string begins behind one that never ends, and nobody looks for its end again.
                token, at = _TOKEN_UNQUOTED, match.start() + 1
                yield "word", b'"', spaced
        elif text == b"(" and comments:
            end = _comment_end(value, at)
            if end:
                yield "comment", _ESCAPED.sub(rb"\1", value[at : end - 1]).strip(), spaced
                at, spaced = end, True
                continue
            comments = False
            yield "word", text, spaced
        else:
            yield ("special" if kind == "special" and text not in b'()"[]' else "word"), text, spaced
        spaced = False


def _comment_end(value: bytes, start: int) -> int:
    """Behind the parenthesis that closes the comment begun before start; 0 when none does."""
    depth = 1
    for match in _COMMENT_MARK.finditer(value, start):
        if match[0] == b"(":
            depth += 1
        elif match[0] == b")":
            depth -= 1
            if depth == 0:
                return match.end()
    return 0
