"""Ask MySQL what the source tables are: columns, keys, indexes, foreign keys.

Reads:  information_schema and SHOW CREATE TABLE, through a mysql-connector connection.
Gives:  a SourceSchema. No row of a table is read.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mysql.connector import Error as MySQLError
from mysql.connector.abstracts import MySQLConnectionAbstract

from freshet.errors import EnvironmentFault

_FOLLOWED = ("CASCADE", "SET NULL", "SET DEFAULT")
_NAME = r"(?:`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\")"
_FOREIGN_KEY = re.compile(
    rf"^ *CONSTRAINT ({_NAME}) FOREIGN KEY \(([^\n]*?)\) REFERENCES ((?:{_NAME}\.)?{_NAME}) \(([^\n]*?)\)([^\n]*)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class SourceColumn:
    """A column as information_schema tells it.

    `hidden` says why DMS does not send it, if it does not. `expression` is what a generated column is computed from.
    """

    name: str
    type: str
    nullable: bool
    collation: str | None = None
    hidden: str | None = None
    expression: str = ""

    @property
    def tells_blanks_apart(self) -> bool:
        """Whether 'a' and 'a ' are two values here; Redshift takes them for one."""
        return self.collation is not None and ("nopad" in self.collation or "_0900_" in self.collation)

    @property
    def character_set(self) -> str | None:
        """The character set of a text; None for anything else."""
        return self.collation.partition("_")[0] if self.collation else None


@dataclass(frozen=True)
class Index:
    """An index that finds equal values, and its columns in order."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of a table, with what the server does to the row when the other one changes.

    `references` is a table of the same database, or "database.table"; `refers_to` are its columns.
    """

    name: str
    columns: tuple[str, ...]
    references: str
    on_update: str
    on_delete: str
    refers_to: tuple[str, ...] = ()

    @property
    def changes_rows_on_update(self) -> bool:
        """Whether the server changes this table's rows when the other table's columns change."""
        return self.on_update in _FOLLOWED

    @property
    def changes_rows(self) -> bool:
        """Whether the server changes this table's rows when the other table's change."""
        return self.changes_rows_on_update or self.on_delete in _FOLLOWED


@dataclass(frozen=True)
class SourceTable:
    """One table of the source.

    `foreign_keys` is None when the user may not see them. `rows` is the server's own estimate.
    """

    name: str
    columns: Mapping[str, SourceColumn]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] | None = ()
    is_view: bool = False
    rows: int = 0

    def index_on(self, columns: Iterable[str]) -> Index | None:
        """Find an index whose first columns are these, in any order."""
        wanted = set(columns)
        return next((index for index in self.indexes if set(index.columns[: len(wanted)]) == wanted), None)


@dataclass(frozen=True)
class SourceSchema:
    """The tables that were asked for and found; `names` are all of the database, for suggestions.

    `parents` are further tables, whose changes may change rows of the others by foreign keys, and the parents of these.
    `logs_cascades` says that the binlog has such changes.
    """

    database: str
    tables: Mapping[str, SourceTable]
    names: tuple[str, ...]
    parents: Mapping[str, SourceTable] = field(default_factory=dict)
    logs_cascades: bool = False


def read_source(connection: MySQLConnectionAbstract, database: str, tables: Iterable[str]) -> SourceSchema:
    """Read the tables' columns, keys and indexes.

    Args:
        connection: Open; needs no right but SELECT on the tables.
        database: Name of the MySQL schema.
        tables: Names, spelled as in MySQL; those that do not exist are left out.

    Raises:
        EnvironmentFault: MySQL does not answer, or shows no such database.
    """
    variables = global_variables(connection, "information_schema_stats_expiry", "innodb_native_foreign_keys")
    if "information_schema_stats_expiry" in variables:
        # MySQL 8 answers from a cache that may be a day old.
        rows_of(connection, "set session information_schema_stats_expiry = 0")
    kinds = {
        str(name): (str(kind), int(count or 0))
        for name, kind, count in rows_of(
            connection,
            "select table_name, table_type, table_rows from information_schema.tables where table_schema = %s",
            database,
        )
    }
    if not kinds:
        raise EnvironmentFault(
            f"MySQL shows no table in the database {database}: it is empty, has another name, or the user may not SELECT"
        )
    found = {name: _table(connection, database, name, *kinds[name]) for name in dict.fromkeys(tables) if name in kinds}
    parents: dict[str, SourceTable] = {}
    children = list(found.values())
    while children:
        for key in children.pop().foreign_keys or ():
            parent = key.references
            if key.changes_rows and parent in kinds and parent not in found and parent not in parents:
                parents[parent] = _table(connection, database, parent, *kinds[parent])
                children.append(parents[parent])
    # MySQL, "innodb_native_foreign_keys": since 9.6 the SQL layer runs foreign keys, and logs what they do.
    logs_cascades = variables.get("innodb_native_foreign_keys") == "OFF"
    return SourceSchema(database, found, tuple(sorted(kinds)), parents, logs_cascades)


def _table(connection: MySQLConnectionAbstract, database: str, name: str, kind: str, count: int) -> SourceTable:
    columns = rows_of(
        connection,
        "select column_name, column_type, is_nullable, collation_name, extra, generation_expression"
        " from information_schema.columns"
        " where table_schema = %s and table_name = %s order by ordinal_position",
        database,
        name,
    )
    indexes = _indexes(connection, database, name)
    is_view = kind != "BASE TABLE"
    return SourceTable(
        name=name,
        columns={
            row[0]: SourceColumn(row[0], row[1], row[2] == "YES", row[3], _hidden(row[4]), row[5] or "")
            for row in columns
        },
        primary_key=indexes.get("PRIMARY", ()),
        indexes=tuple(Index(index, names) for index, names in indexes.items()),
        foreign_keys=() if is_view else _foreign_keys(connection, database, name),
        is_view=is_view,
        rows=count,
    )


def _indexes(connection: MySQLConnectionAbstract, database: str, name: str) -> dict[str, tuple[str, ...]]:
    # An index that the optimizer may not use, and one for words or places, finds no equal values. The columns that say so
    # are called otherwise by MySQL and MariaDB.
    indexed = dicts_of(
        connection,
        "select * from information_schema.statistics where table_schema = %s and table_name = %s"
        " order by index_name, seq_in_index",
        database,
        name,
    )
    columns: dict[str, list[str | None]] = {}
    for row in indexed:
        usable = row.get("is_visible", "YES") == "YES" and row.get("ignored", "NO") == "NO"
        if usable and row["index_type"] not in ("FULLTEXT", "SPATIAL"):
            columns.setdefault(row["index_name"], []).append(row["column_name"])
    # A part of an index that is an expression ends what can be asked of it by columns.
    return {
        index: tuple(name for name in names[: names.index(None) if None in names else None] if name)
        for index, names in columns.items()
    }


def _foreign_keys(connection: MySQLConnectionAbstract, database: str, name: str) -> tuple[ForeignKey, ...] | None:
    # MariaDB's information_schema hides foreign keys from a user who may only SELECT; the table's own text does not.
    try:
        ((_, text),) = rows_of(connection, f"show create table {quoted(database)}.{quoted(name)}")
    except EnvironmentFault:
        return None
    return tuple(_foreign_key(found) for found in _FOREIGN_KEY.finditer(str(text)))


def _foreign_key(found: re.Match[str]) -> ForeignKey:
    actions = dict(re.findall(r"ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT|RESTRICT|NO ACTION)", found[5]))
    return ForeignKey(
        name=_unquoted(found[1])[0],
        columns=_unquoted(found[2]),
        references=".".join(_unquoted(found[3])),
        on_update=actions.get("UPDATE", "RESTRICT"),
        on_delete=actions.get("DELETE", "RESTRICT"),
        refers_to=_unquoted(found[4]),
    )


def _unquoted(names: str) -> tuple[str, ...]:
    return tuple(name[1:-1].replace(2 * name[0], name[0]) for name in re.findall(_NAME, names))


def _hidden(extra: str | None) -> str | None:
    words = (extra or "").upper()
    return (
        "generated"
        if "GENERATED" in words.replace("DEFAULT_GENERATED", "")
        else "invisible"
        if "INVISIBLE" in words
        else None
    )


def global_variables(connection: MySQLConnectionAbstract, *names: str) -> dict[str, str]:
    """Ask for some of the server's global variables; those that it does not have are left out."""
    wanted = ", ".join(["%s"] * len(names))
    answer = rows_of(connection, f"show global variables where variable_name in ({wanted})", *names)
    return {str(name).lower(): str(value) for name, value in answer}


def quoted(name: str) -> str:
    """Quote a name for MySQL."""
    return "`" + name.replace("`", "``") + "`"


def rows_of(connection: MySQLConnectionAbstract, sql: str, *values: str) -> list[tuple[Any, ...]]:
    """Ask one question about the server or its tables.

    Raises:
        EnvironmentFault: MySQL refuses; the message has its number, not its text, which may quote.
    """
    return _asked(connection, sql, values)[1]


def error_of(connection: MySQLConnectionAbstract, sql: str) -> int | None:
    """Try a statement that gives no rows; give the number of MySQL's error, None when there is none."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            cursor.fetchall()
    except MySQLError as error:
        return error.errno
    return None


def dicts_of(connection: MySQLConnectionAbstract, sql: str, *values: str) -> list[dict[str, Any]]:
    """Ask one question, and give its rows by the lower-case names of their columns.

    Raises:
        EnvironmentFault: MySQL refuses.
    """
    names, rows = _asked(connection, sql, values)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _asked(
    connection: MySQLConnectionAbstract, sql: str, values: Sequence[str]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            names = [str(column[0]).lower() for column in cursor.description or ()]
            rows: Sequence[Any] = cursor.fetchall() if names else []
    except MySQLError as error:
        raise EnvironmentFault(f"MySQL refused a question about its tables (error {error.errno})") from None
    return names, [tuple(bytes(v).decode() if isinstance(v, bytes | bytearray) else v for v in row) for row in rows]
