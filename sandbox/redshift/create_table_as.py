"""CREATE TABLE AS: a table with the columns of a query and its rows; nothing else comes along, no key and no default.

Source: Redshift Developer Guide, "CREATE TABLE AS" (syntax, "CTAS usage notes").
"""

from typing import Final

from sandbox.redshift.create_table import Table, check_keys, free_path, note_keys, read_attributes
from sandbox.redshift.errors import Refused
from sandbox.redshift.external_catalog import refuse_local
from sandbox.redshift.lexer import Cursor, quoted, sql_name
from sandbox.redshift.query import Part, query_part
from sandbox.redshift.session import Outcome, Plan, Session, Shape
from sandbox.redshift.types import VARCHAR_BYTES_MAX, ColumnType

# By PostgreSQL's number of the type.
_TYPES: Final = {
    16: "boolean",
    20: "bigint",
    21: "smallint",
    23: "integer",
    26: "integer",
    114: "json",
    700: "real",
    701: "double precision",
    1082: "date",
    1083: "time without time zone",
    1114: "timestamp without time zone",
    1184: "timestamp with time zone",
}


def is_create_table_as(cursor: Cursor) -> bool:
    """Tell whether an AS stands outside of parentheses."""
    depth = 0
    for token in cursor.tokens[cursor.at :]:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.word == "as":
            return True
    return False


def create_table_as(cursor: Cursor, text: str, *, temporary: bool) -> Plan:
    """Plan a CREATE TABLE AS from behind its word TABLE.

    Raises:
        Refused: It is not one of Redshift's.
    """
    table = Table(free_path(cursor), temporary, if_missing=False)
    names = cursor.listed(lambda: free_path(cursor)[0]) if cursor.sees("(") else []
    read_attributes(cursor, table)
    cursor.expect("as")
    query = query_part(cursor.tokens[cursor.at :], text)
    return lambda session: _make(session, table, names, query)


def _make(session: Session, table: Table, names: list[str], query: Part) -> Outcome:
    refuse_local(session, table.path)
    sql, _ = query.prepare(session)
    shapes = session.shape(sql)
    if len(names) > len(shapes):
        raise Refused("CREATE TABLE AS specifies too many column names")
    lines = []
    for place, shape in enumerate(shapes):
        column = names[place] if place < len(names) else shape.name
        kind = _column_type(shape)
        table.columns[column] = kind
        lines.append(f"{quoted(column)} {kind.sql}")
        if check := kind.check(column, place + 1):
            lines.append(check)
    check_keys(table)
    name = sql_name(table.path)
    kind_of_table = "temporary table" if table.temporary else "table"
    session.run(f"create {kind_of_table} {name} ({', '.join(lines)}){' on commit drop' if table.temporary else ''}")
    note_keys(session, table)
    return Outcome(session.run(f"insert into {name} {sql}").rows)


def _column_type(shape: Shape) -> ColumnType:
    if shape.oid in _TYPES:
        return ColumnType(_TYPES[shape.oid])
    if shape.oid == 1700:
        if shape.modifier < 0:
            raise Refused(
                f'the sandbox does not know precision and scale of the computed DECIMAL "{shape.name}": CAST it to DECIMAL(p,s)'
            )
        precision, scale = (shape.modifier - 4) >> 16, (shape.modifier - 4) & 0x7FF
        return ColumnType(f"numeric({precision},{scale})")
    size = shape.modifier - 4 if shape.oid in (1042, 1043) and shape.modifier > 0 else VARCHAR_BYTES_MAX
    if shape.oid == 1042 and shape.modifier > 0:
        return ColumnType(f"character({size})", "char", size)
    return ColumnType(f"character varying({size})", "varchar", size)
