"""INTERNALDATE and the dates that clients send."""

import time

import pytest

from imapd.wire import datetime
from imapd.wire.malformed import Malformed


@pytest.mark.parametrize(
    ("seconds", "offset", "octets"),
    [
        (0, 0, b'"01-Jan-1970 00:00:00 +0000"'),
        (0.9, 330, b'"01-Jan-1970 05:30:00 +0530"'),
        (1e9, -570, b'"08-Sep-2001 16:16:40 -0930"'),
        (-1, 0, b'"31-Dec-1969 23:59:59 +0000"'),
        (1e300, 0, b'"30-Dec-9999 23:59:59 +0000"'),
        (-1e300, -720, b'"01-Jan-0001 12:00:00 -1200"'),
        (1e300, 720, b'"31-Dec-9999 11:59:59 +1200"'),
    ],
)
def test_internaldate(seconds, offset, octets):
    assert datetime.internaldate(seconds, offset) == octets


def test_internaldate_in_the_servers_zone(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert datetime.internaldate(1720000000) == b'"03-Jul-2024 05:46:40 -0400"'
        assert datetime.internaldate(1705000000) == b'"11-Jan-2024 14:06:40 -0500"'
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (b"01-Jan-1970 00:00:00 +0000", 0),
        (b" 1-Jan-1970 00:00:00 +0000", 0),
        (b"1-JAN-1970 01:00:00 +0130", -1800),
        (b"29-Feb-2024 23:59:60 -0500", 1709269200),
        (b"31-Dec-9999 23:59:59 +0000", 253402300799),
        (b"01-Jan-0001 00:00:00 +0000", -62135596800),
    ],
)
def test_date_time(sent, seconds):
    assert datetime.parse_date_time(sent) == seconds


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"01-Jan-1970",
        b"00-Jan-1970 00:00:00 +0000",
        b"30-Feb-2024 00:00:00 +0000",
        b"29-Feb-2023 00:00:00 +0000",
        b"29-Feb-1900 00:00:00 +0000",
        b"01-Foo-1970 00:00:00 +0000",
        b"01-Jan-70 00:00:00 +0000",
        b"01-Jan-1970 24:00:00 +0000",
        b"01-Jan-1970 00:60:00 +0000",
        b"01-Jan-1970 00:00:61 +0000",
        b"01-Jan-1970 00:00:00 +2400",
        b"01-Jan-1970 00:00:00 +0060",
        b"01-Jan-1970 00:00:00 GMT",
        b"01-Jan-1970 00:00:00 +0000x",
    ],
)
def test_no_date_time(sent):
    with pytest.raises(Malformed):
        datetime.parse_date_time(sent)


def test_date():
    assert datetime.parse_date(b"29-feb-2000") == (2000, 2, 29)
    for sent in (b"", b"1-2-2000", b"31-Apr-2000", b"1-Jan-2000 ", b"111-Jan-2000"):
        with pytest.raises(Malformed):
            datetime.parse_date(sent)
