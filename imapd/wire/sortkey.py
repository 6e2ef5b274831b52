"""What SORT and THREAD take (RFC 5256 section 5).

    sort            = "SORT" SP sort-criteria SP search-criteria
    sort-criteria   = "(" sort-criterion *(SP sort-criterion) ")"
    sort-criterion  = ["REVERSE" SP] sort-key
    sort-key        = "ARRIVAL" / "CC" / "DATE" / "FROM" / "SIZE" / "SUBJECT" / "TO"
    thread          = "THREAD" SP thread-alg SP search-criteria
    search-criteria = charset 1*(SP search-key)

A second REVERSE before a key takes the first one back, as in the original.  A key that was named before decides
nothing any more, so each comes back once at most.
"""

from imapd.wire import searchkey
from imapd.wire.malformed import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imapd.wire.lexer import Arguments
    from imapd.wire.searchkey import Node

    Criterion = tuple[bytes, bool]  # a key and whether it is reversed

KEYS = frozenset((b"ARRIVAL", b"CC", b"DATE", b"FROM", b"SIZE", b"SUBJECT", b"TO"))
ALGORITHMS = frozenset((b"ORDEREDSUBJECT", b"REFERENCES"))

MAX_WORDS = 1001  # in the list of criteria; as many as the original takes


def parse_sort(args: "Arguments") -> "tuple[tuple[Criterion, ...], bytes, Node]":
    """Criteria, charset and the tree of the search keys, to the end.  Raises Malformed."""
    criteria = _parse_criteria(args)
    charset = args.astring()
    return criteria, charset, searchkey.parse_keys(args)


def parse_thread(args: "Arguments") -> "tuple[bytes, bytes, Node]":
    """Algorithm, charset and the tree of the search keys, to the end.  Raises Malformed."""
    algorithm = args.keyword_upper()
    if algorithm not in ALGORITHMS:
        raise Malformed("The threading algorithms are ORDEREDSUBJECT and REFERENCES")
    charset = args.astring()
    return algorithm, charset, searchkey.parse_keys(args)


def _parse_criteria(args: "Arguments") -> "tuple[Criterion, ...]":
    args.expect_open()
    criteria: dict[bytes, bool] = {}
    is_reversed = False
    for _ in range(MAX_WORDS):
        word = args.keyword_upper()
        if word == b"REVERSE":
            is_reversed = not is_reversed
            continue
        if word not in KEYS:
            raise Malformed("The sort keys are ARRIVAL, CC, DATE, FROM, SIZE, SUBJECT and TO")
        criteria.setdefault(word, is_reversed)
        is_reversed = False
        if args.maybe_close():
            return tuple(criteria.items())
    raise Malformed(f"More than {MAX_WORDS} sort criteria")
