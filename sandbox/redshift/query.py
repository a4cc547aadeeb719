"""SELECT, INSERT, UPDATE, DELETE: what Redshift would refuse is refused, the rest runs on PostgreSQL as it is written.

sqlglot gives the tree to judge by; its Redshift dialect parses every PostgreSQL habit, so refusing is ours, and its SQL
generator is not used.

Reads:  a statement's tokens.
Gives:  a plan to run it.

Source: Redshift Developer Guide, "Amazon Redshift and PostgreSQL", "SELECT", "INSERT", "UPDATE", "DELETE".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp

from sandbox.redshift.errors import Refused, syntax_error
from sandbox.redshift.external_catalog import named, tables_named
from sandbox.redshift.functions import ABSENT, KEYWORDS, KNOWN
from sandbox.redshift.lexer import Token, tokenize
from sandbox.redshift.rewrite import rewrite
from sandbox.redshift.session import Outcome, Plan, Session
from sandbox.redshift.spectrum import names_pseudocolumn, read_external, with_pseudocolumns
from sandbox.redshift.types import CAST_TYPES

# Parts of a statement that Redshift has, beside function calls, which are judged by name.
_KNOWN_PARTS: Final[tuple[type[exp.Expr], ...]] = (
    exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Having,
    exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.With, exp.CTE, exp.Subquery, exp.SetOperation, exp.Table,
    exp.TableAlias, exp.Identifier, exp.Column, exp.Star, exp.Alias, exp.Dot, exp.Literal, exp.Null, exp.Boolean,
    exp.Binary, exp.Unary, exp.Between, exp.In, exp.Func, exp.DataType, exp.DataTypeParam, exp.Distinct, exp.Escape,
    exp.Interval, exp.Var, exp.Window, exp.WindowSpec, exp.WithinGroup, exp.AtTimeZone, exp.Tuple, exp.Any, exp.All,
    exp.Placeholder, exp.Insert, exp.Update, exp.Delete, exp.Schema, exp.Values, exp.IgnoreNulls, exp.RespectNulls,
)  # fmt: skip
# Of those, what Redshift has not: the word it stumbles over, and what to write instead.
_REFUSED: Final[dict[type[exp.Expr], tuple[str, str]]] = {
    exp.OnConflict: ("on", "no ON CONFLICT: delete the keys, then insert"),
    exp.Returning: ("returning", "no RETURNING: select before or after"),
    exp.Filter: ("(", "no FILTER on aggregates: use CASE inside of them"),
    exp.Lateral: ("lateral", "no LATERAL joins"),
    exp.NullSafeEQ: ("distinct", "no IS DISTINCT FROM: compare, and say what NULL means"),
    exp.NullSafeNEQ: ("distinct", "no IS DISTINCT FROM: compare, and say what NULL means"),
    exp.Array: ("[", "no arrays: use SUPER or LISTAGG"),
    exp.Bracket: ("[", "no arrays: use SUPER or LISTAGG"),
    exp.JSONExtract: ("->", "no JSON operators"),
    exp.JSONExtractScalar: ("->>", "no JSON operators"),
    exp.JSONBExtract: ("#>", "no JSON operators"),
    exp.JSONBContains: ("?", "no JSON operators"),
    exp.ArrayContainsAll: ("@>", "no arrays"),
    exp.Fetch: ("fetch", "use LIMIT"),
    exp.TableSample: ("tablesample", "no TABLESAMPLE"),
}
_NOT_HERE: Final = {
    exp.Lock: "SELECT FOR UPDATE is not supported",
    exp.Into: "the sandbox does not know SELECT INTO",
    exp.Qualify: "the sandbox does not know QUALIFY",
    exp.Pivot: "the sandbox does not know PIVOT",
    exp.TryCast: "the sandbox does not know TRY_CAST",
    exp.ApproxDistinct: "the sandbox does not know APPROXIMATE",
}


def query(tokens: Sequence[Token], text: str, parameters: Mapping[str, str]) -> Plan:
    """Plan a SELECT, also one that begins with WITH.

    Raises:
        Refused: Redshift does not take it.
    """
    _query_of(tokens, text)
    return _plan(tokens, parameters)


@dataclass(frozen=True)
class Part:
    """A query, or another statement that reads tables; some of these may be external."""

    tokens: Sequence[Token]
    parameters: Mapping[str, str]

    def prepare(self, session: Session) -> tuple[str, list[str]]:
        """Make its external tables readable, and give its text for PostgreSQL with its values."""
        tables = read_external(session, named(self.tokens))
        tokens = self.tokens
        if tables and names_pseudocolumn(tokens):
            tokens = with_pseudocolumns(tokens, tables)
        return rewrite(tokens, self.parameters)


def query_part(tokens: Sequence[Token], text: str) -> Part:
    """Write a query that is part of a statement for PostgreSQL.

    Args:
        tokens: Of the query.
        text: Of the whole statement, which the tokens' places count.

    Raises:
        Refused: Redshift does not take it.
    """
    if not tokens:
        raise Refused("syntax error at end of input")
    _query_of(tokens, text[tokens[0].start : tokens[-1].end])
    return _part(tokens, {})


def unlimited_query(text: str) -> Part:
    """Write the query of an UNLOAD for PostgreSQL.

    Raises:
        Refused: Redshift does not take it, or its outer SELECT has a LIMIT.
    """
    tokens = tokenize(text)
    tree = _query_of(tokens, text)
    if isinstance(tree, exp.Subquery):
        tree = tree.unnest()
    if tree.args.get("limit") or tree.args.get("offset"):
        raise Refused("Limit clause is not supported in the outer SELECT of UNLOAD (nest it in a subquery)")
    return _part(tokens, {})


def _query_of(tokens: Sequence[Token], text: str) -> exp.Expr:
    tree = _judged(tokens, text)
    if not isinstance(tree, exp.Query):
        raise syntax_error(next((t.text for t in tokens if t.word in ("insert", "update", "delete")), tokens[0].text))
    return tree


def change(tokens: Sequence[Token], text: str, parameters: Mapping[str, str]) -> Plan:
    """Plan an INSERT, UPDATE or DELETE.

    Raises:
        Refused: Redshift does not take it.
    """
    _judged(tokens, text)
    verbs = ("insert", "into", "update", "delete", "from")
    changed = next((place for place, token in enumerate(tokens) if token.word not in verbs), len(tokens))
    plan = _change(tokens, parameters)

    def run(session: Session) -> Outcome:
        if tables_named(session, named(tokens[changed : changed + 3])):
            raise Refused("the sandbox does not change external tables (Redshift only inserts into them)")
        return plan(session)

    return run


def _change(tokens: Sequence[Token], parameters: Mapping[str, str]) -> Plan:
    if (
        tokens[0].word == "delete" and tokens[1:2] and tokens[1].word != "from"
    ):  # `delete t`, which PostgreSQL does not take
        return _plan(tokens[1:], parameters, before="delete from ")
    return _plan(tokens, parameters)


def check_expression(tokens: Sequence[Token]) -> None:
    """Check a single expression, such as a column's default.

    Raises:
        Refused: Redshift does not take it.
    """
    text = " ".join(token.text for token in tokens)
    _judged(tokens, f"select {text}")


def _part(tokens: Sequence[Token], parameters: Mapping[str, str]) -> Part:
    rewrite(tokens, parameters)  # which refuses what it cannot write, before anything runs
    return Part(tokens, parameters)


def _plan(tokens: Sequence[Token], parameters: Mapping[str, str], before: str = "") -> Plan:
    part = _part(tokens, parameters)

    def run(session: Session) -> Outcome:
        sql, values = part.prepare(session)
        return session.run(before + sql, values)

    return run


def _judged(tokens: Sequence[Token], text: str) -> exp.Expr:
    _check_signs(tokens)
    try:
        tree = sqlglot.parse_one(text, read="redshift")
    except sqlglot.errors.SqlglotError as error:
        found = error.errors[0] if isinstance(error, sqlglot.errors.ParseError) and error.errors else {}
        raise syntax_error(str(found.get("highlight") or tokens[-1].text)) from None
    for part in tree.walk():
        _check_part(part)
    lists = {alias.name.lower() for alias in tree.find_all(exp.TableAlias) if alias.args.get("columns")}
    _check_calls(tokens, lists)
    return tree


def _check_part(part: exp.Expr) -> None:
    kind = type(part)
    if kind in _REFUSED:
        raise syntax_error(*_REFUSED[kind])
    if kind in _NOT_HERE:
        raise Refused(_NOT_HERE[kind])
    if isinstance(part, exp.Distinct) and part.args.get("on"):
        raise Refused("SELECT DISTINCT ON is not supported (use ROW_NUMBER in a subquery)")
    if isinstance(part, exp.Values) and not isinstance(part.parent, exp.Insert):
        raise syntax_error("values", "VALUES is no table: use SELECT ... UNION ALL")
    if isinstance(part, exp.DataType):
        _check_type(part)
    if isinstance(part, (exp.Update, exp.Delete)) and part.args.get("with_"):
        raise syntax_error(part.key, "no WITH before UPDATE or DELETE")
    if not isinstance(part, _KNOWN_PARTS):
        raise Refused(f"the sandbox does not know {part.key.upper()} in a statement")


def _check_type(kind: exp.DataType) -> None:
    name = kind.this.value.lower() if isinstance(kind.this, exp.DataType.Type) else str(kind.this)
    if kind.args.get("nested") or name == "array":
        raise Refused("arrays are not supported (use SUPER or LISTAGG)")
    if name == "userdefined":
        name = str(kind.args.get("kind") or "").lower()
    if name not in CAST_TYPES:
        raise Refused(f'type "{name}" does not exist')


def _check_signs(tokens: Sequence[Token]) -> None:
    first = tokens[0].word
    if first not in ("select", "with", "insert", "update", "delete") and tokens[0].text != "(":
        return
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.word == "top" and after is not None and after.kind == "number":
            raise Refused("the sandbox does not know TOP (use LIMIT)")
        if token.word == "only" and after is not None and after.name is not None:
            raise syntax_error("only")


def _check_calls(tokens: Sequence[Token], column_lists: set[str]) -> None:
    for place, token in enumerate(tokens[:-1]):
        name = token.name
        if name is None or tokens[place + 1].text != "(" or name in KNOWN or name in KEYWORDS or name in CAST_TYPES:
            continue
        if name in column_lists or _names_table(tokens, place) or name == "varying":
            continue
        raise Refused(ABSENT.get(name, f"the sandbox does not know the function {name}"))


def _names_table(tokens: Sequence[Token], place: int) -> bool:
    """Tell whether the name is the table of `insert into t (...)`."""
    while place >= 2 and tokens[place - 1].text == ".":
        place -= 2
    return place >= 1 and tokens[place - 1].word == "into"
