"""Result sets in the shape of GetStatementResult.

Reads:  PostgreSQL's answer, as text.
Gives:  column metadata and rows of fields.

Source: Redshift Data API reference, "GetStatementResult", "Field", "ColumnMetadata".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from psycopg import RawCursor
from psycopg.pq.abc import PGresult

Field = dict[str, Any]
# PostgreSQL's type numbers, which are fixed.
_BOOLEAN: Final = 16
_WHOLE: Final = frozenset({20, 21, 23, 26})
_FLOATING: Final = frozenset({700, 701})
_NAMES: Final = {
    16: "bool",
    20: "int8",
    21: "int2",
    23: "int4",
    26: "oid",
    114: "super",
    19: "name",
    25: "varchar",
    700: "float4",
    701: "float8",
    705: "varchar",
    1042: "bpchar",
    1043: "varchar",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    1700: "numeric",
}
_DIGITS: Final = {16: (1, 0), 20: (19, 0), 21: (5, 0), 23: (10, 0), 700: (8, 8), 701: (17, 17), 1082: (13, 0)}
ROWS_PER_PAGE: Final = 1000
_MEASURED_ROWS_MAX: Final = 10_000


@dataclass(frozen=True)
class Result:
    """A result set, kept as PostgreSQL sent it: results stay for a day."""

    given: PGresult

    @property
    def rows(self) -> int:
        """Rows in it."""
        return self.given.ntuples

    @property
    def size(self) -> int:
        """Bytes in it; -1 (not known) for a long one."""
        if self.rows > _MEASURED_ROWS_MAX:
            return -1
        fields = range(self.given.nfields)
        return sum(len(self.given.get_value(row, field) or b"") for row in range(self.rows) for field in fields)

    def page(self, start: int) -> dict[str, Any]:
        """Give the answer of GetStatementResult from a row on, with the token of the next page if there is one."""
        given, end = self.given, min(start + ROWS_PER_PAGE, self.rows)
        readers = [_reader(given.ftype(column)) for column in range(given.nfields)]
        answer: dict[str, Any] = {
            "ColumnMetadata": [
                _metadata((given.fname(column) or b"").decode(), given.ftype(column), given.fmod(column))
                for column in range(given.nfields)
            ],
            "Records": [
                [_field(given.get_value(row, column), read) for column, read in enumerate(readers)]
                for row in range(start, end)
            ],
            "TotalNumRows": self.rows,
        }
        if end < self.rows:
            answer["NextToken"] = str(end)
        return answer


def read_result(cursor: RawCursor[Any]) -> Result:
    """Read what the last statement of a cursor gave."""
    given = cursor.pgresult
    assert given is not None, "the statement gives rows"  # noqa: S101 - the caller asked for its description
    return Result(given)


def _field(value: bytes | None, read: Callable[[bytes], Field]) -> Field:
    return {"isNull": True} if value is None else read(value)


def _reader(oid: int) -> Callable[[bytes], Field]:
    if oid == _BOOLEAN:
        return lambda value: {"booleanValue": value == b"t"}
    if oid in _WHOLE:
        return lambda value: {"longValue": int(value)}
    if oid in _FLOATING:
        return _double
    return lambda value: {"stringValue": value.decode()}


def _double(value: bytes) -> Field:
    # JSON has no NaN and no infinity.
    return {"stringValue": value.decode()} if value[-1:] in b"Ny" else {"doubleValue": float(value)}


def _metadata(name: str, oid: int, modifier: int) -> dict[str, Any]:
    precision, scale = _DIGITS.get(oid, (0, 0))
    if oid == 1700:
        precision, scale = ((modifier - 4) >> 16, (modifier - 4) & 0x7FF) if modifier > 0 else (38, 0)
    elif oid in (1042, 1043):
        precision = modifier - 4 if modifier > 0 else 65_535
    elif oid in (25, 705):
        precision = 65_535
    elif oid in (1114, 1184):
        precision, scale = 29, 6
    return {
        "name": name,
        "label": name,
        "typeName": _NAMES.get(oid, "varchar"),
        "precision": precision,
        "scale": scale,
        "length": 0,
        "nullable": 1,
        "isCaseSensitive": oid in (25, 1042, 1043),
        "isCurrency": False,
        "isSigned": oid in _WHOLE or oid in _FLOATING or oid == 1700,
        "schemaName": "",
        "tableName": "",
    }
