"""Encoded words, whole and broken, and charsets."""

import pytest

from maildir import charsets
from maildir.encodedword import decode, encode


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", ""),
        (b"plain", "plain"),
        # RFC 2047 §8.
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=  \r\n  =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"a =?utf-8?q?b?= c =?utf-8?q?d?=", "a b c d"),
        (b"=?US-ASCII*EN?Q?Keith_Moore?= <m@x>", "Keith Moore <m@x>"),
        (b"=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=", "םולש ןב ילטפנ"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?gb2312?B?1tDOxA==?=", "中文"),
        (b"=?utf-8?B?w6Q?=", "ä"),
        (b"=?utf-8?Q?=C3?= =?utf-8?Q?=A4?=", "ä"),
        (b"=?utf-8?B?w?= =?utf-8?q?x?=", "=?utf-8?B?w?= x"),
        (b"x=?utf-8?q?a?=y", "xay"),
        (b"=?utf-8?q?two words?=", "two words"),
        (b"=?utf-8?q??=", ""),
        (b"=?utf-8?q??= =?utf-8?q?a?=", "a"),
        # Broken words stay as they are.
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?a", "=?utf-8?q?a"),
        (b"=?no-such-charset?q?=E4?= b", "=?no-such-charset?q?=E4?= b"),
        (b"=?idna?q?a?= =?zlib?q?a?= =?rot13?q?a?=", "=?idna?q?a?= =?zlib?q?a?= =?rot13?q?a?="),
        (b"=?" + b"x" * 100 + b"?q?a?=", "=?" + "x" * 100 + "?q?a?="),
        (b"=?utf-8?q?=ZZ=4?=", "=ZZ=4"),
        (b"=?utf-8?q?=FF?=", "\ufffd"),
        # Raw 8-bit.
        ("ä =?utf-8?q?b?=".encode(), "ä b"),
        (b"\xe4 \x80", "ä €"),
    ],
)
def test_decode(value, expected):
    assert decode(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", b""),
        (b"plain  text", b"plain  text"),
        ("ä".encode(), b"=?utf-8?Q?=C3=A4?="),
        ("a ä  ö b".encode(), b"a =?utf-8?Q?=C3=A4__=C3=B6?= b"),
        ("=?utf-8?q?a?= ä =?utf-8?q?b?=".encode(), b"=?utf-8?q?a?= =?utf-8?Q?_=C3=A4_?= =?utf-8?q?b?="),
        (b"\xff", b"=?unknown-8bit?Q?=FF?="),
    ],
)
def test_encode(value, expected):
    assert encode(value) == expected


def test_encoded_words_are_short_and_hold_whole_characters():
    words = encode(("ä€𝄞" * 100).encode()).split(b" ")
    assert max(len(word) for word in words) <= 75
    assert "".join(decode(word) for word in words) == "ä€𝄞" * 100


@pytest.mark.parametrize(
    ("charset", "octets", "expected"),
    [
        (b"", b"\xc3\xa4", "ä"),
        (b"", b"\xe4", "ä"),
        (b"us-ascii", b"\xc3\xa4", "ä"),
        (b'"UTF-8"', b"\xc3\xa4", "ä"),
        (b"iso-8859-1", b"\x80\xe4", "€ä"),
        (b"iso-8859-15", b"\xa4", "€"),
        (b"koi8-r", b"\xc1", "а"),
        (b"windows-1251", b"\xe0", "а"),
        (b"cp874", b"\xa1", "ก"),
        (b"windows-874", b"\xa1", "ก"),
        (b"tis-620", b"\xa1", "ก"),
        (b"ks_c_5601-1987", b"\xb0\xa1", "가"),
        (b"euc-kr", b"\xb0\xa1", "가"),
        (b"big5", b"\xa4\xa4", "中"),
        (b"shift_jis", b"\x83e", "テ"),
        (b"utf-7", b"+AOQ-", "ä"),
        (b"utf-16", b"\xff\xfea\0", "a"),
        (b"iso-2022-jp", b"\x1b$BF|\x1b(B", "日"),
        (b"hz-gb-2312", b"~{VP~}", "中"),
        (b"utf-8", b"a\xff", "a\ufffd"),
        (b"what-is-this", b"a\xe4", "a\ufffd"),
        (b"punycode", b"a\xe4", "a\ufffd"),
        (b"unicode_escape", b"\\x41", "\\x41"),
        (b"../../x", b"a", "a"),
        (b"\xff\0", b"a", "a"),
    ],
)
def test_charsets(charset, octets, expected):
    assert charsets.decode(octets, charset) == expected


def test_every_charset_of_python_takes_every_octet():
    octets = bytes(range(256)) * 2
    for name in sorted(set(charsets._python_names().values())):
        assert isinstance(charsets.decode(octets, name.encode()), str)


def test_charsets_that_keep_ascii():
    kept = {name for name in charsets._python_names() if charsets.keeps_ascii(name.encode())}
    assert {"utf_8", "latin_1", "koi8_r", "gb18030", "shift_jis", "euc_jp", "big5", "cp1251"} <= kept
    assert not kept & {"utf_7", "utf_16", "hz", "iso2022_jp", "iso2022_kr", "cp037", "mac_arabic"}
    assert charsets.keeps_ascii(b"")
    assert charsets.keeps_ascii(b"no-such-charset")
