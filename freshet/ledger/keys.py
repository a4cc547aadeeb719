"""The form of a key: how two keys are compared, and how a key is written into a control table.

MySQL, Redshift and Python call different texts equal. The target is a table of the warehouse, so the warehouse's equality
decides which keys are one row. A control table is read by people who may not see the source's data, so no key stands in it in
the clear.

Gives:  the warehouse's form of a key; a key as text and back.
"""

import base64
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Final, TypeAlias

Value: TypeAlias = str | int | Decimal | datetime | date | bytes
Key: TypeAlias = tuple[Value, ...]

_WRITE: Final[dict[type, tuple[str, Callable[..., str]]]] = {
    str: ("s", str),
    int: ("i", str),
    Decimal: ("n", str),
    datetime: ("t", datetime.isoformat),
    date: ("d", date.isoformat),
    bytes: ("b", bytes.hex),
}
_READ: Final[dict[str, Callable[[str], Value]]] = {
    "s": str,
    "i": int,
    "n": Decimal,
    "t": datetime.fromisoformat,
    "d": date.fromisoformat,
    "b": bytes.fromhex,
}
_MANY_FORMS: Final = frozenset({str, Decimal})
_JSON: Final = json.JSONEncoder(separators=(",", ":"))


def as_warehouse(key: Key) -> Key:
    """Give the form in which equal keys are equal in Redshift.

    Args:
        key: Typed values of the key's columns, in the key's order.

    Returns:
        The same values, equal ones in one form: text without the blanks at its end, a whole number as `int` wherever it came
        from, another number without zeros at its end. Upper and lower case stay different.

    Source: Amazon Redshift Database Developer Guide, "Character types": trailing blanks are not significant.
    """
    if _MANY_FORMS.isdisjoint(map(type, key)):
        return key
    return tuple(map(_one_form, key))


def _one_form(value: Value) -> Value:
    if isinstance(value, str):
        return value.rstrip(" ")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else value.normalize()
    return value


def encoded(key: Key) -> str:
    """Write a key for a control table: base64 of JSON, each value with its type, so that no value stands there in the clear."""
    typed = [[tag, write(value)] for value in key for tag, write in (_WRITE[type(value)],)]
    return base64.b64encode(_JSON.encode(typed).encode()).decode()


def decoded(text: str) -> Key:
    """Read what `encoded` wrote, type for type.

    Raises:
        ValueError: The text is not a key.
        KeyError: A value's type is none of those that a key may have.
    """
    return tuple(_READ[tag](value) for tag, value in json.loads(base64.b64decode(text, validate=True)))
