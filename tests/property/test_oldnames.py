"""Modified UTF-7 as maildir/ reads it, held against the codec of the wire."""

from hypothesis import given
from hypothesis import strategies as st

from imapd.wire import mutf7
from maildir import oldnames

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NEARLY = st.lists(
    st.sampled_from([b"&", b"-", b"&-", b"&AOk-", b"&U,BTFw-", b"&2D3eAA-", b"a", b"+", b",", b"/", b"\xc3\xa9", b"A"])
).map(b"".join)


@given(TEXT)
def test_what_the_wire_writes(text):
    assert oldnames.decode(mutf7.encode(text)) == text


@given(NEARLY | st.binary(max_size=20))
def test_what_the_wire_reads(octets):
    try:
        text = mutf7.decode(octets)
    except ValueError:
        return
    assert oldnames.decode(octets) == text


@given(NEARLY | st.binary(max_size=20))
def test_anything_else_is_text_or_refused(octets):
    try:
        text = oldnames.decode(octets)
    except ValueError:
        return
    assert octets.isascii()
    try:
        encoded = mutf7.encode(text)
    except UnicodeEncodeError:
        return  # half of a surrogate pair, which is no name in UTF-8 either
    assert oldnames.decode(encoded) == text
