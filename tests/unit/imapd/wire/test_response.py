"""What the server says is well formed whatever goes in."""

import pytest

from imapd.wire import response


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (b"", b'""'),
        (b"a b", b'"a b"'),
        (b'a"b\\', b'"a\\"b\\\\"'),
        ("é".encode(), '"é"'.encode()),
        (b"a\tb", b'"a\tb"'),
    ],
)
def test_quoted(value, octets):
    assert response.quoted(value) == octets


@pytest.mark.parametrize("value", [b"a\r", b"a\nb", b"\0"])
def test_what_cannot_be_quoted(value):
    with pytest.raises(ValueError):
        response.quoted(value)
    assert response.mailbox(value) == response.literal(value)


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (b"", b'""'),
        (b'"', b'"\\""'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        ("é".encode(), b"{2}\r\n\xc3\xa9"),
        (b"x" * 1025, b"{1025}\r\n" + b"x" * 1025),
    ],
)
def test_string(value, octets):
    assert response.string(value) == octets
    assert response.nstring(value) == octets


def test_nstring_of_nothing():
    assert response.nstring(None) == b"NIL"


@pytest.mark.parametrize(
    ("value", "octets"),
    [(b"INBOX", b"INBOX"), (b"nil", b'"nil"'), (b"", b'""'), (b"a b", b'"a b"'), (b"a%", b'"a%"'), (b"a]", b'"a]"')],
)
def test_astring(value, octets):
    assert response.astring(value) == octets


def test_mailbox_is_quoted_as_the_original_does():
    assert response.mailbox(b"INBOX.a&-b") == b'"INBOX.a&-b"'
    assert response.mailbox("INBOX.é".encode()) == '"INBOX.é"'.encode()


def test_lines():
    assert response.flags([b"\\Seen", b"x"]) == b"(\\Seen x)"
    assert response.flags([]) == b"()"
    assert response.untagged(b"LIST", b"()", b'"."', b'"INBOX"') == b'* LIST () "." "INBOX"\r\n'
    assert response.tagged(b"a1", b"OK", "NOOP completed") == b"a1 OK NOOP completed\r\n"
    assert response.tagged(b"*", b"OK", "Ok", b"UIDVALIDITY 3") == b"* OK [UIDVALIDITY 3] Ok\r\n"
    assert response.continuation() == b"+ OK\r\n"
    assert response.continuation("") == b"+ \r\n"


def test_a_text_cannot_begin_a_line():
    assert response.tagged(b"a", b"NO", "x\r\n* BYE\0y") == b"a NO x * BYE y\r\n"
