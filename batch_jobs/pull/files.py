"""Rows as files: Parquet with the warehouse's types, or CSV with every value as the answer has it.

In CSV a text stands between quotation marks and NULL is nothing at all, so that an empty text and NULL differ.

Reads:  rows as JSON gives them.
Gives:  Arrow tables and files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from freshet.errors import InputError

GONE: Final = "_freshet_pulled_deleted"
PLACE: Final = "_freshet_pulled_place"
CSV_BLOCK: Final = 256 * 1024 * 1024  # a row must fit into one
_PLAIN: Final[dict[str, pa.DataType]] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "time": pa.time64("us"),
}
_FROM_TEXT: Final = ("date", "timestamp", "timestamptz")


@dataclass(frozen=True)
class Format:
    """How files are written: `parquet` or `csv`, which is also how their names end."""

    ending: str

    def table(self, name: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Make an Arrow table of rows.

        Raises:
            InputError: A value has no place in the format, such as a time before the year 1.
        """
        arrays = {}
        for column, kind in columns.items():
            values = [row[column] for row in rows]
            try:
                arrays[column] = self._array(kind, values)
            except (pa.ArrowException, ValueError, TypeError):
                raise InputError(
                    f"{name}.{column} ({kind}) holds a value that {self.ending} cannot: pull it as csv, or pull a view"
                ) from None
        return pa.table(arrays)

    def _array(self, kind: str, values: list[Any]) -> pa.Array[Any]:
        if self.ending == "csv":
            return pa.array([None if value is None else _text(value) for value in values], pa.string())
        if kind in ("real", "double precision"):
            return pa.array([None if value is None else float(value) for value in values], _PLAIN[kind])
        if kind == "time":
            return pa.array([None if value is None else time.fromisoformat(value) for value in values], _PLAIN[kind])
        if kind in _FROM_TEXT or kind.startswith("decimal("):
            return pa.array(values, pa.string()).cast(arrow_type(kind))
        return pa.array(values, arrow_type(kind))

    def write(self, table: pa.Table, path: Path) -> None:
        """Write a file."""
        if self.ending == "parquet":
            pq.write_table(table, path)
        else:
            arrow_csv.write_csv(table, path)

    def read(self, path: Path, columns: Mapping[str, str]) -> pa.Table:
        """Read a file that was written here."""
        if self.ending == "parquet":
            return pq.read_table(path)
        kinds = {name: pa.bool_() if name == GONE else pa.string() for name in columns}
        return arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(block_size=CSV_BLOCK, use_threads=False),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=kinds, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )

    def count(self, path: Path, columns: Mapping[str, str]) -> int:
        """Count a file's rows."""
        if self.ending == "parquet":
            return int(pq.read_metadata(path).num_rows)
        return len(self.read(path, columns))


def arrow_type(kind: str) -> pa.DataType:
    """Give the Arrow type of a column's type."""
    found = re.fullmatch(r"decimal\((\d+),(\d+)\)", kind)
    if found:
        return pa.decimal128(int(found[1]), int(found[2]))
    return pa.string() if kind not in _PLAIN else _PLAIN[kind]


def last_of_each_key(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Keep the last row of each key, unless it says that the row is gone."""
    places = table.select(keys).append_column(PLACE, pa.array(range(len(table)), pa.int64()))
    last = places.group_by(list(keys), use_threads=False).aggregate([(PLACE, "max")])[f"{PLACE}_max"]
    kept = table.take(last.take(pc.sort_indices(last)))
    return kept.filter(pc.invert(kept[GONE])).drop_columns([GONE])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
