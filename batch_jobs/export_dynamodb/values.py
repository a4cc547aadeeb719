"""From columns of Redshift to attribute values of DynamoDB: exact, with their sizes, and with what does not fit.

A number of DynamoDB has 38 digits, as a DECIMAL has: it is written from the digits, never through a float. Dates and times
become ISO text; a time has six digits of a fraction, so that the order of the texts is the order of the times.

Source: Amazon DynamoDB Developer Guide, "Supported data types and naming rules" (Number, Null, Boolean), "DynamoDB Item sizes and
formats"; Redshift Developer Guide, "Data types", "UNLOAD" (Parquet).
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# By the type's name in SVV_COLUMNS; what is not here is refused by name.
KINDS: Final = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "decimal",
    "real": "real",
    "double precision": "double",
    "boolean": "boolean",
    "character": "char",
    "character varying": "text",
    "text": "text",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "super": "super",
}
KEY_KINDS: Final = {"integer": "N", "decimal": "N", "char": "S", "text": "S"}
NUMBER_MAX: Final = 1e126  # and above are refused; below 1e-130 too
NUMBER_MIN: Final = 1e-130
FIRST_AND_LAST_DAY: Final = (-719_162, 2_932_896)  # 0001-01-01 and 9999-12-31, in days since 1970
DAY_US: Final = 86_400_000_000
NULL: Final = '{"NULL":true}'


@dataclass(frozen=True)
class Column:
    """One column of the source: its name, its kind (see KINDS), digits behind the point of a decimal."""

    name: str
    kind: str
    scale: int = 0


@dataclass
class Values:
    """A column's values as JSON of DynamoDB (None for NULL), the size of each in bytes, what did not fit by row."""

    texts: list[str | None]
    sizes: list[int]
    unfit: dict[int, str]


def normalized(column: Any, kind: str) -> Any:
    """Give a column as read from Parquet the Arrow type that this module works with."""
    if kind in {"text", "char", "super"}:
        texts = pc.cast(column, pa.large_string())
        return pc.utf8_rtrim(texts, characters=" ") if kind == "char" else texts
    if kind == "integer":
        return pc.cast(column, pa.int64())
    if kind == "timestamp":
        # Redshift writes the clock's reading, whatever a file calls its zone.
        return pc.cast(pc.cast(column, pa.timestamp("us", "UTC")), pa.timestamp("us"))
    if kind == "timestamptz":
        return pc.cast(column, pa.timestamp("us", "UTC"))
    return column


def values_of(column: Any, kind: str) -> Values:
    """Write a column's values.

    Args:
        column: An Arrow array, from `normalized`.
        kind: See KINDS.
    """
    return _WRITERS[kind](column)


def number_size(text: str) -> int:
    """Give the bytes of a number in an item, at most: half a byte a digit, two for exponent and parity, one for a minus."""
    digits = text.partition("e")[0].replace(".", "").lstrip("-").strip("0")
    return len(digits) // 2 + 2 + text.startswith("-")


def plain(number: Decimal) -> str:
    """Write a decimal with all its digits, without zeros at the end of its fraction."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _texts(column: Any) -> Values:
    sizes = [size or 0 for size in pc.binary_length(column).to_pylist()]
    write = json.encoder.encode_basestring
    return Values([None if t is None else f'{{"S":{write(t)}}}' for t in column.to_pylist()], sizes, {})


def _numbers(texts: list[str | None], unfit: dict[int, str]) -> Values:
    written = [None if text is None else f'{{"N":"{text}"}}' for text in texts]
    return Values(written, [0 if text is None else number_size(text) for text in texts], unfit)


def _integers(column: Any) -> Values:
    return _numbers([None if value is None else str(value) for value in column.to_pylist()], {})


def _decimals(column: Any) -> Values:
    return _numbers([None if value is None else plain(value) for value in column.to_pylist()], {})


def _floats(shortest: Callable[[float], str]) -> Callable[[Any], Values]:
    def write(column: Any) -> Values:
        texts: list[str | None] = []
        unfit: dict[int, str] = {}
        for row, value in enumerate(column.to_pylist()):
            if value is None:
                texts.append(None)
                continue
            if not math.isfinite(value):
                unfit[row] = "not_a_finite_number"
            elif value != 0 and not NUMBER_MIN <= abs(value) < NUMBER_MAX:
                unfit[row] = "number_out_of_range"
            if row in unfit or value == 0:
                texts.append("0")
            else:
                texts.append(shortest(value).removesuffix(".0"))
        return _numbers(texts, unfit)

    return write


def _booleans(column: Any) -> Values:
    written = {None: None, True: '{"BOOL":true}', False: '{"BOOL":false}'}
    return Values([written[value] for value in column.to_pylist()], [1] * len(column), {})


def _days(column: Any) -> Values:
    return _moments(column, pc.cast(column, pa.int32()), *FIRST_AND_LAST_DAY, "")


def _times(ending: str) -> Callable[[Any], Values]:
    first, last = FIRST_AND_LAST_DAY[0] * DAY_US, (FIRST_AND_LAST_DAY[1] + 1) * DAY_US - 1
    return lambda column: _moments(column, pc.cast(column, pa.int64()), first, last, ending)


def _moments(column: Any, numbers: Any, first: int, last: int, ending: str) -> Values:
    outside: Any = pc.or_(_than(pc.less, numbers, first), _than(pc.greater, numbers, last))
    unfit = dict.fromkeys(
        np.flatnonzero(pc.fill_null(outside, False).to_numpy(zero_copy_only=False)).tolist(), "date_out_of_range"
    )
    if unfit:
        column = pc.if_else(outside, pa.scalar(None, column.type), column)
    bare = pc.cast(column, pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column
    texts = [
        None if text is None else text.replace(" ", "T") + ending for text in pc.cast(bare, pa.string()).to_pylist()
    ]
    return Values([None if t is None else f'{{"S":"{t}"}}' for t in texts], [len(t or "") for t in texts], unfit)


def _than(compare: Callable[..., Any], numbers: Any, limit: int) -> Any:
    return compare(numbers, pa.scalar(limit, numbers.type))


_WRITERS: Final[dict[str, Callable[[Any], Values]]] = {
    "integer": _integers,
    "decimal": _decimals,
    "real": _floats(lambda value: str(np.float32(value))),
    "double": _floats(repr),
    "boolean": _booleans,
    "char": _texts,
    "text": _texts,
    "super": _texts,
    "date": _days,
    "timestamp": _times(""),
    "timestamptz": _times("Z"),
}
