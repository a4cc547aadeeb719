"""Random expressions of the language: what passes the checks never throws, whatever the values."""

import random
import re

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from freshet.errors import DefinitionError
from freshet.pipeline.build import _check_conversions
from freshet.pipeline.problems import Place, Problems
from freshet.pipeline.select import Item
from tests.pipeline.test_spark_functions import CALLS, COLUMNS, session, written

__all__ = ["session"]

CONSTANTS = [
    *("0", "1", "-1", "2147483647", "9223372036854775807", "1.5", "1e300", "9" * 38, "'a'", "''", "null", "true"),
    *("date '2024-12-31'", "timestamp '9999-12-31 23:59:59'"),
]
OPERATORS = ("+", "-", "*", "/", "%", "=", "<", ">=", "<>", "<=>", "and", "or", "||")
TYPES = (
    "smallint",
    "int",
    "bigint",
    "double",
    "string",
    "date",
    "timestamp",
    "boolean",
    "decimal(38,10)",
    "decimal(5,2)",
)
EVERY_CALL = [call for calls in CALLS.values() for call in calls]


def expression(rng: random.Random, depth: int) -> str:
    """One expression, often of types that do not fit."""

    def inner() -> str:
        return expression(rng, depth - 1)

    if depth == 0 or rng.random() < 0.15:
        return f"v.{rng.choice(list(COLUMNS))}" if rng.random() < 0.75 else rng.choice(CONSTANTS)
    kind = rng.random()
    if kind < 0.35:
        return f"({inner()} {rng.choice(OPERATORS)} {inner()})"
    if kind < 0.85:
        return re.sub(r"v\.\w+", lambda found: inner() if rng.random() < 0.7 else found[0], rng.choice(EVERY_CALL))
    if kind < 0.92:
        return f"case when {inner()} then {inner()} else {inner()} end"
    return f"try_cast({inner()} as {rng.choice(TYPES)})"


def accepted(session: SparkSession, written_sql: str) -> bool:
    """Whether Spark's analyzer and our check of its conversions let it pass."""
    try:
        frame = session.sql(f"select {written_sql} as x from v")
    except PySparkException:
        return False
    problems = Problems()
    casts = session._jvm.org.apache.spark.sql.catalyst.expressions.Cast  # type: ignore[union-attr]
    item = Item("x", None, written_sql, None, (), Place("select.sql", 1, 1))  # type: ignore[arg-type]
    _check_conversions(frame._jdf.queryExecution().analyzed().projectList().apply(0), item, casts, problems)
    return not problems


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, *range(100, 106)])
def test_what_passes_the_checks_never_throws(session: SparkSession, seed: int) -> None:
    """Hundreds of random expressions over hostile values: each is refused, or gives a value or NULL for every row."""
    rng = random.Random(seed)
    passed = []
    for _ in range(160):
        try:
            sql = written(expression(rng, rng.choice([1, 2, 2, 3])))
        except DefinitionError:
            continue
        if accepted(session, sql):
            passed.append(sql)
    assert len(passed) > 20
    for start in range(0, len(passed), 40):
        items = ", ".join(f"{sql} as x{index}" for index, sql in enumerate(passed[start : start + 40]))
        session.sql(f"select {items} from v").write.format("noop").mode("overwrite").save()
