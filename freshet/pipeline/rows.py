"""Read rows of the source by key, as Arrow, exactly.

Values travel as bound parameters and come back as MySQL's own text, which `values` turns into typed values with the same
functions that read the stream: a row means the same whichever way it came.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from freshet.pipeline.model import Column, Table
from freshet.pipeline.values import Unfit, Value, converter

KEYS_PER_STATEMENT_MAX = 1000
UNFIT = "_freshet_unfit"  # NULL, or "column:reason" of a value that its type cannot hold; that row's values are NULL


def quoted(name: str) -> str:
    """Quote a MySQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Give the Arrow schema of some columns; everything may be NULL, since a left join makes it so."""
    return pa.schema([pa.field(column.name, column.type.arrow) for column in columns])


def rows_schema(table: Table) -> pa.Schema:
    """Give the schema of the rows read here: the table's columns and `UNFIT`."""
    return arrow_schema(table.columns).append(pa.field(UNFIT, pa.string()))


def rows_by_key(
    connection: Any, database: str, table: Table, key_columns: Sequence[str], keys: Sequence[tuple[object, ...]]
) -> Iterator[pa.RecordBatch]:
    """Read the rows that have one of some keys.

    Args:
        connection: From `connection.connect`.
        database: MySQL database that holds the table.
        table: Table and the columns to read.
        key_columns: Columns that identify the rows.
        keys: Values of those columns, each a tuple in their order; none of them NULL.

    Yields:
        Batches of `rows_schema(table)`; keys without a row are left out. In a row with a value that its type cannot hold
        (a BOOLEAN of 2) all but the primary key is NULL, and `UNFIT` says why.
    """
    names = ", ".join(quoted(name) for name in key_columns)
    one = "(" + ", ".join(["%s"] * len(key_columns)) + ")"
    for start in range(0, len(keys), KEYS_PER_STATEMENT_MAX):
        chunk = keys[start : start + KEYS_PER_STATEMENT_MAX]
        where = f"({names}) in ({', '.join([one] * len(chunk))})"
        yield _select(connection, database, table, where, [value for key in chunk for value in key])


def rows_after(
    connection: Any, database: str, table: Table, after: tuple[object, ...] | None, count: int
) -> pa.RecordBatch:
    """Read the next rows in the order of the primary key.

    Args:
        connection: From `connection.connect`.
        database: MySQL database that holds the table.
        table: Table, its primary key, and the columns to read.
        after: Primary key of the last row already read; None to begin.
        count: At most so many rows.
    """
    names = ", ".join(quoted(name) for name in table.primary_key)
    where, values = "true", []
    if after is not None:
        where, values = f"({names}) > ({', '.join(['%s'] * len(after))})", list(after)
    return _select(connection, database, table, f"{where} order by {names} limit {int(count)}", values)


def _select(connection: Any, database: str, table: Table, rest: str, values: Sequence[object]) -> pa.RecordBatch:
    wanted = ", ".join(quoted(column.name) for column in table.columns)
    with connection.cursor(raw=True) as cursor:
        cursor.execute(f"select {wanted} from {quoted(database)}.{quoted(table.name)} where {rest}", tuple(values))
        fetched = cursor.fetchall()
    converters = [(column, converter(column.type)) for column in table.columns]
    rows: list[tuple[Value, ...]] = []
    for texts in fetched:
        row: list[Value] = []
        unfit: str | None = None
        for (column, convert), text in zip(converters, texts, strict=True):
            try:
                row.append(convert(None if text is None else bytes(text).decode()))
            except (Unfit, UnicodeDecodeError) as problem:
                row.append(None)
                unfit = f"{table.name}.{column.name}:{problem.reason if isinstance(problem, Unfit) else 'not_utf8'}"
        if unfit:
            keys = table.primary_key
            row = [value if column.name in keys else None for column, value in zip(table.columns, row, strict=True)]
        rows.append((*row, unfit))
    schema = rows_schema(table)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
