"""Statements that define things beside tables: schemas, views, roles, comments, grants, drops; and LOCK.

Source: Redshift Developer Guide, "CREATE VIEW", "CREATE ROLE", "COMMENT", "GRANT", "DROP TABLE", "LOCK".
"""

from collections.abc import Callable

from sandbox.redshift.errors import Refused
from sandbox.redshift.lexer import Cursor, quoted, sql_name
from sandbox.redshift.query import query
from sandbox.redshift.rewrite import rewrite
from sandbox.redshift.session import Outcome, Plan, Session


def drop(kind: str) -> Callable[[Cursor, str], Plan]:
    """Give the handler of DROP TABLE or DROP VIEW."""

    def handle(cursor: Cursor, _text: str) -> Plan:
        if_there = " if exists" if cursor.accept("if", "exists") else ""
        names = [sql_name(cursor.path())]
        while cursor.accept(","):
            names.append(sql_name(cursor.path()))
        how = " cascade" if cursor.accept("cascade") else ""
        _ = how or cursor.accept("restrict")
        cursor.end()
        return _definition(f"drop {kind}{if_there} {', '.join(names)}{how}")

    return handle


def create_schema(cursor: Cursor, _text: str) -> Plan:
    """Plan a CREATE SCHEMA."""
    if_missing = " if not exists" if cursor.accept("if", "not", "exists") else ""
    name = cursor.name()
    cursor.end()
    return _definition(f"create schema{if_missing} {quoted(name)}")


def create_view(*, replace: bool) -> Callable[[Cursor, str], Plan]:
    """Give the handler of CREATE VIEW; its query is judged as any other."""

    def handle(cursor: Cursor, text: str) -> Plan:
        name = sql_name(cursor.path())
        columns = ""
        if cursor.sees("("):
            columns = f" ({', '.join(quoted(column) for column in cursor.listed(cursor.name))})"
        cursor.expect("as")
        body = cursor.tokens[cursor.at :]
        if not body:
            raise cursor.surprise()
        if [token.word for token in body[-4:]] == ["with", "no", "schema", "binding"]:
            raise Refused("the sandbox does not know WITH NO SCHEMA BINDING")
        query(body, text[body[0].start : body[-1].end], {})
        return _definition(f"create {'or replace ' if replace else ''}view {name}{columns} as {rewrite(body, {})[0]}")

    return handle


def create_role(cursor: Cursor, _text: str) -> Plan:
    """Plan a CREATE ROLE."""
    name = cursor.name()
    cursor.end()
    return _definition(f"create role {quoted(name)} nologin")


def comment(kind: str) -> Callable[[Cursor, str], Plan]:
    """Give the handler of COMMENT ON TABLE, COLUMN or VIEW."""

    def handle(cursor: Cursor, _text: str) -> Plan:
        name = sql_name(cursor.path())
        cursor.expect("is")
        said = cursor.next()
        cursor.end()
        if said.kind != "string" and said.word != "null":
            raise Refused(f'syntax error at or near "{said.text}"')
        return _definition(f"comment on {kind} {name} is {rewrite([said], {})[0]}")

    return handle


def grant(cursor: Cursor, _text: str) -> Plan:
    """Plan a GRANT SELECT ON tables or USAGE ON SCHEMA, to roles, groups, users or PUBLIC."""
    if cursor.accept("usage", "on", "schema"):
        what, take = "usage on schema", cursor.name
        names = [quoted(take())]
        while cursor.accept(","):
            names.append(quoted(take()))
    elif cursor.accept("select", "on"):
        cursor.accept("table")
        what, names = "select on table", [sql_name(cursor.path())]
        while cursor.accept(","):
            names.append(sql_name(cursor.path()))
    else:
        words = " ".join(token.text for token in cursor.tokens[: cursor.at + 3])
        raise Refused(f"the sandbox does not know this statement: {words} ...")
    cursor.expect("to")
    takers = [_taker(cursor)]
    while cursor.accept(","):
        takers.append(_taker(cursor))
    cursor.end()
    return _definition(f"grant {what} {', '.join(names)} to {', '.join(takers)}")


def _taker(cursor: Cursor) -> str:
    if cursor.accept("public"):
        return "public"
    _ = cursor.accept("role") or cursor.accept("group")
    return quoted(cursor.name())


def lock(cursor: Cursor, _text: str) -> Plan:
    """Plan a LOCK, which Redshift always takes in ACCESS EXCLUSIVE mode.

    As the first statement of a transaction it runs before the snapshot is taken, in PostgreSQL as in Redshift.
    """
    cursor.accept("table")
    names = [sql_name(cursor.path())]
    while cursor.accept(","):
        names.append(sql_name(cursor.path()))
    cursor.end()
    return _definition(f"lock table {', '.join(names)} in access exclusive mode")


def _definition(sql: str) -> Plan:
    def run(session: Session) -> Outcome:
        session.run(sql)
        return Outcome()

    return run
