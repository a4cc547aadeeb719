"""The statements with which `verify` asks the source: text only, without a connection.

The rows are read as the job does not read them: the fact by ranges of its primary key, and then each dimension by one
statement, the chain of left joins that leads to it. MySQL alone compares keys and link values; no order and no equality of
ours stands in for its own.

Gives:  SQL of MySQL. A value is written as hexadecimal digits or as a number, so nothing has to be escaped.

Source: MySQL Reference Manual, "Hexadecimal Literals", "Range Optimization of Row Constructor Expressions".
"""

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from freshet.pipeline.model import Dimension, Pipeline
from freshet.pipeline.source import quoted

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def literal(value: Any) -> str:
    """Write one value of a key: typed, or as MySQL's own text of it (`bytes`).

    Numbers stay numbers: a numeric column is not compared exactly with a text. Text takes the column's collation.
    """
    if isinstance(value, bool | int):
        return str(int(value))
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        value = value.isoformat(sep=" ")
    raw = value if isinstance(value, bytes) else str(value).encode()
    return f"_utf8mb4 x'{raw.hex()}'" if raw else "''"


def bound(kind: str, text: bytes) -> str:
    """Write MySQL's text of a key's column as the bound of a range; `kind` is that of the column's type."""
    if kind in {"integer", "decimal", "boolean"} and _NUMBER.fullmatch(text.decode("ascii", "replace")):
        return text.decode("ascii")
    return literal(text)


def beyond(columns: Sequence[str], operator: str, literals: Sequence[str]) -> str:
    """Say that a key lies beyond a bound, in MySQL's order.

    Row values in a comparison are no range for MySQL's optimizer, so the columns are compared one after the other.

    Args:
        columns: The key's columns as SQL, the most significant first.
        operator: `>` or `<=`.
        literals: The bound's values as SQL.
    """
    strict = operator.rstrip("=")
    cases = []
    for place, column in enumerate(columns):
        equal = [f"{name} = {value}" for name, value in zip(columns[:place], literals, strict=False)]
        last = operator if place == len(columns) - 1 else strict
        cases.append(" and ".join([*equal, f"{column} {last} {literals[place]}"]))
    return cases[0] if len(cases) == 1 else "(" + " or ".join(f"({case})" for case in cases) + ")"


def one_of(columns: Sequence[str], keys: Sequence[Sequence[Any]]) -> str:
    """Say that the columns, written as SQL, hold one of some keys, each in the columns' order."""
    if len(columns) == 1:
        return f"{columns[0]} in ({', '.join(literal(value) for (value,) in keys)})"
    listed = ", ".join(f"({', '.join(map(literal, key))})" for key in keys)
    return f"({', '.join(columns)}) in ({listed})"


def key_columns(pipeline: Pipeline, names: Sequence[str]) -> list[str]:
    """Write columns of the fact as SQL."""
    return [f"{quoted(pipeline.fact.alias)}.{quoted(name)}" for name in names]


def of_fact(pipeline: Pipeline, where: str) -> str:
    """Ask for the fact's used columns.

    Args:
        pipeline: The pipeline.
        where: Condition over the fact's alias, with ORDER BY and LIMIT if wanted.
    """
    fact = pipeline.fact
    columns = key_columns(pipeline, [column.name for column in fact.columns])
    return f"select {', '.join(columns)} from {_table(pipeline, fact.name, fact.alias)} where {where}"


def of_dimension(pipeline: Pipeline, dimension: Dimension, where: str) -> str:
    """Ask for the fact's primary key and, beside it, the used columns of one dimension's row; NULL where there is none.

    Args:
        pipeline: The pipeline.
        dimension: One of its dimensions; those on the way to it are joined too.
        where: Condition over the fact's alias.
    """
    fact = pipeline.fact
    columns = key_columns(pipeline, fact.primary_key)
    columns += [f"{quoted(dimension.alias)}.{quoted(column.name)}" for column in dimension.columns]
    joins = [_join(pipeline, each) for each in way_to(pipeline, dimension)]
    source = " ".join([_table(pipeline, fact.name, fact.alias), *joins])
    return f"select {', '.join(columns)} from {source} where {where}"


def way_to(pipeline: Pipeline, dimension: Dimension) -> list[Dimension]:
    """Give the dimensions that lead from the fact to one of them, itself last, in the order of the joins."""
    needed = {dimension.alias}
    for each in reversed(pipeline.dimensions):
        if each.alias in needed:
            needed |= {term.left_alias for term in each.on}
    return [each for each in pipeline.dimensions if each.alias in needed]


def _join(pipeline: Pipeline, dimension: Dimension) -> str:
    terms = " and ".join(
        f"{quoted(dimension.alias)}.{quoted(term.column)} = {quoted(term.left_alias)}.{quoted(term.left_column)}"
        for term in dimension.on
    )
    return f"left join {_table(pipeline, dimension.name, dimension.alias)} on {terms}"


def _table(pipeline: Pipeline, name: str, alias: str) -> str:
    return f"{quoted(pipeline.database)}.{quoted(name)} as {quoted(alias)}"
