"""Read dates and times in the formats of COPY's DATEFORMAT and TIMEFORMAT.

Reads:  a format; a text.
Gives:  the text in ISO 8601, which PostgreSQL reads alike everywhere; None when it is no such time.

Source: Redshift Developer Guide, "DATEFORMAT and TIMEFORMAT strings", "Using automatic recognition".
"""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

_PARTS: Final = {
    "YYYY": r"(?P<year>\d{4})",
    "YY": r"(?P<short>\d{2})",
    "MONTH": r"(?P<name>[A-Za-z]+)",
    "MON": r"(?P<name>[A-Za-z]{3})",
    "MM": r"(?P<month>\d{1,2})",
    "DD": r"(?P<day>\d{1,2})",
    "HH24": r"(?P<hour>\d{1,2})",
    "HH12": r"(?P<hour>\d{1,2})",
    "HH": r"(?P<hour>\d{1,2})",
    "MI": r"(?P<minute>\d{1,2})",
    "SS": r"(?P<second>\d{1,2})(?P<fraction>\.\d{1,6})?",
    "AM": r"(?P<half>[AaPp][Mm])",
    "PM": r"(?P<half>[AaPp][Mm])",
    "OF": r"(?P<offset>[+-]\d{2}(?::?\d{2})?)",
}
_SPLIT: Final = re.compile("|".join(sorted(_PARTS, key=len, reverse=True)) + r"|.", re.DOTALL)
_CLOCK: Final = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>\.\d{1,6})?)?"
_OFFSET: Final = r"(?: ?(?P<offset>Z|[+-]\d{2}(?::?\d{2})?))?"
_AUTO: Final = [
    re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d{{1,2}})-(?P<day>\d{{1,2}})(?:[T ]{_CLOCK}{_OFFSET})?", re.ASCII),
    re.compile(
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?: (?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2}))?",
        re.ASCII,
    ),
    re.compile(rf"(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})/(?P<year>\d{{4}})(?: {_CLOCK})?", re.ASCII),
    re.compile(rf"(?P<day>\d{{1,2}})[- ](?P<name>[A-Za-z]{{3}})[- ](?P<year>\d{{4}})(?: {_CLOCK})?", re.ASCII),
]
_MONTHS: Final = [dt.date(2000, month, 1).strftime("%B").lower() for month in range(1, 13)]
_SECONDS: Final = re.compile(r"[+-]?\d{1,18}(\.\d{1,6})?", re.ASCII)
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - timestamps of tables without a zone

TimeReader = Callable[[str], str | None]


@cache
def time_reader(written: str, kind: str) -> TimeReader:
    """Give what reads one column's values.

    Args:
        written: The format: parts of a date between other characters, `auto`, `epochsecs` or `epochmillisecs`.
        kind: PostgreSQL's name of the column's type.
    """
    if kind != "date" and written in ("epochsecs", "epochmillisecs"):
        scale = 1 if written == "epochsecs" else 1000
        return lambda text: _since_1970(text, scale)
    if written == "auto":
        return lambda text: _first(_AUTO, text, kind)
    zone = _OFFSET if kind.endswith("with time zone") and "OF" not in written else ""
    pattern = "".join(_PARTS.get(part) or re.escape(part) for part in _SPLIT.findall(written)) + zone
    try:
        patterns = [re.compile(pattern, re.ASCII)]
    except re.error:  # a part that comes twice
        patterns = []
    return lambda text: _first(patterns, text, kind)


def _first(patterns: Sequence[re.Pattern[str]], text: str, kind: str) -> str | None:
    for pattern in patterns:
        if found := pattern.fullmatch(text):
            try:
                return _iso(found.groupdict(), kind)
            except ValueError:
                return None
    return None


def _iso(parts: dict[str, str | None], kind: str) -> str | None:
    year = int(parts.get("year") or 0) or _full_year(parts.get("short"))
    name = (parts.get("name") or "").lower()
    month = int(parts.get("month") or 0) or _month_named(name)
    hour = int(parts.get("hour") or 0)
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    moment = dt.datetime(  # noqa: DTZ001
        year, month, int(parts.get("day") or 0), hour, int(parts.get("minute") or 0), int(parts.get("second") or 0)
    )
    if kind == "date":
        return moment.date().isoformat()
    offset = parts.get("offset") or ""
    if kind == "timestamp without time zone" and offset not in ("", "Z", "+00", "+0000", "+00:00"):
        return None
    with_zone = (offset or "Z") if kind.endswith("with time zone") else ""
    return moment.isoformat(" ") + (parts.get("fraction") or "") + with_zone


def _full_year(short: str | None) -> int:
    if short is None:
        return 0
    return int(short) + (2000 if int(short) < 70 else 1900)


def _month_named(name: str) -> int:
    known = [number for number, month in enumerate(_MONTHS, 1) if name in (month, month[:3])]
    return known[0] if known else 0


def _since_1970(text: str, scale: int) -> str | None:
    if not _SECONDS.fullmatch(text):
        return None
    whole, _, fraction = text.partition(".")
    micros = int(whole) * (1_000_000 // scale)
    if scale == 1 and fraction:
        micros += int(fraction.ljust(6, "0")) * (-1 if whole.startswith("-") else 1)
    elif fraction:
        return None
    try:
        return (_EPOCH + dt.timedelta(microseconds=micros)).isoformat(" ")
    except OverflowError:
        return None
