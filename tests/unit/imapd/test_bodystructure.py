"""BODY and BODYSTRUCTURE lines, literally."""

from imapd import bodystructure as module
from imapd.bodystructure import MAX_LANGUAGES, render
from maildir.rfc2045 import parse


def body(octets: bytes) -> bytes:
    return render(parse(octets), False)


def bodystructure(octets: bytes, utf8: bool = False) -> bytes:
    return render(parse(octets), True, utf8)


def test_the_single_text_of_rfc_3501():
    octets = b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\n" + b"x" * 30 + b"\n" * 2
    assert body(octets) == b'("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 34 2)'


def test_the_multipart_of_rfc_3501():
    octets = b"""Content-Type: MULTIPART/MIXED; boundary=b

--b
Content-Type: TEXT/PLAIN; charset="US-ASCII"

one
two
--b
Content-Type: TEXT/PLAIN; charset="US-ASCII"; name="cc.diff"
Content-ID: <960723163407.20117h@cac.washington.edu>
Content-Description: Compiler diff
Content-Transfer-Encoding: BASE64

b25l
dHdv
--b--
"""
    parts = (
        b'("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 8 1%b)'
        b'("text" "plain" ("charset" "US-ASCII" "name" "cc.diff")'
        b' "<960723163407.20117h@cac.washington.edu>" "Compiler diff" "base64" 10 1%b)'
    )
    assert body(octets) == b"(" + parts % (b"", b"") + b' "mixed")'
    more = b" NIL NIL NIL NIL"
    assert bodystructure(octets) == b"(" + parts % (more, more) + b' "mixed" ("boundary" "b") NIL NIL NIL)'


def test_nothing_said_is_text():
    assert bodystructure(b"") == b'("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL)'


def test_8_bit_content_without_an_encoding_is_8bit():
    assert body(b"\n\xe4\n") == b'("text" "plain" NIL NIL NIL "8bit" 3 1)'
    assert body(b"Content-Transfer-Encoding: 7bit\n\n\xe4") == b'("text" "plain" NIL NIL NIL "7bit" 1 0)'


def test_a_message_in_a_message():
    octets = b"""Content-Type: multipart/mixed; boundary=b

--b
Content-Type: message/rfc822

Subject: inner
From: a@b

one
two
--b--
"""
    from_ = b'((NIL NIL "a" "b"))'
    envelope = b'(NIL "inner" ' + b" ".join((from_,) * 3) + b" NIL NIL NIL NIL NIL)"
    assert body(octets) == (
        b'(("message" "rfc822" NIL NIL NIL "7bit" 37 '
        + envelope
        + b' ("text" "plain" NIL NIL NIL "7bit" 8 1) 4) "mixed")'
    )
    assert bodystructure(octets) == (
        b'(("message" "rfc822" NIL NIL NIL "7bit" 37 '
        + envelope
        + b' ("text" "plain" NIL NIL NIL "7bit" 8 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)'
        b' "mixed" ("boundary" "b") NIL NIL NIL)'
    )


def test_all_extension_data():
    octets = b"""Content-Type: image/png; name="a.png"
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Disposition: ATTACHMENT; FileName="a b.png"; size=3
Content-Language: de (German), en
Content-Location: http://example.com/a
Content-Transfer-Encoding: binary

abc"""
    assert bodystructure(octets) == (
        b'("image" "png" ("name" "a.png") NIL NIL "binary" 3 "Q2hlY2sgSW50ZWdyaXR5IQ=="'
        b' ("attachment" ("filename" "a b.png" "size" "3")) ("de" "en") "http://example.com/a")'
    )
    multipart = b"""Content-Type: multipart/related; boundary=b
Content-Disposition: inline
Content-Language: de
Content-Location: x

--b

--b--
"""
    assert bodystructure(multipart) == (
        b'(("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL) "related" ("boundary" "b") ("inline" NIL) "de" "x")'
    )


def test_empty_fields_are_nil():
    octets = (
        b"Content-Type:\nContent-ID:\nContent-Description:\nContent-MD5:\nContent-Disposition:\nContent-Language: ,\n"
        b"Content-Location:\nContent-Transfer-Encoding:\n\n"
    )
    assert bodystructure(octets) == b'("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL)'


def test_a_disposition_that_is_not_named_is_an_attachment():
    for value, expected in (
        (b"; filename=a", b'("attachment" ("filename" "a"))'),
        (b";", b"NIL"),
        (b"x", b'("x" NIL)'),
    ):
        octets = b"Content-Type: image/png\nContent-Disposition: " + value + b"\n\n"
        assert bodystructure(octets) == b'("image" "png" NIL NIL NIL "7bit" 0 NIL ' + expected + b" NIL NIL)"


def test_the_first_of_repeated_fields_counts():
    octets = b"Content-Type: image/png\nContent-Type: text/html\nContent-ID: 1\nContent-ID: 2\n\n"
    assert body(octets) == b'("image" "png" NIL "1" NIL "7bit" 0)'


def test_parameters_in_pieces_and_in_other_charsets():
    octets = (
        b'Content-Type: application/x; name*0*=utf-8\'\'%C3%A4; name*1="100% b"; URL*0="a"; url*1=b\n'
        b"Content-Disposition: attachment; filename*=iso-8859-1'de'%E4.txt\n\n"
    )
    assert bodystructure(octets) == (
        b'("application" "x" ("name*" "utf-8\'\'%C3%A4100%25%20b" "url" "ab") NIL NIL "7bit" 0 NIL'
        b' ("attachment" ("filename*" "iso-8859-1\'de\'%E4.txt")) NIL NIL)'
    )


def test_raw_8_bit_in_parameters():
    octets = 'Content-Type: text/plain; name="ä"\nContent-Description: ä\n\n'.encode()
    assert body(octets) == (b'("text" "plain" ("name" "=?utf-8?Q?=C3=A4?=") NIL "=?utf-8?Q?=C3=A4?=" "7bit" 0 0)')
    assert render(parse(octets), False, utf8=True) == ('("text" "plain" ("name" "ä") NIL "ä" "7bit" 0 0)'.encode())


def test_quotes_and_line_ends_do_not_break_the_syntax():
    octets = b'Content-Type: text/plain; name="a\\"b\\\\c\n\td"; x="\r\0"\n\n'
    assert body(octets) == b'("text" "plain" ("name" "a\\"b\\\\c\td" "x" "  ") NIL NIL "7bit" 0 0)'


def test_an_undivided_multipart_is_a_text():
    assert body(b"Content-Type: multipart/mixed; boundary=b\n\nx\n") == b'("text" "plain" NIL NIL NIL "7bit" 3 1)'


def test_a_thousand_parts_are_whole_and_languages_are_capped():
    octets = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 1000 + b"--b--\n"
    assert body(octets) == b"(" + b'("text" "plain" NIL NIL NIL "7bit" 1 0)' * 1000 + b' "mixed")'
    languages = b"Content-Type: image/png\nContent-Language: " + b"de," * 500 + b"\n\n"
    assert bodystructure(languages).count(b'"de"') == MAX_LANGUAGES


def test_what_is_remembered_of_parts_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 10)
    for number in range(50):
        text = b"x" * module.MAX_OCTETS * (number % 2)
        bodystructure(b"Content-ID: %d\nContent-Description: %b\n\n" % (number, text))
        assert len(module._remembered) <= 10
        assert all(sum(map(len, told)) <= module.MAX_OCTETS for told in module._remembered.values())


def test_parameters_that_cannot_all_stand_between_quotes():
    octets = b'Content-Type: text/plain; a="x\\"y"; b=plain; c="\xe9"\n\n'
    told = bodystructure(octets)
    assert b'("a" "x\\"y" "b" "plain" "c" "=?' in told
    assert b'("a" "x" "b" "y")' in bodystructure(b"Content-Type: text/plain; a=x; b=y\n\n")


def test_a_parameter_as_long_as_a_string_may_be_is_cut_alone():
    told = bodystructure(b"Content-Type: text/plain; a=" + b"x" * 9000 + b"; b=y\n\n")
    assert b'("a" "' + b"x" * 8192 + b'" "b" "y")' in told
