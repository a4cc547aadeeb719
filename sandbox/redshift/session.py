"""One transaction on PostgreSQL, as the handlers of statements see it.

Reads:  PostgreSQL text of one statement.
Gives:  the rows that it changed or gave.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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


@dataclass(frozen=True)
class Shape:
    """A column of a result: its name, the number of its type in PostgreSQL, and its sizes as type modifier."""

    name: str
    oid: int
    modifier: int


class Session:
    """A connection inside one transaction, the S3 client, and the trace of the statement that runs.

    Args:
        connection: To PostgreSQL.
        s3: Gives the client.
        in_block: Several statements share the transaction, or may.
    """

    def __init__(self, connection: psycopg.Connection[Row], s3: Callable[[], Any], *, in_block: bool) -> None:
        self.connection, self.s3, self.in_block = connection, s3, in_block
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

    def shape(self, sql: str) -> list[Shape]:
        """Give the columns of a query's result."""
        with RawCursor(self.connection) as cursor:
            result = cursor.execute(f"select * from ({sql}) as shape limit 0".encode()).pgresult
            assert result is not None, "a query gives a result"  # noqa: S101
            return [
                Shape((result.fname(place) or b"").decode(), result.ftype(place), result.fmod(place))
                for place in range(result.nfields)
            ]

    def unload(self, sql: str) -> Iterator[bytes]:
        """Give a query's rows as CSV, each by itself; an empty field without quotes is NULL."""
        with RawCursor(self.connection) as cursor, cursor.copy(f"copy ({sql}) to stdout (format csv)".encode()) as copy:
            for row in copy:
                yield bytes(row)


Plan = Callable[[Session], Outcome]
