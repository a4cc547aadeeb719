"""Statements that define things beside tables: schemas, views, users, roles, comments, grants, drops; and LOCK.

Source: Redshift Developer Guide, "CREATE VIEW", "CREATE USER", "CREATE ROLE", "COMMENT", "GRANT", "ALTER DEFAULT
PRIVILEGES", "DROP TABLE", "LOCK".
"""

from collections.abc import Callable
from typing import TypeVar

from sandbox.redshift.errors import Refused
from sandbox.redshift.external import drop_table
from sandbox.redshift.external_catalog import named, refuse_local, tables_named, the_table
from sandbox.redshift.lexer import Cursor, quoted, sql_name
from sandbox.redshift.query import query_part
from sandbox.redshift.rewrite import rewrite
from sandbox.redshift.session import Outcome, Plan, Session

Item = TypeVar("Item")


def drop(kind: str) -> Callable[[Cursor, str], Plan]:
    """Give the handler of DROP TABLE or DROP VIEW."""

    def handle(cursor: Cursor, _text: str) -> Plan:
        if_there = " if exists" if cursor.accept("if", "exists") else ""
        paths = _several(cursor, cursor.path)
        how = " cascade" if cursor.accept("cascade") else ""
        _ = how or cursor.accept("restrict")
        cursor.end()

        def run(session: Session) -> Outcome:
            for path in paths:
                external = the_table(session, path)
                if external is not None and kind == "table":
                    drop_table(session, external)
                else:
                    session.run(f"drop {kind}{if_there} {sql_name(path)}{how}")
            return Outcome()

        return run

    return handle


def create_schema(cursor: Cursor, _text: str) -> Plan:
    """Plan a CREATE SCHEMA."""
    if_missing = " if not exists" if cursor.accept("if", "not", "exists") else ""
    name = cursor.name()
    owner = f" authorization {quoted(cursor.user())}" if cursor.accept("authorization") else ""
    cursor.end()
    return _definition(f"create schema{if_missing} {quoted(name)}{owner}")


def create_view(*, replace: bool) -> Callable[[Cursor, str], Plan]:
    """Give the handler of CREATE VIEW; its query is judged as any other."""

    def handle(cursor: Cursor, text: str) -> Plan:
        path = cursor.path()
        columns = ""
        if cursor.sees("("):
            columns = f" ({', '.join(quoted(column) for column in cursor.listed(cursor.name))})"
        cursor.expect("as")
        body = cursor.tokens[cursor.at :]
        if not body:
            raise cursor.surprise()
        if [token.word for token in body[-4:]] == ["with", "no", "schema", "binding"]:
            raise Refused("the sandbox does not know WITH NO SCHEMA BINDING")
        part = query_part(body, text)

        def run(session: Session) -> Outcome:
            refuse_local(session, path)
            if tables_named(session, named(body)):
                raise Refused("External tables are not supported in views")
            sql, _ = part.prepare(session)
            session.run(f"create {'or replace ' if replace else ''}view {sql_name(path)}{columns} as {sql}")
            return Outcome()

        return run

    return handle


def create_role(cursor: Cursor, _text: str) -> Plan:
    """Plan a CREATE ROLE."""
    name = cursor.name()
    cursor.end()
    return _definition(f"create role {quoted(name)} nologin")


def create_user(cursor: Cursor, _text: str) -> Plan:
    """Plan a CREATE USER that nobody can log in as with a password, which is how IAM's identities are users."""
    name = cursor.user()
    if not cursor.accept("password"):
        raise Refused("syntax error: CREATE USER needs a PASSWORD clause")
    if not cursor.accept("disable"):
        raise Refused("the sandbox knows CREATE USER ... PASSWORD DISABLE only")
    cursor.end()
    return _definition(f"create role {quoted(name)} login")


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
    """Plan a GRANT of a role, of rights ON tables, of USAGE and CREATE ON SCHEMA, or of CREATE ON DATABASE."""
    paths: list[tuple[str, ...]] = []
    if cursor.accept("role"):
        what, names, to_users_only = "", [quoted(cursor.name())], True
    elif cursor.accept("select", "on", "all", "tables", "in", "schema"):
        what, names, to_users_only = (
            "select on all tables in schema ",
            _several(cursor, lambda: quoted(cursor.name())),
            False,
        )
    elif cursor.accept("create", "on", "database"):
        what, names, to_users_only = "create on database ", [quoted(cursor.name())], False
    elif rights := _table_rights(cursor):
        cursor.accept("table")
        paths = _several(cursor, cursor.path)
        what, names, to_users_only = f"{rights} on table ", [sql_name(path) for path in paths], False
    else:
        what = f"{_schema_rights(cursor)} on schema "
        names, to_users_only = _several(cursor, lambda: quoted(cursor.name())), False
    cursor.expect("to")
    takers = _several(cursor, lambda: _taker(cursor))
    option = ""
    if not to_users_only and cursor.accept("with", "grant", "option"):
        if any(is_group for _, is_group in takers):
            raise Refused("WITH GRANT OPTION is not supported for groups, roles and PUBLIC")
        option = " with grant option"
    cursor.end()
    sql = f"grant {what}{', '.join(names)} to {', '.join(name for name, _ in takers)}{option}"

    def run(session: Session) -> Outcome:
        if any(the_table(session, path) is not None for path in paths):
            raise Refused("Permissions on external tables are not supported: grant USAGE on their schema")
        session.run(sql)
        return Outcome()

    return run


def alter_default_privileges(cursor: Cursor, _text: str) -> Plan:
    """Plan an ALTER DEFAULT PRIVILEGES ... GRANT SELECT ON TABLES: rights on what a user makes later in a schema."""
    cursor.expect("for")
    cursor.expect("user")
    makers = _several(cursor, lambda: quoted(cursor.user()))
    cursor.expect("in")
    cursor.expect("schema")
    schemas = _several(cursor, lambda: quoted(cursor.name()))
    if not cursor.accept("grant", "select", "on", "tables", "to"):
        raise Refused("the sandbox knows ALTER DEFAULT PRIVILEGES ... GRANT SELECT ON TABLES TO ... only")
    takers = [name for name, _ in _several(cursor, lambda: _taker(cursor))]
    cursor.end()
    return _definition(
        f"alter default privileges for role {', '.join(makers)} in schema {', '.join(schemas)} "
        f"grant select on tables to {', '.join(takers)}"
    )


def _table_rights(cursor: Cursor) -> str:
    """Read rights on a table up to ON; nothing is read where others stand."""
    at, rights = cursor.at, []
    while right := next((name for name in ("select", "insert", "update", "delete") if cursor.accept(name)), None):
        rights.append(right)
        if not cursor.accept(","):
            break
    if rights and cursor.accept("on"):
        return ", ".join(rights)
    cursor.at = at
    return ""


def _schema_rights(cursor: Cursor) -> str:
    rights = []
    while right := next((name for name in ("usage", "create") if cursor.accept(name)), None):
        rights.append(right)
        if not cursor.accept(","):
            break
    if not rights or not cursor.accept("on", "schema"):
        words = " ".join(token.text for token in cursor.tokens[: cursor.at + 3])
        raise Refused(f"the sandbox does not know this statement: {words} ...")
    return ", ".join(rights)


def _several(cursor: Cursor, take: Callable[[], Item]) -> list[Item]:
    items = [take()]
    while cursor.accept(","):
        items.append(take())
    return items


def _taker(cursor: Cursor) -> tuple[str, bool]:
    """Read who is granted something, and whether it is more than one user."""
    if cursor.accept("public"):
        return "public", True
    is_group = cursor.accept("role") or cursor.accept("group")
    return quoted(cursor.name() if is_group else cursor.user()), bool(is_group)


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
