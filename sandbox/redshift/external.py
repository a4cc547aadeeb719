"""External schemas and tables: CREATE, ALTER TABLE ... PARTITION and DROP.

Source: Redshift Developer Guide, "CREATE EXTERNAL SCHEMA", "CREATE EXTERNAL TABLE", "ALTER TABLE" (external tables),
"DROP TABLE", "DROP SCHEMA".
"""

import json
from dataclasses import dataclass, field
from typing import Final

from sandbox.redshift.copy_options import character, text
from sandbox.redshift.errors import Refused, syntax_error
from sandbox.redshift.external_catalog import (
    Columns,
    ExternalTable,
    database_of,
    tables_of,
    the_table,
)
from sandbox.redshift.lexer import Cursor, quoted, sql_name
from sandbox.redshift.s3_files import location, role
from sandbox.redshift.session import Outcome, Plan, Session
from sandbox.redshift.types import column_type

PARTITIONS_MAX: Final = 100
NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
_OPEN_CSV: Final = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
_CSV_PROPERTIES: Final = {"separatorChar": "delimiter", "quoteChar": "quote"}
_PROPERTIES: Final = ("numRows", "skip.header.line.count")
_ALTERS: Final = "the sandbox does not know this statement: alter table ... (but for ADD and DROP PARTITION)"
_TYPES: Final = (
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double",
    "boolean",
    "character",
    "date",
    "timestamp without",
)


@dataclass
class _Declared:
    """What CREATE EXTERNAL TABLE declares."""

    path: tuple[str, ...]
    columns: Columns
    keys: Columns = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    format: str = ""
    location: str = ""


def refuse_in_block(session: Session, what: str) -> None:
    """Check that a statement is alone.

    Raises:
        Refused: It stands in a batch, which is one transaction.
    """
    if session.in_block:
        raise Refused(f"{what} cannot run inside a transaction block")


def create_schema(cursor: Cursor, _text: str) -> Plan:
    """Plan a CREATE EXTERNAL SCHEMA over a database of the data catalog."""
    if_missing = cursor.accept("if", "not", "exists")
    name = cursor.name()
    cursor.expect("from")
    if cursor.sees("hive") or cursor.sees("kinesis") or cursor.sees("mysql") or cursor.sees("postgres"):
        raise Refused("the sandbox knows external schemas FROM DATA CATALOG only")
    cursor.accept("data", "catalog")
    cursor.expect("database")
    database = text(cursor).lower()
    cursor.expect("iam_role")
    arn = cursor.here.content if cursor.here and cursor.here.kind == "string" else "default"
    role(cursor, "CREATE EXTERNAL SCHEMA")
    makes_database = cursor.accept("create", "external", "database", "if", "not", "exists")
    cursor.end()

    def run(session: Session) -> Outcome:
        if makes_database:
            refuse_in_block(session, "CREATE EXTERNAL SCHEMA with CREATE EXTERNAL DATABASE")
        if if_missing and session.rows("select from pg_namespace where nspname = $1", [name]):
            return Outcome()
        if makes_database:
            session.run("insert into redshift_compat.external_database values ($1) on conflict do nothing", [database])
        elif not session.rows("select from redshift_compat.external_database where name = $1", [database]):
            raise Refused(
                f'the external database "{database}" does not exist in the sandbox\'s catalog: '
                "say CREATE EXTERNAL DATABASE IF NOT EXISTS"
            )
        session.run(f"create schema {quoted(name)}")
        session.run("insert into redshift_compat.external_schema values ($1, $2, $3)", [name, database, arn])
        for table in tables_of(session, name):
            _show(session, table)
        return Outcome()

    return run


def create_table(cursor: Cursor, _text: str) -> Plan:
    """Plan a CREATE EXTERNAL TABLE over Parquet files or text files."""
    path = cursor.path()
    if len(path) < 2:
        raise Refused("External tables must be created in external schema.")
    if not cursor.sees("("):
        raise Refused("the sandbox does not know CREATE EXTERNAL TABLE AS")
    declared = _Declared(path, cursor.listed(lambda: _column(cursor)))
    if cursor.accept("partitioned", "by"):
        declared.keys = cursor.listed(lambda: _column(cursor))
    if cursor.accept("row", "format"):
        _row_format(cursor, declared)
    cursor.expect("stored", "as")
    stored = cursor.next().word
    if stored not in ("parquet", "textfile"):
        raise Refused(f"the sandbox knows external tables STORED AS PARQUET and TEXTFILE only, not {stored.upper()}")
    declared.format = stored
    cursor.expect("location")
    declared.location = location(cursor, "CREATE EXTERNAL TABLE")
    if cursor.accept("table", "properties"):
        _table_properties(cursor, declared)
    if cursor.sees("as"):
        raise Refused("the sandbox does not know CREATE EXTERNAL TABLE AS")
    cursor.end()
    names = [column["name"] for column in [*declared.columns, *declared.keys]]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f'column "{name}" specified more than once')
    return lambda session: _make(session, declared)


def _column(cursor: Cursor) -> dict[str, str]:
    name = cursor.name()
    if name.startswith("$"):
        raise Refused(f'column name "{name}" conflicts with a pseudocolumn')
    kind = column_type(cursor).sql
    if not kind.startswith(_TYPES):
        raise Refused(f'Unsupported data type "{kind}" for external table creation')
    if not (cursor.sees(",") or cursor.sees(")")):
        raise cursor.surprise("external tables have no constraints and defaults")
    return {"name": name, "type": kind}


def _row_format(cursor: Cursor, declared: _Declared) -> None:
    if cursor.accept("serde"):
        name = text(cursor)
        if name != _OPEN_CSV:
            raise Refused(f"the sandbox knows the SerDe {_OPEN_CSV} only")
        declared.options |= {"delimiter": ",", "quote": '"'}
        if cursor.accept("with", "serdeproperties"):
            for key, value in cursor.listed(lambda: _property(cursor)):
                if key not in _CSV_PROPERTIES or len(value) != 1:
                    raise Refused(f"the sandbox does not know the SerDe property {key}, or its value is no character")
                declared.options[_CSV_PROPERTIES[key]] = value
        return
    cursor.expect("delimited")
    while cursor.sees("fields") or cursor.sees("lines"):
        is_fields = cursor.next().word == "fields"
        cursor.expect("terminated", "by")
        if is_fields:
            declared.options["delimiter"] = character(cursor, "FIELDS TERMINATED BY")
        elif text(cursor) != "\n":
            raise Refused("the sandbox knows LINES TERMINATED BY '\\n' only")


def _property(cursor: Cursor) -> tuple[str, str]:
    key = cursor.next()
    cursor.expect("=")
    value = cursor.next()
    if key.kind != "string" or value.kind != "string":
        raise syntax_error(key.text)
    return key.content, value.content


def _table_properties(cursor: Cursor, declared: _Declared) -> None:
    for key, value in cursor.listed(lambda: _property(cursor)):
        if key not in _PROPERTIES or not value.isdigit():
            raise Refused(f"the sandbox does not know the table property {key}, or its value is no number")
        declared.options[key] = value


def _make(session: Session, declared: _Declared) -> Outcome:
    refuse_in_block(session, "CREATE EXTERNAL TABLE")
    schema, name = declared.path[-2:]
    database = database_of(session, schema)
    if database is None:
        raise Refused(f'schema "{schema}" is not an external schema, or does not exist')
    if the_table(session, declared.path) is not None:
        raise Refused(f'Relation "{name}" already exists')
    session.run(
        "insert into redshift_compat.external_table (database, name, format, location, columns, keys, options) "
        "values ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7::jsonb)",
        [
            database, name, declared.format, declared.location,
            json.dumps(declared.columns), json.dumps(declared.keys), json.dumps(declared.options),
        ],
    )  # fmt: skip
    for (other,) in session.rows("select name from redshift_compat.external_schema where database = $1", [database]):
        table = the_table(session, (other, name))
        assert table is not None, "it was just made"  # noqa: S101
        _show(session, table)
    return Outcome()


def _show(session: Session, table: ExternalTable) -> None:
    """Make the view; who may use the schema may read it."""
    session.run(
        f"create view {table.view} as select {', '.join(quoted(column['name']) for column in [*table.columns, *table.keys])} "
        f'from redshift_compat.external_rows({table.id}) as rows ({table.shape}, "$path" text, "$size" bigint)'
    )
    session.run(f"grant select on {table.view} to public")


def alter_table(cursor: Cursor, _text: str) -> Plan:
    """Plan `ALTER TABLE s.t ADD [IF NOT EXISTS] PARTITION (...) LOCATION '...' ...` or `DROP PARTITION (...)`."""
    path = cursor.path()
    if cursor.accept("drop", "partition"):
        gone = _partition_values(cursor)
        cursor.end()
        return lambda session: _drop_partition(session, path, gone)
    if not cursor.accept("add"):
        raise Refused(_ALTERS)
    if_missing = cursor.accept("if", "not", "exists")
    if not cursor.sees("partition"):
        raise Refused(_ALTERS)
    added = []
    while cursor.accept("partition"):
        values = _partition_values(cursor)
        cursor.expect("location")
        added.append((values, location(cursor, "ALTER TABLE")))
    cursor.end()
    if len(added) > PARTITIONS_MAX:
        raise Refused(f"ALTER TABLE adds at most {PARTITIONS_MAX} partitions")
    return lambda session: _add_partitions(session, path, added, if_missing=if_missing)


def _partition_values(cursor: Cursor) -> dict[str, str]:
    def pair() -> tuple[str, str]:
        name = cursor.name()
        cursor.expect("=")
        value = cursor.next()
        if value.kind not in ("string", "number"):
            raise syntax_error(value.text)
        return name, value.content if value.kind == "string" else value.text

    pairs = cursor.listed(pair)
    if len(dict(pairs)) < len(pairs):
        raise Refused("a partition column is named twice")
    return dict(pairs)


def _owned(session: Session, path: tuple[str, ...]) -> ExternalTable:
    refuse_in_block(session, "ALTER EXTERNAL TABLE")
    table = the_table(session, path)
    if table is None:
        raise Refused(f"{'.'.join(path)} is not an external table: the sandbox's ALTER TABLE knows no other")
    mine = "select pg_has_role(current_user, relowner, 'usage') from pg_class where oid = to_regclass($1)"
    if session.rows(mine, [table.view]) != [(True,)]:
        raise Refused(f"must be owner of external table {table.name}")
    return table


def _values_of(session: Session, table: ExternalTable, written: dict[str, str]) -> str:
    """Give a partition's values as JSON in the order of the columns, each as its type writes it."""
    names = [key["name"] for key in table.keys]
    if not names:
        raise Refused(f"table {table.name} is not partitioned")
    if set(names) != set(written):
        raise Refused(f"the partition must name each partition column of table {table.name}: {', '.join(names)}")
    values: list[str | None] = []
    for key in table.keys:
        value = written[key["name"]]
        values.append(
            None if value == NO_VALUE else session.rows(f"select cast($1::text as {key['type']})::text", [value])[0][0]
        )
    return json.dumps(values)


def _add_partitions(
    session: Session, path: tuple[str, ...], added: list[tuple[dict[str, str], str]], *, if_missing: bool
) -> Outcome:
    table = _owned(session, path)
    for written, where in added:
        values = _values_of(session, table, written)
        there = "select from redshift_compat.external_partition where table_id = $1 and key_values = $2::jsonb"
        if session.rows(there, [table.id, values]):
            if if_missing:
                continue
            raise Refused("Partition already exists.")
        session.run(
            "insert into redshift_compat.external_partition values ($1, $2::jsonb, $3)", [str(table.id), values, where]
        )
    return Outcome()


def _drop_partition(session: Session, path: tuple[str, ...], gone: dict[str, str]) -> Outcome:
    table = _owned(session, path)
    values = _values_of(session, table, gone)
    done = session.run(
        "delete from redshift_compat.external_partition where table_id = $1 and key_values = $2::jsonb",
        [str(table.id), values],
    )
    if not done.rows:
        raise Refused("Partition not found.")
    return Outcome()


def drop_table(session: Session, table: ExternalTable) -> None:
    """Forget an external table, not its files.

    Raises:
        Refused: It stands in a batch.
    """
    refuse_in_block(session, "DROP EXTERNAL TABLE")
    schemas = session.rows(
        "select name from redshift_compat.external_schema where database = "
        "(select database from redshift_compat.external_table where id = $1)",
        [table.id],
    )
    for (schema,) in schemas:
        session.run(f"drop view {sql_name((schema, table.name))}")
    session.run("delete from redshift_compat.external_partition where table_id = $1", [str(table.id)])
    session.run("delete from redshift_compat.external_table where id = $1", [str(table.id)])


def drop_schema(cursor: Cursor, _text: str) -> Plan:
    """Plan a DROP SCHEMA of local or external schemas; of an external one, its database stays unless told."""
    if_there = cursor.accept("if", "exists")
    names = [cursor.name()]
    while cursor.accept(","):
        names.append(cursor.name())
    with_database = cursor.accept("drop", "external", "database")
    cascade = cursor.accept("cascade")
    _ = cascade or cursor.accept("restrict")
    cursor.end()

    def run(session: Session) -> Outcome:
        for name in names:
            database = database_of(session, name)
            if database is not None:
                _drop_external_schema(session, name, database if with_database else None, cascade=cascade)
            else:
                session.run(
                    f"drop schema {'if exists ' if if_there else ''}{quoted(name)}{' cascade' if cascade else ''}"
                )
        return Outcome()

    return run


def _drop_external_schema(session: Session, name: str, database: str | None, *, cascade: bool) -> None:
    if database is not None:
        refuse_in_block(session, "DROP EXTERNAL DATABASE")
        tables = tables_of(session, name)
        if tables and not cascade:
            raise Refused(f'external database "{database}" is not empty: say CASCADE')
        for table in tables:
            drop_table(session, table)
        session.run("delete from redshift_compat.external_database where name = $1", [database])
    session.run(f"drop schema {quoted(name)} cascade")
    session.run("delete from redshift_compat.external_schema where name = $1", [name])
