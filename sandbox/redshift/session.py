"""One transaction on PostgreSQL, as the handlers of statements see it.

Reads:  PostgreSQL text of one statement.
Gives:  the rows that it changed or gave.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import RawCursor

from sandbox.redshift.results import Result, read_result
from sandbox.redshift.trace import Trace

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What one statement did: rows changed or given (-1: not known), and its result set if it has one."""

    rows: int = -1
    result: Result | None = None


class Session:
    """A connection inside one transaction, the S3 client for COPY, and the trace of the statement that runs."""

    def __init__(self, connection: psycopg.Connection[Row], s3: Callable[[], Any]) -> None:
        self.connection, self.s3 = connection, s3
        self.trace = Trace()

    def run(self, sql: str, values: Sequence[str] = ()) -> Outcome:
        """Run one statement.

        Args:
            sql: PostgreSQL text, with `$1` for values.
            values: Texts whose types PostgreSQL finds out.
        """
        with RawCursor(self.connection) as cursor:
            cursor.execute(sql.encode(), list(values) or None)
            if cursor.description is None:
                return Outcome(cursor.rowcount)
            return Outcome(cursor.rowcount, read_result(cursor))

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Ask the catalog: run one query of our own and give its rows."""
        with RawCursor(self.connection) as cursor:
            return cursor.execute(sql.encode(), list(values) or None).fetchall()

    def load(self, sql: str, parts: Iterable[bytes]) -> int:
        """Run `COPY ... FROM STDIN` over these parts of its input, and count the rows."""
        with RawCursor(self.connection) as cursor:
            with cursor.copy(sql.encode()) as copy:
                for part in parts:
                    copy.write(part)
            return cursor.rowcount


Plan = Callable[[Session], Outcome]
