"""The Date field (RFC 5322 §3.3, obsolete §4.3, RFC 850, ctime and ISO 8601 besides; never raises).

    parse(value) -> Date | None      None for what names no day that exists
        Date.year .month .day .hour .minute .second .zone_minutes    as written; zone east of Greenwich
        Date.day_written -> (year, month, day)   for SENTBEFORE, SENTON, SENTSINCE: zone and time do not count
        Date.timestamp() -> int                  seconds since 1970 UTC, for SORT and THREAD

A time that is missing or makes no sense is 00:00:00, such a zone is UTC (RFC 5256 §2.2).  Years of two digits are 1950
to 2049, of three 1900 and on (RFC 5322 §4.3).  The military zones other than Z count as UTC, because RFC 822 had their
signs wrong (ibidem); so do names that are not in the list.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DATE = 1000  # octets of a value that are looked at

_MONTHS = {
    name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}
_HOURS = {
    b"ut": 0, b"utc": 0, b"gmt": 0, b"z": 0, b"wet": 0,
    b"nst": -3.5, b"ndt": -2.5, b"ast": -4, b"adt": -3, b"est": -5, b"edt": -4, b"cst": -6, b"cdt": -5,
    b"mst": -7, b"mdt": -6, b"pst": -8, b"pdt": -7, b"yst": -9, b"ydt": -8, b"akst": -9, b"akdt": -8,
    b"hst": -10, b"hdt": -9, b"bst": 1, b"west": 1, b"cet": 1, b"met": 1, b"mez": 1, b"cest": 2, b"mest": 2,
    b"mesz": 2, b"eet": 2, b"sast": 2, b"eest": 3, b"msk": 3, b"msd": 4, b"ist": 5.5, b"hkt": 8, b"jst": 9,
    b"kst": 9, b"aest": 10, b"aedt": 11, b"nzst": 12, b"nzdt": 13,
}  # fmt: skip

_TIME = rb"(\d{1,2})\s*[:.]\s*(\d{1,2})(?:\s*[:.]\s*(\d{1,2})(?:[.,]\d+)?)?"
_ZONE = rb"((?:[A-Za-z]{1,5}\s*(?=[-+]\d))?[-+]\s*\d{1,2}:?\d\d(?!\d)|[A-Za-z]{1,5}(?![A-Za-z]))"
_USUAL = re.compile(
    rb"\s*(?:[A-Za-z]+\.?\s*,?\s*|,\s*)?(\d{1,2})\s*[-\s./]\s*([A-Za-z]{3})[A-Za-z]*\.?[-\s.,/]*(\d{2,4})(?!\d)"
    rb"(?:[\s,T]*" + _TIME + rb"(?:\s*" + _ZONE + rb")?)?"
)
_CTIME = re.compile(
    rb"\s*(?:[A-Za-z]{3,9}\s*,?\s+)?([A-Za-z]{3})[A-Za-z]*\.?\s+(\d{1,2})\s*,?\s+"
    rb"(?:" + _TIME + rb"\s+(?:" + _ZONE + rb"\s+)?)?(\d{4})(?!\d)(?:\s+" + _TIME + rb")?(?:\s*" + _ZONE + rb")?"
)
_ISO = re.compile(rb"\s*(\d{4})-(\d\d)-(\d\d)(?:[\sT]+" + _TIME + rb"(?:\s*" + _ZONE + rb")?)?(?!\d)")
_OFFSET = re.compile(rb"([-+])\s*(\d{1,2}):?(\d\d)\Z")
_COMMENT_MARK = re.compile(rb"[()]|\\.", re.DOTALL)


class Date:
    """A date as written; see the module."""

    __slots__ = ("day", "hour", "minute", "month", "second", "year", "zone_minutes")

    def __init__(self, day: tuple[int, int, int], time: tuple[int, int, int], zone_minutes: int) -> None:
        self.year, self.month, self.day = day
        self.hour, self.minute, self.second = time
        self.zone_minutes = zone_minutes

    @property
    def day_written(self) -> tuple[int, int, int]:
        """Year, month and day, which compare as dates do."""
        return self.year, self.month, self.day

    def timestamp(self) -> int:
        """Seconds since 1970 UTC, negative before."""
        minutes = (_days(self.year, self.month, self.day) * 24 + self.hour) * 60 + self.minute - self.zone_minutes
        return minutes * 60 + self.second


def parse(value: bytes) -> Date | None:
    """The date of an unfolded value."""
    value = value[:MAX_DATE]
    if b"(" in value:
        value = _without_comments(value)
    usual = _USUAL.match(value)
    if usual:
        day, month, year, hour, minute, second, zone = usual.groups()
        return _date(_year(year), _MONTHS.get(month.lower(), 0), int(day), (hour, minute, second), zone)
    ctime = _CTIME.match(value)
    if ctime:
        month, day, *early, early_zone, year, hour, minute, second, zone = ctime.groups()
        time = early if early[0] is not None else (hour, minute, second)
        return _date(int(year), _MONTHS.get(month.lower(), 0), int(day), time, early_zone or zone)
    iso = _ISO.match(value)
    if iso:
        year, month, day, hour, minute, second, zone = iso.groups()
        return _date(int(year), int(month), int(day), (hour, minute, second), zone)
    return None


def _date(year: int, month: int, day: int, time: Sequence[bytes | None], zone: bytes | None) -> Date | None:
    if not (1 <= month <= 12 and 1 <= day <= _month_days(year, month) and year > 0):
        return None
    hour, minute, second = (int(number or 0) for number in time)
    if hour > 23 or minute > 59 or second > 60:  # 60 is a leap second
        hour = minute = second = 0
    return Date((year, month, day), (hour, minute, second), _zone_minutes(zone or b""))


def _year(digits: bytes) -> int:
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _zone_minutes(zone: bytes) -> int:
    offset = _OFFSET.search(zone)
    if offset is None:
        return int(_HOURS.get(zone.lower(), 0) * 60)
    hours, minutes = int(offset[2]), int(offset[3])
    if minutes > 59:
        return 0
    return (hours * 60 + minutes) * (-1 if offset[1] == b"-" else 1)


def _month_days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469


def _without_comments(value: bytes) -> bytes:
    """The value with a blank for each comment; one that never ends is cut off."""
    kept: list[bytes] = []
    depth = at = 0
    for match in _COMMENT_MARK.finditer(value):
        if match[0] == b"(":
            if depth == 0:
                kept.append(value[at : match.start()])
            depth += 1
        elif match[0] == b")" and depth:
            depth -= 1
            at = match.end()
    if depth == 0:
        kept.append(value[at:])
    return b" ".join(kept)
