"""Check a Parquet file against a table's columns as Redshift does, and give its rows as CSV for PostgreSQL.

PostgreSQL would convert what Redshift refuses or misreads: a naive INT64 timestamp becomes the year 161065 there.

Reads:  a file's bytes, the table's columns in the file's order.
Gives:  CSV in parts, in which an unquoted empty field is NULL.

Source: Redshift Developer Guide, "COPY from columnar data formats"; apache/arrow#38000 for the timestamps.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from sandbox.redshift.errors import Refused

_ROWS_PER_PART: Final = 20_000


@dataclass(frozen=True)
class Column:
    """A column of a table: PostgreSQL's name of its type without sizes, and the sizes as its type modifier."""

    name: str
    type: str
    modifier: int

    @property
    def size(self) -> int:
        """Bytes of a VARCHAR or CHAR."""
        return self.modifier - 4

    @property
    def digits(self) -> tuple[int, int]:
        """Precision and scale of a DECIMAL."""
        return (self.modifier - 4) >> 16, (self.modifier - 4) & 0x7FF

    def __str__(self) -> str:
        """Name the type as Redshift's messages do."""
        if self.type == "numeric":
            return "DECIMAL({}, {})".format(*self.digits)
        if self.type.startswith("character"):
            return f"{'VARCHAR' if 'varying' in self.type else 'CHAR'}({self.size})"
        return self.type.removesuffix(" without time zone").upper()


def as_csv(url: str, body: bytes, columns: list[Column]) -> list[bytes]:
    """Check a file and give its rows.

    Args:
        url: Name of the file, for messages.
        body: The file.
        columns: What its columns go into, by position.

    Raises:
        Refused: Redshift would not load the file, or would load something else than it says.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(body), coerce_int96_timestamp_unit="us")
        _check_schema(url, columns, [file.schema.column(number) for number in range(len(file.schema))])
        return [_part(url, columns, batch) for batch in file.iter_batches(batch_size=_ROWS_PER_PART)]
    except pa.ArrowException:
        raise Refused(f"Spectrum Scan Error: {url} is not a Parquet file, or a broken one") from None


def named_batches(url: str, body: bytes, columns: list[Column]) -> Iterator[list[Any]]:
    """Check a file of an external table and give its rows in parts, each a list of Arrow arrays.

    Columns are found by name in any case; one that the file has not is NULL, and a text that is too long is cut.

    Args:
        url: Name of the file, for messages.
        body: The file.
        columns: Of the table, without its partition columns.

    Raises:
        Refused: It is no Parquet file, or a column has another type.

    Source: Redshift Developer Guide, "CREATE EXTERNAL TABLE" (data types).
    """
    try:
        file = pq.ParquetFile(io.BytesIO(body), coerce_int96_timestamp_unit="us")
        found = [file.schema.column(number) for number in range(len(file.schema))]
        stored = {column.path.partition(".")[0].lower(): column for column in found}
        for column in columns:
            if column.name in stored:
                _check_type(url, column, stored[column.name])
        names = [stored[column.name].name for column in columns if column.name in stored]
        for batch in file.iter_batches(batch_size=_ROWS_PER_PART, columns=names):
            by_name = {name.lower(): values for name, values in zip(batch.schema.names, batch.columns, strict=True)}
            yield [
                _checked(url, column, _cut(column, by_name[column.name]))
                if column.name in by_name
                else pa.nulls(batch.num_rows, pa.string())
                for column in columns
            ]
    except pa.ArrowException:
        raise Refused(f"Spectrum Scan Error: {url} is not a Parquet file, or a broken one") from None


def _cut(column: Column, values: Any) -> Any:
    if not column.type.startswith("character") or (pc.max(pc.binary_length(values)).as_py() or 0) <= column.size:
        return values
    texts = [text and text.encode()[: column.size].decode(errors="ignore") for text in values.to_pylist()]
    return pa.array(texts, pa.string())


def _part(url: str, columns: list[Column], batch: pa.RecordBatch) -> bytes:
    values = [_checked(url, column, values) for column, values in zip(columns, batch.columns, strict=True)]
    table = pa.Table.from_arrays(values, names=[str(number) for number in range(len(values))])
    part = io.BytesIO()
    pa_csv.write_csv(table, part, pa_csv.WriteOptions(include_header=False))
    return part.getvalue()


def _check_schema(url: str, columns: list[Column], found: list[Any]) -> None:
    if len(found) != len(columns):
        raise Refused(
            "Spectrum Scan Error: Unmatched number of columns between table and file. "
            f"Table columns: {len(columns)}, Data columns: {len(found)}, File name: {url}"
        )
    for column, stored in zip(columns, found, strict=True):
        _check_type(url, column, stored)


def _check_type(url: str, column: Column, stored: Any) -> None:
    logical = json.loads(stored.logical_type.to_json())
    is_nested = stored.max_repetition_level > 0 or stored.path != stored.name
    if is_nested or not _MATCHES.get(column.type, _never)(column, stored.physical_type, logical):
        raise _mismatch(url, column, stored, "")
    if logical["Type"] == "Timestamp" and stored.converted_type == "NONE":
        hint = (
            "; an INT64 timestamp without a converted type: Redshift reads it as a time in the year 161065, "
            "so write INT96 (pyarrow: use_deprecated_int96_timestamps=True)"
        )
        raise _mismatch(url, column, stored, hint)


def _mismatch(url: str, column: Column, stored: Any, hint: str) -> Refused:
    kind = stored.physical_type.lower()
    logical = str(stored.logical_type)
    written = f"{'optional' if stored.max_definition_level else 'required'} {kind} {stored.name}"
    if logical != "None":
        written += f" ({logical})"
    return Refused(
        f"Spectrum Scan Error: File '{url}' has an incompatible Parquet schema for column '{url}.{stored.name}'. "
        f"Column type: {column}, Parquet schema: {written}{hint}"
    )


def _whole(physical: str, bits: int, *, plain: bool) -> Callable[[Column, str, dict[str, Any]], bool]:
    def matches(_column: Column, stored: str, logical: dict[str, Any]) -> bool:
        if logical["Type"] == "None":
            return plain and stored == physical
        return (
            stored == physical
            and logical["Type"] == "Int"
            and (logical["bitWidth"], logical["isSigned"]) == (bits, True)
        )

    return matches


def _text(_column: Column, stored: str, logical: dict[str, Any]) -> bool:
    return stored == "BYTE_ARRAY" and logical["Type"] == "String"


def _decimal(column: Column, _stored: str, logical: dict[str, Any]) -> bool:
    return logical["Type"] == "Decimal" and (logical["precision"], logical["scale"]) == column.digits


def _never(_column: Column, _stored: str, _logical: dict[str, Any]) -> bool:
    return False


def _timestamp(_column: Column, stored: str, logical: dict[str, Any]) -> bool:
    return stored == "INT96" or (stored == "INT64" and logical["Type"] == "Timestamp")


_MATCHES: Final[dict[str, Callable[[Column, str, dict[str, Any]], bool]]] = {
    "smallint": _whole("INT32", 16, plain=False),
    "integer": _whole("INT32", 32, plain=True),
    "bigint": _whole("INT64", 64, plain=True),
    "real": lambda _column, stored, _logical: stored == "FLOAT",
    "double precision": lambda _column, stored, _logical: stored == "DOUBLE",
    "boolean": lambda _column, stored, _logical: stored == "BOOLEAN",
    "date": lambda _column, stored, logical: stored == "INT32" and logical["Type"] == "Date",
    "numeric": _decimal,
    "character varying": _text,
    "character": _text,
    "timestamp without time zone": _timestamp,
}


def _checked(url: str, column: Column, values: Any) -> Any:
    if column.type.startswith("character"):
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        if longest > column.size:
            raise Refused(
                f"Spectrum Scan Error: The length of the data column {column.name} is longer than the length defined in "
                f"the table. Table: {column.size}, Data: {longest}, File name: {url}"
            )
        if pc.any(pc.match_substring(values, "\0")).as_py():
            raise Refused(f"Spectrum Scan Error: a character of code 0 in column {column.name}, File name: {url}")
    elif (
        pa.types.is_floating(values.type)
        and not pc.all(pc.is_finite(values)).as_py()
        and values.null_count < len(values)
    ):
        raise Refused(f"Spectrum Scan Error: NaN or infinity in column {column.name}, File name: {url}")
    if pa.types.is_decimal(values.type):
        return values.cast(pa.string())
    return values
