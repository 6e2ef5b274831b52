"""Address lists: names, routes, groups, comments, obsolete and broken forms."""

import pytest

from maildir import addresses
from maildir.addresses import parse

GROUP_END = (None, None, None, None)


def group(name: bytes):
    return (None, None, name, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b.c", [(None, None, b"a", b"b.c")]),
        (b"<a@b.c>", [(None, None, b"a", b"b.c")]),
        (b"Joe Q. Public <john.q.public@example.com>", [(b"Joe Q. Public", None, b"john.q.public", b"example.com")]),
        (b'"Joe, Q. \\"X\\" Public" <a@b>', [(b'Joe, Q. "X" Public', None, b"a", b"b")]),
        (b'"O\'Hara" <a@b>', [(b"O'Hara", None, b"a", b"b")]),
        (b'"" <a@b>', [(None, None, b"a", b"b")]),
        (b"a@b, c@d,e@f", [(None, None, b"a", b"b"), (None, None, b"c", b"d"), (None, None, b"e", b"f")]),
        (b"Joe <a@b>, , c@d,", [(b"Joe", None, b"a", b"b"), (None, None, b"c", b"d")]),
        # Comments (RFC 5322 appendix A.5), which are a name where there is no other.
        (b"z@y.x (comment)", [(b"comment", None, b"z", b"y.x")]),
        (b"z@y.x (a (nested \\) one))", [(b"a (nested ) one)", None, b"z", b"y.x")]),
        (b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", [(b"Pete", None, b"pete", b"silly.test")]),
        (b'(c) "Q x" <y@z>', [(b"Q x", None, b"y", b"z")]),
        # Quoted local parts and domain literals.
        (b'"john smith"@x.org', [(None, None, b"john smith", b"x.org")]),
        (b'"@": "<": <"@"@c>;', [group(b"@"), (b"<:", None, b"@", b"c"), GROUP_END]),
        (b'<"a@b"@c>', [(None, None, b"a@b", b"c")]),
        (b"joe@[IPv6:2001:db8::1]", [(None, None, b"joe", b"[IPv6:2001:db8::1]")]),
        # Groups (RFC 5322 appendix A.1.3).
        (
            b"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
            [
                group(b"A Group"),
                (b"Ed Jones", None, b"c", b"a.test"),
                (None, None, b"joe", b"where.test"),
                (b"John", None, b"jdoe", b"one.test"),
                GROUP_END,
            ],
        ),
        (b"undisclosed-recipients:;", [group(b"undisclosed-recipients"), GROUP_END]),
        (b'"a:b": x@y ; , z@w', [group(b"a:b"), (None, None, b"x", b"y"), GROUP_END, (None, None, b"z", b"w")]),
        (b"never ended: x@y", [group(b"never ended"), (None, None, b"x", b"y"), GROUP_END]),
        (b"Group:;, Other: a@b;", [group(b"Group"), GROUP_END, group(b"Other"), (None, None, b"a", b"b"), GROUP_END]),
        # Obsolete syntax (RFC 5322 appendix A.6).
        (b"Mary Smith <@node.test:mary@example.net>", [(b"Mary Smith", b"@node.test", b"mary", b"example.net")]),
        (b"<@a,@b:c@d>, e@f", [(None, b"@a,@b", b"c", b"d"), (None, None, b"e", b"f")]),
        (b"jdoe@test  . example", [(None, None, b"jdoe", b"test.example")]),
        (b"john . q @ x . org (n)", [(b"n", None, b"john.q", b"x.org")]),
        # Broken.
        (b"root", [(None, None, b"root", b"")]),
        (b"<root>", [(None, None, b"root", b"")]),
        (b"Joe Public", [(None, None, b"Joe Public", b"")]),
        (b"<>", [(None, None, b"", b"")]),
        (b"Joe <>", [(b"Joe", None, b"", b"")]),
        (b"<@b>", [(None, None, b"", b"b")]),
        (b"a@", [(None, None, b"a", b"")]),
        (b"<<a@b>>", [(None, None, b"a", b"b")]),
        (b"Joe a@b", [(b"Joe", None, b"a", b"b")]),
        (b"Joe <a@b", [(b"Joe", None, b"a", b"b")]),
        (b"<a@b, Joe <c@d>", [(None, None, b"a", b"b"), (b"Joe", None, b"c", b"d")]),
        (b"Joe <a@b> Jim <c@d>", [(b"Joe", None, b"a", b"b"), (b"Jim", None, b"c", b"d")]),
        (b'"Joe <a@b>, c@d', [(b'"Joe', None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"Joe (work <a@b>", [(b"Joe (work", None, b"a", b"b")]),
        (b"Joe) <a@b>", [(b"Joe)", None, b"a", b"b")]),
        (b"a@b c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"a @ b Joe c.d@e.f x", [(None, None, b"a", b"b"), (None, None, b"c.d", b"e.f")]),
        (b"a@b@c", [(None, None, b"a@b", b"c")]),
        (b"a@b;c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"a\\b <c@d>", [(b"a\\b", None, b"c", b"d")]),
        (b"Joe\0 <a@b>", [(b"Joe", None, b"a", b"b")]),
        (b"J\xc3\xb6rg M\xfc <a@b>", [(b"J\xc3\xb6rg M\xfc", None, b"a", b"b")]),
        # Nothing in an encoded word parts addresses.
        (b"=?utf-8?Q?M=C3=BCller,_J?= <a@b>", [(b"=?utf-8?Q?M=C3=BCller,_J?=", None, b"a", b"b")]),
        (b"=?utf-8?q?a?= (=?utf-8?q?b?=) <a@b>", [(b"=?utf-8?q?a?=", None, b"a", b"b")]),
        (b"", []),
        (b" ,;, ", []),
        (b"(only a comment)", []),
        (b'""', []),
    ],
)
def test_lists(value, expected):
    assert parse(value) == expected


def test_the_usual_forms_are_read_as_the_long_way_does():
    forms = (
        b"a.b <c@d>",
        b'"a, b" <c@d>',
        b"  a  <c@d> ",
        b"<c@d>",
        b"a b c <c@d.e>",
        b"a\tb <c@d>",
        b'"" <c@d>',
        b"c@d",
        b'"a \\"b\\" c" <c@d>',
        b"=?utf-8?q?a_b?= <c@d>",
        b"=?utf-8?q?a,b?= <c@d>",  # only read in the long way, whatever stands around it
        b"<@a,@b:c@d>",
        b"(e) c@d",
        b"f: c@d",
    )
    for one in forms:
        assert parse(one) == addresses._List([]).read(one)
        for other in forms:
            value = one + b"," + other
            assert parse(value) == addresses._List([]).read(value)


def test_the_number_of_addresses_is_capped():
    found = parse(b"a@b," * 20_000)
    assert len(found) == addresses.MAX_ADDRESSES == 10_000
    assert len(parse(b"a@b c@d," * 20_000)) <= addresses.MAX_ADDRESSES
    found = parse(b"g:" + b"a@b," * 20_000)
    assert (len(found), found[-1]) == (addresses.MAX_ADDRESSES, GROUP_END)
    assert len(parse(b"g:;" * 20_000)) <= addresses.MAX_ADDRESSES


@pytest.mark.parametrize(
    "unit",
    [
        b'"',
        b"(",
        b")",
        b'\\"',
        b"<",
        b">",
        b"@",
        b":",
        b"[",
        b"=?",
        b"=?a?q?",
        b"a ",
        b"@ ",
        b"(\\",
        b'"\\',
        b". ",
        b"a:",
    ],
)
def test_no_input_takes_quadratic_time(unit):
    # Anything that looks through the rest of the input again and again would not end within the life of the test run.
    assert len(parse((unit * 200_000)[:200_000])) <= addresses.MAX_ADDRESSES
