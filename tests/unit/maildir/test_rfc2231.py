"""Parameters: quoting, comments, continuations, charsets, and what is written instead."""

import pytest

from maildir.rfc2231 import MAX_PARAMETERS, find, find_text, split


@pytest.mark.parametrize(
    ("value", "word", "parameters"),
    [
        (b"text/plain", b"text/plain", ()),
        (b"text/plain;", b"text/plain", ()),
        (b"a; b=c", b"a", ((b"b", b"c"),)),
        (b" a (x) ; B = c ; D=e", b"a", ((b"b", b"c"), (b"d", b"e"))),
        (b'a; b="c;d=\\"e\\"\\\\"; f=g', b"a", ((b"b", b'c;d="e"\\'), (b"f", b"g"))),
        (b'a; b="never ends; c=d', b"a", ((b"b", b"never ends; c=d"),)),
        (b'a; b="x" y; c=z', b"a", ((b"b", b"x"), (b"c", b"z"))),
        (b"a; b=my file.txt; c=d", b"a", ((b"b", b"my file.txt"), (b"c", b"d"))),
        (b"a; charset=us-ascii (Plain text)", b"a", ((b"charset", b"us-ascii"),)),
        (b"a; (c1) b (c2) = (c3) d", b"a", ((b"b", b"d"),)),
        (b"a; name=foo (1).txt", b"a", ((b"name", b"foo (1).txt"),)),
        (b"a; b; =c; d=; ;; e=f", b"a", ((b"d", b""), (b"e", b"f"))),
        (b"a; b=c; b=d", b"a", ((b"b", b"d"),)),
        (b'a; url*0=ab; URL*1="c d"', b"a", ((b"url", b"abc d"),)),
        (b"a; url*1=b; x=y; url*0=a", b"a", ((b"url", b"ab"), (b"x", b"y"))),
        (
            b"a; t*0*=us-ascii'en'This%20is%20even%20more%20; t*1*=%2A%2A%2Afun%2A%2A%2A%20; t*2=\"isn't it!\"",
            b"a",
            ((b"t*", b"us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"),),
        ),
        (b'a; t*0="100% b"; t*1*=%C3%A4', b"a", ((b"t*", b"''100%25%20b%C3%A4"),)),
        (b"a; t*=utf-8''%C3%A4", b"a", ((b"t*", b"utf-8''%C3%A4"),)),
        (b"a; t*99999=x", b"a", ((b"t*99999", b"x"),)),
        (b"; b=c", b"", ((b"b", b"c"),)),
        (b"\xff;\xff=\xff", b"\xff", ((b"\xff", b"\xff"),)),
    ],
)
def test_split(value, word, parameters):
    assert split(value) == (word, parameters)


def test_find():
    parameters = split(b"a; b=c; d*=iso-8859-1''%E4%zz; e*=no quotes%20")[1]
    assert find(parameters, b"b") == b"c"
    assert find(parameters, b"d") == b"\xe4%zz"
    assert find(parameters, b"e") == b"no quotes "
    assert find(parameters, b"x") is None


def test_find_text():
    parameters = split(b"a; b*=iso-8859-1''%E4; c==?utf-8?q?=C3=A4?=; d=\xc3\xa4")[1]
    assert [find_text(parameters, name) for name in (b"b", b"c", b"d", b"e")] == ["ä", "ä", "ä", None]


def test_the_number_of_parameters_is_capped():
    value = b"a" + b"".join(b"; p%d=x" % number for number in range(500))
    assert len(split(value)[1]) == MAX_PARAMETERS
