"""What the language lets through never throws: every function meets hostile values in a real Spark with ANSI on."""

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.functions import arrow_udf

from freshet.pipeline.expressions import Expressions
from freshet.pipeline.functions import FUNCTIONS
from freshet.pipeline.language import parse_select
from freshet.pipeline.model import quote, row_column
from freshet.pipeline.problems import Problems
from freshet.pipeline.protection import mask_digits_text, tokenize_text
from freshet.pipeline.spark import SESSION_SETTINGS

KEY = bytes(range(32))

COLUMNS = {
    "s": "string",
    "s2": "string",
    "i": "int",
    "h": "smallint",
    "b": "bigint",
    "d": "decimal(38,0)",
    "d2": "decimal(38,37)",
    "m": "decimal(8,2)",
    "f": "double",
    "t": "timestamp_ntz",
    "t2": "timestamp_ntz",
    "y": "date",
    "y2": "date",
    "o": "boolean",
}
TEXTS = [
    "",
    " ",
    "a",
    "ÄÖÜß",
    "İı",
    "😀😀",
    "٣٣",
    "e\u0301",
    "\ufffd",
    "a\x00b",
    "\\",
    "'",
    "%_",
    "$1",
    "(",
    "x" * 65_535,
]
ENDS = ["-5877641-06-23", "+5881580-07-11", "-290308-12-21 19:59:05.224192", "+294247-01-10 04:00:54.775807"]
DATES = [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1), date(2024, 2, 29)]
TIMES = [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999), datetime(2024, 2, 29, 1)]  # noqa: DTZ001
ROWS = [
    *[(s, s2, 0, 0, 0, *[None] * 9) for s in TEXTS + ENDS for s2 in TEXTS[:12]],
    *[
        (None, "a", i, h, b, Decimal(d), Decimal(d2), Decimal(m), f, *[None] * 5)
        for i, h, b, d, d2, m, f in [
            (2**31 - 1, 2**15 - 1, 2**63 - 1, "9" * 38, "9." + "9" * 37, "999999.99", 1.7976931348623157e308),
            (-(2**31), -(2**15), -(2**63), "-" + "9" * 38, "-9." + "9" * 37, "-999999.99", -1.7976931348623157e308),
            (0, 0, 0, "0", "0", "0", 0.0),
            (-1, -1, -1, "-1", "-1", "-1", float("nan")),
            (1, 1, 1, "1", "1", "1", float("-inf")),
            (1, 1, 1, "1", "1", "1", 5e-324),
        ]
    ],
    *[(*[None] * 9, t, t2, y, y2, True) for t in TIMES for t2 in TIMES for y in DATES for y2 in DATES],
    (None,) * 14,
]

CALLS = {
    "lower": ["lower(v.s)"],
    "upper": ["upper(v.s)"],
    "initcap": ["initcap(v.s)"],
    "trim": ["trim(v.s)"],
    "ltrim": ["ltrim(v.s)"],
    "rtrim": ["rtrim(v.s)"],
    "reverse": ["reverse(v.s)"],
    "length": ["length(v.s)"],
    "char_length": ["char_length(v.s)"],
    "octet_length": ["octet_length(v.s)"],
    "concat": ["concat(v.s, v.s2, v.s)"],
    "concat_ws": ["concat_ws(v.s, v.s2, v.s)"],
    "substring": ["substring(v.s, v.i)", "substring(v.s, v.i, v.i)", "substring(v.s, 0, -5)"],
    "substr": ["substr(v.s, v.i, v.i)"],
    "left": ["left(v.s, v.i)", "left(v.s, -2147483647)"],
    "right": ["right(v.s, v.i)", "right(v.s, 2147483647)"],
    "replace": ["replace(v.s, v.s2)", "replace(v.s, v.s2, v.s2)"],
    "translate": ["translate(v.s, v.s2, v.s)"],
    "split_part": ["split_part(v.s, v.s2, 1)", "split_part(v.s, v.s2, -1000)"],
    "lpad": ["lpad(v.s, 16383, v.s2)", "lpad(v.s, 0)"],
    "rpad": ["rpad(v.s, 16383, v.s2)", "rpad(v.s, 1)"],
    "instr": ["instr(v.s, v.s2)"],
    "locate": ["locate(v.s, v.s2)"],
    "startswith": ["startswith(v.s, v.s2)"],
    "endswith": ["endswith(v.s, v.s2)"],
    "contains": ["contains(v.s, v.s2)"],
    "md5": ["md5(v.s)"],
    "sha2": ["sha2(v.s, 256)", "sha2(v.s, 512)"],
    "coalesce": ["coalesce(v.i, v.b, 0)"],
    "nvl": ["nvl(v.s, v.s2)"],
    "ifnull": ["ifnull(v.t, v.t2)"],
    "nvl2": ["nvl2(v.s, v.i, v.b)"],
    "nullif": ["nullif(v.f, v.f)", "nullif(v.s, v.s2)"],
    "if": ["if(v.o, v.i, v.b)"],
    "greatest": ["greatest(v.i, v.b, v.h)", "greatest(v.f, v.f)", "greatest(v.t, v.t2)"],
    "least": ["least(v.s, v.s2)", "least(v.d, v.d)"],
    "round": [
        "round(v.d)",
        "round(v.d2, 1)",
        "round(v.d2)",
        "round(v.f, 18)",
        "round(v.i)",
        "round(v.b, 3)",
        "round(v.m, 1)",
    ],
    "floor": ["floor(v.f)", "floor(v.d)", "floor(v.d2)", "floor(v.b)"],
    "ceil": ["ceil(v.f)", "ceil(v.d)", "ceil(v.d2)", "ceil(v.m)", "ceil(v.h)"],
    "sign": ["sign(v.f)", "sign(v.d2)", "sign(v.i)"],
    "year": ["year(v.t)", "year(v.y)"],
    "quarter": ["quarter(v.y)"],
    "month": ["month(v.t)"],
    "day": ["day(v.t)"],
    "dayofweek": ["dayofweek(v.y)"],
    "dayofyear": ["dayofyear(v.y)"],
    "weekofyear": ["weekofyear(v.y)"],
    "hour": ["hour(v.t)"],
    "minute": ["minute(v.t)"],
    "last_day": ["last_day(v.y)"],
    "datediff": ["datediff(v.y, v.y2)"],
    "trunc": [
        "trunc(v.y, 'week')",
        "trunc(v.t, 'year')",
        "trunc(v.y - 2147483647, 'quarter')",
        *[f"trunc(try_cast(v.s as date), '{unit}')" for unit in ("year", "quarter", "month", "week")],
    ],
    "date_trunc": [
        "date_trunc('second', v.y)",
        "date_trunc('week', v.t)",
        *[f"date_trunc('{unit}', try_cast(v.s as timestamp))" for unit in ("year", "quarter", "week", "day", "minute")],
    ],
    "tokenize": ["tokenize(v.s)", "tokenize(lower(v.s))"],
    "mask_digits": ["mask_digits(v.s)"],
}
OPERATORS = [
    *[f"v.{a} {op} v.{b}" for op in "+-*/%" for a, b in ("ii", "hh", "bb", "ib", "ff", "mm", "mi")],
    *[f"v.{a} {op} v.{b}" for op in ("+", "-", "*", "/", "%") for a, b in (("d", "d"), ("d2", "d2"), ("d", "d2"))],
    "-v.i",
    "-v.h",
    "-v.d",
    "v.i / 0",
    "v.b % 0",
    "v.y + v.i",
    "v.y - 1",
    "v.s || v.i || v.d2 || v.f || v.t || v.o",
    "v.s < v.s2",
    "v.f = v.f",
    "v.m <=> v.m",
    "v.i in (1, 2, null)",
    "v.t between timestamp '2024-01-01 00:00:00' and timestamp '9999-12-31 23:59:59.999999'",
    "v.y > date '0001-01-01'",
    "v.s like '%_a'",
    'case v.s when "it\'s" then 1 when v.s2 then 2 end',
    "case when v.o is true then v.i else v.b end",
    "not (v.o and v.o or v.o is null)",
    *[
        f"try_cast(v.{c} as {t})"
        for c in ("s", "i", "d", "d2", "f")
        for t in ("smallint", "bigint", "decimal(5,2)", "double")
    ],
    *[f"try_cast(v.s as {t})" for t in ("date", "timestamp", "boolean", "varchar(1)", "decimal(38,37)")],
    *[f"try_cast(v.{c} as string)" for c in COLUMNS],
    "try_cast(v.t as date)",
    "try_cast(v.y as timestamp)",
]


@pytest.fixture(scope="module")
def session(spark: SparkSession) -> Iterator[SparkSession]:
    """A session of its own with the hostile values."""
    session = spark.newSession()
    for name, value in SESSION_SETTINGS.items():
        session.conf.set(name, value)
    for name, function in (("tokenize", lambda text: tokenize_text(KEY, "1", text)), ("mask_digits", mask_digits_text)):
        session.udf.register(name, over_arrow(function))
    values = session.createDataFrame(
        ROWS, ", ".join(f"{quote(row_column('v', name))} {kind}" for name, kind in COLUMNS.items())
    )
    values.coalesce(1).cache().createOrReplaceTempView("v")
    yield session
    session.catalog.clearCache()


def over_arrow(function: Callable[[str | None], str | None]) -> Any:
    """Wrap a function of text as the product does, without its way to the key."""

    def apply(texts: pa.Array) -> pa.Array:
        return pa.array([function(text) for text in texts.to_pylist()], pa.string())

    return arrow_udf(apply, "string")


def written(expression: str) -> str:
    """The Spark SQL of an expression of the language, over the row whose columns the view `v` has."""
    problems = Problems()
    text = f"select {expression} as x from v"
    (item,) = parse_select(text).expressions
    sql = Expressions(text, {"v": "v"}, problems).write(item.this)
    problems.raise_if_any()
    return sql


def test_every_allowed_function_is_tried() -> None:
    """No function stands on the list without having met the hostile values."""
    assert set(FUNCTIONS) == set(CALLS)


@pytest.mark.parametrize("kind", ["functions", "more functions", "operators"])
def test_no_value_makes_an_expression_throw(session: SparkSession, kind: str) -> None:
    """Each function and operator gives a value or NULL for every row, never an exception."""
    calls = [call for name in CALLS for call in CALLS[name]]
    half = len(calls) // 2
    expressions = {"functions": calls[:half], "more functions": calls[half:], "operators": OPERATORS}[kind]
    items = ", ".join(f"{written(expression)} as x{index}" for index, expression in enumerate(expressions))
    session.sql(f"select {items} from v").write.format("noop").mode("overwrite").save()


@pytest.mark.parametrize(
    "expression", ["cast(v.s as int)", "abs(v.i)", "v.b + 1", "v.i div 0", "to_date(v.s)", "cast(v.d as int)"]
)
def test_the_values_are_hostile(session: SparkSession, expression: str) -> None:
    """Spark's own throwing forms do throw on these values, so the test above could have failed."""
    over_row = re.sub(r"v\.(\w+)", lambda found: quote(row_column("v", found[1])), expression)
    with pytest.raises(PySparkException):
        session.sql(f"select {over_row} as x from v").write.format("noop").mode("overwrite").save()
