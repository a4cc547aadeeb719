"""Promises of `freshet.pipeline.values`: exact or not at all."""

import contextlib
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.pipeline.types import ColumnType
from freshet.pipeline.values import Unfit, converter

UNSIGNED = ColumnType("bigint unsigned", "integer", "decimal(20,0)", "decimal(20,0)", 0, 2**64 - 1, None, None)
SMALL = ColumnType("smallint", "integer", "smallint", "smallint", -(2**15), 2**15 - 1, None, None)
PRICE = ColumnType("decimal(8,2)", "decimal", "decimal(8,2)", "decimal(8,2)", None, None, 8, 2)


def plain(kind: str) -> ColumnType:
    return ColumnType(kind, kind, kind, kind, None, None, None, None)


@pytest.mark.parametrize(
    ("expected", "column_type", "text"),
    [
        (18446744073709551615, UNSIGNED, "18446744073709551615"),
        (-5, SMALL, "-5"),
        (Decimal("12.30"), PRICE, "12.3"),
        (Decimal("-0.5"), PRICE, "-0.50000"),
        (Decimal("999999.99"), PRICE, "999999.99"),
        (1.5, plain("double"), "1.5"),
        (1e300, plain("double"), "1e300"),
        ("12.10", plain("text"), "12.10"),
        ("😀", plain("text"), "😀"),
        ("", plain("text"), ""),
        (date(2024, 2, 29), plain("date"), "2024-02-29"),
        (date(2024, 2, 29), plain("date"), "2024-02-29T00:00:00Z"),
        (datetime(2024, 1, 2, 3, 4, 5), plain("datetime"), "2024-01-02T03:04:05Z"),  # noqa: DTZ001
        (datetime(2024, 1, 2, 3, 4, 5, 120000), plain("timestamp"), "2024-01-02 03:04:05.12"),  # noqa: DTZ001
        (None, plain("datetime"), "0000-00-00T00:00:00Z"),
        (None, plain("date"), "0000-00-00"),
        (True, plain("boolean"), "1"),
        (False, plain("boolean"), False),
        (None, SMALL, None),
        (None, plain("text"), None),
    ],
)
def test_a_value_that_fits_is_taken_exactly(expected: object, column_type: ColumnType, text: object) -> None:
    """Every MySQL value that its column can hold comes through unchanged."""
    assert expected == converter(column_type)(text)


@pytest.mark.parametrize(
    ("reason", "column_type", "text"),
    [
        ("integer_out_of_range", UNSIGNED, "18446744073709551616"),
        ("integer_out_of_range", UNSIGNED, "-1"),
        ("integer_out_of_range", SMALL, "32768"),
        ("not_an_integer", SMALL, "12.0"),
        ("not_an_integer", SMALL, "1.2E3"),
        ("not_an_integer", SMALL, " 12"),
        ("not_an_integer", SMALL, "1_000"),
        ("not_an_integer", SMALL, "١٢"),
        ("not_an_integer", SMALL, True),
        ("not_an_integer", SMALL, {}),
        ("decimal_out_of_range", PRICE, "1.239"),
        ("decimal_out_of_range", PRICE, "1000000"),
        ("not_a_decimal", PRICE, "1e2"),
        ("not_a_decimal", PRICE, "NaN"),
        ("not_a_finite_number", plain("double"), "1e999"),
        ("not_a_finite_number", plain("double"), "inf"),
        ("not_a_finite_number", plain("double"), "0x1p3"),
        ("not_text", plain("text"), True),
        ("not_text", plain("text"), ["a"]),
        ("unpaired_surrogate", plain("text"), "\ud83d"),
        ("not_a_date", plain("date"), "2024-02-30"),
        ("not_a_date", plain("date"), "2024"),
        ("not_a_datetime", plain("datetime"), "2024-01-02"),
        ("not_a_datetime", plain("datetime"), "2024-01-02T25:00:00Z"),
        ("not_a_datetime", plain("datetime"), "2024-W01-1T00:00:00Z"),
        ("finer_than_microseconds", plain("datetime"), "2024-01-02T03:04:05.1234567Z"),
        ("not_zero_or_one", plain("boolean"), "2"),
    ],
)
def test_a_value_that_does_not_fit_gives_its_reason(reason: str, column_type: ColumnType, text: object) -> None:
    """Nothing is rounded, trimmed or guessed."""
    with pytest.raises(Unfit) as raised:
        converter(column_type)(text)
    assert reason == raised.value.reason


@given(st.decimals(min_value=-999999, max_value=999999, places=2, allow_nan=False))
def test_every_decimal_survives(value: Decimal) -> None:
    """DECIMAL(8,2) loses no digit."""
    assert value == converter(PRICE)(str(value))


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_every_datetime_survives(value: datetime) -> None:
    """DATETIME(6) loses no microsecond."""
    assert value == converter(plain("datetime"))(value.isoformat() + "Z")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_survives(value: float) -> None:
    """DOUBLE loses no bit."""
    assert value == converter(plain("double"))(repr(value))


@given(st.text())
def test_hostile_text_never_raises_anything_else(text: str) -> None:
    """Whatever arrives, the answer is a value or a reason, and the reason does not hold the text."""
    for column_type in (UNSIGNED, PRICE, *map(plain, ("double", "text", "date", "datetime", "boolean"))):
        with contextlib.suppress(Unfit):
            converter(column_type)(text)
