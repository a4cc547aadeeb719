"""The shape of select.sql: one fact, joined dimensions, named outputs, a condition.

Reads:  the text of select.sql.
Gives:  a Select in which every expression is already written for Spark; all problems that need no database.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from freshet.pipeline.expressions import Expressions
from freshet.pipeline.functions import NILADIC
from freshet.pipeline.language import parse_select, place_of, place_of_word
from freshet.pipeline.problems import SELECT_FILE, Place, Problems, did_you_mean

OUTPUTS_MAX = 1_590  # of Redshift's 1,600 columns; the rest are Freshet's own
NAME = re.compile(r"[a-z][a-z0-9_]{0,126}")
SYSTEM_COLUMNS = ("oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "deletexid", "insertxid")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

_CLAUSES = {
    "with_": ("with", "a CTE is not allowed: join the tables"),
    "hint": ("select", "a hint is not allowed: Freshet decides how the statement runs"),
    "distinct": ("distinct", "DISTINCT is not allowed: one row of the fact becomes one row of the target"),
    "group": ("group", "GROUP BY is not allowed: one row of the fact becomes one row of the target"),
    "having": ("having", "HAVING is not allowed: one row of the fact becomes one row of the target"),
    "qualify": ("qualify", "QUALIFY is not allowed: it looks at other rows; write it in Redshift"),
    "windows": ("window", "WINDOW is not allowed: it looks at other rows; write it in Redshift"),
    "order": ("order", "ORDER BY is not allowed: a table has no order; name a sortkey in pipeline.yaml"),
    "limit": ("limit", "LIMIT is not allowed: every row of the fact belongs to the target"),
    "offset": ("offset", "OFFSET is not allowed: every row of the fact belongs to the target"),
    "laterals": ("lateral", "LATERAL VIEW is not allowed: one row of the fact becomes one row of the target"),
}
_JOINS = {
    ("LEFT", ""): False,
    ("LEFT", "OUTER"): False,
    ("", ""): True,
    ("", "INNER"): True,
}  # side and kind, as sqlglot names them: whether the join is inner
_PLAIN_TABLE = "write the bare name of a table; its database comes from the connection"


@dataclass(frozen=True)
class Use:
    """A column where the SELECT names it."""

    alias: str
    column: str
    place: Place


@dataclass(frozen=True)
class Term:
    """One equality of a join, as written: the joined table's column, and an earlier table's."""

    column: Use
    left: Use


@dataclass(frozen=True)
class Join:
    """One join of a table; all of its terms refer from one earlier alias."""

    alias: str
    table: str
    terms: tuple[Term, ...]
    inner: bool
    place: Place


@dataclass(frozen=True)
class Item:
    """One output, or the condition of `where`: `sql` is written for Spark, `tree` is what it was written from."""

    name: str
    comment: str | None
    sql: str
    tree: exp.Expr
    uses: tuple[Use, ...]
    place: Place

    @property
    def bare(self) -> Use | None:
        """The column that this output passes through unchanged, if it does."""
        return self.uses[0] if isinstance(self.tree.unnest(), exp.Column) and self.uses else None


@dataclass(frozen=True)
class Select:
    """A checked SELECT; `aliases` gives table names, the fact's first."""

    text: str
    aliases: dict[str, str]
    fact_place: Place
    joins: tuple[Join, ...]
    items: tuple[Item, ...]
    where: Item | None

    @property
    def fact_alias(self) -> str:
        """The alias of the first table."""
        return next(iter(self.aliases))

    def uses(self) -> Iterator[Use]:
        """Give every column that is named anywhere."""
        for join in self.joins:
            for term in join.terms:
                yield term.left
                yield term.column
        for item in (*self.items, *([self.where] if self.where else [])):
            yield from item.uses


def read_select(text: str, problems: Problems) -> Select:
    """Read and check a SELECT as far as it can be checked without its database.

    Args:
        text: select.sql.
        problems: Takes what leaves the language; the rest is read on.

    Raises:
        DefinitionError: The text is no SELECT of a table.
    """
    tree = parse_select(text)
    _clauses(tree, text, problems)
    source = tree.args.get("from_")
    if source is None:
        problems.add("there is no FROM: name the fact, whose rows become the target's", Place(SELECT_FILE, 1, 1))
        problems.raise_if_any()
    aliases: dict[str, str] = {}
    fact = source.this if source else tree
    fact_alias, fact_table = _table(fact, aliases, text, problems)
    aliases[fact_alias] = fact_table
    joins = tuple(_join(join, aliases, text, problems) for join in tree.args.get("joins") or [])
    if not joins:
        _qualify(tree, fact_alias)
    write = Expressions(text, aliases, problems)
    items = _items(tree, write, text, problems)
    return Select(text, aliases, place_of(fact, text), joins, items, _where(tree, write, text))


def _qualify(tree: exp.Select, alias: str) -> None:
    # Of one table, a column needs no name but its own. A word that SQL reads as a call stays one, unless it is quoted.
    for column in tree.find_all(exp.Column):
        name = column.this
        if not column.table and isinstance(name, exp.Identifier) and (name.quoted or name.name.lower() not in NILADIC):
            column.set("table", exp.to_identifier(alias))


def _clauses(tree: exp.Select, text: str, problems: Problems) -> None:
    for name, value in tree.args.items():
        if name in ("expressions", "from_", "joins", "where") or not value:
            continue
        word, message = _CLAUSES.get(
            name, (name.rstrip("s_"), f"{name.strip('_').upper()} is not part of the language")
        )
        problems.add(message, place_of_word(word, text))


def _table(node: exp.Expr, aliases: dict[str, str], text: str, problems: Problems) -> tuple[str, str]:
    place = place_of(node, text)
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        what = "a subquery" if node.find(exp.Select) else "this"
        problems.add(f"{what} is not a table: {_PLAIN_TABLE}", place)
        return node.alias_or_name or "?", "?"
    if any(value for name, value in node.args.items() if name not in ("this", "alias")):
        problems.add(_PLAIN_TABLE, place)
    alias = node.args.get("alias")
    if alias is not None and alias.args.get("columns"):
        problems.add("a table's alias renames no columns: name them in the SELECT", place)
    name = node.alias or node.name
    if not _ALIAS.fullmatch(name):
        problems.add(f"give the table {node.name} an alias of letters, digits and _: {node.name} as t", place)
    if name.lower() in (known.lower() for known in aliases):
        problems.add(f"two tables are called {name}: give one an alias", place)
    return name, node.name


def _join(node: exp.Join, aliases: dict[str, str], text: str, problems: Problems) -> Join:
    place = place_of(node, text)
    alias, table = _table(node.this, aliases, text, problems)
    side, kind = str(node.args.get("side") or ""), str(node.args.get("kind") or "")
    terms: tuple[Term, ...] = ()
    inner = _JOINS.get((side, kind))
    if inner is None or node.args.get("method"):
        written = " ".join(part for part in (str(node.args.get("method") or ""), side, kind) if part)
        problems.add(
            f"{written} JOIN is not part of the language: a row of the target is a row of the fact; "
            f"write left join or inner join {table} on {alias}.<key> = ...",
            place,
        )
    elif node.args.get("using"):
        column = node.args["using"][0].name
        earlier = next(iter(aliases))
        problems.add(f"USING is not part of the language; write on {alias}.{column} = {earlier}.{column}", place)
    elif node.args.get("on") is None or isinstance(node.args["on"], exp.Boolean):
        problems.add(f"the join of {table} has no condition; write on {alias}.<its key> = ...", place)
    else:
        terms = tuple(_terms(node.args["on"], alias, aliases, text, problems))
        _check_one_referrer(alias, terms, problems)
    aliases[alias] = table
    return Join(alias, table, terms, bool(inner), place)


def _check_one_referrer(alias: str, terms: tuple[Term, ...], problems: Problems) -> None:
    lefts = list(dict.fromkeys(term.left.alias for term in terms))
    if len(lefts) < 2:
        return
    term = next(term for term in terms if term.left.alias != lefts[0])
    written = [f"{alias}.{term.column.column} = {lefts[-1]}.<column>" for term in terms]
    problems.add(
        f"the key of {alias} comes from {' and '.join(lefts)}, and a changed row is walked back through one table: "
        f"take all of it from one, such as {' and '.join(written)}",
        term.left.place,
    )


def _terms(node: exp.Expr, alias: str, earlier: dict[str, str], text: str, problems: Problems) -> Iterator[Term]:
    node = node.unnest()
    if isinstance(node, exp.And):
        yield from _terms(node.left, alias, earlier, text, problems)
        yield from _terms(node.right, alias, earlier, text, problems)
        return
    sides = [node.left.unnest(), node.right.unnest()] if isinstance(node, exp.EQ) else []
    columns = [side for side in sides if isinstance(side, exp.Column) and isinstance(side.this, exp.Identifier)]
    uses = [Use(column.table, column.name, place_of(column, text)) for column in columns if not column.args.get("db")]
    own = [use for use in uses if use.alias == alias]
    left = [use for use in uses if use.alias in earlier]
    if len(own) == 1 and len(left) == 1:
        yield Term(own[0], left[0])
        return
    unknown = [use.alias for use in uses if use.alias not in (alias, *earlier)]
    hint = did_you_mean(unknown[0], [alias, *earlier]) if unknown and unknown[0] else ""
    known = " or ".join(f"{name}.column" for name in list(earlier)[:2])
    problems.add(f"a join's condition is {alias}.key = {known}, joined by AND{hint}", place_of(node, text))


def _where(tree: exp.Select, write: Expressions, text: str) -> Item | None:
    clause = tree.args.get("where")
    if clause is None:
        return None
    condition = clause.this
    return Item("where", None, write.write(condition), condition, _uses(condition, text), place_of(condition, text))


def _uses(expression: exp.Expr, text: str) -> tuple[Use, ...]:
    columns = [column for column in expression.find_all(exp.Column) if column.table and column.name]
    return tuple(Use(column.table, column.name, place_of(column, text)) for column in columns)


def _items(tree: exp.Select, write: Expressions, text: str, problems: Problems) -> tuple[Item, ...]:
    items: list[Item] = []
    for node in tree.expressions:
        expression = node.this if isinstance(node, exp.Alias) else node
        sql = write.write(expression)
        name = _output_name(node, expression, text, problems)
        if name.lower() in (item.name.lower() for item in items):
            problems.add(f"two outputs are called {name}: give one another name with AS", place_of(node, text))
        comment = " ".join(comment.strip() for part in node.walk() for comment in part.comments or [])
        uses, place = _uses(expression, text), place_of(node, text)
        items.append(Item(name, comment.replace("\0", "") or None, sql, expression, uses, place))
    if len(items) > OUTPUTS_MAX:
        problems.add(
            f"{len(items)} outputs are too many: Redshift's tables hold {OUTPUTS_MAX}", items[OUTPUTS_MAX].place
        )
    return tuple(items)


def _output_name(node: exp.Expr, expression: exp.Expr, text: str, problems: Problems) -> str:
    alias = node.args.get("alias") if isinstance(node, exp.Alias) else None
    place = place_of(alias or node, text)
    if alias is None and not isinstance(expression.unnest(), exp.Column):
        problems.add("this output has no name: write ... as name", place)
        return f"?{place}"
    name = alias.name if alias is not None else expression.unnest().name
    if isinstance(expression.unnest(), exp.Column) and isinstance(expression.unnest().this, exp.Star):
        return f"?{place}"
    if name in SYSTEM_COLUMNS:
        problems.add(f"{name} is a system column of Redshift: give it another name with AS", place)
    elif name.startswith("_freshet_"):
        problems.add(f"names that begin with _freshet_ are Freshet's own: give {name} another name with AS", place)
    elif not NAME.fullmatch(name):
        snake = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")[:127]
        hint = f": write as {snake}" if NAME.fullmatch(snake) else ""
        problems.add(f"{name} is not a name of lower-case letters, digits and _, at most 127 long{hint}", place)
    return name
