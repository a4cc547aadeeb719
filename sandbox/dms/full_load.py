"""Read the rows that tables hold already, as DMS's full load does.

Reads:  every selected table, in the order of its key, in one snapshot.
Gives:  `load` records, whose values have the form that a change's values have.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pymysql  # type: ignore[import-untyped]  # has no types

from sandbox.dms.records import Record, Writer
from sandbox.dms.settings import Settings
from sandbox.dms.tables import Table
from sandbox.dms.values import Value, cut, hexadecimal, integer

Convert = Callable[[Any], Value]
NOT_SENT = "(VIRTUAL|STORED|PERSISTENT) GENERATED|INVISIBLE"
COLUMNS = (
    "select column_name, data_type, column_type from information_schema.columns "
    f"where table_schema = %s and table_name = %s and extra not regexp '{NOT_SENT}' order by ordinal_position"
)
KEY = (
    "select column_name from information_schema.key_column_usage "
    "where table_schema = %s and table_name = %s and constraint_name = 'PRIMARY' order by ordinal_position"
)


def tables(link: Any, settings: Settings) -> list[tuple[str, str]]:
    """List the tables that the task's rules select, by schema and name."""
    with link.cursor() as cursor:
        cursor.execute("select table_schema, table_name from information_schema.tables where table_type = 'BASE TABLE'")
        return sorted((schema, table) for schema, table in cursor.fetchall() if settings.selects(schema, table))


def hidden_columns(link: Any, schema: str, table: str) -> set[str]:
    """List the columns of a table that DMS does not send: generated and invisible ones."""
    with link.cursor() as cursor:
        cursor.execute(
            "select column_name from information_schema.columns "
            f"where table_schema = %s and table_name = %s and extra regexp '{NOT_SENT}'",
            (schema, table),
        )
        return {name for (name,) in cursor.fetchall()}


def rows(link: Any, schema: str, name: str, writer: Writer) -> Iterator[Record]:
    """Read one table as `load` records."""
    settings = writer.settings
    with link.cursor() as cursor:
        cursor.execute(COLUMNS, (schema, name))
        columns = cursor.fetchall()
        cursor.execute(KEY, (schema, name))
        key_names = [column for (column,) in cursor.fetchall()]
    names = [column for column, _, _ in columns]
    key = tuple((names.index(column), column) for column in key_names if column in names)
    key_type = settings.partition_key_type(schema, name) if key else "schema-table"
    table = Table(schema, name, (), tuple(enumerate(names)), key, key_type)
    converters = [
        str
        if _is_text(settings, (schema, name, column), data_type, column_type)
        else converter(data_type, column_type, settings)
        for column, data_type, column_type in columns
    ]
    order = f" order by {', '.join(map(_quoted, key_names))}" if key else ""
    with link.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(f"select {', '.join(map(_quoted, names))} from {_quoted(schema)}.{_quoted(name)}{order}")
        while fetched := cursor.fetchmany(1000):
            for values in fetched:
                row = [
                    None if value is None else convert(value) for convert, value in zip(converters, values, strict=True)
                ]
                yield writer.load(table, row)


def _is_text(settings: Settings, place: tuple[str, str, str], data_type: str, column_type: str) -> bool:
    return data_type == "bigint" and settings.is_text(*place, "uint8" if "unsigned" in column_type else "int8")


def converter(data_type: str, column_type: str, settings: Settings) -> Convert:
    """Choose how a column's text becomes DMS's value.

    Args:
        data_type: As in information_schema: `int`, `varchar`, `datetime`.
        column_type: The same with its length: `bit(1)`.
        settings: How the task writes values.
    """
    if data_type.endswith("int") or data_type == "year":
        return lambda text: integer(int(text), settings)
    if data_type in {"float", "double"}:
        return float
    if data_type in {"datetime", "timestamp"}:
        return _moment
    if data_type == "date":
        return lambda text: None if "00" in text.split("-")[1:] else str(text)
    if data_type == "time":
        return lambda text: re.sub(r"\.(\d+)$", lambda part: "." + part[1].ljust(6, "0"), text)
    if data_type == "bit":
        if column_type == "bit(1)":
            return lambda content: int.from_bytes(content, "big")
        return lambda content: hexadecimal(content, settings)
    if data_type == "decimal":
        return str
    return lambda value: hexadecimal(value, settings) if isinstance(value, bytes) else cut(value)


def _moment(text: str) -> Value:
    day, clock = text.split(" ")
    whole, _, fraction = clock.partition(".")
    if "00" in day.split("-")[1:]:
        return None
    return f"{day}T{whole}{'.' + fraction.ljust(6, '0') if fraction else ''}Z"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
