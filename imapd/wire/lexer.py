r"""A cursor over one command, with a method for each production (RFC 3501 §9).

Each method takes what it names and raises Malformed when something else is there; maybe_x takes it if it is there.
Between tokens the original skips SP, TAB and CR freely and wants a blank only where two tokens would run together:
clients have come to rely on it (`FETCH 1 (BODY [])`, `STORE 1 +FLAGS(\Seen)`), so every method skips blanks first.
After a Malformed the cursor is of no more use.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64

from imapd.wire import datetime, numset, section
from imapd.wire.malformed import Malformed as Malformed

TAG_OCTETS = 255
ATOM_OCTETS = 16384
QUOTED_OCTETS = 8192  # after unquoting; longer strings can come as literals
KEYWORD_OCTETS = 255
NESTING = 50  # parentheses within parentheses

SYSTEM_FLAGS = {flag.upper(): flag for flag in (b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Seen", b"\\Draft")}

_BLANKS = re.compile(rb"[ \t\r]*")
# RFC: ASTRING-CHAR without "+".  A backslash may begin it: the original's tag \SMAP1.
_TAG = re.compile(rb"\\?[!#$&',-\[\]^-z|}~]+")
# The original's atoms end at brackets, so that BODY[ is two tokens.
_ATOM = re.compile(rb"[!#-'*-Z^-z|]+")
# RFC: ASTRING-CHAR; besides % and *, which the original takes too (in passwords typed by hand, for one).
_ASTRING = re.compile(rb"[!#-'*-\[\]-z|}~]+")
_FLAG = re.compile(rb"\\?[!#$&'+-\[^-z|}~]+")  # flag-keyword = atom
_QUOTED = re.compile(rb'"([^"\\\r\n\x00]*(?:\\[^\r\n\x00][^"\\\r\n\x00]*)*)"')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_LITERAL = re.compile(rb"~?\{([0-9]{1,60})\+?\}\r\n")
_DIGITS = re.compile(rb"[0-9]+(?![!#-'+-Z^-z|~])")
_SET = re.compile(rb"[0-9:,*]+")
_DATE = re.compile(rb"[0-9]{1,2}-[A-Za-z]{3}-[0-9]{4}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}|=")


class Arguments:
    """The cursor.  `octets` and `streamed` are those of a fragment.Command."""

    __slots__ = ("_at", "_depth", "_octets", "_streamed")

    def __init__(self, octets: bytes, streamed: tuple[int, ...] = ()) -> None:
        self._octets = octets
        self._streamed = streamed
        self._at = 0
        self._depth = 0

    # The cursor itself

    def malformed(self, expected: str) -> Malformed:
        """What to raise when something else stands here."""
        return Malformed(f"Expected {expected} at octet {self._at + 1}")

    @property
    def peek(self) -> bytes:
        """The next octet that is not a blank; b"" at the end."""
        self._skip_blanks()
        return self._octets[self._at : self._at + 1]

    @property
    def at_end(self) -> bool:
        """Whether nothing but blanks is left."""
        return not self.peek

    @property
    def position(self) -> int:
        """Where the cursor is; set it to go back over what was read, but not over parentheses."""
        return self._at

    @position.setter
    def position(self, octet: int) -> None:
        self._at = octet

    def maybe_match(self, pattern: re.Pattern[bytes]) -> bytes | None:
        """Take what the pattern matches here, if it does."""
        self._skip_blanks()
        match = pattern.match(self._octets, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _skip_blanks(self) -> None:
        match = _BLANKS.match(self._octets, self._at)
        if match is not None:
            self._at = match.end()

    def _starts_with(self, text: bytes) -> bool:
        return self._octets.startswith(text, self._at)

    def maybe_char(self, char: bytes) -> bool:
        """Take one octet if it is char."""
        if self.peek != char:
            return False
        self._at += 1
        return True

    def expect_char(self, char: bytes) -> None:
        """Take one octet, which must be char."""
        if not self.maybe_char(char):
            raise self.malformed(char.decode("ascii"))

    def maybe_open(self) -> bool:
        """Take an opening parenthesis if one is here; NESTING bounds how deep they may stand."""
        if not self.maybe_char(b"("):
            return False
        self._depth += 1
        if self._depth > NESTING:
            raise Malformed(f"Parentheses nested deeper than {NESTING}")
        return True

    def expect_open(self) -> None:
        """Take an opening parenthesis."""
        if not self.maybe_open():
            raise self.malformed("an opening parenthesis")

    def maybe_close(self) -> bool:
        """Take a closing parenthesis if one is here."""
        if not self.maybe_char(b")"):
            return False
        self._depth -= 1
        return True

    def expect_close(self) -> None:
        """Take a closing parenthesis."""
        if not self.maybe_close():
            raise self.malformed("a closing parenthesis")

    def expect_end(self) -> None:
        """Nothing may be left."""
        if not self.at_end:
            raise self.malformed("the end of the command")

    # Words and numbers

    def tag(self) -> bytes:
        """`tag = 1*<any ASTRING-CHAR except "+">`, as it was written: it is echoed."""
        tag = self.maybe_match(_TAG)
        if tag is None:
            raise self.malformed("a tag")
        if len(tag) > TAG_OCTETS:
            raise Malformed(f"Tag longer than {TAG_OCTETS} octets")
        return tag

    def maybe_atom(self) -> bytes | None:
        """An atom as the original reads it: it ends at blanks, quotes, brackets, braces, parentheses and 8-bit."""
        atom = self.maybe_match(_ATOM)
        if atom is not None and len(atom) > ATOM_OCTETS:
            raise Malformed(f"Word longer than {ATOM_OCTETS} octets")
        return atom

    def atom(self) -> bytes:
        """`atom = 1*ATOM-CHAR`; see maybe_atom."""
        atom = self.maybe_atom()
        if atom is None:
            raise self.malformed("a word")
        return atom

    def maybe_keyword_upper(self) -> bytes | None:
        """An atom in upper case, if one is here."""
        atom = self.maybe_atom()
        return None if atom is None else atom.upper()

    def keyword_upper(self) -> bytes:
        """An atom in upper case: the name of a command, an item, a key."""
        return self.atom().upper()

    def number(self) -> int:
        """`number = 1*DIGIT`, of 32 bits."""
        return self._number(0xFFFFFFFF)

    def number64(self) -> int:
        """`number64 = 1*DIGIT`, of 63 bits (RFC 9051 §9)."""
        return self._number(0x7FFFFFFFFFFFFFFF)

    def _number(self, largest: int) -> int:
        start = self._at
        digits = self.maybe_match(_DIGITS)
        significant = digits.lstrip(b"0") if digits else b""
        if digits is None or len(significant) > 19 or int(significant or b"0") > largest:
            self._at = start
            raise self.malformed(f"a number up to {largest}")
        return int(significant or b"0")

    def sequence_set(self) -> numset.SequenceSet:
        """A `sequence-set`; see numset."""
        text = self.maybe_match(_SET)
        if text is None:
            raise self.malformed("a message set")
        return numset.parse(text)

    def base64(self) -> bytes:
        """The octets that an initial-resp of AUTHENTICATE encodes; `=` stands for none (RFC 4959 §3)."""
        text = self.maybe_match(_BASE64)
        if text is None:
            raise self.malformed("base64")
        return b"" if text == b"=" else decode_base64(text)

    # Strings

    def maybe_nil(self) -> bool:
        """Take NIL, in any case, if that word is here."""
        start = self._at
        word = self.maybe_match(_ASTRING)
        if word is not None and word.upper() == b"NIL":
            return True
        self._at = start
        return False

    def string(self) -> bytes:
        r"""`string = quoted / literal`.  In quoted strings `\x` is x and 8-bit must be UTF-8 (RFC 9051 §4.3)."""
        if self.peek == b'"':
            return self._quoted()
        value = self._inline_literal()
        if value is None:
            raise self.malformed("a string")
        if b"\0" in value:
            raise Malformed("A string cannot hold NUL")
        return value

    def nstring(self) -> bytes | None:
        """`nstring = string / nil`."""
        return None if self.maybe_nil() else self.string()

    def astring(self) -> bytes:
        """`astring = 1*ASTRING-CHAR / string`.  The word NIL is a string like any other here."""
        if self.peek in (b'"', b"{") or self._starts_with(b"~{"):
            return self.string()
        word = self.maybe_match(_ASTRING)
        if word is None:
            raise self.malformed("a word or a string")
        if len(word) > ATOM_OCTETS:
            raise Malformed(f"Word longer than {ATOM_OCTETS} octets")
        return word

    def mailbox(self) -> bytes:
        """`mailbox = "INBOX" / astring`: the octets as sent, neither decoded nor folded."""
        return self.astring()

    def list_mailbox(self) -> bytes:
        """`list-mailbox = 1*list-char / string`: a mailbox name with wildcards."""
        return self.astring()

    def literal_position(self) -> int:
        """A literal whose octets were streamed; the offset by which fragment.Command knows it."""
        self._skip_blanks()
        match = _LITERAL.match(self._octets, self._at)
        if match is None or match.end() not in self._streamed:
            raise self.malformed("a literal")
        self._at = match.end()
        return self._at

    def _quoted(self) -> bytes:
        match = _QUOTED.match(self._octets, self._at)
        if match is None:
            raise self.malformed("a quoted string that ends on its line")
        value = match[1]
        if b"\\" in value:
            value = _ESCAPE.sub(rb"\1", value)
        if len(value) > QUOTED_OCTETS:
            raise Malformed(f"Quoted string longer than {QUOTED_OCTETS} octets; send it as a literal")
        if not value.isascii() and not _is_utf8(value):
            raise self.malformed("valid UTF-8 in the quoted string")
        self._at = match.end()
        return value

    def _inline_literal(self) -> bytes | None:
        match = _LITERAL.match(self._octets, self._at)
        if match is None or match.end() in self._streamed:
            return None
        end = match.end() + int(match[1])
        if end > len(self._octets):
            return None
        self._at = end
        return self._octets[match.end() : end]

    # Flags

    def flag(self) -> bytes:
        r"""`flag = "\Answered" / … / flag-keyword`.

        System flags come back in their usual case.  \Recent cannot be set, and there are no flag-extensions.
        """
        word = self.maybe_match(_FLAG)
        if word is None:
            raise self.malformed("a flag")
        if word[:1] == b"\\":
            flag = SYSTEM_FLAGS.get(word.upper())
            if flag is None:
                raise Malformed("The flags with a backslash are \\Answered \\Flagged \\Deleted \\Seen \\Draft")
            return flag
        return _short_keyword(word)

    def flag_keyword(self) -> bytes:
        """`flag-keyword = atom`: a flag without a backslash, as it was written."""
        word = self.maybe_match(_FLAG)
        if word is None or word[:1] == b"\\":
            raise self.malformed("a keyword")
        return _short_keyword(word)

    def flag_list(self) -> list[bytes]:
        """`flag-list = "(" [flag *(SP flag)] ")"`, or NIL for none."""
        if self.peek != b"(" and self.maybe_nil():
            return []
        self.expect_open()
        flags = []
        while not self.maybe_close():
            flags.append(self.flag())
        return flags

    def store_flags(self) -> list[bytes]:
        """What STORE takes: `flag-list / (flag *(SP flag))`, to the end of the command."""
        if self.peek == b"(":
            return self.flag_list()
        if self.maybe_nil():
            return []
        flags = [self.flag()]
        while not self.at_end:
            flags.append(self.flag())
        return flags

    # Dates

    def date(self) -> tuple[int, int, int]:
        """Year, month, day: `date = date-text / DQUOTE date-text DQUOTE`."""
        text = self._quoted() if self.peek == b'"' else self.maybe_match(_DATE)
        if text is None:
            raise self.malformed("a date as d-Mon-yyyy")
        return datetime.parse_date(text)

    def date_time(self) -> int:
        """Seconds since the epoch; see datetime.parse_date_time."""
        if self.peek != b'"':
            raise self.malformed("a date and time in quotes")
        return datetime.parse_date_time(self._quoted())

    # What FETCH asks for

    def section(self) -> section.Section:
        """A section in its brackets; see section."""
        return section.parse_section(self)

    def partial(self) -> tuple[int, int | None] | None:
        """`<start.count>` if one is here; see section."""
        return section.parse_partial(self)


def decode_base64(text: bytes) -> bytes:
    """The octets of a line of base64 (RFC 4648 §4, padded).  Raises Malformed."""
    try:
        return a2b_base64(text, strict_mode=True)
    except Base64Error:
        raise Malformed("Invalid base64") from None


def _short_keyword(word: bytes) -> bytes:
    if len(word) > KEYWORD_OCTETS:
        raise Malformed(f"Keyword longer than {KEYWORD_OCTETS} octets")
    return word


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
