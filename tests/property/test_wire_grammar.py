"""The grammar against models: sets are sets, what is encoded reads back, and garbage is only ever Malformed."""

from array import array

from hypothesis import example, given
from hypothesis import strategies as st

from imapd.wire import datetime, fetchatt, mutf7, numset, response, searchkey, section
from imapd.wire.lexer import Arguments, Malformed

NUMBERS = st.integers(1, 60)
ENDS = st.one_of(NUMBERS, st.just("*"))
RANGES = st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=8)


def written(ranges):
    return b",".join(b"%b:%b" % (str(low).encode(), str(high).encode()) for low, high in ranges)


def members(ranges, largest):
    """RFC 3501 §9, literally."""
    named = set()
    for low, high in ranges:
        low, high = (largest if end == "*" else end for end in (low, high))
        named |= set(range(min(low, high), max(low, high) + 1))
    return named


@given(RANGES, st.sets(NUMBERS, min_size=1))
def test_uids_are_those_that_the_set_names(ranges, uids):
    chosen = numset.parse(written(ranges))
    ordered = sorted(uids)
    named = members(ranges, ordered[-1])
    positions = chosen.indexes_of_uids(array("I", ordered))
    assert [ordered[position] for position in positions] == sorted(uids & named)


@given(RANGES, st.integers(1, 60))
def test_sequence_numbers_are_those_that_the_set_names(ranges, count):
    numbers, outside = numset.parse(written(ranges)).sequence_numbers(count)
    explicit = members([(low, high) for low, high in ranges if "*" not in (low, high)], count)
    assert list(numbers) == sorted(number for number in members(ranges, count) if number <= count)
    assert set(outside) <= {number for number in explicit if number > count}
    assert bool(outside) == any(number > count for number in explicit)


@given(RANGES)
def test_a_set_written_out_reads_back(ranges):
    chosen = numset.parse(written(ranges))
    assert numset.parse(chosen.octets) == chosen


@given(st.lists(NUMBERS))
def test_compact_keeps_numbers_and_order(numbers):
    octets = numset.compact(numbers)
    back = []
    for part in octets.split(b",") if octets else []:
        low, _, high = part.partition(b":")
        back += range(int(low), int(high or low) + 1)
    assert back == numbers


@given(st.text())
def test_names_survive_modified_utf7(name):
    try:
        octets = mutf7.encode(name)
    except UnicodeEncodeError:
        return
    assert mutf7.decode(octets) == name


@given(st.binary() | st.lists(st.sampled_from([b"&", b"-", b"AGE", b"Jjo", b"2D3eAA", b"a"])).map(b"".join))
def test_modified_utf7_has_one_form_of_a_name(octets):
    try:
        name = mutf7.decode(octets)
    except ValueError:
        return
    assert mutf7.encode(name) == octets


@given(st.binary().filter(lambda value: b"\0" not in value))
def test_strings_read_back(value):
    for encode in (response.string, response.literal, response.astring, response.mailbox):
        try:
            assert Arguments(encode(value)).astring() == value
        except Malformed:
            # The one thing the encoder leaves to its caller: 8-bit in a quoted name is UTF-8.
            assert encode is response.mailbox
            assert not value.isascii()


@given(st.floats(allow_nan=False) | st.integers(-(10**12), 10**12), st.integers(-1439, 1439))
def test_internaldates_read_back(seconds, offset):
    text = datetime.internaldate(seconds, offset)
    clamped = min(max(seconds, -62135510400), 253402214399)
    assert len(text) == 28
    assert datetime.parse_date_time(text[1:-1]) == int(clamped)


@given(st.integers(-700000, 2900000))
def test_days_are_those_of_the_calendar(days):
    from datetime import date, timedelta

    day = date(1970, 1, 1) + timedelta(days=days)
    assert datetime.days_from_epoch(day.year, day.month, day.day) == days


FIELDS = st.text("!#$%&'+-./\\\"()[]{}aZ09", max_size=8).map(str.encode)
SECTIONS = st.one_of(
    st.builds(
        section.Section,
        st.lists(st.integers(1, 2**31), max_size=5).map(tuple),
        st.sampled_from([b"", b"TEXT", b"HEADER"]),
    ),
    st.builds(
        section.Section,
        st.lists(st.integers(1, 9), max_size=5).map(tuple),
        st.sampled_from([b"HEADER.FIELDS", b"HEADER.FIELDS.NOT"]),
        st.lists(FIELDS, min_size=1, max_size=4).map(tuple),
    ),
    st.builds(section.Section, st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple), st.just(b"MIME")),
)


@given(SECTIONS, st.none() | st.tuples(st.integers(0, 2**40), st.none() | st.integers(1, 2**40)))
def test_what_a_response_names_reads_back(asked, partial):
    item = fetchatt.Item(b"BODY", asked, partial)
    args = Arguments(item.response_name)
    expected = fetchatt.Item(b"BODY", asked, partial and (partial[0], None))
    assert fetchatt.parse(args) == [expected]
    args.expect_end()


KEYS = st.recursive(
    st.sampled_from(
        [
            (b"SEEN",),
            (b"ALL",),
            (b"FROM", b"a b"),
            (b"LARGER", 5),
            (b"SEQ", numset.parse(b"2:*")),
            (b"ON", (2020, 2, 9)),
        ]
    ),
    lambda keys: st.one_of(
        st.tuples(st.just(b"NOT"), keys),
        st.tuples(st.just(b"OR"), keys, keys),
        st.tuples(st.just(b"AND"), st.lists(keys, min_size=2, max_size=4)),
    ),
    max_leaves=20,
)


def as_sent(key):
    name, *arguments = key
    if name == b"AND":
        return b"(" + b" ".join(as_sent(each) for each in arguments[0]) + b")"
    if name == b"SEQ":
        return arguments[0].octets
    if name == b"ON":
        return b"ON 9-Feb-2020"
    texts = [
        as_sent(each) if isinstance(each, tuple) else b'"a b"' if each == b"a b" else b"%d" % each for each in arguments
    ]
    return b" ".join([name, *texts])


@given(KEYS)
def test_search_trees_read_back(key):
    assert searchkey.parse(Arguments(as_sent(key))) == (None, key)


GARBAGE = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [
            b"(",
            b")",
            b"[",
            b"]",
            b"<",
            b">",
            b" ",
            b'"',
            b"\\",
            b"{1}\r\n",
            b"{1+}\r\n",
            b"a",
            b"BODY",
            b"HEADER.FIELDS",
            b"NOT",
            b"OR",
            b"1",
            b":",
            b",",
            b"*",
            b".",
            b"0.1",
            b"FROM",
            b"CHARSET",
            b"\\Seen",
            b"1-Jan-2020",
            b"NIL",
            b"=",
            b"\r",
            b"\n",
            b"\0",
            b"\xff",
        ]
    ),
    max_size=20,
).map(b"".join)

PRODUCTIONS = [
    *(
        getattr(Arguments, name)
        for name in ("tag", "atom", "keyword_upper", "number", "number64", "sequence_set", "base64")
    ),
    *(
        getattr(Arguments, name)
        for name in ("string", "nstring", "astring", "mailbox", "list_mailbox", "literal_position")
    ),
    *(getattr(Arguments, name) for name in ("flag", "flag_keyword", "flag_list", "store_flags", "date", "date_time")),
    *(getattr(Arguments, name) for name in ("section", "partial", "expect_open", "expect_close", "expect_end")),
    fetchatt.parse,
    searchkey.parse,
]


@given(GARBAGE)
@example(b"9" * 5000)
@example(b"{" + b"9" * 50 + b"}\r\n")
def test_garbage_is_malformed_and_nothing_worse(octets):
    for production in PRODUCTIONS:
        args = Arguments(octets, (5,))
        text = ""
        try:
            production(args)
        except Malformed as malformed:
            text = malformed.text
        assert 0 <= args.position <= len(octets)
        assert text.isascii()
        assert text.isprintable() or not text


@given(GARBAGE)
def test_parsing_always_comes_to_an_end(octets):
    """Every production takes something or raises; only the maybe_ ones and partial may leave the cursor where it is."""
    for production in (Arguments.astring, Arguments.flag, Arguments.atom, Arguments.sequence_set, Arguments.string):
        args = Arguments(octets)
        try:
            while not args.at_end:
                before = args.position
                production(args)
                assert args.position > before
        except Malformed:
            continue
