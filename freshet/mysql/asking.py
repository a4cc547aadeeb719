"""Ask the source within limits that cannot hurt it, and learn with each answer which server gave it.

A slow read is an outage: whoever wants to ALTER a table waits behind it, and every other statement waits behind that ALTER.
So each statement of the job ends by itself after 2 seconds, waits for no row lock, waits for a metadata lock 1 second at most, is
its own transaction, and is fetched whole. A proxy may hand any statement to a replica that lags; so each answer says who gave it.

Reads:  MySQL 8.0.22 or later, MariaDB 10.6 or later.
Gives:  rows as the server's own text; the server that answered; errors without a word of the statement.

Source: MySQL Reference Manual, "Server System Variables" (max_execution_time, lock_wait_timeout, server_uuid), "Locking
Reads"; MariaDB Server Documentation, "Server System Variables" (max_statement_time, server_uid).
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, TypeAlias

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from freshet.errors import EnvironmentFault
from freshet.pipeline.connection import MySQLSettings, connect

STATEMENT_S: Final = 2.0
LOCK_WAIT_S: Final = 1
ONE_ROW: Final = "(select 1 as one) as one_row"
CUT_OFF: Final = frozenset({3024, 1969, 1317})  # the statement's time was over
HELD: Final = frozenset({3572, 1205, 1222})  # NOWAIT met a lock
UNLIKE: Final = frozenset({1267, 1270, 1271})  # a text that the column's charset does not have
GONE: Final = frozenset({1054, 1146, 1049})  # no such column, table, database

Answered: TypeAlias = frozenset[tuple[str, bool]]
Texts: TypeAlias = tuple[bytes | None, ...]


class CutOff(Exception):
    """The server ended a statement after its time: ask for less."""


class Held(Exception):
    """A transaction holds a row that was asked for with NOWAIT."""


class Unlike(Exception):
    """A column cannot be compared with a text that its charset does not have."""


class Gone(Exception):
    """A table or a column that was asked for is not there any more; the number is MySQL's."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"error {number}")


class Told(NamedTuple):
    """An answer: its rows, and who gave it."""

    rows: list[Texts]
    servers: Answered


@dataclass
class Source:
    """One connection to the source and what differs between the two kinds of server.

    Attributes:
        settings: Where the source is.
        connection: Open.
        mariadb: The server is a MariaDB.
        server: SQL of the server's identity.
    """

    settings: MySQLSettings
    connection: MySQLConnectionAbstract
    mariadb: bool
    server: str

    @classmethod
    def open(cls, settings: MySQLSettings) -> Self:
        """Connect.

        Raises:
            EnvironmentFault: The server does not answer, refuses, or cannot lock rows as the job needs.
        """
        connection = connect(settings)
        found: dict[Any, Any] = dict(_rows(connection, _VARIABLES))
        version = str(found.get("version", ""))
        mariadb = "mariadb" in version.lower()
        uid = "@@server_uid" if "server_uid" in found else "concat(@@hostname, ':', @@server_id)"
        limits = [f"lock_wait_timeout = {LOCK_WAIT_S}", "sql_mode = ''", "innodb_lock_wait_timeout = 1"]
        limits.append(
            f"max_statement_time = {STATEMENT_S:g}" if mariadb else f"max_execution_time = {STATEMENT_S * 1000:.0f}"
        )
        if "information_schema_stats_expiry" in found:
            limits.append("information_schema_stats_expiry = 0")
        with connection.cursor() as cursor:
            cursor.execute(f"set session {', '.join(limits)}")
        return cls(settings, connection, mariadb, uid if mariadb else "@@server_uuid")

    def share(self, how: str) -> str:
        """Write the clause of a locking read: `skip locked` or `nowait`."""
        return f"lock in share mode {how}" if self.mariadb else f"for share {how}"

    def ask(self, columns: str, rest: str) -> Told:
        """Ask one statement.

        Args:
            columns: The columns, as SQL.
            rest: What follows FROM; with `ONE_ROW` it gives a row at least, so that the server is known even if nothing is found.

        Raises:
            CutOff: The statement's time was over.
            Held: NOWAIT met a lock.
            Unlike: A text is not of a column's charset.
            Gone: A table or column is gone.
            EnvironmentFault: The server does not answer, or refuses otherwise; with its number.
        """
        read_only = "@@global.read_only or @@global.innodb_read_only"
        statement = f"select {self.server}, {read_only}, {columns} from {rest}"
        try:
            with self.connection.cursor(raw=True) as cursor:
                cursor.execute(statement)
                fetched: Any = cursor.fetchall()
        except mysql.connector.Error as error:
            raise self._as_ours(error) from None
        servers = frozenset({(bytes(row[0]).decode(), bytes(row[1]) != b"0") for row in fetched[:1] + fetched[-1:]})
        return Told([row[2:] for row in fetched], servers)

    def _as_ours(self, error: mysql.connector.Error) -> Exception:
        """Give an error that holds no text of the server's, since that quotes the statement."""
        number = error.errno or 0
        if number in CUT_OFF:
            return CutOff()
        if number in HELD:
            return Held()
        if number in UNLIKE:
            return Unlike()
        if number in GONE:
            return Gone(number)
        self.connection.close()
        return EnvironmentFault(f"MySQL refused a question of the job, or ended the connection (error {number})")

    def is_open(self) -> bool:
        """Tell whether the server still answers on this connection."""
        return self.connection.is_connected()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


_VARIABLES = (
    "show variables where variable_name in ('version', 'server_uuid', 'server_uid', 'information_schema_stats_expiry')"
)


def _rows(connection: MySQLConnectionAbstract, statement: str) -> list[Any]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
    except mysql.connector.Error as error:
        raise EnvironmentFault(f"MySQL refused a question about itself (error {error.errno})") from None


_kept: dict[MySQLSettings, Source] = {}


def kept_source(settings: MySQLSettings) -> Source:
    """Give this process's connection to a source, opened again when it was lost; a task's, for its worker's life."""
    source = _kept.get(settings)
    if source is None or not source.is_open():
        source = _kept[settings] = Source.open(settings)
    return source
