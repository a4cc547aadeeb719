"""Read change records as DMS writes them: which table, which key, and of a moved row the old key. Nothing else is believed.

A key that is not exactly a value of its type would name another row, so the strict functions decide, and a record that they
refuse is quarantined by its place in the stream.

Reads:  bodies of records (`json` or `json-unformatted`).
Gives:  `Record`, `Unreadable` or `LeftOut`.

Source: AWS DMS User Guide, "Using Amazon Kinesis Data Streams as a target", "Control table task settings", "Before image task
settings".
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

import orjson

from freshet.errors import MissingSetting
from freshet.ledger.keys import Key
from freshet.mysql.keys import KeyColumns
from freshet.pipeline.values import Unfit
from streaming_job.changed_keys import Record

BEFORE: Final = "before-image"
ERRORS_OF_DMS: Final = ("awsdms_apply_exceptions", "awsdms_suspended_tables")
CHANGES: Final = frozenset({"load", "insert", "update", "delete"})
NAME_MAX: Final = 130  # MySQL's names have 64 characters at most
IGNORED: Final = Record("", None)


class Unreadable(NamedTuple):
    """A record for quarantine: its table if that can be read, a code, and the column it is about."""

    table: str | None
    reason: str
    column: str | None = None


class LeftOut(NamedTuple):
    """DMS says that it left out a change of a table, or the whole table: the row of one of its own tables."""

    table: str


Outcome = Record | Unreadable | LeftOut


def reader(
    database: str, tables: Mapping[str, KeyColumns], parents: Collection[str] = ()
) -> Callable[[bytes], Outcome]:
    """Give the function that reads one record.

    Args:
        database: The MySQL database; records of another one are ignored.
        tables: The followed tables, by name.
        parents: Tables that are not followed, and whose deleted or moved rows change followed ones by foreign keys.

    Returns:
        A function of a record's body.

    Raises:
        MissingSetting: (the function) An update of a followed table comes without before image, so that a moved row's old key
        is lost.
    """

    def read(body: bytes) -> Outcome:
        try:
            document: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            return Unreadable(None, "not_json")
        metadata = document.get("metadata") if isinstance(document, dict) else None
        if not isinstance(metadata, dict):
            return Unreadable(None, "no_metadata")
        kind = metadata.get("record-type")
        if kind != "data":
            return IGNORED if kind == "control" else Unreadable(None, "unknown_record_type")
        name, operation = metadata.get("table-name"), metadata.get("operation")
        of = tables.get(name) if isinstance(name, str) else None
        if name in parents and of is None and metadata.get("schema-name") == database:
            return Record(str(name), None, leaves=operation == "delete" or _moved(document))
        if of is None or metadata.get("schema-name") != database:
            # A row that DMS takes away again says that a table is no longer suspended.
            is_error = name in ERRORS_OF_DMS and operation != "delete"
            return _left_out(document.get("data")) if is_error else IGNORED
        if operation not in CHANGES:
            return Unreadable(of.table, "unknown_operation")
        try:
            return _record(document, of, operation, body)
        except RecursionError:  # the exact parser follows no value as deep as the quick one
            return Unreadable(of.table, "not_json")

    return read


def _record(document: dict[str, Any], of: KeyColumns, operation: object, body: bytes) -> Outcome:
    data = document.get("data")
    if not isinstance(data, dict):
        return Unreadable(of.table, "no_data")
    key = _key(data, of)
    if key is None:
        document = EXACTLY.decode(body.decode())
        data = document["data"]
        key = _key(data, of)
    if isinstance(key, Unreadable):
        return key
    if operation != "update":
        return Record(of.table, key, leaves=operation == "delete")
    before = document.get(BEFORE)
    if not isinstance(before, dict):
        raise MissingSetting(
            f"an update of {of.table} came without its before image, so the old key of a moved row would be lost; nothing "
            "was written. Set BeforeImageSettings on the DMS task: EnableBeforeImage true, FieldName before-image, "
            "ColumnFilter pk-only"
        )
    if not [column for column in of.columns if before.get(column, data[column]) != data[column]]:
        return Record(of.table, key)
    old = _key({**data, **before}, of)
    if old is None:
        old = _key({**data, **EXACTLY.decode(body.decode())[BEFORE]}, of)
    if isinstance(old, Unreadable) or old == key:
        return old if isinstance(old, Unreadable) else Record(of.table, key)
    return Record(of.table, key, old, leaves=True)


def _moved(document: Mapping[str, Any]) -> bool:
    """Tell whether a row's key changed, by its before image (`pk-only`)."""
    data, before = document.get("data"), document.get(BEFORE)
    if not isinstance(data, dict) or not isinstance(before, dict):
        return False
    return any(value != data.get(column) for column, value in before.items())


def _key(data: Mapping[str, Any], of: KeyColumns) -> Key | Unreadable | None:
    """Give the key of a row; None if a number of it may have digits that a float does not keep."""
    values = []
    for column, convert in zip(of.columns, of.converters, strict=True):
        if column not in data:
            return Unreadable(of.table, "column_missing", column)
        written = data[column]
        if type(written) is float:
            return None
        try:
            value = convert(str(written) if type(written) is int else written)
        except Unfit as unfit:
            return Unreadable(of.table, unfit.reason, column)
        if value is None:
            return Unreadable(of.table, "key_is_null", column)
        values.append(value)
    return tuple(values)  # type: ignore[arg-type]  # no DOUBLE is a key


def _left_out(row: object) -> LeftOut:
    """Take only the table's name: statement and error may quote values."""
    named = {name.upper(): value for name, value in row.items()} if isinstance(row, dict) else {}
    return LeftOut(f"{named.get('TABLE_OWNER', '?')}.{named.get('TABLE_NAME', '?')}"[:NAME_MAX])


def _no_constants(_: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


EXACTLY: Final = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constants)
