"""One answer to a puller: the next rows of the next tables, as many as fit.

An answer of AWS Lambda has at most 6 MB of JSON, counted in bytes of UTF-8. Rows are counted as they come and the answer ends
before the first that does not fit; rows that were fetched in vain are fetched again by the next call.

Reads:  a State, tables of the warehouse.
Gives:  the answer, with the state behind its last row.

Source: AWS Lambda Developer Guide, "Lambda quotas" (invocation payload: 6 MB for request and response, synchronous).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from batch_jobs.pull.catalogue import DELETED_COLUMN, Table, find_tables, quoted
from batch_jobs.pull.definition import Definition
from batch_jobs.pull.paging import doubled_keys, opening, page
from batch_jobs.pull.state import Round, State, write_state
from freshet.errors import EnvironmentFault, FreshetError, InputError, TerminalError
from freshet.redshift.data_api import StatementFailed, Warehouse

ANSWER_BYTES_MAX: Final = 6 * 1024 * 1024
LAST_TABLE_S: Final = 60.0  # no further table is begun with less time than this
# The Data API's own limits: 500 MB a result, 64 KB a row of some; smaller pages pass the first.
TOO_LARGE: Final = re.compile(r"too large|exceeds? the (?:maximum|limit|size)|size limit", re.IGNORECASE)
_SEPARATORS: Final = re.compile("[\u2028\u2029]")

Row = dict[str, Any]


def encoded_size(value: Any) -> int:
    """Count the bytes of a value as AWS Lambda's Python sends it.

    Source: awslambdaric, `lambda_runtime_marshaller.py`: from Python 3.12 on `ensure_ascii=False`; simplejson writes U+2028 and
    U+2029 as six characters all the same.
    """
    text = json.dumps(value, ensure_ascii=False)
    return len(text.encode()) + 3 * len(_SEPARATORS.findall(text))


@dataclass
class Rows:
    """The rows of an answer by table: those that are there, and those that are marked as deleted."""

    insert: dict[str, list[Row]] = field(default_factory=dict)
    delete: dict[str, list[Row]] = field(default_factory=dict)
    bytes: int = 0

    def add(self, table: Table, row: Row, size: int) -> None:
        """Add a row; a table's name stands in the answer only with rows."""
        gone = table.marks_deletes and row[DELETED_COLUMN] is not None
        (self.delete if gone else self.insert).setdefault(table.name, []).append(row)
        self.bytes += size


def next_answer(
    warehouse: Warehouse,
    definition: Definition,
    state: State,
    *,
    describe: bool = False,
    seconds_left: Callable[[], float] = lambda: float("inf"),
) -> dict[str, Any]:
    """Give the next answer.

    Args:
        warehouse: Where the tables are.
        definition: What is pulled.
        state: How far it was read; it is changed.
        describe: Also give the columns' types, for a puller that writes typed files.
        seconds_left: How long this call may still run.

    Returns:
        state, insert, delete, schema, hasMore; and columns when they are asked for.

    Raises:
        InputError: A table is not as the definition says, or holds rows without a place in the order.
        TerminalError: A single row is larger than an answer.
        EnvironmentFault: The warehouse refuses.
    """
    tables = find_tables(warehouse, definition.tables)
    schema = {table.name: {"primary_key": list(table.to_pull.keys)} for table in tables}
    answer: dict[str, Any] = {"insert": {}, "delete": {}, "schema": schema, "hasMore": False}
    if describe:
        answer["columns"] = {table.name: table.types for table in tables}
    frame = {**answer, "state": write_state(state, definition), "names": [table.name for table in tables]}
    bytes_max = ANSWER_BYTES_MAX - 2 * encoded_size(frame) - 1000 - 200 * len(tables)
    rows = Rows()
    for begun, table in enumerate([table for table in tables if table.name not in state.done]):
        if begun and seconds_left() < LAST_TABLE_S:
            answer["hasMore"] = True
            break
        if state.round is None or state.round.table != table.name:
            state.round = _begin(warehouse, table, state)
        if not _read(warehouse, table, state.round, definition.rows_max, rows, bytes_max):
            answer["hasMore"] = True
            break
        _end(table, state)
    if not answer["hasMore"]:
        state.done, state.round = [], None
    return {**answer, "state": write_state(state, definition), "insert": rows.insert, "delete": rows.delete}


def test_table(warehouse: Warehouse, definition: Definition, number: int) -> str:
    """Try what pulling one table needs: names, types, rights, no NULL in cursor and key, no key twice.

    Returns:
        What is wrong; empty when nothing is.
    """
    try:
        table = find_tables(warehouse, [definition.tables[number]])[0]
        _begin(warehouse, table, State())
        for _ in _pages(warehouse, table, *page(table, None, None, 1)):
            pass
        if _ask(warehouse, table, *doubled_keys(table))[0]["doubled"]:
            return f"{table.place}: {', '.join(table.to_pull.keys)} is no key: it stands in several rows"
    except FreshetError as error:
        return str(error)
    return ""


def _begin(warehouse: Warehouse, table: Table, state: State) -> Round:
    found = _ask(warehouse, table, *opening(table))[0]
    if found["homeless"]:
        what = "a commit that the ledger does not hold" if table.to_pull.pipeline else f"NULL in {table.to_pull.cursor}"
        raise InputError(
            f"{found['homeless']} rows of {table.place} have {what}, or NULL in the key ({', '.join(table.to_pull.keys)}), "
            "and so no place in the order: nothing was pulled. Fill it in, or pull a view that leaves these rows out"
        )
    high = state.high.get(table.name)
    low = None if high is None else table.cursor.set_back(high, table.overlap)
    return Round(table.name, str(found["clock"]), low)


def _end(table: Table, state: State) -> None:
    """Keep the highest cursor value; one that lies in the warehouse's future counts as now, or later rows would be lost."""
    reading = state.round
    if reading is not None and reading.after is not None:
        seen = table.cursor.lesser(reading.after[0], reading.now)
        state.high[table.name] = table.cursor.greater(state.high.get(table.name), seen)
    state.done.append(table.name)
    state.round = None


def _read(warehouse: Warehouse, table: Table, reading: Round, rows_max: int, rows: Rows, bytes_max: int) -> bool:
    """Read rows until the table ends (True), or the answer is full or has `rows_max` of its rows (False)."""
    limit, read = rows_max, 0
    before = reading.after
    while True:
        try:
            for found in _pages(warehouse, table, *page(table, reading.low, before, limit)):
                for row, place in _rows(table, found):
                    if place == reading.after:
                        raise InputError(
                            f"{table.place}: {', '.join(table.to_pull.keys)} is no key: it stands in several rows. "
                            "Name the columns that tell one row from another"
                        )
                    size = encoded_size(row) + 2
                    if rows.bytes + size + encoded_size(place) > bytes_max:
                        if not rows.bytes:
                            raise _too_large(table, size, row)
                        return False
                    rows.add(table, row, size)
                    reading.after, read = place, read + 1
            return read < limit
        except StatementFailed as failed:
            if not TOO_LARGE.search(failed.reason):
                raise _refused(table, failed) from None
            if limit == 1:
                raise _too_large(table, None, {}) from None
            limit = max(1, limit // 10)


def _rows(table: Table, found: Sequence[list[Any]]) -> Iterator[tuple[Row, list[Any]]]:
    """Give each row as the answer has it, and its place in the order: cursor, key."""
    columns = [(column.name, column.convert) for column in table.columns]
    keys = table.to_pull.keys
    for values in found:
        row = {name: convert(value) for (name, convert), value in zip(columns, values, strict=False)}
        yield row, [values[-1], *(row[key] for key in keys)]


def _pages(warehouse: Warehouse, table: Table, sql: str, parameters: dict[str, str]) -> Iterator[list[list[Any]]]:
    del table
    return warehouse.pages(sql, parameters or None)


def _ask(warehouse: Warehouse, table: Table, sql: str, parameters: dict[str, str]) -> list[Row]:
    try:
        return warehouse.query(sql, parameters or None)
    except StatementFailed as failed:
        raise _refused(table, failed) from None


def _refused(table: Table, failed: StatementFailed) -> EnvironmentFault:
    return EnvironmentFault(
        f"{table.place} cannot be read: {failed.reason}. Does the function's user have SELECT on it and USAGE on its schema?"
    )


def _too_large(table: Table, size: int | None, row: Row) -> TerminalError:
    keys = ", ".join(quoted(key) for key in table.to_pull.keys)
    widest = max(row, key=lambda name: encoded_size(row[name]), default=None)
    told = f"takes {size:,} bytes as JSON" if size else "is larger than the Data API gives"
    where = ""
    if widest is not None:
        kind = next(column.kind for column in table.columns if column.name == widest)
        length = f"{'json_size' if kind == 'super' else 'octet_length'}({quoted(widest)})"
        where = (
            f" Most of it is in {widest} ({encoded_size(row[widest]):,} bytes); find it with: select {keys} "
            f"from {quoted(table.to_pull.schema)}.{quoted(table.to_pull.table)} where {quoted(widest)} is not null "
            f"order by {length} desc limit 1."
        )
    return TerminalError(
        f"a row of {table.place} (key: {', '.join(table.to_pull.keys)}) {told}, and an answer has at most "
        f"{ANSWER_BYTES_MAX:,}; the rows before it were given, nothing behind it can be.{where} Shorten the row, or pull a view "
        "that leaves the column out"
    )
