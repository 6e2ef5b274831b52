"""The tree that SEARCH's keys make, and its caps."""

import pytest

from imapd.wire import searchkey
from imapd.wire.lexer import Arguments, Malformed
from imapd.wire.numset import parse as numbers


@pytest.mark.parametrize(
    ("sent", "tree"),
    [
        (b"all", (b"ALL",)),
        (b"(unseen)", (b"UNSEEN",)),
        (b"UNSEEN deleted", (b"AND", [(b"UNSEEN",), (b"DELETED",)])),
        (b"NOT NOT SEEN", (b"NOT", (b"NOT", (b"SEEN",)))),
        (b"OR SEEN (OLD NEW)", (b"OR", (b"SEEN",), (b"AND", [(b"OLD",), (b"NEW",)]))),
        (b"2:4,*", (b"SEQ", numbers(b"2:4,*"))),
        (b"*", (b"SEQ", numbers(b"*"))),
        (b"UID 5:*", (b"UID", numbers(b"5:*"))),
        (b'FROM "a b" TO {1}\r\nx', (b"AND", [(b"FROM", b"a b"), (b"TO", b"x")])),
        (b'HEADER Message-ID ""', (b"HEADER", b"Message-ID", b"")),
        (b'SINCE 1-Feb-2022 SENTON "02-Mar-2022"', (b"AND", [(b"SINCE", (2022, 2, 1)), (b"SENTON", (2022, 3, 2))])),
        (b"LARGER 5000000000", (b"LARGER", 5000000000)),
        (b"KEYWORD $Junk", (b"KEYWORD", b"$Junk")),
    ],
)
def test_trees(sent, tree):
    assert searchkey.parse(Arguments(sent)) == (None, tree)


def test_charset():
    assert searchkey.parse(Arguments(b'charset "utf-8" SEEN')) == (b"utf-8", (b"SEEN",))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"()",
        b"(SEEN",
        b"SEEN)",
        b"NOSUCH",
        b"NOT",
        b"OR SEEN",
        b"CHARSET utf-8",
        b"CHARSET",
        b"SEEN CHARSET utf-8 OLD",
        b"FROM",
        b"SINCE yesterday",
        b"LARGER x",
        b"KEYWORD \\Seen",
        b"0:5",
        b"UID x",
        b'"SEEN"',
    ],
)
def test_no_trees(sent):
    with pytest.raises(Malformed):
        searchkey.parse(Arguments(sent))


def test_terms_are_bounded():
    searchkey.parse(Arguments(b"SEEN " * searchkey.MAX_TERMS))
    with pytest.raises(Malformed, match="terms"):
        searchkey.parse(Arguments(b"SEEN " * (searchkey.MAX_TERMS + 1)))


@pytest.mark.parametrize("deeper", [b"(", b"NOT ", b"OR ALL "])
def test_depth_is_bounded(deeper):
    closing = b")" if deeper == b"(" else b""
    searchkey.parse(Arguments(deeper * searchkey.MAX_DEPTH + b"SEEN" + closing * searchkey.MAX_DEPTH))
    with pytest.raises(Malformed, match="nested deeper"):
        searchkey.parse(Arguments(deeper * (searchkey.MAX_DEPTH + 1) + b"SEEN" + closing * (searchkey.MAX_DEPTH + 1)))


def test_an_extension_adds_its_keys():
    keys = {**searchkey.KEYS, b"YOUNGER": (Arguments.number,)}
    assert searchkey.parse(Arguments(b"younger 60"), keys) == (None, (b"YOUNGER", 60))
    with pytest.raises(Malformed):
        searchkey.parse(Arguments(b"younger 60"))
