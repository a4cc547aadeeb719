"""Run one DMS task: full load, then every change, delivered before its position is saved.

Reads:  the binlog from the saved position, always the start of a transaction.
Gives:  records in the stream; DIR/dms.json {"file", "position", "delivered", ...}, the position up to which
        everything is delivered. A task that is killed sends some records again, with the same transaction ids.
        What cannot be written or delivered stops the task, or is left out and told: as its error policies say.

Source: DMS user guide, "Error handling task settings", "Control table task settings".
"""

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]  # has no types

from sandbox.dms import full_load
from sandbox.dms.binlog import Binlog, Disconnected, Event
from sandbox.dms.delivery import Delivery
from sandbox.dms.errors import RecordError, TableError, TaskError, Undeliverable
from sandbox.dms.records import APPLY_EXCEPTIONS, SUSPENDED_TABLES, Record, Writer
from sandbox.dms.settings import LOG_ERROR, STOP_TASK, SUSPEND_TABLE, Settings
from sandbox.dms.tables import Row, Table, read_table, table_name
from sandbox.mysql import binlog_end
from sandbox.state import read_json, write_json

QUERY, ROTATE, XID, TABLE_MAP, HEARTBEAT, XA_PREPARE = 2, 4, 16, 19, 27, 38
MYSQL_GTID, MYSQL_ANONYMOUS_GTID, MARIADB_GTID = 33, 34, 162
# A change that the target refuses is an error of applying it. A row of the full load is none that these policies name.
APPLY_POLICIES = {
    "insert": "ApplyErrorInsertPolicy", "update": "ApplyErrorUpdatePolicy", "delete": "ApplyErrorDeletePolicy",
}  # fmt: skip
OPERATIONS = {23: "insert", 24: "update", 25: "delete", 30: "insert", 31: "update", 32: "delete"}
WITH_EXTRA_DATA = 30
COMPRESSED = {39, 40, 165, 166, 167, 168, 169, 170, 171}
STANDALONE = 1
SAVE_EVERY_S = 0.2
IDLE_S = 0.1
RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Task:
    """One task from its start to its end.

    Args:
        settings: What the task is told.
        connection: Settings for pymysql.connect, of the source.
        delivery: The way to the stream.
        position_file: DIR/dms.json.
        stopping: Asked often; the task ends soon after it says True.
    """

    def __init__(
        self,
        settings: Settings,
        connection: dict[str, Any],
        delivery: Delivery,
        position_file: Path,
        stopping: Callable[[], bool],
    ) -> None:
        self.settings, self.connection, self.delivery = settings, connection, delivery
        self.position_file, self.stopping = position_file, stopping
        self.writer = Writer(settings, "SANDBOXTASK")
        kept = read_json(position_file) or {}
        self.file: str = kept.get("file", "")
        self.position: int = kept.get("position", 0)
        self.announced: set[tuple[str, str]] = {(schema, table) for schema, table in kept.get("tables", [])}
        self.suspended: set[tuple[str, str]] = {(schema, table) for schema, table in kept.get("suspended", [])}
        self.left_out: int = kept.get("skipped", 0)
        delivery.delivered = kept.get("delivered", 0)
        self._saved: tuple[object, ...] | None = None
        self._saved_s = 0.0
        self._transaction = 0  # the id of the one that is read; 0 between two
        self._standalone = True
        self._tables: dict[int, Table | None] = {}
        self._maps: dict[bytes, Table | None] = {}
        self._dbms = ""

    def run(self, with_full_load: bool) -> None:
        """Run until told to stop.

        Raises:
            TaskError: It cannot go on. What came before the cause is delivered, unless the cause is a fault of ours.
        """
        try:
            self._run(with_full_load)
        except TaskError:
            if self.delivery.flush() and self.file:
                self._save()
            raise
        except (pymysql.err.MySQLError, OSError):
            raise  # the source's or this machine's: whoever watches the task starts it again
        except Exception as error:  # noqa: BLE001 - whatever it is, it shall be told
            # Started again it would only fail again, and nobody would be told.
            traceback.print_tb(error.__traceback__)  # without its message, which may hold values
            raise TaskError(
                f"at {self.file}:{self.position} the stand-in itself failed ({type(error).__name__})"
            ) from None

    def _run(self, with_full_load: bool) -> None:
        if with_full_load or not self.file:
            while not self.stopping() and not self._start(with_full_load or self.settings.full_load):
                self._pause()
        attempt = 0
        while not self.stopping():
            try:
                source = Binlog(self.connection, self.file, self.position)
            except Disconnected:
                time.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
                continue
            attempt = 0
            self._dbms = source.dbms
            self._tables.clear()
            self._maps.clear()
            try:
                self._follow(source)
            except Disconnected as error:
                print(f"the source went away ({error}); starting again at {self.file}:{self.position}", file=sys.stderr)
                self._pause()
            finally:
                source.close()
        if self.delivery.flush():
            self._save()

    def _pause(self) -> None:
        time.sleep(RETRY_S[1])

    # Start and full load

    def _start(self, with_full_load: bool) -> bool:
        """Announce the tables, load their rows, and note where the changes begin; False when the source went away."""
        try:
            link = pymysql.connect(**self.connection, conv={}, init_command="set time_zone = '+00:00'")
        except pymysql.err.OperationalError:
            return False
        try:
            file, position = binlog_end(link)
            with link.cursor() as cursor:
                cursor.execute("start transaction with consistent snapshot")
            self.suspended.clear()
            self.delivery.add(self.writer.create_table(self.settings.control_schema, APPLY_EXCEPTIONS))
            if self.settings.lists_suspended:
                self.delivery.add(self.writer.create_table(self.settings.control_schema, SUSPENDED_TABLES))
            for schema, table in full_load.tables(link, self.settings):
                self._announce(schema, table)
                if with_full_load and not self._load(link, schema, table):
                    return True
        except pymysql.err.OperationalError as error:
            print(f"the source went away during the full load ({error.args[0]}); loading again", file=sys.stderr)
            return False
        finally:
            link.close()
        if self.delivery.flush():
            self.file, self.position = file, position
            self._save()
        return True

    def _load(self, link: Any, schema: str, table: str) -> bool:
        for record in full_load.rows(link, schema, table, self.writer):
            self._deliver(schema, table, "load", [record])
            if (schema, table) in self.suspended:
                return True
            if self.delivery.full and (self.stopping() or not self.delivery.flush()):
                return False
        return True

    def _announce(self, schema: str, table: str) -> None:
        if (schema, table) not in self.announced:
            self.announced.add((schema, table))
            self.delivery.add(self.writer.create_table(schema, table))

    # What cannot be delivered

    def _deliver(self, schema: str, table: str, operation: str, records: Sequence[Record | RecordError]) -> None:
        """Hand records on; of one that cannot be, do what the task's policy says.

        Raises:
            TaskError: The policy is to stop.
        """
        for record in records:
            try:
                if isinstance(record, RecordError):
                    raise record
                self.delivery.add(record)
            except RecordError as error:
                self._refused(schema, table, operation, error)
                if (schema, table) in self.suspended:
                    return

    def _refused(self, schema: str, table: str, operation: str, error: RecordError) -> None:
        applied = isinstance(error, Undeliverable) and operation in APPLY_POLICIES
        policy = APPLY_POLICIES[operation] if applied else "DataErrorPolicy"
        action = self.settings.policies[policy]
        at = f" of the transaction at {self.file}:{self._transaction & 0xFFFFFFFF}" if self._transaction else ""
        told = f"{schema}.{table}: the {operation}{at} cannot be sent: {error} ({policy} {action})"
        if action == STOP_TASK:
            raise TaskError(told)
        self.left_out += 1
        print(f"left out: {told}", file=sys.stderr)
        if action == SUSPEND_TABLE:
            self._suspend(schema, table, str(error))
        elif action == LOG_ERROR and applied:
            self.delivery.add(self.writer.apply_exception(schema, table, operation.upper(), str(error)))

    def _suspend(self, schema: str, table: str, reason: str) -> None:
        self.suspended.add((schema, table))
        print(f"suspended: {schema}.{table} is no longer replicated: {reason}", file=sys.stderr)
        if self.settings.lists_suspended:
            self.delivery.add(self.writer.suspended_table(schema, table, reason))

    # Changes

    def _follow(self, source: Binlog) -> None:
        while not self.stopping():
            event = source.next(0 if not self.delivery.empty else IDLE_S)
            if event is None:
                if not self._flush():
                    return
                continue
            self._take(event)
            if self.delivery.full and not self._flush():
                return

    def _flush(self) -> bool:
        """Deliver what waits, then save how far that is."""
        if not self.delivery.flush():
            return False
        if time.monotonic() - self._saved_s > SAVE_EVERY_S:
            self._save()
        return True

    def _save(self) -> None:
        state = (self.file, self.position, self.delivery.delivered, self.left_out, len(self.suspended))
        if state != self._saved:
            write_json(
                self.position_file,
                {
                    "file": self.file,
                    "position": self.position,
                    "delivered": self.delivery.delivered,
                    "skipped": self.left_out,
                    "suspended": sorted(self.suspended),
                    "tables": sorted(self.announced),
                    "pid": os.getpid(),
                },
            )
            self._saved = state
        self._saved_s = time.monotonic()

    def _take(self, event: Event) -> None:
        kind, content = event.kind, event.content
        if kind in OPERATIONS:
            self._rows(event)
        elif kind == TABLE_MAP:
            self._map(content)
        elif kind in {MARIADB_GTID, MYSQL_GTID, MYSQL_ANONYMOUS_GTID}:
            self._begin(event)
        elif kind in {XID, XA_PREPARE}:
            self._end(event)
        elif kind == QUERY:
            self._query(event)
        elif kind == ROTATE:
            self.file, self.position = content[27:].decode(), int.from_bytes(content[19:27], "little")
            self._transaction = 0
        elif kind in COMPRESSED:
            raise TaskError(
                "the binlog is compressed, or holds parts of JSON documents, which DMS does not read; set log_bin_compress=OFF "
                "(MariaDB), binlog_transaction_compression=OFF and binlog_row_value_options='' (MySQL) on the server"
            )
        elif kind != HEARTBEAT and event.end and not self._transaction:
            self.position = event.end

    def _begin(self, event: Event) -> None:
        number = int(self.file.rpartition(".")[2])
        self._transaction = (number << 32) + event.start
        self._standalone = event.kind != MARIADB_GTID or bool(event.content[31] & STANDALONE)

    def _end(self, event: Event) -> None:
        self.position, self._transaction = event.end, 0

    def _query(self, event: Event) -> None:
        """See how a QUERY event moves the transaction: BEGIN, its end, or a statement that is a transaction."""
        content = event.content
        text_start = 19 + 13 + int.from_bytes(content[19 + 11 : 19 + 13], "little") + content[19 + 8] + 1
        text = content[text_start : text_start + 16].upper()
        if text == b"BEGIN" or text.startswith(b"XA START"):  # MySQL begins an XA transaction by this statement
            self._standalone = False
        elif self._standalone or text in {b"COMMIT", b"ROLLBACK"}:
            self._end(event)

    def _map(self, content: bytes) -> None:
        try:
            table = self._maps[content[19:]]
        except KeyError:
            table = self._maps[content[19:]] = self._read_map(content)
        self._tables[int.from_bytes(content[19:25], "little")] = table

    def _read_map(self, content: bytes) -> Table | None:
        schema, name = table_name(content)
        if not self.settings.selects(schema, name):
            return None
        try:
            link = pymysql.connect(**self.connection)
        except pymysql.err.OperationalError as error:
            raise Disconnected(str(error)) from None
        try:
            hidden = full_load.hidden_columns(link, schema, name)
        finally:
            link.close()
        self._announce(schema, name)
        try:
            return read_table(content, self._dbms, self.settings, hidden)
        except TableError as error:
            if self.settings.policies["TableErrorPolicy"] == STOP_TASK:
                raise TaskError(f"{schema}.{name} cannot be read: {error} (TableErrorPolicy STOP_TASK)") from None
            self._suspend(schema, name, str(error))
            return None

    def _rows(self, event: Event) -> None:
        content, operation = event.content, OPERATIONS[event.kind]
        table = self._tables[int.from_bytes(content[19:25], "little")]
        if table is None or (table.schema, table.name) in self.suspended:
            return
        at = 27
        if event.kind >= WITH_EXTRA_DATA:
            at += int.from_bytes(content[27:29], "little")
        columns, at = _length(content, at)
        bitmap_size = (columns + 7) // 8
        bitmaps = content[at : at + bitmap_size * (2 if operation == "update" else 1)]
        at += len(bitmaps)
        every = (1 << columns) - 1  # MySQL sets the bits after the last column too
        if int.from_bytes(bitmaps[:bitmap_size], "little") & every != every:
            raise TaskError(
                f"{table.schema}.{table.name}: the binlog has no full row images; set binlog_row_image=FULL on the server"
            )
        try:
            images: list[Row] = list(table.images(content, at))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be lost in silence
            raise TaskError(
                f"{table.schema}.{table.name}: a row of the transaction after {self.file}:{self.position} is not understood "
                f"({type(error).__name__})"
            ) from None
        records = self.writer.changes(table, operation, images, self._transaction)
        self._deliver(table.schema, table.name, operation, records)


def _length(content: bytes, at: int) -> tuple[int, int]:
    """Read a length-encoded integer."""
    first = content[at]
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(content[at + 1 : at + 1 + size], "little"), at + 1 + size
