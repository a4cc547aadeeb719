"""Compare a definition with the warehouse's catalogue, before a name of it stands in any query.

A name that the catalogue does not know never stands in SQL: it is looked for as a bound value. One that it knows is quoted.

Reads:  a Definition, `svv_columns`.
Gives:  tables with their columns: how each is selected, and how its value looks in the answer.

Source: Redshift Developer Guide, "SVV_COLUMNS"; Data API, "Field" (DECIMAL, DATE, TIMESTAMP and SUPER come as text).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from batch_jobs.pull.cursors import CURSORS, CursorType
from batch_jobs.pull.definition import COMMIT_COLUMN, TableToPull
from freshet.errors import InputError
from freshet.redshift.catalogue import SCHEMA as CONTROL_SCHEMA
from freshet.redshift.data_api import Warehouse

DELETED_COLUMN: Final = "_freshet_deleted_at"
TABLES_PER_QUERY: Final = 50
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        type: Its type as Freshet writes it: `decimal(38,18)`.
        kind: Its type as `svv_columns` tells it: `numeric`.
        nullable: Whether it may hold NULL.
    """

    name: str
    type: str
    kind: str
    nullable: bool

    @property
    def sql(self) -> str:
        """How it is written in a query."""
        return f"t.{quoted(self.name)}"

    @property
    def selected(self) -> str:
        """How it is selected: times as text of our choosing, the rest as the Data API gives it."""
        if self.kind == "timestamp with time zone":
            return f"cast({self.sql} at time zone 'UTC' as varchar)"
        if self.kind in TEXT_OF_TIME:
            return f"cast({self.sql} as varchar)"
        return self.sql

    @property
    def convert(self) -> Convert:
        """How its value is changed for the answer."""
        return _CONVERT.get(self.kind, _as_it_is)

    def bound(self, parameter: str) -> str:
        """Write the SQL of a key's value that comes as a parameter, as `bound_value` wrote it."""
        if self.kind in TEXTS:
            text = f"substring(cast(:{parameter} as varchar(65535)), 2)"
            return text if self.kind == "character varying" else f"cast({text} as {self.type})"
        cast = self.type if self.kind == "numeric" else _KEY_CASTS[self.kind]
        at = f"cast(:{parameter} as {cast})"
        return f"({at} at time zone 'UTC')" if self.kind == "timestamp with time zone" else at

    def bound_value(self, value: Any) -> str:
        """Write a key's value as a parameter: it is text, and never empty, which the Data API would refuse."""
        if self.kind in TEXTS:
            return f"={value}"
        return str(value).replace("T", " ").removesuffix("Z")


@dataclass(frozen=True)
class Table:
    """A table whose names the catalogue knows.

    Attributes:
        to_pull: What the definition says.
        columns: All of its columns.
        keys: Those that are the key.
        cursor: The type of the cursor.
        cursor_sql: The cursor in a query.
        source: What stands behind FROM.
        overlap: See `TableToPull`.
        checked_for_null: What must not be NULL and may be, as SQL.
    """

    to_pull: TableToPull
    columns: tuple[Column, ...]
    keys: tuple[Column, ...]
    cursor: CursorType
    cursor_sql: str
    source: str
    overlap: int
    checked_for_null: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name in the answer."""
        return self.to_pull.name

    @property
    def place(self) -> str:
        """Its name in messages."""
        return f"{self.to_pull.schema}.{self.to_pull.table}"

    @property
    def marks_deletes(self) -> bool:
        """Whether a deleted row stays and says when it was deleted."""
        return any(column.name == DELETED_COLUMN for column in self.columns)

    @property
    def types(self) -> dict[str, str]:
        """Its columns and their types."""
        return {column.name: column.type for column in self.columns}


def find_tables(warehouse: Warehouse, wanted: Sequence[TableToPull]) -> list[Table]:
    """Find tables, columns and types in the catalogue.

    Raises:
        InputError: A table or column is not there (or not ours to see), or its type cannot be pulled, or be a cursor or a key.
    """
    commits = {(CONTROL_SCHEMA, f"{table.pipeline}_commits") for table in wanted if table.pipeline}
    places = sorted({(table.schema, table.table) for table in wanted} | commits)
    columns: dict[tuple[str, str], list[Column]] = {}
    for start in range(0, len(places), TABLES_PER_QUERY):
        columns |= _columns(warehouse, places[start : start + TABLES_PER_QUERY])
    return [_table(table, columns) for table in wanted]


def _columns(warehouse: Warehouse, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[Column]]:
    terms: list[str] = []
    parameters: dict[str, str] = {}
    for number, (schema, table) in enumerate(places):
        terms.append(f"(table_schema = :s{number} and table_name = :t{number})")
        parameters |= {f"s{number}": schema, f"t{number}": table}
    rows = warehouse.query(
        "select table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale, "
        f"is_nullable from svv_columns where {' or '.join(terms)} order by ordinal_position",
        parameters,
    )
    found: dict[tuple[str, str], list[Column]] = {}
    for row in rows:
        kind = str(row["data_type"]).lower()
        column = Column(str(row["column_name"]), _type(kind, row), kind, row["is_nullable"] != "NO")
        found.setdefault((str(row["table_schema"]), str(row["table_name"])), []).append(column)
    return found


def _type(kind: str, row: dict[str, Any]) -> str:
    if kind == "character varying":
        return f"varchar({row['character_maximum_length']})"
    if kind == "character":
        return f"char({row['character_maximum_length']})"
    if kind == "numeric":
        return f"decimal({row['numeric_precision']},{row['numeric_scale']})"
    return _NAMES.get(kind, kind)


def _table(wanted: TableToPull, known: dict[tuple[str, str], list[Column]]) -> Table:
    place = f"{wanted.schema}.{wanted.table}"
    columns = known.get((wanted.schema, wanted.table))
    if not columns:
        raise InputError(
            f"there is no table {place} that this sign-in may see: check its name (as the catalogue has it) and its grants"
        )
    by_name = {column.name: column for column in columns}
    for column in columns:
        if column.kind not in TYPES:
            raise InputError(
                f"{place}.{column.name} has the type {column.type}, which cannot be pulled: "
                "pull a view that leaves it out or casts it"
            )
    for name in (wanted.cursor, *wanted.keys):
        if name not in by_name:
            raise InputError(f"{place} has no column {name}; it has {', '.join(sorted(by_name))}")
    keys = tuple(by_name[key] for key in wanted.keys)
    for key in keys:
        if key.kind not in _KEY_CASTS and key.kind not in TEXTS and key.kind != "numeric":
            raise InputError(f"{place}.{key.name} has the type {key.type}, which cannot be a key of paging")
    source = f"{quoted(wanted.schema)}.{quoted(wanted.table)} as t"
    nullable = [key.sql for key in keys if key.nullable]
    if wanted.pipeline:
        return _of_pipeline(wanted, tuple(columns), keys, source, nullable, known)
    column = by_name[wanted.cursor]
    cursor = CURSORS.get(column.kind)
    if cursor is None:
        raise InputError(
            f"{place}.{wanted.cursor} has the type {column.type}, which cannot be a cursor: "
            "take a time, a date or a whole number that grows with every change of a row"
        )
    if wanted.overlap is None and not cursor.is_time:
        raise InputError(
            f"{place}: a numeric cursor needs overlap: how many numbers late a transaction may commit "
            "(0 when they commit in order)"
        )
    cursor = replace(cursor, cast=cursor.cast.format(scale=column.type.partition(",")[2].rstrip(")") or 0))
    checked = ([column.sql] if column.nullable else []) + nullable
    overlap = OVERLAP_DEFAULT_S if wanted.overlap is None else wanted.overlap
    return Table(wanted, tuple(columns), keys, cursor, column.sql, source, overlap, tuple(checked))


def _of_pipeline(
    wanted: TableToPull,
    columns: tuple[Column, ...],
    keys: tuple[Column, ...],
    source: str,
    nullable: Sequence[str],
    known: dict[tuple[str, str], list[Column]],
) -> Table:
    """Take the time of a row's commit: a pipeline makes one commit after the other, so that nothing is late."""
    commits = f"{wanted.pipeline}_commits"
    have = {column.name for column in known.get((CONTROL_SCHEMA, commits), ())}
    if not {"commit_id", "committed_at"} <= have:
        raise InputError(
            f"there is no ledger {CONTROL_SCHEMA}.{commits} that this sign-in may see: is {wanted.pipeline} the pipeline "
            f"that keeps {wanted.schema}.{wanted.table}?"
        )
    source += f" left join {quoted(CONTROL_SCHEMA)}.{quoted(commits)} as s on s.commit_id = t.{COMMIT_COLUMN}"
    cursor = CURSORS["timestamp without time zone"]
    checked = ("s.committed_at", *nullable)
    return Table(wanted, columns, keys, cursor, "s.committed_at", source, wanted.overlap or 0, checked)


def quoted(name: str) -> str:
    """Quote a name for Redshift."""
    return '"' + name.replace('"', '""') + '"'


def _as_it_is(value: Any) -> Any:
    return value


def _floating(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _moment(value: Any) -> Any:
    return None if value is None else str(value).replace(" ", "T", 1)


def _moment_utc(value: Any) -> Any:
    return None if value is None else str(value).replace(" ", "T", 1) + "Z"


OVERLAP_DEFAULT_S: Final = 600
TEXTS: Final = frozenset({"character varying", "character"})
TEXT_OF_TIME: Final = frozenset({"timestamp without time zone", "date", "time without time zone"})
_KEY_CASTS: Final = {
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamp",
    "time without time zone": "time",
}
_NAMES: Final = {
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
}
_CONVERT: Final[dict[str, Convert]] = {
    "real": _floating,
    "double precision": _floating,
    "timestamp without time zone": _moment,
    "timestamp with time zone": _moment_utc,
}
# What can be pulled; the rest (GEOMETRY, HLLSKETCH, VARBYTE, INTERVAL, TIMETZ...) is refused by name.
TYPES: Final = frozenset(_KEY_CASTS) | TEXTS | {"numeric", "real", "double precision", "boolean", "super"}
