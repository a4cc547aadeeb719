"""Values of keys as MySQL reads them, in every charset and sql_mode.

A text is written as hexadecimal digits, so no escape rule matters and nothing has to be quoted. Numbers stay numbers: a text
column compared with a number finds other rows, and no index.

Source: MySQL Reference Manual, "Hexadecimal Literals", "Character Set Introducers".
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from freshet.ledger.keys import Key, Value


def literal(value: Value) -> str:
    """Write one value of a key."""
    if isinstance(value, str):
        return f"_utf8mb4 x'{value.encode().hex()}'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, datetime):
        return f"timestamp'{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"date'{value.isoformat()}'"
    return f"{value:f}" if not isinstance(value, int) else str(value)


def one_of(columns: Sequence[str], keys: Iterable[Key]) -> str:
    """Say that some columns hold one of some keys; the columns are written as SQL already."""
    if len(columns) == 1:
        return f"{columns[0]} in ({', '.join(literal(value) for (value,) in keys)})"
    listed = ", ".join(f"({', '.join(map(literal, key))})" for key in keys)
    return f"({', '.join(columns)}) in ({listed})"


def beyond(columns: Sequence[str], key: Key) -> str:
    """Say that a key lies after another one, in MySQL's order.

    Row values in a comparison are no range for MySQL's optimizer, so the columns are compared one after the other.

    Source: MySQL Reference Manual, "Range Optimization of Row Constructor Expressions".
    """
    cases = []
    for place, column in enumerate(columns):
        equal = [f"{name} = {literal(value)}" for name, value in zip(columns[:place], key, strict=False)]
        cases.append(" and ".join([*equal, f"{column} > {literal(key[place])}"]))
    first = f"{columns[0]} >= {literal(key[0])}"
    return cases[0] if len(cases) == 1 else f"{first} and ({' or '.join(f'({case})' for case in cases)})"
