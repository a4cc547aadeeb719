"""How many bytes the longest text of an output may have.

Redshift's VARCHAR counts bytes and Spark forgets lengths, so they are computed from the source's columns. A width is
never too small: what cannot be bounded gets the whole VARCHAR.
"""

import re
from collections.abc import Callable

from sqlglot import exp

from freshet.pipeline.functions import MASK_DIGITS, TOKENIZE
from freshet.pipeline.types import VARCHAR_BYTES_MAX, ColumnType

TOKEN_BYTES = 80  # "k" + key id of up to 8 characters + ":" + 64 hexadecimal digits, and room
_CASE_GROWS = 3  # a 2-byte letter may become three of 2 bytes in the other case
_FIXED = {"date": 10, "datetime": 26, "timestamp": 26, "boolean": 5, "integer": 21, "double": 24}
_SAME = ("trim", "ltrim", "rtrim", "reverse", "substring", "substr", "left", "right", "split_part")
_OF_ALL = {"coalesce": 0, "nvl": 0, "ifnull": 0, "greatest": 0, "least": 0, "nvl2": 1, "if": 1}
_DIGESTS = {"md5": 32, "sha2": 128}

TypeOf = Callable[[exp.Column], ColumnType | None]


def text_bytes(node: exp.Expr, type_of: TypeOf) -> int | None:
    """Bound the bytes of an expression's text.

    Args:
        node: The expression.
        type_of: Gives a column's type.

    Returns:
        Bytes, at most the whole VARCHAR; None when there is no bound.
    """
    found = _bytes(node.unnest(), type_of)
    return None if found is None else min(found, VARCHAR_BYTES_MAX)


def _bytes(node: exp.Expr, type_of: TypeOf) -> int | None:
    node = node.unnest()
    if isinstance(node, exp.Column):
        kind = type_of(node)
        return _column_bytes(kind) if kind else None
    if isinstance(node, exp.Literal):
        return len(node.name.encode())
    if isinstance(node, exp.Null):
        return 0
    if isinstance(node, exp.DPipe):
        return _sum([node.left, node.right], type_of)
    if isinstance(node, exp.TryCast) and node.to.this == exp.DType.VARCHAR:
        return int(node.to.expressions[0].name)
    if isinstance(node, exp.TryCast) and node.to.this == exp.DType.TEXT:
        return _bytes(node.this, type_of)
    if isinstance(node, exp.Case | exp.If):
        return _branches(node, type_of)
    return _call_bytes(node, type_of) if isinstance(node, exp.Anonymous) else None


def _column_bytes(kind: ColumnType) -> int:
    varchar = re.fullmatch(r"varchar\((\d+)\)", kind.redshift)
    if varchar:
        return int(varchar[1])
    return _FIXED.get(kind.kind) or (kind.precision or 38) + 3


def _call_bytes(node: exp.Anonymous, type_of: TypeOf) -> int | None:
    name, arguments = str(node.this).lower(), node.expressions
    if name == TOKENIZE:
        return TOKEN_BYTES
    if name in _DIGESTS:
        return _DIGESTS[name]
    if name in ("lower", "upper", "initcap"):
        inner = _bytes(arguments[0], type_of)
        return None if inner is None else inner * _CASE_GROWS
    if name in _SAME or name in (MASK_DIGITS, "nullif"):
        return _bytes(arguments[0], type_of)
    if name in _OF_ALL:
        return _most(arguments[_OF_ALL[name] :], type_of)
    if name == "concat":
        return _sum(arguments, type_of)
    if name == "concat_ws":
        separator, values = _bytes(arguments[0], type_of), _sum(arguments[1:], type_of)
        return None if separator is None or values is None else values + separator * (len(arguments) - 2)
    return None


def _branches(node: exp.Expr, type_of: TypeOf) -> int | None:
    if isinstance(node, exp.If):
        return _most([node.args["true"], node.args.get("false")], type_of)
    return _most([*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")], type_of)


def _most(nodes: list[exp.Expr | None], type_of: TypeOf) -> int | None:
    found = [_bytes(node, type_of) for node in nodes if node is not None]
    return None if None in found else max(bytes_ for bytes_ in found if bytes_ is not None)


def _sum(nodes: list[exp.Expr], type_of: TypeOf) -> int | None:
    found = [_bytes(node, type_of) for node in nodes]
    return None if None in found else sum(bytes_ for bytes_ in found if bytes_ is not None)
