"""What FETCH asks for: items, macros, sections, partials, and the names that the response gives them."""

import pytest

from imapd.wire import fetchatt, section
from imapd.wire.fetchatt import Item
from imapd.wire.lexer import Arguments, Malformed
from imapd.wire.section import Section


def parse(sent):
    args = Arguments(sent)
    items = fetchatt.parse(args)
    args.expect_end()
    return items


@pytest.mark.parametrize(
    ("sent", "items"),
    [
        (b"flags", [Item(b"FLAGS")]),
        (b"(FLAGS)", [Item(b"FLAGS")]),
        (b"FAST", [Item(b"FLAGS"), Item(b"INTERNALDATE"), Item(b"RFC822.SIZE")]),
        (b"(uid All)", [Item(name) for name in (b"UID", b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE")]),
        (b"BODY", [Item(b"BODY")]),
        (b"BODY[]", [Item(b"BODY", Section())]),
        (b"(BODY [] UID)", [Item(b"BODY", Section()), Item(b"UID")]),
        (b"BODY.PEEK[TEXT]<5.10>", [Item(b"BODY", Section((), b"TEXT"), (5, 10), True)]),
        (b"BODY[1.2.mime]<5>", [Item(b"BODY", Section((1, 2), b"MIME"), (5, None))]),
        (b"BODY[HEADER]<10,50>", [Item(b"BODY", Section((), b"HEADER"), (10, None))]),
        (
            b'(BODY.PEEK[header.fields (To "x-Y")])',
            [Item(b"BODY", Section((), b"HEADER.FIELDS", (b"To", b"x-Y")), None, True)],
        ),
        (b"BODY[HEADER.FIELDS.NOT date]", [Item(b"BODY", Section((), b"HEADER.FIELDS.NOT", (b"date",)))]),
        (b"BODY[3.HEADER.FIELDS {4}\r\ndate]", [Item(b"BODY", Section((3,), b"HEADER.FIELDS", (b"date",)))]),
        (b"BINARY.PEEK[1]", [Item(b"BINARY", Section((1,)), None, True)]),
        (b"NOSUCHITEM", [Item(b"NOSUCHITEM")]),
    ],
)
def test_items(sent, items):
    assert parse(sent) == items


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"()",
        b"(FLAGS",
        b"FLAGS)",
        b"FLAGS UID",
        b"(FLAGS (UID))",
        b"BODY[",
        b"BODY[FOO]",
        b"BODY[MIME]",
        b"BODY[1.]",
        b"BODY[1 TEXT]",
        b"BODY[.TEXT]",
        b"BODY[0]",
        b"BODY[1.0]",
        b"BODY[99999999999]",
        b"BODY[HEADER.FIELDS]",
        b"BODY[HEADER.FIELDS ()]",
        b"BODY[HEADER.FIELDS (a",
        b'BODY[HEADER.FIELDS ("a b")]',
        b"BODY[HEADER.FIELDS ({3}\r\na\r\n)]",
        b"BODY[]<>",
        b"BODY[]<-1>",
        b"BODY[]<1.0>",
        b"BODY[]<1.>",
        b"BODY[" + b"1." * section.MAX_PARTS + b"1]",
        b"BODY[HEADER.FIELDS (" + b"a " * (section.MAX_FIELDS + 1) + b")]",
        b"(" + b"FLAGS " * (fetchatt.MAX_ITEMS + 1) + b")",
    ],
)
def test_no_items(sent):
    with pytest.raises(Malformed):
        parse(sent)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"BODY.PEEK[]", b"BODY[]"),
        (b"body[1.header]<7.9>", b"BODY[1.HEADER]<7>"),
        (b"BODY[HEADER.FIELDS date]", b'BODY[HEADER.FIELDS ("date")]'),
        (b'BODY[header.fields.not ("Date" to)]', b'BODY[HEADER.FIELDS.NOT ("Date" "to")]'),
        (b"RFC822.SIZE", b"RFC822.SIZE"),
    ],
)
def test_response_names(sent, name):
    assert parse(sent)[0].response_name == name


def test_partials_beyond_any_size_are_capped():
    assert parse(b"BODY[]<99999999999999999999.99999999999999999999>")[0].partial == (2**64 - 1, 2**64 - 1)


def test_items_can_be_compared_and_told():
    assert len({Item(b"UID"), Item(b"UID"), Item(b"BODY", Section())}) == 2
    assert repr(Item(b"BODY", Section((1,)))) == "Item(b'BODY', Section((1,), b'', ()), None, False)"
