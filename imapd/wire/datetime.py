"""Dates on the wire (RFC 3501 §9): INTERNALDATE and APPEND's date-time, and the dates of SEARCH.

    date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
    date      = date-text / DQUOTE date-text DQUOTE
    date-text = date-day "-" date-month "-" date-year
    zone      = ("+" / "-") 4DIGIT

In quoted dates the day may be written with its leading blank or without.
"""

import re
import time

from imapd.wire.malformed import Malformed

MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS = {name.upper(): number for number, name in enumerate(MONTHS, 1)}
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# What four digits of a year can say, with a day to spare for the zone.
_EARLIEST = -62135510400  # 2 January of year 1
_LATEST = 253402214399  # 30 December 9999

_DATE = re.compile(rb" ?([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\Z")
_DATE_TIME = re.compile(
    rb" ?([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4}) +([0-9]{2}):([0-9]{2}):([0-9]{2}) +([+-])([0-9]{2})([0-9]{2})\Z"
)


def internaldate(seconds: float, offset_minutes: int | None = None) -> bytes:
    """Seconds since the epoch as `"dd-Mon-yyyy hh:mm:ss +zzzz"`, quotes included, the day of two digits.

    The zone is the server's own unless an offset is given.  Times whose year has not four digits become the nearest
    that has: a file can carry any mtime.
    """
    seconds = int(min(max(seconds, _EARLIEST), _LATEST))
    if offset_minutes is None:
        moment = time.localtime(seconds)
        offset_minutes = moment.tm_gmtoff // 60
    else:
        moment = time.gmtime(seconds + offset_minutes * 60)
    sign = b"-" if offset_minutes < 0 else b"+"
    hours, minutes = divmod(abs(offset_minutes), 60)
    return b'"%02d-%s-%04d %02d:%02d:%02d %s%02d%02d"' % (
        moment.tm_mday,
        MONTHS[moment.tm_mon - 1],
        moment.tm_year,
        moment.tm_hour,
        moment.tm_min,
        moment.tm_sec,
        sign,
        hours,
        minutes,
    )


def parse_date_time(text: bytes) -> int:
    """Seconds since the epoch of a date-time without its quotes; before 1970 they are negative.  Raises Malformed."""
    match = _DATE_TIME.match(text)
    if match is None:
        raise Malformed('Expected a date and time as "dd-Mon-yyyy hh:mm:ss +zzzz"')
    year, month, day = _calendar_day(match[3], match[2], match[1])
    hour, minute, second = int(match[4]), int(match[5]), int(match[6])
    zone_hours, zone_minutes = int(match[8]), int(match[9])
    if hour > 23 or minute > 59 or second > 60 or zone_hours > 23 or zone_minutes > 59:
        raise Malformed("No such time of day, or no such time zone")
    offset = (zone_hours * 60 + zone_minutes) * 60
    if match[7] == b"-":
        offset = -offset
    return days_from_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset


def parse_date(text: bytes) -> tuple[int, int, int]:
    """Year, month and day of a date-text without quotes, as written.  Raises Malformed."""
    match = _DATE.match(text)
    if match is None:
        raise Malformed("Expected a date as d-Mon-yyyy")
    return _calendar_day(match[3], match[2], match[1])


def days_from_epoch(year: int, month: int, day: int) -> int:
    """Days from 1 January 1970 to a day of the Gregorian calendar, continued backwards; negative before."""
    # Years that begin in March put the leap day last, so that one formula gives the days before each month.
    if month <= 2:
        year -= 1
        month += 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469


def _calendar_day(year_text: bytes, month_text: bytes, day_text: bytes) -> tuple[int, int, int]:
    year, month, day = int(year_text), _MONTH_NUMBERS.get(month_text.upper(), 0), int(day_text)
    if month == 0 or not 1 <= day <= _MONTH_DAYS[month - 1]:
        raise Malformed("No such day")
    if month == 2 and day == 29 and (year % 4 or (year % 100 == 0 and year % 400)):
        raise Malformed("No such day")
    return year, month, day
