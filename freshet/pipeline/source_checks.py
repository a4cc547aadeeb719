"""Check that a source can be followed: its server, its binlog, the user's rights, the ways back to the rows.

Reads:  server variables and settings, through a mysql-connector connection; no row of a table.
Gives:  findings, each an error or an advice.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mysql.connector.abstracts import MySQLConnectionAbstract

from freshet.errors import EnvironmentFault
from freshet.pipeline.definition import Definition
from freshet.pipeline.select import Join
from freshet.pipeline.source import SourceSchema, error_of, global_variables, quoted, rows_of

RETENTION_ADVISED_H = 24
MYSQL_LEAST = (8, 0, 22)  # the first whose FOR SHARE needs no right but SELECT
MARIADB_LEAST = (10, 6, 0)  # the first with SKIP LOCKED
_ILLEGAL_MIX = 1267
_VARIABLES = (
    *("version", "log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "binlog_order_commits"),
    *("binlog_expire_logs_seconds", "expire_logs_days"),
    *(f"rpl_semi_sync_{side}_{what}" for side in ("master", "source") for what in ("enabled", "wait_point", "timeout")),
)


@dataclass(frozen=True)
class Finding:
    """Something about the source: an "error" keeps the pipeline from running, an "advice" does not."""

    level: str
    message: str


def check_source(connection: MySQLConnectionAbstract, definition: Definition, source: SourceSchema) -> list[Finding]:
    """Check that the server tells every change, keeps it long enough, and finds the rows that a change touches.

    Returns:
        Errors and advice; an empty list when all is well.

    Source: MySQL, "Binary Logging Options", "Locking Reads"; DMS, "Using a MySQL-compatible database as a source".
    """
    variables = global_variables(connection, *_VARIABLES)
    findings = [*_server(variables), *_binlog(variables), *_late(connection, variables)]
    findings += _rights(connection, definition, source)
    findings += _generations(connection, variables)
    findings += _indexes(definition, source)
    findings += _comparisons(connection, definition, source)
    return findings


def _is_mariadb(variables: Mapping[str, str]) -> bool:
    return "mariadb" in variables.get("version", "").lower()


def server_is_too_old(version: str) -> str | None:
    """Say that a server cannot be asked which rows a transaction holds; None when it can.

    Args:
        version: The server's variable: "8.0.36", "10.11.6-MariaDB-log", "5.5.5-10.11.6-MariaDB".
    """
    mariadb = re.search(r"(\d+)\.(\d+)\.(\d+)-mariadb", version, re.IGNORECASE)
    found = mariadb or re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    least = MARIADB_LEAST if mariadb else MYSQL_LEAST
    if found and tuple(int(part) for part in found.groups()) >= least:
        return None
    wanted = f"{'MariaDB' if mariadb else 'MySQL'} {'.'.join(str(part) for part in least)}"
    return (
        f"the server is {version}, which cannot skip locked rows, so a change that is not yet visible would be missed: "
        f"upgrade it to {wanted} or newer"
    )


def _server(variables: Mapping[str, str]) -> Iterator[Finding]:
    too_old = server_is_too_old(variables.get("version", ""))
    if too_old:
        yield Finding("error", too_old)


def _binlog(variables: Mapping[str, str]) -> Iterator[Finding]:
    wanted = {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_image": "FULL", "binlog_order_commits": "ON"}
    if _is_mariadb(variables):
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


def _late(connection: MySQLConnectionAbstract, variables: Mapping[str, str]) -> Iterator[Finding]:
    # A change may be in the binlog before its row can be read. The job sees the row's lock; here it is only told.
    for side in ("master", "source"):
        if variables.get(f"rpl_semi_sync_{side}_enabled") == "ON":
            point = variables.get(f"rpl_semi_sync_{side}_wait_point", "AFTER_SYNC")
            waits = f"up to {variables.get(f'rpl_semi_sync_{side}_timeout', '10000')} ms"
            what = (
                f"a change may be in the stream {waits} before its row can be read; the job reads such a row again"
                if point == "AFTER_SYNC"
                else f"a commit waits {waits}, and its row can be read meanwhile"
            )
            yield Finding("advice", f"semi-synchronous replication is on, {point}: {what}")
    prepared = sum(int(count) for _, count in rows_of(connection, "show global status like 'Com_xa_prepare'"))
    if prepared:
        yield Finding(
            "advice",
            f"XA transactions were prepared ({prepared:,} since the server's start): a row that one changed is read again until "
            "it is committed or rolled back; one that is left prepared keeps its keys pending",
        )


def _rights(connection: MySQLConnectionAbstract, definition: Definition, source: SourceSchema) -> Iterator[Finding]:
    for table in source.tables.values():
        used = {use.column for use in definition.select.uses() if definition.select.aliases[use.alias] == table.name}
        used |= set(table.primary_key)
        columns = ", ".join(quoted(name) for name in sorted(used & set(table.columns))) or "1"
        if error_of(connection, f"select {columns} from {quoted(source.database)}.{quoted(table.name)} limit 0"):
            yield Finding("error", f"the user may not SELECT from {table.name}: grant it")
        elif table.foreign_keys is None:
            yield Finding(
                "error",
                f"the user may not SELECT the whole of {table.name}, so its foreign keys cannot be seen, and one that changes "
                f"rows by itself would go unnoticed: grant select on {source.database}.{table.name}",
            )
    for table in source.parents.values():
        if table.foreign_keys is None and not source.logs_cascades:
            yield Finding(
                "error",
                f"{table.name} changes rows of other tables by foreign keys, and the user cannot see which tables change "
                f"{table.name} so: grant select on {source.database}.{table.name}",
            )


def _generations(connection: MySQLConnectionAbstract, variables: Mapping[str, str]) -> Iterator[Finding]:
    tables = "innodb_sys_tables" if _is_mariadb(variables) else "innodb_tables"
    try:
        seen = bool(rows_of(connection, f"select 1 from information_schema.{tables} limit 1"))
    except EnvironmentFault:
        seen = False
    if not seen:
        yield Finding(
            "advice",
            "the user lacks the right PROCESS, so a TRUNCATE, which no binlog tells row by row, is not noticed: "
            "grant process on *.*, or run a backfill after each TRUNCATE",
        )


def _indexes(definition: Definition, source: SourceSchema) -> Iterator[Finding]:
    for join, left, columns in _referrers(definition):
        table = source.tables.get(left)
        if table is not None and table.index_on(columns) is None:
            names = ", ".join(columns)
            written = ", ".join(quoted(column) for column in columns)
            yield Finding(
                "error",
                f"{left} has no index on {names}, so a change of {join.table} could not find its rows without reading all of "
                f"{left}: create index {quoted('_'.join((left, *columns))[:64])} on {quoted(left)} ({written})",
            )


def _referrers(definition: Definition) -> Iterator[tuple[Join, str, list[str]]]:
    """Give each join, with the table that refers and its columns."""
    for join in definition.select.joins:
        yield join, definition.select.aliases[join.terms[0].left.alias], [term.left.column for term in join.terms]


def _comparisons(
    connection: MySQLConnectionAbstract, definition: Definition, source: SourceSchema
) -> Iterator[Finding]:
    # MySQL itself says whether two texts can be compared; the tables are asked for no row.
    for join, left_name, left_columns in _referrers(definition):
        table, left = source.tables.get(join.table), source.tables.get(left_name)
        for term, left_column in zip(join.terms, left_columns, strict=True):
            one = table.columns.get(term.column.column) if table else None
            other = left.columns.get(left_column) if left else None
            if one is None or other is None or None in (one.collation, other.collation):
                continue
            names = f"{join.table}.{one.name} ({one.collation}) and {left_name}.{other.name} ({other.collation})"
            if (
                error_of(
                    connection,
                    f"select 1 from {_in(source, join.table)} as a, {_in(source, left_name)} as b"
                    f" where a.{quoted(one.name)} = b.{quoted(other.name)} limit 0",
                )
                == _ILLEGAL_MIX
            ):
                yield Finding("error", f"the server cannot compare {names}: give both columns one collation")
            elif one.character_set != other.character_set:
                yield Finding(
                    "advice",
                    f"{names} are of two character sets, so the server may have to read all of {join.table} to join it: "
                    "give both columns one character set",
                )


def _in(source: SourceSchema, table: str) -> str:
    return f"{quoted(source.database)}.{quoted(table)}"
