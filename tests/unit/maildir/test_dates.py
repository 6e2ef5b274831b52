"""Dates of mail, old and broken ones too."""

import pytest

from maildir.dates import MAX_DATE, parse


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Fri, 21 Nov 1997 09:55:06 -0600", (1997, 11, 21, 9, 55, 6, -360)),
        (b"1 Jul 2003 10:52:37 +0200", (2003, 7, 1, 10, 52, 37, 120)),
        (b"Tue,  1 Jul 2003 10:52 +0200", (2003, 7, 1, 10, 52, 0, 120)),
        (b"Mon, 20 Nov 2026 19:24:23 +0000 (UTC)", (2026, 11, 20, 19, 24, 23, 0)),
        # RFC 5322 appendix A.6.2 and A.5.
        (b"21 Nov 97 09:55:06 GMT", (1997, 11, 21, 9, 55, 6, 0)),
        (
            b"Thu,\r\n      13\r\n        Feb\r\n  1969\r\n      23:32\r\n      -0330 (Newfoundland Time)",
            (1969, 2, 13, 23, 32, 0, -210),
        ),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", (1997, 11, 21, 9, 55, 6, -360)),
        (b"(a (nested \\) one)) 1 (b) Jan (c) 00 (d) 0:00 (e) Z", (2000, 1, 1, 0, 0, 0, 0)),
        # Years.
        (b"1 Jan 49 0:00 EST", (2049, 1, 1, 0, 0, 0, -300)),
        (b"1 Jan 50 0:00 EDT", (1950, 1, 1, 0, 0, 0, -240)),
        (b"1 Jan 099 0:00 PST", (1999, 1, 1, 0, 0, 0, -480)),
        (b"1 Jan 126 0:00 PDT", (2026, 1, 1, 0, 0, 0, -420)),
        # Zones.
        (b"1 Jan 2000 0:00 UT", (2000, 1, 1, 0, 0, 0, 0)),
        (b"1 Jan 2000 0:00 cst", (2000, 1, 1, 0, 0, 0, -360)),
        (b"1 Jan 2000 0:00 MDT", (2000, 1, 1, 0, 0, 0, -360)),
        (b"1 Jan 2000 0:00 NST", (2000, 1, 1, 0, 0, 0, -210)),
        (b"1 Jan 2000 0:00 CEST", (2000, 1, 1, 0, 0, 0, 120)),
        (b"1 Jan 2000 0:00 A", (2000, 1, 1, 0, 0, 0, 0)),
        (b"1 Jan 2000 0:00 XYZ", (2000, 1, 1, 0, 0, 0, 0)),
        (b"1 Jan 2000 0:00 +01:00", (2000, 1, 1, 0, 0, 0, 60)),
        (b"1 Jan 2000 0:00 +100", (2000, 1, 1, 0, 0, 0, 60)),
        (b"1 Jan 2000 0:00 GMT+0100", (2000, 1, 1, 0, 0, 0, 60)),
        (b"1 Jan 2000 0:00 +0099", (2000, 1, 1, 0, 0, 0, 0)),
        (b"1 Jan 2000 0:00 +1400", (2000, 1, 1, 0, 0, 0, 840)),
        (b"1 Jan 2000 0:00", (2000, 1, 1, 0, 0, 0, 0)),
        # Other forms.
        (b"Sunday, 06-Nov-94 08:49:37 GMT", (1994, 11, 6, 8, 49, 37, 0)),
        (b"Sun Nov  6 08:49:37 1994", (1994, 11, 6, 8, 49, 37, 0)),
        (b"Sun Nov  6 08:49:37 EST 1994", (1994, 11, 6, 8, 49, 37, -300)),
        (b"Sun Nov  6 08:49:37 1994 +0100", (1994, 11, 6, 8, 49, 37, 60)),
        (b"Nov 6, 1994 08:49", (1994, 11, 6, 8, 49, 0, 0)),
        (b"2026-11-20T19:24:23.5Z", (2026, 11, 20, 19, 24, 23, 0)),
        (b"2026-11-20 19:24:23 +0100", (2026, 11, 20, 19, 24, 23, 60)),
        (b"2026-11-20", (2026, 11, 20, 0, 0, 0, 0)),
        (b"Mon, 20 November 2026 19.24.23 +0000", (2026, 11, 20, 19, 24, 23, 0)),
        (b"MON 20 NOV 2026 19:24:23", (2026, 11, 20, 19, 24, 23, 0)),
        (b", 20 Nov 2026 19:24:23 +0000", (2026, 11, 20, 19, 24, 23, 0)),
        # A time that makes no sense is midnight.
        (b"1 Jan 2000", (2000, 1, 1, 0, 0, 0, 0)),
        (b"1 Jan 2000 25:00 +0100", (2000, 1, 1, 0, 0, 0, 60)),
        (b"1 Jan 2000 nonsense", (2000, 1, 1, 0, 0, 0, 0)),
        (b"31 Dec 2016 23:59:60 +0000", (2016, 12, 31, 23, 59, 60, 0)),
        (b"29 Feb 2000 0:00 Z", (2000, 2, 29, 0, 0, 0, 0)),
    ],
)
def test_dates(value, expected):
    date = parse(value)
    assert date is not None
    assert (date.year, date.month, date.day, date.hour, date.minute, date.second, date.zone_minutes) == expected
    assert date.day_written == expected[:3]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"yesterday",
        b"31 Feb 2000 0:00 Z",
        b"29 Feb 1900 0:00 Z",
        b"0 Jan 2000",
        b"32 Jan 2000",
        b"1 Foo 2000",
        b"1 Jan",
        b"1 Jan 20000",
        b"1 Jan 0000",
        b"2026-13-01",
        b"(1 Jan 2000",
        b"\0\xff",
        b" " * MAX_DATE + b"1 Jan 2000",
    ],
)
def test_no_dates(value):
    assert parse(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"1 Jan 1970 00:00:00 +0000", 0),
        (b"1 Jan 1970 01:00:00 +0100", 0),
        (b"31 Dec 1969 19:00:00 EST", 0),
        (b"20 Nov 2026 19:24:23 +0000", 1795202663),
        (b"1 Mar 2000 00:00:00 -0030", 951870600),
        (b"1 Jan 1900 00:00:00 Z", -2208988800),
    ],
)
def test_timestamps(value, expected):
    date = parse(value)
    assert date is not None
    assert date.timestamp() == expected
