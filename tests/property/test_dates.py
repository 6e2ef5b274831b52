"""Dates: any form of a day is that day, and anything else is survived."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, mktime_tz, parsedate_tz

from hypothesis import given
from hypothesis import strategies as st

from maildir.dates import parse

MOMENTS = st.datetimes(
    datetime(1900, 3, 1),
    datetime(9999, 12, 30),
    timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
).map(lambda moment: moment.replace(microsecond=0))
BLANKS = st.sampled_from([" ", "  ", "\t", " (c) ", "\r\n ", " (a (b) \\)) "])
PIECES = st.sampled_from(
    [
        *("Mon", "Nov", "November", "20", "1", "26", "2026", "19", "24", "99999", "0100", "EST", "Z", "GMT"),
        *(",", " ", ":", "+", "-", "(", ")", "\\", "/", ".", "T", "\0", "é"),
    ]
)


def written(date) -> datetime:
    zone = timezone(timedelta(minutes=date.zone_minutes))
    return datetime(*date.day_written, date.hour, date.minute, date.second, tzinfo=zone)


@given(MOMENTS)
def test_dates_as_rfc_5322_wants_them(moment):
    date = parse(format_datetime(moment).encode())
    assert date is not None
    assert written(date) == moment
    assert date.day_written == (moment.year, moment.month, moment.day)
    assert date.timestamp() == int(moment.timestamp())


@given(MOMENTS, BLANKS, BLANKS, BLANKS, st.booleans(), st.booleans())
def test_dates_with_blanks_and_comments(moment, one, two, three, day_name, seconds):
    text = f"{moment:%a}, " if day_name else one
    text += f"{moment.day}{one}{moment:%b}{two}{moment.year:04}{three}{moment:%H}{one}:{moment:%M}"
    text += f":{moment:%S}" if seconds else ""
    date = parse((text + one + f"{moment:%z}"[:5]).encode())
    assert date is not None
    assert written(date) == (moment if seconds else moment.replace(second=0))


@given(MOMENTS, st.sampled_from(["GMT", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "UT", "Z", "", "AST"]))
def test_named_zones_are_those_of_the_standard_library(moment, zone):
    text = f"{moment:%a}, {moment.day} {moment:%b} {moment.year:04} {moment:%H:%M:%S} {zone}"
    theirs = parsedate_tz(text)
    date = parse(text.encode())
    assert date is not None
    assert theirs is not None
    assert date.zone_minutes * 60 == (theirs[9] or 0)
    assert date.timestamp() == mktime_tz((*theirs[:9], theirs[9] or 0))


@given(MOMENTS)
def test_ctime_and_iso(moment):
    for text in (moment.ctime(), moment.replace(tzinfo=None).isoformat()):
        date = parse(text.encode())
        assert date is not None
        assert written(date) == moment.replace(tzinfo=UTC)


@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=20).map(lambda pieces: "".join(pieces).encode())))
def test_anything_is_a_date_that_exists_or_none(octets):
    date = parse(octets)
    if date is not None:
        assert datetime(*date.day_written)
        assert date.hour < 24
        assert date.minute < 60
        assert date.second <= 60
        assert abs(date.zone_minutes) < 100 * 60
        assert isinstance(date.timestamp(), int)
