"""Copy the source as of one moment, cut it into parts by key, and unload the parts side by side.

Several UNLOADs of a live table would each see another state of it. So one CREATE TABLE AS copies the source first; its sort key
is the number of the part, so that each UNLOAD reads its own blocks only. All rows of a key have the same checksum and stand in
one part, and a key with very many rows makes no other key wait.

Reads:  a table or query in Redshift.
Gives:  Parquet files, a prefix a part.

Source: Redshift Developer Guide, "CREATE TABLE AS", "CHECKSUM function", "UNLOAD", "JSON_SERIALIZE function".
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from batch_jobs.export_dynamodb.definition import OURS, Definition
from batch_jobs.export_dynamodb.memory import Memory
from batch_jobs.export_dynamodb.values import KEY_KINDS, KINDS, Column
from freshet.errors import InputError, TransientError
from freshet.pipeline.ddl import quoted
from freshet.pipeline.problems import did_you_mean
from freshet.redshift.data_api import Row, StatementFailed, UnknownOutcome, Warehouse, pause
from freshet.redshift.literals import quote

PART: Final = f"{OURS}part"
UNLOADS_AT_ONCE: Final = 10
ATTEMPTS_MAX: Final = 3


@dataclass(frozen=True)
class Source:
    """What was copied: its columns, rows, rows without a key, keys."""

    key: Column
    columns: tuple[Column, ...]
    rows: int
    rows_without_key: int
    keys: int


def copy_source(memory: Memory, definition: Definition, parts: int) -> Source:
    """Copy the source into a table of this run.

    Raises:
        InputError: The source or a column is not there, or has a type that DynamoDB has not.
    """
    warehouse, table = memory.warehouse, memory.tables.rows
    names = "s.*"
    if definition.source is not None:
        there = _columns(warehouse, *definition.source)
        if not there:
            raise InputError(
                f"there is no table {definition.source_name} in Redshift, or it may not be seen; nothing was done"
            )
        # What Freshet keeps in its targets beside the rows is no part of them.
        kept = [row for row in there if not str(row["column_name"]).startswith(OURS)]
        check_columns(definition, kept)
        names = ", ".join(f"s.{quoted(str(row['column_name']))}" for row in kept)
    try:
        memory.change(
            [
                f"drop table if exists {table}",
                f"create table {table} sortkey({PART}) as select {names}, {part_of(definition.key, parts)} as {PART} "
                f"from {definition.source_sql} as s",
            ]
        )
    except StatementFailed as failed:
        raise InputError(
            f"Redshift refused to read {definition.source_name}: {failed.reason}; nothing was done"
        ) from None
    schema, _, name = table.partition(".")
    found = [row for row in _columns(warehouse, schema, name) if row["column_name"] != PART]
    key, columns = check_columns(definition, found)
    end = (
        " || '|'" if KEY_KINDS[key.kind] == "S" else ""
    )  # else texts that differ by blanks at the end only count as one
    counted = warehouse.query(
        f"select count(*) as all_rows, count({quoted(key.name)}) as keyed, "
        f"count(distinct ({quoted(key.name)}{end})) as all_keys from {table}"
    )[0]
    return Source(
        key,
        columns,
        int(counted["all_rows"]),
        int(counted["all_rows"]) - int(counted["keyed"]),
        int(counted["all_keys"]),
    )


def part_of(key: str, parts: int) -> str:
    """Give the SQL of a row's part: 0 to parts - 1, all rows of a key in one. A checksum may be negative, even -2**31."""
    checksum = f"checksum(cast(s.{quoted(key)} as varchar(65535)))"
    return f"cast(coalesce(mod(abs(cast({checksum} as bigint)), {int(parts)}), 0) as integer)"


def _columns(warehouse: Warehouse, schema: str, table: str) -> list[Row]:
    return warehouse.query(
        "select column_name, data_type, numeric_scale from svv_columns "
        "where table_schema = :schema and table_name = :table order by ordinal_position",
        {"schema": schema, "table": table},
    )


def check_columns(definition: Definition, found: Sequence[Row]) -> tuple[Column, tuple[Column, ...]]:
    """Give key and other columns.

    Raises:
        InputError: A column is not there, or cannot be written; all of them are named.
    """
    where = definition.source_name
    columns = [
        Column(str(row["column_name"]), KINDS.get(str(row["data_type"]), ""), int(row["numeric_scale"] or 0))
        for row in found
    ]
    names = [column.name for column in columns]
    wrong = []
    for entry, wanted in (
        ("key", [definition.key]),
        ("order", [name for name, _ in definition.order]),
        ("same", definition.same),
    ):
        wrong += [
            f"{entry} names {name}, which {where} has not{did_you_mean(name, names)}"
            for name in wanted
            if name not in names
        ]
    for row, column in zip(found, columns, strict=True):
        if not column.kind:
            wrong.append(
                f"column {column.name} has type {row['data_type']}, which is not exported: cast it or leave it out in select.sql"
            )
        elif column.name.startswith(OURS):
            wrong.append(
                f"column {column.name} has a name that Freshet keeps for itself: name it otherwise in select.sql"
            )
        elif column.name == definition.key and (column.kind not in KEY_KINDS or column.scale):
            wrong.append(
                f"key {column.name} has type {row['data_type']}: a key is text or a whole number; cast it in select.sql"
            )
    if wrong:
        raise InputError(f"export {definition.name}: {'; '.join(wrong)}. Nothing was written")
    return columns[names.index(definition.key)], tuple(column for column in columns if column.name != definition.key)


def unload(memory: Memory, source: Source, parts: int, folder: str, role: str) -> list[str]:
    """Unload all parts.

    Args:
        memory: The export's tables.
        source: From `copy_source`.
        parts: As then.
        folder: `s3://` URL that only this run uses, with a slash at its end.
        role: ARN of the role with which Redshift writes there.

    Returns:
        For each part the URL that its files begin with.

    Raises:
        TransientError: No answer, several times.
    """
    columns = ", ".join(_written(column) for column in (source.key, *source.columns))

    def work(part: int) -> str:
        query = f"select {columns} from {memory.tables.rows} where {PART} = {part}"
        return unload_query(memory.warehouse, query, f"{folder}part={part}/", role)

    with ThreadPoolExecutor(min(parts, UNLOADS_AT_ONCE)) as pool:
        return list(pool.map(work, range(parts)))


def unload_query(warehouse: Warehouse, query: str, folder: str, role: str, options: str = "") -> str:
    """Unload one query; each attempt has a prefix of its own, so that a lost one adds no file to the next.

    Returns:
        The URL that the files begin with.
    """
    for attempt in range(ATTEMPTS_MAX):
        url = f"{folder}try={attempt}/"
        try:
            warehouse.run(
                [f"unload ({quote(query)}) to {quote(url)} iam_role {quote(role)} format as parquet{options}"]
            )
            return url
        except UnknownOutcome:
            pause(attempt)
    raise TransientError(f"the Data API did not tell how an UNLOAD ended, {ATTEMPTS_MAX} times; nothing was written")


def _written(column: Column) -> str:
    name = quoted(column.name)
    return f"json_serialize({name}) as {name}" if column.kind == "super" else name
