"""The catalog of external tables: what stands in the Glue Data Catalog, which the stand-in keeps in PostgreSQL.

Reads:  names.
Gives:  tables with their columns, files and partitions.

Source: Redshift Developer Guide, "CREATE EXTERNAL SCHEMA", "CREATE EXTERNAL TABLE", "ALTER TABLE".
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sandbox.redshift.errors import Refused
from sandbox.redshift.lexer import Token, quoted, sql_name
from sandbox.redshift.session import Session

Columns = list[dict[str, str]]  # each with `name` and `type`, PostgreSQL's


@dataclass(frozen=True)
class ExternalTable:
    """One table: `keys` are its partition columns; `options` hold delimiters and properties."""

    id: int
    schema: str
    name: str
    format: str
    location: str
    columns: Columns
    keys: Columns
    options: dict[str, str] = field(default_factory=dict)

    @property
    def view(self) -> str:
        """The view that stands for it in PostgreSQL."""
        return sql_name((self.schema, self.name))

    @property
    def rows(self) -> str:
        """The temporary table with its rows."""
        return f"external_{self.id}"

    @property
    def shape(self) -> str:
        """Its columns and their types, as PostgreSQL declares them."""
        return ", ".join(f"{quoted(column['name'])} {column['type']}" for column in [*self.columns, *self.keys])


_TABLES = """
    select t.id, e.name, t.name, t.format, t.location, t.columns::text, t.keys::text, t.options::text
      from redshift_compat.external_table as t join redshift_compat.external_schema as e on e.database = t.database
"""


def database_of(session: Session, schema: str) -> str | None:
    """Give the external database of a schema; None for a local schema, and for one that is not there."""
    rows = session.rows("select database from redshift_compat.external_schema where name = $1", [schema])
    return rows[0][0] if rows else None


def tables_of(session: Session, schema: str) -> list[ExternalTable]:
    """Give all tables of an external schema."""
    return _read(session.rows(f"{_TABLES} where e.name = $1", [schema]))


def tables_named(session: Session, names: Iterable[tuple[str, str]]) -> list[ExternalTable]:
    """Give those external tables that have one of these names with schema."""
    wanted = [json.dumps(list(name)) for name in names]
    if not wanted:
        return []
    return _read(session.rows(f"{_TABLES} where jsonb_build_array(e.name, t.name) = any($1::jsonb[])", [wanted]))


def the_table(session: Session, path: Sequence[str]) -> ExternalTable | None:
    """Give one external table; None when the name is not that of one."""
    found = tables_named(session, [(path[-2], path[-1])]) if len(path) > 1 else []
    return found[0] if found else None


def refuse_local(session: Session, path: Sequence[str]) -> None:
    """Check that something local does not go into an external schema.

    Raises:
        Refused: The schema is external.
    """
    if len(path) > 1 and database_of(session, path[-2]) is not None:
        raise Refused("Operations on local objects in external schema are not enabled.")


def partitions_of(session: Session, table: ExternalTable) -> list[tuple[list[str | None], str]]:
    """Give the values and the location of each partition."""
    rows = session.rows(
        "select key_values::text, location from redshift_compat.external_partition where table_id = $1 order by 2",
        [table.id],
    )
    return [(json.loads(values), location) for values, location in rows]


def named(tokens: Sequence[Token]) -> set[tuple[str, str]]:
    """Give every `a.b` of a statement: among them are all of its external tables."""
    return {
        (first.name, second.name)
        for first, dot, second in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if dot.text == "." and first.name is not None and second.name is not None
    }


def _read(rows: Iterable[Sequence[object]]) -> list[ExternalTable]:
    return [
        ExternalTable(
            int(str(number)), str(schema), str(name), str(form), str(location),
            json.loads(str(columns)), json.loads(str(keys)), json.loads(str(options)),
        )
        for number, schema, name, form, location, columns, keys, options in rows
    ]  # fmt: skip
