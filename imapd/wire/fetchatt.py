"""The list of what FETCH is to fetch (RFC 3501 §6.4.5, §9).

    fetch     = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
    fetch-att = name / "BODY" [".PEEK"] section [partial] / …

Only the shape is known here: which names exist is the caller's to say.  As in the original the macros may stand
inside the list, and blanks may stand before a section.
"""

from imapd.wire.malformed import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imapd.wire.lexer import Arguments
    from imapd.wire.section import Section

MAX_ITEMS = 256  # in one FETCH: each may ask for the whole message again

_FAST = (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE")
_MACROS = {b"FAST": _FAST, b"ALL": (*_FAST, b"ENVELOPE"), b"FULL": (*_FAST, b"ENVELOPE", b"BODY")}


class Item:
    """One fetch-att: `name` in upper case without .PEEK; `section` is None for a name without brackets.

    BODY without a section is the structure, BODY with one is text.  `partial` is (start, count or None) or None.
    """

    __slots__ = ("_response_name", "name", "partial", "peek", "section")

    def __init__(
        self,
        name: bytes,
        section: "Section | None" = None,
        partial: tuple[int, int | None] | None = None,
        peek: bool = False,
    ) -> None:
        self.name = name
        self.section = section
        self.partial = partial
        self.peek = peek
        self._response_name = b""  # when it has been asked for

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Item):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.name, self.section, self.partial, self.peek

    def __repr__(self) -> str:
        return f"Item({self.name!r}, {self.section!r}, {self.partial!r}, {self.peek!r})"

    @property
    def response_name(self) -> bytes:
        """What the response calls it: `BODY[1]<0>` for BODY.PEEK[1]<0.10>."""
        if self.section is None:
            return self.name
        if not self._response_name:
            start = None if self.partial is None else self.partial[0]
            self._response_name = self.section.response_name(start, self.name)
        return self._response_name


def parse(args: "Arguments") -> list[Item]:
    """Parse one item or a list of them, macros replaced by what they stand for.  Raises Malformed."""
    items: list[Item] = []
    if not args.maybe_open():
        _parse_item(args, items)
        return items
    _parse_item(args, items)
    while not args.maybe_close():
        _parse_item(args, items)
    return items


def _parse_item(args: "Arguments", items: list[Item]) -> None:
    name = args.keyword_upper()
    if args.peek == b"[":
        peek = name.endswith(b".PEEK")
        items.append(Item(name.removesuffix(b".PEEK"), args.section(), args.partial(), peek))
    elif name in _MACROS:
        items.extend(Item(each) for each in _MACROS[name])
    else:
        items.append(Item(name))
    if len(items) > MAX_ITEMS:
        raise Malformed(f"More than {MAX_ITEMS} items")
