"""Write changes as DMS's records.

Gives:  a record's JSON text and its partition key.

Source: DMS user guide, "Using Kinesis as a target"; the shapes are in the README of the sandbox.
"""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from sandbox.dms.errors import RecordError
from sandbox.dms.settings import Settings
from sandbox.dms.tables import Row, Table
from sandbox.dms.values import Unreadable

Record = tuple[str, str]
KEY_CHARACTERS_MAX = 256
APPLY_EXCEPTIONS, SUSPENDED_TABLES = "awsdms_apply_exceptions", "awsdms_suspended_tables"


def now() -> str:
    """Give the time at which a message is built."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Writer:
    """Writes records the way one task's settings say."""

    def __init__(self, settings: Settings, task_id: str) -> None:
        self.settings, self.task_id = settings, task_id
        if settings.pretty:
            self._encode = json.JSONEncoder(ensure_ascii=False, indent="\t", default=_refuse).encode
        else:
            self._encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_refuse).encode

    def load(self, table: Table, row: Row) -> Record:
        """Write a row that the full load read."""
        metadata, key = self._metadata(table, "load", row)
        return self._text({"data": self._data(table, row), "metadata": metadata}), key

    def changes(
        self, table: Table, operation: str, images: Sequence[Row], transaction: int
    ) -> list[Record | RecordError]:
        """Write the changes of one row event; what cannot be written stands there as the error that says why.

        Args:
            table: Whose rows these are.
            operation: insert, update or delete.
            images: One a row; of an update two, before and after.
            transaction: The transaction-id.
        """
        settings = self.settings
        update = operation == "update"
        befores, afters = (images[::2], images[1::2]) if update else (images, images)
        written: list[Record | RecordError] = []
        built = now()
        for before, after in zip(befores, afters, strict=True):
            metadata, key = self._metadata(table, operation, after, built)
            metadata["transaction-id"] = transaction
            record: dict[str, Any] = {"data": self._data(table, after)}
            if update and settings.before_image:
                record[settings.before_image] = self._before(table, before, after)
            record["metadata"] = metadata
            try:
                written.append((self._text(record), key))
            except RecordError as error:
                written.append(error)
        return written

    def create_table(self, schema: str, table: str) -> Record:
        """Write the control record that DMS sends when it makes a table of its target."""
        metadata = {
            "timestamp": now(),
            "record-type": "control",
            "operation": "create-table",
            "partition-key-type": "task-id",
            "partition-key-value": self.task_id,
            "schema-name": schema,
            "table-name": table,
        }
        body: dict[str, Any] = {"control": {}} if self.settings.control_details else {}
        return self._text(body | {"metadata": metadata}), self.task_id

    def apply_exception(self, schema: str, table: str, statement: str, error: str) -> Record:
        """Write the row that DMS adds to its table of changes that its target refused."""
        row = {"TABLE_OWNER": schema, "TABLE_NAME": table, "ERROR_TIME": now(), "STATEMENT": statement, "ERROR": error}
        return self._control_row(APPLY_EXCEPTIONS, {"TASK_NAME": self.task_id, **row})

    def suspended_table(self, schema: str, table: str, reason: str) -> Record:
        """Write the row that DMS adds to its list of tables that it no longer replicates."""
        row = {"TABLE_OWNER": schema, "TABLE_NAME": table, "SUSPEND_REASON": reason, "SUSPEND_TIMESTAMP": now()}
        return self._control_row(SUSPENDED_TABLES, {"SERVER_NAME": "sandbox", "TASK_NAME": self.task_id, **row})

    def _control_row(self, table: str, row: dict[str, str]) -> Record:
        metadata = {
            "timestamp": now(),
            "record-type": "data",
            "operation": "insert",
            "partition-key-type": "task-id",
            "partition-key-value": self.task_id,
            "schema-name": self.settings.control_schema,
            "table-name": table,
        }
        return self._text({"data": row, "metadata": metadata}), self.task_id

    def _text(self, record: dict[str, Any]) -> str:
        return self._encode(record)

    def _data(self, table: Table, row: Row) -> dict[str, Any]:
        if self.settings.null_and_empty:
            return {name: row[index] for index, name in table.columns}
        return {name: row[index] for index, name in table.columns if row[index] not in {None, ""}}

    def _before(self, table: Table, before: Row, after: Row) -> dict[str, Any]:
        if self.settings.before_image_filter != "pk-only":
            return {name: before[index] for index, name in table.columns}
        if all(before[index] == after[index] for index, _ in table.key):
            return {}
        return {name: before[index] for index, name in table.key}

    def _metadata(self, table: Table, operation: str, row: Row, built: str = "") -> tuple[dict[str, Any], str]:
        schema_table = f"{table.schema}.{table.name}"
        key = schema_table
        if table.key_type == "primary-key":
            key = ".".join([str(row[index]) for index, _ in table.key])
            if self.settings.partition_schema_table:
                key = f"{schema_table}.{key}"
        metadata: dict[str, Any] = {
            "timestamp": built or now(),
            "record-type": "data",
            "operation": operation,
            "partition-key-type": table.key_type,
        }
        if self.settings.partition_value and table.key_type != "schema-table":
            metadata["partition-key-value"] = key
        metadata["schema-name"], metadata["table-name"] = table.schema, table.name
        return metadata, key[:KEY_CHARACTERS_MAX]


def _refuse(value: object) -> NoReturn:
    """Say why a value cannot be written."""
    raise RecordError(value.reason if isinstance(value, Unreadable) else f"a value is a {type(value).__name__}")
