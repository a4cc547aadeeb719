"""Step 2: a DMS record becomes a typed change of the fact, or one of a few named things that are not.

JSON numbers are kept as the text that they were, so no digit is lost; every used column passes the strict function of its
MySQL type. A record that does not fit is set aside with a reason; nothing is guessed, rounded or dropped in silence.

Reads:  the bytes of one record as DMS writes it (`json` or `json-unformatted`).
Gives:  `Change`, `Ignored`, `LeftOut`, `SetAside` or `NoTransaction`.

Source: AWS DMS User Guide, "Using Amazon Kinesis Data Streams as a target", "Control table task settings".
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from freshet.pipeline.model import Table
from freshet.pipeline.values import DATETIME, Convert, Unfit, Value, converter

EPOCH: Final = "01"
FULL_LOAD: Final = "00"
WRITES: Final = frozenset({"load", "insert", "update"})
ERRORS_OF_DMS: Final = ("awsdms_apply_exceptions", "awsdms_suspended_tables")


class Change(NamedTuple):
    """A row of the fact as it is after the change.

    `transaction_id` and `committed_at` are None for a row of the full load. `committed_at` is ISO text, which sorts as time.
    `key_moved` says that the row had another primary key before.
    """

    values: tuple[Value, ...]
    version: str
    transaction_id: int | None
    committed_at: str | None
    key_moved: bool


class SetAside(NamedTuple):
    """A record for quarantine: a code, and the column it is about."""

    reason: str
    column: str | None = None


class Ignored(NamedTuple):
    """A record that is none of this pipeline's business."""

    kind: Literal["control", "table", "delete"]


class LeftOut(NamedTuple):
    """DMS says that it left out a change of a table, or the whole table: the row of one of its own tables."""

    table: str


class NoTransaction(NamedTuple):
    """A change without the ids that order changes: the DMS task lacks IncludeTransactionDetails."""


Outcome = Change | SetAside | Ignored | LeftOut | NoTransaction

CONTROL: Final = Ignored("control")
OTHER_TABLE: Final = Ignored("table")
DELETE: Final = Ignored("delete")


@dataclass(frozen=True)
class Facts:
    """Which changes are the fact's: MySQL database, table and used columns."""

    database: str
    table: Table


def reader(facts: Facts) -> Callable[[bytes], Outcome]:
    """Give the function that reads one record.

    Args:
        facts: The pipeline's fact; values come in the order of its columns.
    """
    columns: list[tuple[str, Convert]] = [(column.name, converter(column.type)) for column in facts.table.columns]
    database, table, keys = facts.database, facts.table.name, facts.table.primary_key

    def read(body: bytes) -> Outcome:  # one check after the other, in the order in which they can fail
        try:
            document = DECODER.decode(body.decode())
        except (ValueError, RecursionError):
            return SetAside("not_json")
        metadata = document.get("metadata") if isinstance(document, dict) else None
        if not isinstance(metadata, dict):
            return SetAside("no_metadata")
        kind = metadata.get("record-type")
        if kind != "data":
            return CONTROL if kind == "control" else SetAside("unknown_record_type")
        operation = metadata.get("operation")
        if metadata.get("table-name") != table or metadata.get("schema-name") != database:
            # A row that DMS takes away again says that a table is no longer suspended.
            is_error = metadata.get("table-name") in ERRORS_OF_DMS and operation != "delete"
            return _left_out(document.get("data")) if is_error else OTHER_TABLE
        if operation == "delete":
            return DELETE
        if operation not in WRITES:
            return SetAside("unknown_operation")
        data = document.get("data")
        if not isinstance(data, dict):
            return SetAside("no_data")
        place = _full_load(metadata) if operation == "load" else _transaction(metadata)
        if not isinstance(place, tuple) or isinstance(place, SetAside | NoTransaction):
            return place
        values = []
        for name, convert in columns:
            if name not in data:
                return SetAside("column_missing", name)
            try:
                values.append(convert(data[name]))
            except Unfit as unfit:
                return SetAside(unfit.reason, name)
        before = document.get("before-image")
        moved = isinstance(before, dict) and any(name in before and before[name] != data.get(name) for name in keys)
        version, transaction_id, committed_at = place
        return Change(tuple(values), version, transaction_id, committed_at, moved)

    return read


def _left_out(row: object) -> LeftOut:
    """Take only the table's name: statement and error may quote values."""
    named = {name.upper(): value for name, value in row.items()} if isinstance(row, dict) else {}
    return LeftOut(f"{named.get('TABLE_OWNER', '?')}.{named.get('TABLE_NAME', '?')}"[:NAME_MAX])


def _transaction(metadata: dict[str, Any]) -> tuple[str, int, str] | SetAside | NoTransaction:
    transaction, record = metadata.get("transaction-id"), metadata.get("transaction-record-id")
    committed_at = metadata.get("commit-timestamp")
    if transaction is None or record is None or committed_at is None:
        return NoTransaction()
    if not _digits(transaction, 20) or not _digits(record, 10):
        return SetAside("bad_transaction_id")
    if not isinstance(committed_at, str) or not DATETIME(committed_at):
        return SetAside("bad_commit_timestamp")
    return f"{EPOCH}{transaction:0>20}{record:0>10}", int(transaction), committed_at


def _full_load(metadata: dict[str, Any]) -> tuple[str, None, None] | SetAside:
    built = metadata.get("timestamp")
    if not isinstance(built, str) or not DATETIME(built):
        return SetAside("bad_timestamp")
    try:
        at = datetime.fromisoformat(built.removesuffix("Z")[:26]).replace(tzinfo=UTC)
    except ValueError:
        return SetAside("bad_timestamp")
    micros = (at - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND
    return f"{FULL_LOAD}{micros:0>30}", None, None


def _digits(text: object, length_max: int) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= length_max


def _no_constants(_: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


NAME_MAX: Final = 130  # MySQL's names have 64 characters at most
MICROSECOND: Final = datetime.resolution
DECODER: Final = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constants)
