"""Check one expression of the SELECT and write it for Spark, in the same pass.

What is not known here cannot be written, so it is refused: nothing runs that was not checked.

Reads:  a tree of sqlglot.
Gives:  Spark SQL that cannot throw on any value; problems, each with its place.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

from freshet.pipeline.functions import FUNCTIONS, NILADIC, refusal
from freshet.pipeline.language import place_of
from freshet.pipeline.model import quote, row_column
from freshet.pipeline.problems import Place, Problems, did_you_mean
from freshet.pipeline.types import VARCHAR_BYTES_MAX

_OPERATORS: dict[type[exp.Expr], str] = {
    exp.And: "and",
    exp.Or: "or",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.NullSafeEQ: "<=>",
}
_CALLS: dict[type[exp.Expr], str] = {
    exp.Add: "try_add",
    exp.Sub: "try_subtract",
    exp.Mul: "try_multiply",
    exp.Div: "try_divide",
    exp.Mod: "try_mod",
    exp.DPipe: "concat",
}
_CASTS = {
    exp.DType.BOOLEAN: "boolean",
    exp.DType.SMALLINT: "smallint",
    exp.DType.INT: "int",
    exp.DType.BIGINT: "bigint",
    exp.DType.DOUBLE: "double",
    exp.DType.TEXT: "string",
    exp.DType.VARCHAR: "string",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMP: "timestamp_ntz",
    exp.DType.TIMESTAMPTZ: "timestamp_ntz",
    exp.DType.TIMESTAMPNTZ: "timestamp_ntz",
}
_TIMES = ("date", "timestamp_ntz")
_DAY, _TIME = r"\d{4}-\d{2}-\d{2}", r" \d{2}:\d{2}:\d{2}(\.\d{1,6})?"
_CONSTANT_TIME = "write a constant as date '2024-12-31' or timestamp '2024-12-31 23:59:59'"
_CASTABLE = "boolean, smallint, int, bigint, decimal(p, s), double, varchar(n), string, date, timestamp"

_CAST = "cast throws on a value that does not fit, and one row would stop the stream: write try_cast(x as type)"

_REFUSED: dict[type[exp.Expr], str] = {
    exp.Star: "* is not allowed: name each column, so that none appears by itself",
    exp.Subquery: "a subquery is not allowed: join the table",
    exp.Select: "a subquery is not allowed: join the table",
    exp.Exists: "a subquery is not allowed: join the table",
    exp.Window: "a window function is not allowed: it looks at other rows; write it in Redshift",
    exp.WithinGroup: "an aggregate is not allowed: one row of the fact becomes one row of the target",
    exp.Filter: "FILTER is not allowed: one row of the fact becomes one row of the target",
    exp.Distinct: "DISTINCT is not allowed: one row of the fact becomes one row of the target",
    exp.IntDiv: "div throws when the divisor is 0: write try_cast(a / b as bigint)",
    exp.RegexpLike: "a regular expression is not allowed, one value could take forever: write LIKE",
    exp.ILike: "ILIKE is not allowed: write lower(x) like 'pattern'",
    exp.Escape: "LIKE ... ESCAPE is not allowed: use a pattern without a backslash",
    exp.JSONExtractScalar: "->> is not allowed: a source column is one value",
    exp.NullSafeNEQ: "IS DISTINCT FROM is not allowed: write not (a <=> b)",
    exp.Concat: 'two texts in a row are not allowed: with an apostrophe in it, write the text as "it\'s"',
    exp.Interval: "an interval is not allowed: add whole days to a date with +",
    exp.Bracket: "an element of an array is not allowed: a source column is one value",
    exp.Dot: "a field of a struct is not allowed: a source column is one value",
    exp.JSONExtract: "-> is not allowed: a source column is one value",
    exp.Collate: "COLLATE is not allowed: write lower(a) = lower(b)",
    exp.Placeholder: "a parameter is not allowed: write the value",
    exp.Parameter: "a parameter is not allowed: write the value",
    exp.CurrentDate: refusal("current_date"),
    exp.CurrentTimestamp: refusal("current_timestamp"),
    exp.CurrentUser: refusal("current_user"),
    exp.SessionUser: refusal("session_user"),
}


class Expressions:
    """Writes expressions over the tables of one SELECT.

    Args:
        text: select.sql, for the places.
        aliases: Table names by alias.
        problems: Where mistakes go; an expression with one is still walked to its end.
    """

    def __init__(self, text: str, aliases: Mapping[str, str], problems: Problems) -> None:
        self._text, self._aliases, self._problems = text, aliases, problems
        self._writers: dict[type[exp.Expr], Callable[[Any], str]] = {
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.Null: lambda _: "null",
            exp.Boolean: lambda node: "true" if node.this else "false",
            exp.Paren: lambda node: self.write(node.this),
            exp.Not: lambda node: f"(not {self.write(node.this)})",
            exp.Neg: self._neg,
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Like: self._like,
            exp.Case: self._case,
            exp.If: self._if,
            exp.Anonymous: self._call,
            exp.TryCast: self._cast,
            exp.Cast: self._cast,
        }

    def place(self, node: exp.Expr) -> Place:
        """Find where a node begins."""
        return place_of(node, self._text)

    def write(self, node: exp.Expr) -> str:
        """Write a node for Spark; what is refused is noted and written as NULL."""
        kind = type(node)
        if isinstance(node, exp.Binary) and kind in _OPERATORS:
            return f"({self.write(node.left)} {_OPERATORS[kind]} {self.write(node.right)})"
        if isinstance(node, exp.Binary) and kind in _CALLS:
            return f"{_CALLS[kind]}({self.write(node.left)}, {self.write(node.right)})"
        if kind in self._writers:
            return self._writers[kind](node)
        return self._refuse(_REFUSED.get(kind, f"{_name(node)} is not part of the language"), node)

    def _refuse(self, message: str, node: exp.Expr) -> str:
        self._problems.add(message, self.place(node))
        return "null"

    def _column(self, node: exp.Column) -> str:
        if isinstance(node.this, exp.Star):
            return self._refuse(_REFUSED[exp.Star], node)
        if node.args.get("db"):
            return self._refuse("a column is written alias.column, without a database or a field", node)
        if not node.table:
            if node.name.lower() in NILADIC:
                return self._refuse(refusal(node.name), node)
            tables = " or ".join(f"{alias}.{node.name}" for alias in list(self._aliases)[:2])
            return self._refuse(f"a column is written with its table: {tables}", node)
        if node.table not in self._aliases:
            hint = did_you_mean(node.table, self._aliases) or f"; the tables are {', '.join(self._aliases)}"
            return self._refuse(f"there is no table {node.table} in this SELECT{hint}", node)
        return quote(row_column(node.table, node.name))

    def _literal(self, node: exp.Literal) -> str:
        if not node.is_string:
            if re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", node.name):
                return node.name
            return self._refuse("this number cannot be read: write digits, a point, an exponent", node)
        start, end = node.meta.get("start"), node.meta.get("end")
        if start is None or end is None or "\\" in self._text[start : end + 1]:
            return self._refuse("a text with a backslash is not allowed: Spark and MySQL read it differently", node)
        if "\0" in node.name:
            return self._refuse("a text with U+0000 is not allowed: Redshift cannot hold it", node)
        return "'" + node.name.replace("'", "\\'") + "'"

    def _neg(self, node: exp.Neg) -> str:
        if isinstance(node.this, exp.Literal) and not node.this.is_string:
            return f"-{self.write(node.this)}"
        return f"try_subtract(0, {self.write(node.this)})"

    def _is(self, node: exp.Is) -> str:
        if not isinstance(node.expression, exp.Null | exp.Boolean):
            return self._refuse("after IS stands NULL, TRUE or FALSE", node)
        return f"({self.write(node.this)} is {self.write(node.expression)})"

    def _in(self, node: exp.In) -> str:
        if not node.expressions:
            return self._refuse("after IN stands a list of values; a subquery is not allowed: join the table", node)
        return f"({self.write(node.this)} in ({', '.join(self.write(value) for value in node.expressions)}))"

    def _between(self, node: exp.Between) -> str:
        low, high = self.write(node.args["low"]), self.write(node.args["high"])
        return f"({self.write(node.this)} between {low} and {high})"

    def _like(self, node: exp.Like) -> str:
        if not (isinstance(node.expression, exp.Literal) and node.expression.is_string):
            return self._refuse("after LIKE stands a text in quotes: another pattern could throw", node)
        return f"({self.write(node.this)} like {self.write(node.expression)})"

    def _case(self, node: exp.Case) -> str:
        parts = ["case"] + ([self.write(node.this)] if node.this else [])
        parts += [
            f"when {self.write(branch.this)} then {self.write(branch.args['true'])}" for branch in node.args["ifs"]
        ]
        if node.args.get("default"):
            parts.append(f"else {self.write(node.args['default'])}")
        return " ".join([*parts, "end"])

    def _if(self, node: exp.If) -> str:
        otherwise = node.args.get("false")
        written = self.write(otherwise) if otherwise else "null"
        return f"if({self.write(node.this)}, {self.write(node.args['true'])}, {written})"

    def _call(self, node: exp.Anonymous) -> str:
        name = str(node.this).lower()
        function = FUNCTIONS.get(name)
        if function is None:
            return self._refuse(refusal(name), node)
        arguments = node.expressions
        if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
            return self._refuse(f"{name}() takes {_count(function.least, function.most)}, not {len(arguments)}", node)
        for index, literal in function.literals.items():
            if index < len(arguments) and not literal.fits(_constant(arguments[index])):
                self._refuse(f"argument {index + 1} of {name}() must be {literal.what}", arguments[index])
        written = [self.write(argument) for argument in arguments]
        return function.spark.format(*written) if function.spark else f"{name}({', '.join(written)})"

    def _cast(self, node: exp.Cast) -> str:
        literal = node.this if isinstance(node.this, exp.Literal) else None
        if node.args.get("safe"):
            spark, wrong = _cast_type(node.to)
            if spark in _TIMES and not node.find(exp.Column):
                wrong = _CONSTANT_TIME  # Spark turns the constant 'now' into the present moment
            return self._refuse(wrong, node) if wrong else f"try_cast({self.write(node.this)} as {spark})"
        if literal is None:
            return self._refuse(_CAST, node)
        if not literal.is_string:
            return self._refuse("write the number without a type suffix", node)
        spark = _CASTS.get(node.to.this, "")
        if spark in _TIMES and re.fullmatch(_DAY if spark == "date" else _DAY + _TIME, literal.name):
            return f"{spark}'{literal.name}'"
        return self._refuse(_CONSTANT_TIME, node)


def _cast_type(to: exp.DataType) -> tuple[str, str]:
    """Give Spark's type, or what is wrong with the written one."""
    sizes = [int(size.name) for size in to.expressions if size.name.isdigit()]
    if to.this == exp.DType.DECIMAL:
        if len(sizes) != 2 or not 1 <= sizes[0] <= 38 or sizes[1] > min(sizes[0], 37):
            return "", "a decimal is written decimal(p, s), with p up to 38 and s up to 37"
        return f"decimal({sizes[0]},{sizes[1]})", ""
    if to.this == exp.DType.VARCHAR and (len(sizes) != 1 or not 1 <= sizes[0] <= VARCHAR_BYTES_MAX):
        return "", f"varchar(n) counts bytes, from 1 to {VARCHAR_BYTES_MAX}"
    if to.this not in _CASTS:
        return "", f"try_cast as {to.sql().lower()} is not allowed: the types are {_CASTABLE}"
    return _CASTS[to.this], ""


def _constant(node: exp.Expr) -> str:
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return f"-{node.this.name}"
    return node.name if isinstance(node, exp.Literal) else ""


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} argument{'s' if least > 1 else ''}"
    return f"{least} argument{'s' if least > 1 else ''}" if least == most else f"{least} to {most} arguments"


def _name(node: exp.Expr) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
