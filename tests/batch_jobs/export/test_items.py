"""Rows become items: the same ones whatever the order, with sizes that are never too small."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_jobs.export_dynamodb.items import Item, Shape, items_of
from batch_jobs.export_dynamodb.values import Column, number_size, plain, values_of
from sandbox.dynamodb import value_size

KEY, N, NOTE = Column("k", "text"), Column("n", "integer"), Column("note", "text")
ROWS = [("a", 2, "x"), ("a", 1, None), ("b", 5, "é"), ("a", 2, "x"), ("a", None, ""), ("a", 2, "w")]


def built(rows: list[tuple[Any, ...]], **how: Any) -> dict[str, list[dict[str, Any]]]:
    shape = Shape(**{
        "key": KEY, "columns": (N, NOTE), "list_name": "items", "order": (("n", True),), "duplicates": "keep", "same": (),
        "nulls": "omit", **how,
    })  # fmt: skip
    keys, numbers, notes = zip(*rows, strict=True)
    table = pa.table(
        {"k": pa.array(keys, pa.string()), "n": pa.array(numbers, pa.int64()), "note": pa.array(notes, pa.string())}
    )
    return {item["k"]["S"]: [row["M"] for row in item["items"]["L"]] for item in map(checked, items_of(table, shape))}


def checked(item: Item) -> dict[str, Any]:
    """Give an item's content, after comparing its size with the sandbox's own reckoning."""
    content: dict[str, Any] = json.loads(item.json)
    exact = sum(len(name.encode()) + value_size(value) for name, value in content.items())
    numbers = item.json.count('"N":')
    assert exact <= item.bytes <= exact + numbers
    assert len(content["items"]["L"]) == item.rows
    return content


def row(n: int | None, note: str | None) -> dict[str, Any]:
    return {**({} if n is None else {"n": {"N": str(n)}}), **({} if note is None else {"note": {"S": note}})}


ALL = [row(2, "w"), row(2, "x"), row(2, "x"), row(1, None), row(None, "")]


@given(st.permutations(ROWS))
def test_the_order_in_which_rows_come_is_irrelevant(rows: list[tuple[Any, ...]]) -> None:
    """Ordered as asked, NULL last, and what the order leaves equal by the other columns."""
    assert {"a": ALL, "b": [row(5, "é")]} == built(rows)


@pytest.mark.parametrize(
    ("duplicates", "same", "kept"),
    [
        ("distinct", (), [0, 1, 3, 4]),
        ("first", ("n",), [0, 3, 4]),
        ("last", ("n",), [2, 3, 4]),
        ("first", ("n", "note"), [0, 1, 3, 4]),
    ],
)
@given(rows=st.permutations(ROWS))
def test_duplicates_are_kept_as_asked(duplicates: str, same: tuple[str, ...], kept: list[int], rows: Any) -> None:
    """Distinct rows; or the first or last row, by the order, of those that are the same."""
    assert [ALL[place] for place in kept] == built(rows, duplicates=duplicates, same=same)["a"]


def test_null_is_written_when_asked_for() -> None:
    """An attribute of type NULL instead of none."""
    null = {"NULL": True}
    assert [{"n": null, "note": null}] == built([("a", None, None)], nulls="write")["a"]
    assert [{}] == built([("a", None, None)])["a"]


def test_a_key_that_fills_several_chunks_is_one_item() -> None:
    """A heavy key is not cut where rows are worked on together."""
    rows = [(f"k{n % 3}" if n % 2 else "heavy", n, "x") for n in range(50_000)]
    items = built(rows)
    assert {"heavy", "k0", "k1", "k2"} == set(items)
    assert 25_000 == len(items["heavy"])
    assert [str(n) for n in range(49_998, -1, -2)] == [one["n"]["N"] for one in items["heavy"]]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**29), max_value=10**29))
def test_decimals_keep_every_digit(value: Decimal) -> None:
    """What is written reads as the same number, with no zeros at the end of a fraction."""
    assert value == Decimal(plain(value))
    assert not (("." in plain(value)) and plain(value).endswith(("0", ".")))
    assert number_size(plain(value)) >= value_size({"N": plain(value)})


@pytest.mark.parametrize(
    ("kind", "array", "texts"),
    [
        ("decimal", pa.array([Decimal("12.50"), Decimal("0.00"), Decimal("-100.00")]), ["12.5", "0", "-100"]),
        ("decimal", pa.array([Decimal("9" * 38), Decimal("1E+37")], pa.decimal128(38, 0)), ["9" * 38, "1" + "0" * 37]),
        (
            "real",
            pa.array([0.1, 3.0, 16777216.0, -0.0, 1e-30], pa.float32()),
            ["0.1", "3", "1.6777216e+07", "0", "1e-30"],
        ),
        ("double", pa.array([0.1, 1e22, 5e-324 * 0, 2.5]), ["0.1", "1e+22", "0", "2.5"]),
        ("integer", pa.array([-(2**63), 2**63 - 1]), [str(-(2**63)), str(2**63 - 1)]),
    ],
)  # fmt: skip
def test_numbers_are_exact(kind: str, array: Any, texts: list[str]) -> None:
    """A decimal by its digits, a float by the shortest text that reads as the same float."""
    assert [f'{{"N":"{text}"}}' for text in texts] == values_of(array, kind).texts


def test_dates_and_times_are_iso_texts() -> None:
    """Six digits of a fraction, Z for an instant; before year 1 and after 9999 nothing fits."""
    times = pa.array([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 1), None], pa.timestamp("us"))  # noqa: DTZ001
    assert ['{"S":"0001-01-01T00:00:00.000000"}', '{"S":"9999-12-31T23:59:59.000001"}', None] == values_of(
        times, "timestamp"
    ).texts
    instant = pa.array([datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    assert ['{"S":"2024-02-29T01:02:03.000000Z"}'] == values_of(instant, "timestamptz").texts
    days = pa.array([date(1, 1, 1), None], pa.date32())
    assert ['{"S":"0001-01-01"}', None] == values_of(days, "date").texts
    outside = pa.array([-719_163, 2_932_897, 0], pa.int32()).cast(pa.date32())
    assert {0: "date_out_of_range", 1: "date_out_of_range"} == values_of(outside, "date").unfit


def test_what_is_no_number_of_dynamodb_is_found() -> None:
    """NaN, infinity, and magnitudes beyond 1E-130 and 9.99E+125."""
    array = pa.array([float("nan"), float("inf"), 1e126, 9e125, 1e-130, 9e-131])
    found = ["not_a_finite_number"] * 2 + ["number_out_of_range"]
    assert dict(enumerate(found)) | {5: "number_out_of_range"} == values_of(array, "double").unfit
