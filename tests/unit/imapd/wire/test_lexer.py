"""The cursor: each production, what the original tolerates between tokens, and the caps."""

import pytest

from imapd.wire import lexer
from imapd.wire.lexer import Arguments, Malformed


def test_a_login_as_real_clients_send_it():
    args = Arguments(b'A1 LOGIN "john" {6}\r\npa"ss\\')
    assert (args.tag(), args.keyword_upper(), args.astring(), args.astring()) == (b"A1", b"LOGIN", b"john", b'pa"ss\\')
    args.expect_end()


def test_blanks_may_be_doubled_or_missing():
    args = Arguments(b'a\tstore  1:2+FLAGS.SILENT(\\Seen) \r "x"y"z"')
    assert args.tag() == b"a"
    assert args.keyword_upper() == b"STORE"
    assert args.sequence_set().octets == b"1:2"
    assert args.keyword_upper() == b"+FLAGS.SILENT"
    assert args.flag_list() == [b"\\Seen"]
    assert (args.string(), args.astring(), args.string()) == (b"x", b"y", b"z")
    assert args.at_end


@pytest.mark.parametrize("tag", [b"a1", b"1", b"\\SMAP1", b"a.b/c]", b"x" * lexer.TAG_OCTETS])
def test_tags(tag):
    assert Arguments(tag + b" NOOP").tag() == tag


@pytest.mark.parametrize("tag", [b"", b"* OK", b"+", b"(a", b'"a"', b"\xc3\xa9", b"{1}", b"x" * (lexer.TAG_OCTETS + 1)])
def test_no_tags(tag):
    with pytest.raises(Malformed):
        Arguments(tag).tag()


def test_an_atom_ends_at_brackets_and_8_bit():
    args = Arguments(b"body.peek[x\xff")
    assert args.keyword_upper() == b"BODY.PEEK"
    args.expect_char(b"[")
    assert args.atom() == b"x"
    with pytest.raises(Malformed):
        args.atom()


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        (b'""', b""),
        (b'"a b"', b"a b"),
        (rb'"a\"b\\c\d"', rb'a"b\cd'),
        ('"Grüße"'.encode(), "Grüße".encode()),
        (b"{0}\r\n", b""),
        (b"{5}\r\na\r\n\xffb", b"a\r\n\xffb"),
        (b"{2+}\r\nab", b"ab"),
        (b"~{2}\r\nab", b"ab"),
        (b"{02}\r\nab", b"ab"),
        (b'"' + b"x" * lexer.QUOTED_OCTETS + b'"', b"x" * lexer.QUOTED_OCTETS),
        (b"~a[b]c}%*+", b"~a[b]c}%*+"),
        (b"NIL", b"NIL"),
    ],
)
def test_strings(sent, value):
    args = Arguments(sent)
    assert args.astring() == value
    args.expect_end()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"(",
        b'"',
        b'"a',
        b'"a\\"',
        b'"a\\\r"',
        b'"a\nb"',
        b'"a\0b"',
        b'"\xff"',
        b"{3}\r\nab",
        b"{3}",
        b"{a}\r\n",
        b"{2}\r\na\0",
        b"{99999999999999999999}\r\n",
        b"\\x",
        b"\xc3\xa9",
        b'"' + b"x" * (lexer.QUOTED_OCTETS + 1) + b'"',
        b"x" * (lexer.ATOM_OCTETS + 1),
    ],
)
def test_no_strings(sent):
    with pytest.raises(Malformed):
        Arguments(sent).astring()


def test_nil():
    args = Arguments(b'nil "NIL" NILS NIL')
    assert args.nstring() is None
    assert args.nstring() == b"NIL"
    assert not args.maybe_nil()
    assert args.atom() == b"NILS"
    assert args.maybe_nil()
    assert not args.maybe_nil()


def test_a_streamed_literal_is_known_by_its_position():
    octets = b"a APPEND x {3+}\r\n"
    args = Arguments(octets, (len(octets),))
    assert (args.tag(), args.keyword_upper(), args.mailbox()) == (b"a", b"APPEND", b"x")
    assert args.literal_position() == len(octets)
    args.expect_end()


def test_a_streamed_literal_is_no_string_and_a_string_no_streamed_literal():
    with pytest.raises(Malformed):
        Arguments(b"{0}\r\n", (5,)).string()
    with pytest.raises(Malformed):
        Arguments(b"{0}\r\n").literal_position()


@pytest.mark.parametrize(("sent", "value"), [(b"0", 0), (b"007", 7), (b"4294967295)", 0xFFFFFFFF)])
def test_numbers(sent, value):
    assert Arguments(sent).number() == value


@pytest.mark.parametrize("sent", [b"", b"-1", b"4294967296", b"12a", b"1:2", b"9" * 5000])
def test_no_numbers(sent):
    with pytest.raises(Malformed):
        Arguments(sent).number()


def test_number64():
    assert Arguments(b"9223372036854775807").number64() == 2**63 - 1
    with pytest.raises(Malformed):
        Arguments(b"9223372036854775808").number64()


def test_nesting_is_bounded():
    args = Arguments(b"(" * (lexer.NESTING + 1))
    for _ in range(lexer.NESTING):
        args.expect_open()
    with pytest.raises(Malformed, match="nested"):
        args.maybe_open()


def test_what_was_opened_and_closed_does_not_count():
    args = Arguments(b"()" * 1000)
    for _ in range(1000):
        args.expect_open()
        args.expect_close()
    args.expect_end()


@pytest.mark.parametrize(
    ("sent", "flags"),
    [
        (b"()", []),
        (b"NIL", []),
        (b"(\\SEEN \\deleted)", [b"\\Seen", b"\\Deleted"]),
        (b"($Forwarded NonJunk nil)", [b"$Forwarded", b"NonJunk", b"nil"]),
        (b"( \\Draft\\Answered )", [b"\\Draft", b"\\Answered"]),
    ],
)
def test_flag_lists(sent, flags):
    assert Arguments(sent).flag_list() == flags
    assert Arguments(sent).store_flags() == flags


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"(",
        b"(\\Recent)",
        b"(\\Foo)",
        b"(\\)",
        b"(\\ Seen)",
        b"(a\\b]",
        b'("x")',
        b"(a%)",
        b"(\xc3\xa9)",
        b"(" + b"x" * 256 + b")",
    ],
)
def test_no_flag_lists(sent):
    with pytest.raises(Malformed):
        Arguments(sent).flag_list()


def test_store_takes_flags_without_parentheses():
    assert Arguments(b"\\Seen foo").store_flags() == [b"\\Seen", b"foo"]
    with pytest.raises(Malformed):
        Arguments(b"").store_flags()
    with pytest.raises(Malformed):
        Arguments(b"foo (bar)").store_flags()


def test_a_keyword_has_no_backslash():
    assert Arguments(b"$Label1").flag_keyword() == b"$Label1"
    with pytest.raises(Malformed):
        Arguments(b"\\Seen").flag_keyword()


def test_dates():
    assert Arguments(b"1-feb-2022").date() == (2022, 2, 1)
    assert Arguments(b'"01-Feb-2022"').date() == (2022, 2, 1)
    assert Arguments(b'" 1-Jan-1970 00:00:10 +0000"').date_time() == 10
    for sent in (b"32-Jan-2022", b"x", b"", b"1-Jan-22"):
        with pytest.raises(Malformed):
            Arguments(sent).date()
    with pytest.raises(Malformed):
        Arguments(b"1-Jan-1970 00:00:10 +0000").date_time()


@pytest.mark.parametrize(("sent", "value"), [(b"=", b""), (b"AHUAcA==", b"\0u\0p"), (b"YWJj", b"abc")])
def test_base64(sent, value):
    args = Arguments(sent)
    assert args.base64() == value
    args.expect_end()


@pytest.mark.parametrize("sent", [b"", b"*", b"YWJ", b"a", b"abc%"])
def test_no_base64(sent):
    args = Arguments(sent)
    with pytest.raises(Malformed):
        args.base64()


def test_the_text_says_what_was_expected_and_where_and_repeats_nothing():
    args = Arguments(b"a LOGIN joe (secret")
    args.tag(), args.keyword_upper(), args.astring()
    with pytest.raises(Malformed) as raised:
        args.astring()
    assert raised.value.text == "Expected a word or a string at octet 13"


def test_going_back():
    args = Arguments(b"CHARSETS x")
    before = args.position
    assert args.maybe_keyword_upper() == b"CHARSETS"
    args.position = before
    assert args.atom() == b"CHARSETS"
