"""The criteria of SEARCH, as a tree of tuples (RFC 3501 §6.4.4, §9).

    search     = "SEARCH" [SP "CHARSET" SP astring] 1*(SP search-key)
    search-key = "ALL" / "ANSWERED" / … / sequence-set / "(" search-key *(SP search-key) ")"
               / "NOT" SP search-key / "OR" SP search-key SP search-key

A node begins with its name in upper case and goes on with what it takes:

    (b"AND", [node, …])   (b"OR", node, node)   (b"NOT", node)
    (b"SEQ", SequenceSet)   (b"UID", SequenceSet)   (b"SEEN",)   (b"FROM", text)   (b"HEADER", name, text)
    (b"SINCE", (year, month, day))   (b"LARGER", octets)   (b"KEYWORD", keyword)

A list of one key is that key itself, so an AND has two or more.  Strings are as sent, in the charset that was named.
"""

from imapd.wire.lexer import Arguments
from imapd.wire.malformed import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Node = tuple[object, ...]
    Keys = Mapping[bytes, tuple[Callable[[Arguments], object], ...]]

MAX_TERMS = 1000  # keys, NOTs, ORs and groups of one command together
MAX_DEPTH = 50  # of NOT, OR and parentheses within each other

_TEXT = (Arguments.astring,)
_DATE = (Arguments.date,)
_OCTETS = (Arguments.number64,)
_KEYWORD = (Arguments.flag_keyword,)

# What each key takes, as the cursor's methods.  A caller adds the keys of its extensions to a copy.
KEYS: "Keys" = {
    **dict.fromkeys((b"ALL", b"ANSWERED", b"DELETED", b"DRAFT", b"FLAGGED", b"NEW", b"OLD", b"RECENT", b"SEEN"), ()),
    **dict.fromkeys((b"UNANSWERED", b"UNDELETED", b"UNDRAFT", b"UNFLAGGED", b"UNSEEN"), ()),
    **dict.fromkeys((b"BCC", b"BODY", b"CC", b"FROM", b"SUBJECT", b"TEXT", b"TO"), _TEXT),
    **dict.fromkeys((b"BEFORE", b"ON", b"SINCE", b"SENTBEFORE", b"SENTON", b"SENTSINCE"), _DATE),
    **dict.fromkeys((b"LARGER", b"SMALLER"), _OCTETS),
    **dict.fromkeys((b"KEYWORD", b"UNKEYWORD"), _KEYWORD),
    b"HEADER": (Arguments.astring, Arguments.astring),
    b"UID": (Arguments.sequence_set,),
}


def parse(args: Arguments, keys: "Keys" = KEYS) -> "tuple[bytes | None, Node]":
    """The charset as it was named (None: not named) and the tree of the keys, to the end.  Raises Malformed."""
    charset = None
    before = args.position
    if args.maybe_keyword_upper() == b"CHARSET":
        charset = args.astring()
    else:
        args.position = before
    return charset, parse_keys(args, keys)


def parse_keys(args: Arguments, keys: "Keys" = KEYS) -> "Node":
    """The tree of one or more keys, to the end of the command.  Raises Malformed."""
    parser = _Parser(args, keys)
    nodes = [parser.key(0)]
    while not args.at_end:
        nodes.append(parser.key(0))
    return _all_of(nodes)


class _Parser:
    """One walk over the keys, counting them."""

    __slots__ = ("_args", "_keys", "_terms")

    def __init__(self, args: Arguments, keys: "Keys") -> None:
        self._args = args
        self._keys = keys
        self._terms = 0

    def key(self, depth: int) -> "Node":
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise Malformed(f"More than {MAX_TERMS} search terms")
        if depth > MAX_DEPTH:
            raise Malformed(f"Search terms nested deeper than {MAX_DEPTH}")
        args = self._args
        if args.maybe_open():
            return self._group(depth + 1)
        if args.peek.isdigit() or args.peek == b"*":
            return (b"SEQ", args.sequence_set())
        name = args.maybe_keyword_upper()
        if name == b"NOT":
            return (b"NOT", self.key(depth + 1))
        if name == b"OR":
            return (b"OR", self.key(depth + 1), self.key(depth + 1))
        if name is None or name not in self._keys:
            raise args.malformed("a search key") if name is None else Malformed("Unknown search key")
        return (name, *(argument(args) for argument in self._keys[name]))

    def _group(self, depth: int) -> "Node":
        nodes = [self.key(depth)]
        while not self._args.maybe_close():
            nodes.append(self.key(depth))
        return _all_of(nodes)


def _all_of(nodes: "list[Node]") -> "Node":
    return nodes[0] if len(nodes) == 1 else (b"AND", nodes)
