"""The queries of one table: how a round begins, and the next page of rows.

Rows are read in the order of (cursor, key), each page from behind the last row that was given: a total order, as keys are
unique. So rows that share a cursor value are neither lost nor given twice, wherever a page ends.

Gives:  SQL text and its parameters; names come from the catalogue and are quoted, values are bound.
"""

from __future__ import annotations

from typing import Any

from batch_jobs.pull.catalogue import Table

Query = tuple[str, dict[str, str]]


def opening(table: Table) -> Query:
    """Write the query that a round begins with: the clock, and how many rows can have no place in the order."""
    clock = "cast(getdate() as varchar)"
    if not table.checked_for_null:
        return f"select {clock} as clock, 0 as homeless", {}
    homeless = " or ".join(f"{sql} is null" for sql in table.checked_for_null)
    return f"select {clock} as clock, count(*) as homeless from {table.source} where {homeless}", {}


def page(table: Table, low: str | None, after: list[Any] | None, rows_max: int) -> Query:
    """Write the query of the next rows.

    Args:
        table: The table.
        low: The first cursor value to read; None: all.
        after: Cursor and key of the last row given; None: from the first.
        rows_max: Rows at most.

    Returns:
        SQL that gives the table's columns in order and then the cursor as text.
    """
    cursor, parameters = table.cursor, {}
    if after is not None:
        parameters["c"] = after[0]
        greater = table.cursor_sql + " > " + cursor.bound("c")
        for number, (key, value) in enumerate(zip(table.keys, after[1:], strict=True)):
            parameters[f"k{number}"] = key.bound_value(value)
        condition = f"{table.cursor_sql} >= {cursor.bound('c')} and ({greater} or {_behind(table)})"
    elif low is not None:
        parameters["c"] = low
        condition = f"{table.cursor_sql} >= {cursor.bound('c')}"
    else:
        condition = f"{table.cursor_sql} is not null"
    selected = [f"{column.selected} as c{number}" for number, column in enumerate(table.columns)]
    order = [table.cursor_sql, *(key.sql for key in table.keys)]
    return (
        f"select {', '.join(selected)}, {cursor.as_text(table.cursor_sql)} as position from {table.source} "
        f"where {condition} order by {', '.join(order)} limit {rows_max}",
        parameters,
    )


def _behind(table: Table) -> str:
    """Write "its key is behind the last one" without a row comparison, which Redshift has not."""
    condition = ""
    for number, key in reversed(list(enumerate(table.keys))):
        value = key.bound(f"k{number}")
        condition = f"{key.sql} > {value}" + (f" or ({key.sql} = {value} and ({condition}))" if condition else "")
    return f"({condition})"


def doubled_keys(table: Table) -> Query:
    """Write the query that tells whether a key stands in two rows."""
    keys = ", ".join(key.sql for key in table.keys)
    return (
        f"select count(*) as doubled from (select {keys} from {table.source} group by {keys} having count(*) > 1 limit 1) "
        "as found",
        {},
    )
