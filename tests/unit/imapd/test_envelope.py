"""ENVELOPE lines, literally."""

import pytest

from imapd import envelope, headertext
from imapd.headertext import nstring
from maildir import rfc822


def of(octets: bytes, utf8: bool = False) -> bytes:
    return envelope.render(rfc822.scan(octets), utf8)


def test_the_example_of_rfc_3501():
    octets = b"""Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev1 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0

"""
    gray = b'(("Terry Gray" NIL "gray" "cac.washington.edu"))'
    assert of(octets) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" '
        + b" ".join((gray, gray, gray))
        + b' ((NIL NIL "imap" "cac.washington.edu"))'
        b' ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU"))'
        b' NIL NIL "<B27397-0100000@cac.washington.edu>")'
    )


def test_nothing_is_nil_and_empty_is_empty():
    assert of(b"") == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert of(b"Date:\nSubject: \nFrom:\nTo: ,\nIn-Reply-To:\nMessage-ID:\n\n") == (
        b'("" "" NIL NIL NIL NIL NIL NIL "" "")'
    )


def test_sender_and_reply_to_default_to_from():
    assert of(b"From: a@b\nSender:\nReply-To: c@d\n\n") == (
        b'(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) NIL NIL NIL NIL NIL)'
    )


def test_what_is_remembered_of_addresses_changes_nothing():
    people = [b"Kim <kim@x.org>", b"lee@x.org (Lee)", b'"Po, Pat" <pat@x.org>', b"Al: bo@x.org;", b"", b'"\xff" <y@z>']
    for one in people:
        for other in people:
            octets = b"From: " + one + b"\nTo: " + one + b", " + other + b"\nCc: " + other + b"," + one + b"\n\n"
            envelope._addresses.clear()
            envelope._fields.clear()
            first = of(octets)
            assert of(octets) == first
            envelope._fields.clear()
            assert of(octets) == first


def test_what_is_remembered_of_addresses_is_bounded(monkeypatch):
    monkeypatch.setattr(envelope, "MAX_REMEMBERED", 10)
    for number in range(100):
        of(b"To: a%d@b, c@d%d\nCc: %b@b\n\n" % (number, number, b"x" * (number + envelope.MAX_OCTETS - 50)))
        for memory in (envelope._addresses, envelope._fields):
            assert len(memory) <= 10
            assert all(len(value) <= envelope.MAX_OCTETS for value in memory)


def test_groups_have_marks():
    assert of(b"To: People: a@b, C <c@d>;, e@f\nCc: undisclosed-recipients:;\n\n") == (
        b"(NIL NIL NIL NIL NIL"
        b' ((NIL NIL "People" NIL)(NIL NIL "a" "b")("C" NIL "c" "d")(NIL NIL NIL NIL)(NIL NIL "e" "f"))'
        b' ((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)'
    )


def test_comments_routes_and_missing_hosts():
    assert of(b"From: z@y.x (comment)\nTo: <@a,@b:c@d>, root\n\n").startswith(
        b'(NIL NIL (("comment" NIL "z" "y.x")) (("comment" NIL "z" "y.x")) (("comment" NIL "z" "y.x"))'
        b' ((NIL "@a,@b" "c" "d")(NIL NIL "root" ""))'
    )


def test_repeated_fields_are_joined():
    assert of(b"Subject: one\nTo: a@b\nSubject: two\nTO: c@d\n\n") == (
        b'(NIL "one, two" NIL NIL NIL ((NIL NIL "a" "b")(NIL NIL "c" "d")) NIL NIL NIL NIL)'
    )


def test_values_are_unfolded_and_escaped():
    assert of(b'Subject: a "b" \\c\r\n\td\n e\n\n').startswith(b'(NIL "a \\"b\\" \\\\c\td e" ')


def test_encoded_words_stay():
    assert of(b"Subject: =?utf-8?q?=C3=A4?=\nFrom: =?utf-8?q?a=2Cb?= <a@b>\n\n").startswith(
        b'(NIL "=?utf-8?q?=C3=A4?=" (("=?utf-8?q?a=2Cb?=" NIL "a" "b"))'
    )


def test_raw_8_bit_becomes_encoded_words_without_utf8_accept():
    octets = "Subject: Grüße aus Köln\nFrom: Jörg <jörg@example.com>\n\n".encode()
    assert of(octets).startswith(
        b'(NIL "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus =?utf-8?Q?K=C3=B6ln?="'
        b' (("=?utf-8?Q?J=C3=B6rg?=" NIL "=?utf-8?Q?j=C3=B6rg?=" "example.com"))'
    )
    assert of(octets, utf8=True).startswith('(NIL "Grüße aus Köln" (("Jörg" NIL "jörg" "example.com"))'.encode())


def test_8_bit_that_is_no_utf8_is_encoded_even_with_utf8_accept():
    octets = b"Subject: Gr\xfc\xdfe\n\n"
    expected = b'(NIL "=?unknown-8bit?Q?Gr=FC=DFe?="'
    assert of(octets).startswith(expected)
    assert of(octets, utf8=True).startswith(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b"NIL", b'"NIL"'),
        (b'"\\', b'"\\"\\\\"'),
        (b"a\rb\nc\0d", b'"a b c d"'),
        (b"\x01\x7f\t", b'"\x01\x7f\t"'),
        (b"{3}", b'"{3}"'),
    ],
)
def test_strings_hold_anything(value, expected):
    assert nstring(value) == expected


def test_strings_are_cut_between_characters():
    assert headertext.MAX_STRING == 8192
    assert nstring(b"x" * 9000) == b'"' + b"x" * 8192 + b'"'
    assert nstring(b"x" + "ä".encode() * 5000, utf8=True) == b'"x' + "ä".encode() * 4095 + b'"'
    assert nstring(b"\x80" * 9000) == nstring(b"\x80" * 8189)


def test_a_broken_date_is_given_as_it_is():
    assert of(b'Date: yesterday; "noon"\n\n').startswith(b'("yesterday; \\"noon\\"" NIL')
