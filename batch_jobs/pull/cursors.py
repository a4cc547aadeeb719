"""The types of a cursor: how a value is written as text, bound again, and set back by the overlap.

Arithmetic is done here and not in SQL, so that it is the same for every type and can be tested.

Source: Redshift Developer Guide, "Datetime types", "Numeric types"; Data API, `SqlParameter` (values are text).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Final

from freshet.errors import InputError

DAY_S: Final = 86400
NUMBER_MIN: Final = Decimal(-(2**63))  # of a BIGINT
EXACT: Final = Context(prec=100)  # more digits than any DECIMAL


@dataclass(frozen=True)
class CursorType:
    """One kind of cursor: `timestamp`, `timestamptz`, `date` or `number`; `cast` is the type that its values are bound as."""

    kind: str
    cast: str

    @property
    def is_time(self) -> bool:
        """Whether the warehouse's clock says what is not yet past."""
        return self.kind != "number"

    def as_text(self, sql: str) -> str:
        """Write the SQL that gives a value as text, every digit of it."""
        return f"cast({sql} at time zone 'UTC' as varchar)" if self.kind == "timestamptz" else f"cast({sql} as varchar)"

    def bound(self, parameter: str) -> str:
        """Write the SQL of a value that comes as a parameter; a time with a zone is text in UTC."""
        at = f"cast(:{parameter} as {self.cast})"
        return f"({at} at time zone 'UTC')" if self.kind == "timestamptz" else at

    def set_back(self, value: str, overlap: int) -> str:
        """Give the value that lies an overlap before: seconds, for a date rounded up to days, or numbers."""
        if self.kind == "number":
            number = self._number(value)
            back = EXACT.subtract(number, Decimal(overlap))
            return f"{max(back, min(number, NUMBER_MIN)):f}"
        if self.kind == "date":
            return str(date.fromordinal(max(1, self._date(value).toordinal() - -(-overlap // DAY_S))))
        moment = self._moment(value)
        return _text(moment - min(timedelta(seconds=overlap), moment - FIRST_MOMENT))

    def lesser(self, value: str, now: str) -> str:
        """Give the earlier of a cursor value and the warehouse's clock (`now`, UTC, as text); a number has no clock."""
        if self.kind == "number":
            return value
        if self.kind == "date":
            return min(value, now[:10], key=self._date)
        return min(value, now, key=self._moment)

    def greater(self, one: str | None, other: str) -> str:
        """Give the greater of two values."""
        if one is None:
            return other
        if self.kind == "number":
            return max(one, other, key=self._number)
        return max(one, other, key=self._date if self.kind == "date" else self._moment)

    def check(self, value: str) -> None:
        """Refuse what is no value of this kind.

        Raises:
            InputError: It is none, or one that lies outside of the years 1 to 9999.
        """
        self.greater(value, value)

    @staticmethod
    def _number(value: str) -> Decimal:
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise InputError("a cursor is no number")
        return number

    @staticmethod
    def _date(value: str) -> date:
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise InputError("a cursor is no date of the years 1 to 9999") from None

    @staticmethod
    def _moment(value: str) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is not None:
            raise InputError("a cursor is no time of the years 1 to 9999")
        return moment


def _text(moment: datetime) -> str:
    return moment.isoformat(sep=" ")


FIRST_MOMENT: Final = datetime(1, 1, 1)  # noqa: DTZ001 - a TIMESTAMP has no zone
CURSORS: Final = {
    "timestamp without time zone": CursorType("timestamp", "timestamp"),
    "timestamp with time zone": CursorType("timestamptz", "timestamp"),
    "date": CursorType("date", "date"),
    "smallint": CursorType("number", "bigint"),
    "integer": CursorType("number", "bigint"),
    "bigint": CursorType("number", "bigint"),
    "numeric": CursorType("number", "decimal(38,{scale})"),
}
