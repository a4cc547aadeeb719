"""Prove that no personal column reaches an output but through the function that protects it.

A personal column may hide behind an alias, a CASE condition or a comparison, and `where` tells a part of what it compares. So
every use of every column is walked up to its output: on the way must stand the declared function, and below it nothing that
decides or cuts. A join would make another column equal to a personal one, and its keys are followed: no personal column joins.

Reads:  a checked SELECT; the declared protections, by "table.column".
Gives:  problems.
"""

from collections.abc import Mapping

from sqlglot import exp

from freshet.pipeline.functions import KEEPS_THE_VALUE, MASK_DIGITS, PROTECTIONS
from freshet.pipeline.language import place_of
from freshet.pipeline.problems import Problems
from freshet.pipeline.select import Item, Select

PERSONAL_WORDS = frozenset(
    """address birth birthday birthdate dob email forename gender iban ip lastname latitude login longitude mail maiden
    mobile name nickname passport password phone postal postcode salary sex ssn street surname tax telephone user username
    zip zipcode firstname fullname""".split()  # noqa: SIM905 - a list of words is read as one
)


def protect(select: Select, declared: Mapping[str, str], problems: Problems) -> None:
    """Check every output, the condition of `where`, and the joins.

    Args:
        select: The checked SELECT.
        declared: The only function through which each personal column leaves, by "table.column".
        problems: Takes each way on which a personal value, or a part of it, would leave.
    """
    for item in (*select.items, *([select.where] if select.where else [])):
        reaches = "WHERE would tell a part of it" if item is select.where else f"would reach {item.name} in the clear"
        for column in item.tree.find_all(exp.Column):
            name = f"{select.aliases.get(column.table)}.{column.name}"
            if name in declared:
                _check(column, name, item, reaches, declared[name], select.text, problems)
    for join in select.joins:
        for term in join.terms:
            for use in (term.column, term.left):
                name = f"{select.aliases[use.alias]}.{use.column}"
                if name in declared:
                    problems.add(
                        f"{name} is personal and cannot be joined by: the keys of a join are followed, so they stand in "
                        f"control tables and statements; join {join.table} by a column that is not personal",
                        use.place,
                    )


def _check(
    column: exp.Column,
    name: str,
    item: Item,
    reaches: str,
    protection: str,
    text: str,
    problems: Problems,
) -> None:
    between: list[exp.Expr] = []
    node: exp.Expr = column
    wrong = ""
    while node is not item.tree and node.parent is not None:
        node = node.parent
        if isinstance(node, exp.Anonymous) and str(node.this).lower() == protection:
            break
        if isinstance(node, exp.Anonymous) and str(node.this).lower() in PROTECTIONS:
            wrong = str(node.this).lower()
        between.append(node)
    else:
        if wrong == MASK_DIGITS:
            reason = f"mask_digits() hides nothing but digits: write {protection}({column.sql(comments=False)})"
        else:
            reason = f"write {protection}({column.sql(comments=False)})" + (f" instead of {wrong}()" if wrong else "")
        problems.add(f"{name} is personal and {reaches}: {reason}", place_of(column, text))
        return
    for step in between:
        if not _keeps_the_value(step):
            allowed = ", ".join(KEEPS_THE_VALUE)
            problems.add(
                f"{name} is personal: inside {protection}() it may pass only through {allowed} and ||, "
                "for anything else lets a part of it be told",
                place_of(column, text),
            )
            return


def _keeps_the_value(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower() in KEEPS_THE_VALUE
    return isinstance(node, exp.DPipe | exp.Paren)


def protections(item: Item) -> str | None:
    """Name the protections that an output applies, "mask_digits, tokenize" if both; None without one."""
    names = {str(call.this).lower() for call in item.tree.find_all(exp.Anonymous)}
    return ", ".join(sorted(names & set(PROTECTIONS))) or None


def split_protection(item: Item) -> tuple[str, str | None]:
    """Give the SQL of an output without the protection of its whole value, and that protection; None if it has none."""
    call = item.tree.unnest()
    if isinstance(call, exp.Anonymous) and (name := str(call.this).lower()) in PROTECTIONS:
        return item.sql.removeprefix(f"{name}(").removesuffix(")"), name
    return item.sql, None


def in_the_clear(item: Item) -> list[str]:
    """Name the columns, "alias.column", that reach an output outside every protection."""
    clear = []
    for column in item.tree.find_all(exp.Column):
        node: exp.Expr | None = column
        while node is not None and not (isinstance(node, exp.Anonymous) and str(node.this).lower() in PROTECTIONS):
            node = node.parent if node is not item.tree else None
        if node is None:
            clear.append(f"{column.table}.{column.name}")
    return clear


def looks_personal(*names: str) -> bool:
    """Guess by its name whether a column holds something about a person."""
    return any(word in PERSONAL_WORDS for name in names for word in name.lower().replace(".", "_").split("_"))
