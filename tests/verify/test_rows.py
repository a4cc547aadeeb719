"""Both sides have one form: keys as the warehouse compares them, every other value exactly."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from freshet.errors import TerminalError
from freshet.pipeline.model import Column, Output, Pipeline, Table
from freshet.pipeline.types import column_type
from freshet.verify.rows import GONE, KEPT, Difference, Expected, Form, Stored, digest
from freshet.verify.target import _can_hold

TYPES = {
    "id": "bigint unsigned",
    "code": "varchar(3)",
    "price": "decimal(8,2)",
    "weight": "double",
    "at": "datetime(6)",
}
COLUMNS = tuple(Column(name, column_type(kind), True) for name, kind in TYPES.items())
OUTPUTS = tuple(Output(each.name, None, each.type.spark, each.type.redshift, "", (), None) for each in COLUMNS)
PIPELINE = Pipeline(
    "p", Path(), "d", "public", "p", ("id", "code"), ("id", "code"), Table("t", "t", COLUMNS, ("code", "id")), (), OUTPUTS,
    "ignore", (), 1.0, None, (),
)  # fmt: skip
AT = datetime(2024, 2, 29, 12, 0, 0, 1)  # noqa: DTZ001 - the warehouse's have none


def table(**values: Any) -> pa.Table:
    row = {"id": Decimal(7), "code": "A", "price": Decimal("1.5"), "weight": 0.0, "at": AT, **values}
    return pa.table({name: pa.array([value]) for name, value in row.items()})


def test_types_of_files_become_the_outputs_types() -> None:
    """An instant of UTC is a time without a zone, a short DECIMAL one of the column's scale, an unsigned BIGINT a number."""
    found = list(Form(PIPELINE).rows(table(at=AT.replace(tzinfo=UTC), code="A  ")))
    assert [(("A", 7), (7, "A", Decimal("1.50"), 0.0, AT))] == found
    assert "1.50" == str(found[0][1][2])
    assert type(found[0][0][1]) is int


def test_zero_has_no_sign() -> None:
    """Databases do not agree whether it has; as a number it has none."""
    rows = [values for weight in (0.0, -0.0) for _, values in Form(PIPELINE).rows(table(weight=weight))]
    assert digest(rows[0]) == digest(rows[1])


@pytest.mark.parametrize(
    ("one", "other"), [((-1,), (-2,)), (("1",), (1,)), ((None,), ("None",)), (("a", "b"), ("ab",)), (("a",), ("a ",))]
)
def test_digests_tell_rows_apart(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """By type and by value; Python's own hash of -1 is that of -2."""
    assert digest(one) != digest(other)


def test_a_column_of_another_type_is_told_without_its_value() -> None:
    """Arrow's message would quote it."""
    with pytest.raises(TerminalError) as raised:
        list(Form(PIPELINE).rows(table(price="needle")))
    assert "column price" in str(raised.value)
    assert "needle" not in str(raised.value)


@pytest.mark.parametrize(
    ("expected", "deletes", "source", "target"),
    [
        (None, "ignore", GONE, None),
        (None, "apply", Expected(True), None),
        (KEPT, "ignore", GONE, Stored(())),
        ("extra", "apply", GONE, Stored(())),
        ("unmarked", "mark", GONE, Stored(())),
        (KEPT, "mark", GONE, Stored((), is_marked=True)),
        ("extra", "ignore", Expected(True), Stored(())),
        ("extra", "mark", Expected(True), Stored((), is_marked=True)),
        ("doubled", "ignore", GONE, Stored((), copies=2)),
        ("missing", "ignore", Expected(True, ()), None),
        ("unfit", "ignore", Expected(True, None, "t.at"), None),
    ],
)
def test_both_sides_of_a_key(expected: str | None, deletes: str, source: Expected, target: Stored | None) -> None:
    """A row that is there and not admitted must be gone in every mode; one of a deleted fact may be kept."""
    found = Form(replace(PIPELINE, deletes=deletes)).difference((7, "A"), source, target)
    assert expected == (found and found.kind)


def test_a_difference_names_the_columns() -> None:
    """All that differ, in the order of the outputs."""
    row = (7, "A", None, 0.0, None)
    found = Form(PIPELINE).difference((7, "A"), Expected(True, row), Stored((7, "A", Decimal(1), 0.0, AT)))
    assert Difference((7, "A"), "different", ("price", "at")) == found


@pytest.mark.parametrize(
    ("expected", "output", "value"),
    [(True, 1, "x" * 12), (False, 1, "x" * 13), (False, 1, "a\0"), (True, 0, 7), (False, 0, "seven")],
)
def test_a_key_that_the_target_cannot_hold_is_not_asked_for(expected: bool, output: int, value: Any) -> None:
    """COPY would refuse it, and the others with it."""
    assert expected == _can_hold(OUTPUTS[output], value)
