"""Ask MySQL what the source tables are, and whether its binlog tells every change.

Reads:  information_schema and server variables, through a mysql-connector connection.
Gives:  a SourceSchema; findings, each an error or an advice. No row of a table is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mysql.connector import Error as MySQLError
from mysql.connector.abstracts import MySQLConnectionAbstract

from freshet.errors import EnvironmentFault
from freshet.pipeline.definition import Definition

RETENTION_ADVISED_H = 24
_FOLLOWED = ("CASCADE", "SET NULL", "SET DEFAULT")


@dataclass(frozen=True)
class SourceColumn:
    """A column as information_schema tells it; `hidden` says why DMS does not send it, if it does not."""

    name: str
    type: str
    nullable: bool
    collation: str | None = None
    hidden: str | None = None

    @property
    def compares_exactly(self) -> bool:
        """Whether equal means the same bytes: not a text, or a text with a binary collation."""
        return self.collation is None or self.collation == "binary" or self.collation.endswith("_bin")

    @property
    def tells_blanks_apart(self) -> bool:
        """Whether 'a' and 'a ' are two values here; Redshift takes them for one."""
        return self.collation is not None and ("nopad" in self.collation or "_0900_" in self.collation)


@dataclass(frozen=True)
class Index:
    """An index and its columns in order."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of a table, with what the server does to the row when the other one changes."""

    name: str
    columns: tuple[str, ...]
    references: str
    on_update: str
    on_delete: str

    @property
    def changes_rows(self) -> bool:
        """Whether the server changes this table's rows without a word in the binlog."""
        return self.on_update in _FOLLOWED or self.on_delete in _FOLLOWED


@dataclass(frozen=True)
class SourceTable:
    """One table of the source."""

    name: str
    columns: Mapping[str, SourceColumn]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    is_view: bool = False

    def index_on(self, columns: Iterable[str]) -> Index | None:
        """Find an index whose first columns are these, in any order."""
        wanted = set(columns)
        return next((index for index in self.indexes if set(index.columns[: len(wanted)]) == wanted), None)


@dataclass(frozen=True)
class SourceSchema:
    """The tables that were asked for and found; `names` are all of the database, for suggestions."""

    database: str
    tables: Mapping[str, SourceTable]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """Something about the source: an "error" keeps the pipeline from running, an "advice" does not."""

    level: str
    message: str


def read_source(connection: MySQLConnectionAbstract, database: str, tables: Iterable[str]) -> SourceSchema:
    """Read the tables' columns, keys and indexes.

    Args:
        connection: Open; needs no right but to see the tables.
        database: Name of the MySQL schema.
        tables: Names, spelled as in MySQL; those that do not exist are left out.

    Raises:
        EnvironmentFault: MySQL does not answer, or shows no such database.
    """
    kinds = dict(
        _rows(
            connection, "select table_name, table_type from information_schema.tables where table_schema = %s", database
        )
    )
    if not kinds:
        raise EnvironmentFault(
            f"MySQL shows no table in the database {database}: it is empty, has another name, or the user may not SELECT"
        )
    found = {name: _table(connection, database, name, kinds[name]) for name in dict.fromkeys(tables) if name in kinds}
    return SourceSchema(database, found, tuple(sorted(kinds)))


def _table(connection: MySQLConnectionAbstract, database: str, name: str, kind: str) -> SourceTable:
    columns = _rows(
        connection,
        "select column_name, column_type, is_nullable, collation_name, extra from information_schema.columns"
        " where table_schema = %s and table_name = %s order by ordinal_position",
        database,
        name,
    )
    indexed = _rows(
        connection,
        "select index_name, column_name from information_schema.statistics"
        " where table_schema = %s and table_name = %s and column_name is not null order by index_name, seq_in_index",
        database,
        name,
    )
    keys = _rows(
        connection,
        "select r.constraint_name, k.column_name, r.referenced_table_name, r.update_rule, r.delete_rule"
        " from information_schema.referential_constraints r join information_schema.key_column_usage k"
        " on k.constraint_schema = r.constraint_schema and k.constraint_name = r.constraint_name"
        " and k.table_name = r.table_name where r.constraint_schema = %s and r.table_name = %s"
        " order by r.constraint_name, k.ordinal_position",
        database,
        name,
    )
    indexes = _grouped(indexed)
    return SourceTable(
        name=name,
        columns={row[0]: SourceColumn(row[0], row[1], row[2] == "YES", row[3], _hidden(row[4])) for row in columns},
        primary_key=indexes.get("PRIMARY", ()),
        indexes=tuple(Index(index, names) for index, names in indexes.items()),
        foreign_keys=tuple(
            ForeignKey(key, names, *next(row[2:] for row in keys if row[0] == key))
            for key, names in _grouped([row[:2] for row in keys]).items()
        ),
        is_view=kind != "BASE TABLE",
    )


def _grouped(pairs: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for name, column in pairs:
        groups[name] = (*groups.get(name, ()), column)
    return groups


def _hidden(extra: str | None) -> str | None:
    words = (extra or "").upper()
    return (
        "generated"
        if "GENERATED" in words.replace("DEFAULT_GENERATED", "")
        else "invisible"
        if "INVISIBLE" in words
        else None
    )


def check_source(connection: MySQLConnectionAbstract, definition: Definition, source: SourceSchema) -> list[Finding]:
    """Check that the server tells every change, keeps it long enough, and lets the rows be looked up by key.

    Returns:
        Errors and advice; an empty list when all is well.

    Source: MySQL, "Binary Logging Options"; DMS, "Using a MySQL-compatible database as a source".
    """
    variables = {
        name.lower(): value
        for name, value in _rows(
            connection,
            "show global variables where variable_name in ('version', 'log_bin', 'binlog_format', 'binlog_row_image',"
            " 'binlog_row_metadata', 'binlog_order_commits', 'binlog_expire_logs_seconds', 'expire_logs_days')",
        )
    }
    findings = list(_binlog(variables))
    findings += _rights(connection, definition, source)
    findings += _indexes(definition, source)
    return findings


def _binlog(variables: Mapping[str, str]) -> Iterable[Finding]:
    wanted = {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_image": "FULL", "binlog_order_commits": "ON"}
    if "mariadb" in variables.get("version", "").lower():
        wanted["binlog_row_metadata"] = "FULL"
    for name, value in wanted.items():
        if variables.get(name, value).upper() != value:
            why = "commits reach the binlog out of order" if name.endswith("commits") else "changes would be missing"
            yield Finding("error", f"{name} is {variables[name]}, so {why}: set {name} = {value} on the server")
    seconds = float(variables.get("binlog_expire_logs_seconds") or 0)
    seconds = seconds or 86_400 * float(variables.get("expire_logs_days") or 0)
    if 0 < seconds < RETENTION_ADVISED_H * 3600:
        yield Finding(
            "advice",
            f"the binlog is kept for {seconds / 3600:.0f} h: keep it {RETENTION_ADVISED_H} h or more, so that a DMS task "
            "that stood still over a night can go on (on RDS: mysql.rds_set_configuration('binlog retention hours', 24))",
        )


def _rights(connection: MySQLConnectionAbstract, definition: Definition, source: SourceSchema) -> Iterable[Finding]:
    for table in source.tables.values():
        used = {use.column for use in definition.select.uses() if definition.select.aliases[use.alias] == table.name}
        columns = ", ".join(_quote(name) for name in sorted(used & set(table.columns))) or "1"
        try:
            _rows(connection, f"select {columns} from {_quote(source.database)}.{_quote(table.name)} limit 0")
        except EnvironmentFault:
            yield Finding("error", f"the user may not SELECT from {table.name}: grant it")


def _indexes(definition: Definition, source: SourceSchema) -> Iterable[Finding]:
    for join in definition.select.joins:
        left = source.tables.get(definition.select.aliases[join.terms[0].left.alias])
        columns = [term.left.column for term in join.terms]
        if left is not None and left.index_on(columns) is None:
            yield Finding(
                "advice",
                f"{left.name} has no index on {', '.join(columns)}: a change of {join.table} could not find its rows quickly",
            )


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _rows(connection: MySQLConnectionAbstract, sql: str, *values: str) -> list[tuple[Any, ...]]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            rows: Sequence[Any] = cursor.fetchall()
    except MySQLError as error:
        raise EnvironmentFault(f"MySQL refused a question about its tables (error {error.errno})") from None
    return [tuple(bytes(v).decode() if isinstance(v, bytes | bytearray) else v for v in row) for row in rows]
