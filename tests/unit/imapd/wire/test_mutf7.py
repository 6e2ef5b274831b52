"""Mailbox names in modified UTF-7."""

import pytest

from imapd.wire import mutf7


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("", b""),
        ("INBOX.Sent Items", b"INBOX.Sent Items"),
        ("Q&A", b"Q&-A"),
        ("&&", b"&-&-"),
        ("Gelöscht", b"Gel&APY-scht"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("☺!", b"&Jjo-!"),
        ("\U0001f600", b"&2D3eAA-"),
        ("a\tb", b"a&AAk-b"),
    ],
)
def test_names(name, octets):
    """Two of these are the examples of RFC 3501 §5.1.3."""
    assert mutf7.encode(name) == octets
    assert mutf7.decode(octets) == name


@pytest.mark.parametrize(
    "octets",
    [
        b"&",
        b"a&",
        b"&Jjo",
        b"&Jjo!",
        b"&AGE-",
        b"&U,BTFw-&ZeVnLIqe-",
        b"&Jjp-",
        b"&J-",
        b"&2D0-",
        b"&3gA-",
        b"&AAAAJg-",
        b"a\tb",
        b"\xc3\xa9",
        b"&Jj/-",
        b"&=-",
    ],
)
def test_no_names(octets):
    """RFC 3501 §5.1.3: no superfluous shifts, no ASCII in base64, always an ending shift."""
    with pytest.raises(ValueError, match="modified UTF-7"):
        mutf7.decode(octets)
