"""Turn the text of a MySQL value into a typed Python value, exactly or not at all.

DMS sends values as JSON, MySQL's text protocol as text; both pass through the same strict functions, so a value means
the same whether it came by the stream or by a look-up. Nothing is rounded, trimmed or guessed.

Reads:  text, True, False or None.
Gives:  a value that Arrow takes without conversion, None, or `Unfit` with a reason (never with the value).
"""

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from freshet.pipeline.types import ColumnType

Value = int | Decimal | float | str | date | datetime | bool | None
Convert = Callable[[object], Value]

INTEGER: Final = re.compile(r"-?0*[0-9]{1,20}").fullmatch  # ZEROFILL writes up to 255 digits
DECIMAL: Final = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?").fullmatch
DOUBLE: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?").fullmatch
DATE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00:00(?:\.0+)?Z?)?").fullmatch
DATETIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z?"
).fullmatch
ZERO_DATE: Final = "0000-00-00"


class Unfit(ValueError):
    """A value that its column's type cannot hold; `reason` is a code, safe to store and to log."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def converter(column_type: ColumnType) -> Convert:
    """Give the strict function of one column type.

    Args:
        column_type: The type as MySQL declares it.

    Returns:
        A function of text, bool or None that answers a typed value or None, and raises `Unfit` otherwise.
        A zero date (`0000-00-00`) is None: neither Spark nor Redshift has one (DMS, source MySQL: sent as null).
    """
    makers: dict[str, Callable[[ColumnType], Convert]] = {
        "integer": _integer,
        "decimal": _decimal,
        "double": lambda _: _double,
        "text": lambda _: _text,
        "date": lambda _: _date,
        "datetime": lambda _: _datetime,
        "timestamp": lambda _: _datetime,
        "boolean": lambda _: _boolean,
    }
    return makers[column_type.kind](column_type)


def _integer(column_type: ColumnType) -> Convert:
    low, high = column_type.minimum, column_type.maximum
    assert low is not None  # noqa: S101 - an integer type without bounds is a bug, not an input
    assert high is not None  # noqa: S101

    def convert(value: object) -> int | None:
        if value is None:
            return None
        if not isinstance(value, str) or not INTEGER(value):
            raise Unfit("not_an_integer")
        number = int(value)
        if not low <= number <= high:
            raise Unfit("integer_out_of_range")
        return number

    return convert


def _decimal(column_type: ColumnType) -> Convert:
    precision, scale = column_type.precision, column_type.scale
    assert precision is not None  # noqa: S101
    assert scale is not None  # noqa: S101

    def convert(value: object) -> Decimal | None:
        if value is None:
            return None
        parts = DECIMAL(value) if isinstance(value, str) else None
        if parts is None:
            raise Unfit("not_a_decimal")
        whole, fraction = parts[1].lstrip("0"), (parts[2] or "").rstrip("0")
        if len(fraction) > scale or len(whole) > precision - scale:
            raise Unfit("decimal_out_of_range")
        sign = "-" if parts[0].startswith("-") else ""
        return Decimal(f"{sign}{whole or '0'}.{fraction}")

    return convert


def _double(value: object) -> float | None:
    if value is None:
        return None
    number = float(value) if isinstance(value, str) and DOUBLE(value) else math.nan
    if not math.isfinite(number):
        raise Unfit("not_a_finite_number")
    return number


def _text(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unfit("not_text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Unfit("unpaired_surrogate") from None
    return value


def _date(value: object) -> date | None:
    if value is None:
        return None
    parts = DATE(value) if isinstance(value, str) else None
    if parts is None:
        raise Unfit("not_a_date")
    if parts[1] == ZERO_DATE:
        return None
    try:
        return date.fromisoformat(parts[1])
    except ValueError:
        raise Unfit("not_a_date") from None


def _datetime(value: object) -> datetime | None:
    if value is None:
        return None
    parts = DATETIME(value) if isinstance(value, str) else None
    if parts is None:
        raise Unfit("not_a_datetime")
    if parts[1] == ZERO_DATE:
        return None
    fraction = parts[3] or ""
    if fraction[6:].strip("0"):
        raise Unfit("finer_than_microseconds")
    try:
        return datetime.fromisoformat(f"{parts[1]}T{parts[2]}.{fraction[:6]:0<6}")
    except ValueError:
        raise Unfit("not_a_datetime") from None


def _boolean(value: object) -> bool | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    if value == "1":
        return True
    if value == "0":
        return False
    raise Unfit("not_zero_or_one")
