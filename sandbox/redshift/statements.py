"""The forms of statements that the stand-in knows, each with its handler; every other one is refused.

Reads:  one statement's text, and the values of its placeholders.
Gives:  a plan to run it in a session.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sandbox.redshift import definitions, external
from sandbox.redshift.copy import copy
from sandbox.redshift.create_table import create_table
from sandbox.redshift.create_table_as import create_table_as, is_create_table_as
from sandbox.redshift.errors import Refused
from sandbox.redshift.lexer import Cursor, tokenize
from sandbox.redshift.query import change, query
from sandbox.redshift.session import Plan
from sandbox.redshift.unload import unload

Handler = Callable[[Cursor, str], Plan]


def _create_table(*, temporary: bool) -> Handler:
    def handle(cursor: Cursor, text: str) -> Plan:
        if is_create_table_as(cursor):
            return create_table_as(cursor, text, temporary=temporary)
        return create_table(cursor, temporary=temporary)

    return handle


_table, _temporary_table = _create_table(temporary=False), _create_table(temporary=True)
_FORMS: Final[dict[tuple[str, ...], Handler]] = {
    ("create", "table"): _table,
    ("create", "temp", "table"): _temporary_table,
    ("create", "temporary", "table"): _temporary_table,
    ("create", "local", "temp", "table"): _temporary_table,
    ("create", "local", "temporary", "table"): _temporary_table,
    ("create", "schema"): definitions.create_schema,
    ("create", "view"): definitions.create_view(replace=False),
    ("create", "or", "replace", "view"): definitions.create_view(replace=True),
    ("create", "role"): definitions.create_role,
    ("create", "user"): definitions.create_user,
    ("drop", "table"): definitions.drop("table"),
    ("create", "external", "schema"): external.create_schema,
    ("create", "external", "table"): external.create_table,
    ("alter", "table"): external.alter_table,
    ("drop", "schema"): external.drop_schema,
    ("drop", "view"): definitions.drop("view"),
    ("comment", "on", "table"): definitions.comment("table"),
    ("comment", "on", "column"): definitions.comment("column"),
    ("comment", "on", "view"): definitions.comment("view"),
    ("grant",): definitions.grant,
    ("alter", "default", "privileges"): definitions.alter_default_privileges,
    ("lock",): definitions.lock,
    ("copy",): copy,
    ("unload",): unload,
}
_QUERIES: Final = ("select", "with")
_CHANGES: Final = ("insert", "update", "delete")


def plan(text: str, parameters: Mapping[str, str]) -> Plan:
    """Plan one statement.

    Args:
        text: The statement as the caller wrote it.
        parameters: Values of `:name` placeholders; only queries and changes of rows have them.

    Raises:
        Refused: Redshift would not take it, or the stand-in does not know it.
    """
    tokens = tokenize(text)
    first = tokens[0].word
    if first in _QUERIES or tokens[0].text == "(":
        return query(tokens, text, parameters)
    if first in _CHANGES:
        return change(tokens, text, parameters)
    for words, handler in _FORMS.items():
        cursor = Cursor(tokens)
        if cursor.accept(*words):
            return handler(cursor, text)
    words_seen = " ".join(token.text for token in tokens[:2])
    raise Refused(f"the sandbox does not know this statement: {words_seen} ...")


def placeholders(text: str) -> set[str]:
    """Give the names of a statement's placeholders; none when it cannot be read, which running it will tell."""
    try:
        return {token.text[1:] for token in tokenize(text) if token.kind == "param"}
    except Refused:
        return set()
