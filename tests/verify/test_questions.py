"""The source is asked by ranges that MySQL's index can follow, and by values that no charset and no sql_mode can misread."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from freshet.pipeline.model import Column, Dimension, JoinTerm, Pipeline, Table
from freshet.pipeline.types import column_type
from freshet.verify.questions import beyond, bound, literal, of_dimension, of_fact, one_of

INT = column_type("int")


def dimension(alias: str, left: str, table: str = "t") -> Dimension:
    columns = (Column("id", INT, False), Column("up", INT, True))
    return Dimension(alias, table, columns, ("id",), (JoinTerm("id", left, "up"),))


FACT = Table("f", "fa`ct", (Column("a", INT, False), Column("up", INT, True)), ("a",))
PIPELINE = Pipeline(
    "p", Path(), "d", "public", "p", ("a",), ("a",), FACT,
    (dimension("x", "f"), dimension("y", "f"), dimension("z", "x")), (), "ignore", (), 1.0, None, (),
)  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("-7", -7),
        ("1", True),
        ("1.50", Decimal("1.50")),
        ("_utf8mb4 x'4127c3a5'", "A'å"),
        ("''", ""),
        ("_utf8mb4 x'323032342d30322d3239'", date(2024, 2, 29)),
        (f"_utf8mb4 x'{b'2024-02-29 00:00:01'.hex()}'", datetime(2024, 2, 29, 0, 0, 1)),  # noqa: DTZ001 - MySQL's have none
        ("_utf8mb4 x'41'", b"A"),
    ],
)
def test_a_value_is_written_without_anything_to_escape(expected: str, value: Any) -> None:
    """Numbers as numbers, everything else as hexadecimal digits of its text."""
    assert expected == literal(value)


@pytest.mark.parametrize(
    ("expected", "kind", "text"),
    [
        ("18446744073709551615", "integer", b"18446744073709551615"),
        ("-1.50", "decimal", b"-1.50"),
        ("_utf8mb4 x'31'", "text", b"1"),
        ("_utf8mb4 x'3020'", "integer", b"0 "),
        (f"_utf8mb4 x'{b'0000-00-00'.hex()}'", "date", b"0000-00-00"),
    ],
)
def test_a_bound_is_mysqls_own_text(expected: str, kind: str, text: bytes) -> None:
    """A key that no type can hold still bounds a range, so the walk cannot end at it."""
    assert expected == bound(kind, text)


@pytest.mark.parametrize(
    ("expected", "columns", "operator"),
    [
        ("a > 1", ["a"], ">"),
        ("((a > 1) or (a = 1 and b > 2))", ["a", "b"], ">"),
        ("((a < 1) or (a = 1 and b < 2) or (a = 1 and b = 2 and c <= 3))", ["a", "b", "c"], "<="),
    ],
)
def test_a_key_of_several_columns_is_compared_column_by_column(
    expected: str, columns: list[str], operator: str
) -> None:
    """MySQL makes a range of it; of a comparison of row values it makes a scan."""
    assert expected == beyond(columns, operator, ["1", "2", "3"])


def test_keys_are_listed() -> None:
    """One column by its values, several as rows."""
    assert "a in (1, 2)" == one_of(["a"], [(1,), (2,)])
    assert "(a, b) in ((1, _utf8mb4 x'78'))" == one_of(["a", "b"], [(1, "x")])


def test_a_dimension_is_asked_with_its_own_way_and_no_other_table() -> None:
    """Each alias by itself, so no statement is the job's."""
    asked = of_dimension(PIPELINE, PIPELINE.dimensions[2], "`f`.`a` in (1)")
    assert (
        "select `f`.`a`, `z`.`id`, `z`.`up` from `d`.`fa``ct` as `f` "
        "left join `d`.`t` as `x` on `x`.`id` = `f`.`up` left join `d`.`t` as `z` on `z`.`id` = `x`.`up` "
        "where `f`.`a` in (1)"
    ) == asked
    assert "select `f`.`a`, `f`.`up` from `d`.`fa``ct` as `f` where true" == of_fact(PIPELINE, "true")


def test_a_dimension_behind_two_others_joins_both() -> None:
    """A link may be made of columns of several tables."""
    both = replace(dimension("w", "y"), on=(JoinTerm("id", "y", "up"), JoinTerm("up", "z", "up")))
    asked = of_dimension(replace(PIPELINE, dimensions=(*PIPELINE.dimensions, both)), both, "true")
    assert [" as `x` ", " as `y` ", " as `z` ", " as `w` "] == [
        f" as `{alias}` " for alias in asked.split("left join")[1:] for alias in alias.split("as `")[1][:1]
    ]
