"""Write what statements did where the system views read it, beside their transactions: a rollback forgets nothing.

Reads:  the traces of a job's statements, when the job has ended.
Gives:  rows of the tables `history_*` of `compat.sql`.

Source: Redshift Developer Guide, "SYS_QUERY_HISTORY", "SYS_LOAD_HISTORY", "SYS_LOAD_DETAIL", "SYS_LOAD_ERROR_DETAIL",
"System views" (seven days are kept).
"""

import threading
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final

import psycopg

from sandbox.redshift.jobs import Job, Part
from sandbox.redshift.postgres import USER, Postgres
from sandbox.redshift.trace import Trace

_QUERY_TYPES: Final = {
    "select": "SELECT",
    "with": "SELECT",
    "(": "SELECT",
    "insert": "INSERT",
    "update": "UPDATE",
    "delete": "DELETE",
    "copy": "COPY",
    "unload": "UNLOAD",
    "create": "DDL",
    "drop": "DDL",
    "alter": "DDL",
    "comment": "DDL",
    "grant": "DDL",
    "lock": "UTILITY",
}
_FORGET: Final = "delete from redshift_compat.{} where ended_at < timezone('UTC', now()) - interval '7 days'"


class History:
    """The history, written through a connection of its own.

    Args:
        postgres: The running server.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._connection = postgres.connect(autocommit=True)
        self._writing = threading.Lock()
        for table in ("history_query", "history_load_file", "history_load_error"):
            self._connection.execute(_FORGET.format(table).encode())
        last = self._connection.execute(
            "select coalesce(max(query_id), 0), coalesce(max(transaction_id), 0) from redshift_compat.history_query"
        ).fetchone()
        last_query, last_transaction = last or (0, 0)
        self._queries: Iterator[int] = count(int(last_query) + 1)
        self._transactions: Iterator[int] = count(int(last_transaction) + 1)

    def transaction(self) -> int:
        """Number a transaction that begins."""
        return next(self._transactions)

    def trace(self, transaction_id: int, began_at: float) -> Trace:
        """Begin a statement."""
        return Trace(next(self._queries), transaction_id, began_at)

    def write(self, job: Job, database: str, traced: Sequence[tuple[Part, Trace]]) -> None:
        """Write what a job's statements did; one that never began left no trace."""
        if not traced:
            return
        with self._writing:
            if self._connection.closed:
                self._connection = self._postgres.connect(autocommit=True)
            with self._connection.transaction(), self._connection.cursor() as cursor:
                cursor.execute("select oid::int8 from pg_roles where rolname = %s", (job.user or USER,))
                (user_id,) = cursor.fetchone() or (0,)
                for part, trace in traced:
                    whose = (user_id, trace.query_id, trace.transaction_id, job.pid, database)
                    self._write(cursor, whose, part, trace)

    def _write(self, cursor: psycopg.Cursor[Any], whose: tuple[Any, ...], part: Part, trace: Trace) -> None:
        load = trace.load
        times = trace.began_at, trace.ended_at
        size = part.result.size if part.result else 0
        returned = (part.result.rows if part.result else 0, size if size >= 0 else None)
        status = {"FINISHED": "success", "ABORTED": "canceled"}.get(part.status, "failed")
        about = (_query_type(part.sql), status, part.error and part.error.removeprefix("ERROR: "), part.sql, *returned)
        loaded: tuple[Any, ...] = (None,) * 6
        if load is not None:
            loaded_bytes = sum(file.size for file in load.files)
            loaded = (load.table, load.table_id, load.source, load.format, load.rows, loaded_bytes)
        _insert(cursor, "history_query", [(*whose, *times, *about, *loaded)])
        if load is not None:
            files = [(f.began_at, f.ended_at, f.url, f.size, f.lines) for f in load.files]
            _insert(cursor, "history_load_file", [(*whose, *file) for file in files])
            errors = [
                (e.file, e.line, e.column, e.type, e.length, e.position, e.code, e.reason, e.raw_line, e.raw_value)
                for e in load.errors
            ]
            _insert(cursor, "history_load_error", [(*whose, *times, load.table_id, *error) for error in errors])

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _insert(cursor: psycopg.Cursor[Any], table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows whose sixth and seventh members are seconds since 1970."""
    if rows:
        moment = "timezone('UTC', to_timestamp(%s))"
        places = ["%s"] * 5 + [moment, moment] + ["%s"] * (len(rows[0]) - 7)
        cursor.executemany(f"insert into redshift_compat.{table} values ({', '.join(places)})".encode(), rows)


def _query_type(sql: str) -> str:
    words = sql.lower().replace("(", " ( ").split()[:40]
    first = next((word for word in words if word in _QUERY_TYPES), "")
    if first == "create" and "as" in words and "table" in words[:5]:
        return "CTAS"
    return _QUERY_TYPES.get(first, "OTHER")
