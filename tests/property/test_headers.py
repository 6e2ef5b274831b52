"""Header scan and encoded words, on whatever octets and against the standard library where it is right."""

from email import header as email_header
from email.parser import BytesHeaderParser
from email.policy import compat32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maildir import encodedword, rfc822, rfc2231
from maildir.rfc822 import scan, unfold

NOISE = st.lists(
    st.sampled_from(
        [b"\n", b"\r\n", b"\n\n", b"\r", b" ", b"\t", b":", b"A", b"Subject: ", b"To:", b"=?utf-8?q?", b"?=", b"=?",
         b"\0", b"\xff", b"\xc3\xa4", b";", b"=", b'"', b"\\", b"(", b")", b"*0*=", b"''", b"%C3"]
    )
    | st.binary(max_size=4),
    max_size=40,
).map(b"".join)  # fmt: skip
NAMES = st.text("ABCabc-09", min_size=1, max_size=10).map(str.encode)
LINES = st.text('abc =?:,<>"()é', max_size=20).map(lambda text: text.strip().encode())
VALUES = st.lists(LINES.filter(bool), min_size=1, max_size=4).map(b"\n ".join)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@given(NOISE)
def test_any_octets_have_a_header(octets):
    header = scan(octets)
    assert 0 <= header.body <= len(octets)
    at = 0
    for field in header.fields:
        name_start, name_end, value_start, value_end = field
        assert at <= name_start < name_end < value_start <= value_end <= header.body
        assert octets[name_end:value_start].strip(b" \t") == b":"
        assert name_start == 0 or octets[name_start - 1] == 0x0A
        assert header.raw(field) in octets
        name = octets[name_start:name_end].lower()
        assert unfold(octets[value_start:value_end]) in header.every(name)
        assert header.first(name) == header.every(name)[0]
        at = value_end
    block = octets[: header.body]
    assert octets[header.body :] == b"" or block.endswith((b"\n\n", b"\n\r\n")) or block in (b"\n", b"\r\n")


WANTED = st.sets(
    st.sampled_from([b"a", b"subject", b"to", b"t", b"", b":", b"a b", b"TO", b"\n", b"\xff", b"a|b", b"\xc3\xa4"])
)


@given(NOISE, WANTED, st.integers(1, 3), st.integers(1, 4))
def test_fields_that_are_picked_by_name_are_those_of_the_list(octets, names, max_fields, max_names):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rfc822, "MAX_FIELDS", max_fields)
        patch.setattr(rfc822, "MAX_NAMES", max_names)
        rfc822._expressions.clear()
        header = scan(octets)
        collected: dict[bytes, list[bytes]] = {}
        picked = b""
        for field in header.fields:
            name = octets[field[0] : field[1]].lower()
            if name in names:
                collected.setdefault(name, []).append(unfold(octets[field[2] : field[3]]))
                picked += header.raw(field).removesuffix(b"\n") + b"\n"
        assert header.collect(names) == collected
        assert header.picked(names) == picked
        for name in names:
            assert header.first(name) == collected.get(name, [None])[0]
        rfc822._expressions.clear()


@given(HEADERS, st.sampled_from([b"\n", b"\r\n"]), st.binary(max_size=20))
def test_fields_are_those_of_the_standard_library(fields, line_end, body):
    octets = b"".join(name + b": " + value + b"\n" for name, value in fields).replace(b"\n", line_end) + line_end + body
    theirs = BytesHeaderParser(policy=compat32).parsebytes(octets)
    ours = scan(octets)
    assert octets[ours.body :] == body
    assert [octets[a:b] for a, b, _, _ in ours.fields] == [name.encode() for name in theirs]
    assert [unfold(octets[c:d]).decode() for _, _, c, d in ours.fields] == [
        str(value).replace("\r", "").replace("\n", "")
        for value in (raw.encode("ascii", "surrogateescape").decode() for _, raw in theirs.raw_items())
    ]


@given(NOISE)
def test_any_octets_decode(octets):
    assert isinstance(encodedword.decode(octets), str)
    encoded = encodedword.encode(octets)
    assert encoded.isascii() or not octets


PARAMETERS = st.lists(
    st.sampled_from([b";", b";", b"=", b"=", b'"', b'"', b"a", b"B", b" ", b"\t", b"\xff", b"x/y", b")", b"a=b;"]),
    max_size=20,
).map(b"".join)


@given(PARAMETERS)
def test_parameters_without_comments_are_read_as_all_others_are(value):
    # A comment behind the word takes the other way, and changes nothing.
    word, semicolon, rest = value.partition(b";")
    assert rfc2231.split(value) == rfc2231.split(word + b"()" + semicolon + rest)


@given(NOISE)
def test_any_octets_have_parameters(octets):
    word, parameters = rfc2231.split(octets)
    assert isinstance(word, bytes)
    for name, value in parameters:
        assert name
        assert isinstance(value, bytes)
        assert rfc2231.find(parameters, name) is not None
        assert isinstance(rfc2231.find_text(parameters, name), str)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="=?"), max_size=60))
def test_what_is_encoded_decodes_to_the_same(text):
    octets = text.encode()
    encoded = encodedword.encode(octets)
    assert encoded.isascii()
    assert all(len(word) <= 75 for word in encoded.split(b" ") if word.startswith(b"=?"))
    assert encodedword.decode(encoded) == text


CHARSETS = st.sampled_from(
    ["utf-8", "iso-8859-1", "iso-8859-15", "koi8-r", "iso-2022-jp", "gb2312", "euc-jp", "utf-16"]
)


@given(st.lists(st.tuples(st.text("aé€中日ж =_?x", max_size=20), CHARSETS), min_size=1, max_size=4))
def test_words_are_decoded_as_by_the_standard_library(pieces):
    header = email_header.Header()
    for text, charset in pieces:
        try:
            header.append(text.encode(charset), charset)
        except UnicodeError:
            header.append(text, "utf-8")
    octets = header.encode(linesep="\n").encode()
    theirs = str(email_header.make_header(email_header.decode_header(octets.decode().replace("\n", ""))))
    assert encodedword.decode(unfold(octets)).split() == theirs.split()
