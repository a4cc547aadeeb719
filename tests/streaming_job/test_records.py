"""Every record has exactly one outcome, and no digit of a key is lost."""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.errors import MissingSetting
from freshet.ledger.keys import Key
from freshet.mysql.keys import KeyColumns
from freshet.pipeline.types import column_type
from freshet.pipeline.values import converter
from streaming_job.changed_keys import Record
from streaming_job.records import IGNORED, NAME_MAX, LeftOut, Outcome, Unreadable, reader

OF_DMS = {"TASK_NAME": "T", "TABLE_OWNER": "shop", "Table_Name": "orders", "ERROR": "value 'kim@example.org'"}


DAY, MOMENT = date(2024, 7, 29), datetime(2024, 7, 29, 1, 2, 3, 123456)  # noqa: DTZ001


def followed(table: str, **columns: str) -> KeyColumns:
    converters = tuple(converter(column_type(kind)) for kind in columns.values())
    return KeyColumns("shop", table, tuple(columns), converters)


TABLES = {
    "orders": followed("orders", id="bigint(20)"),
    "counters": followed("counters", id="bigint(20) unsigned"),
    "prices": followed("prices", amount="decimal(38,2)"),
    "days": followed("days", day="date", at="datetime(6)"),
    "texts": followed("texts", code="varchar(20)", line="int(11)"),
}
READ = reader("shop", TABLES)


def record(data: object = None, before: object = None, **metadata: Any) -> bytes:
    """A record of DMS, of an inserted order 7 unless told otherwise; a metadata field of None is left out."""
    fields = {
        "timestamp": "2024-07-29T00:58:17.983670Z",
        "record-type": "data",
        "operation": "insert",
        "partition-key-type": "primary-key",
        "schema-name": "shop",
        "table-name": "orders",
        **{name.replace("_", "-"): value for name, value in metadata.items()},
    }
    document: dict[str, object] = {"data": {"id": 7, "price": "1.50", "note": None} if data is None else data}
    if before is not None:
        document["before-image"] = before
    document["metadata"] = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        (Record("orders", (7,)), record()),
        (Record("orders", (7,)), record(operation="load")),
        (Record("orders", (7,), leaves=True), record(operation="delete")),
        (Record("orders", (7,)), record(operation="update", before={"id": 7})),
        (Record("orders", (7,)), record(data={"id": "7"})),
        (Record("orders", (7,)), record(data={"id": 7, "price": {"not": ["believed"]}})),
        (IGNORED, record(record_type="control", operation="create-table")),
        (IGNORED, record(record_type="control", table_name="awsdms_apply_exceptions")),
        (IGNORED, record(table_name="awsdms_status")),
        (IGNORED, record(table_name=["orders"])),
        (IGNORED, record(table_name=None)),
        (IGNORED, record(schema_name="shop_test")),
        (IGNORED, record(operation="truncate", table_name="other")),
        (LeftOut("shop.orders"), record(OF_DMS, table_name="awsdms_apply_exceptions", schema_name="")),
        (LeftOut("shop.orders"), record(OF_DMS, table_name="awsdms_suspended_tables")),
        (LeftOut("?.?"), record([], table_name="awsdms_suspended_tables", operation="load")),
        (IGNORED, record(OF_DMS, table_name="awsdms_suspended_tables", operation="delete")),
        (Unreadable(None, "not_json"), b""),
        (Unreadable(None, "not_json"), b"\x1f\x8b\x08 gzip"),
        (Unreadable(None, "not_json"), b'{"data": NaN}'),
        (Unreadable(None, "not_json"), record() + b"{}"),
        (Unreadable(None, "not_json"), b"[" * 100_000),
        (Unreadable(None, "not_json"), record()[:-9]),
        (Unreadable(None, "no_metadata"), b"[]"),
        (Unreadable(None, "no_metadata"), b'{"metadata": 5}'),
        (Unreadable(None, "unknown_record_type"), record(record_type="other")),
        (Unreadable(None, "unknown_record_type"), record(record_type=None)),
        (Unreadable("orders", "unknown_operation"), record(operation="truncate")),
        (Unreadable("orders", "unknown_operation"), record(operation=None)),
        (Unreadable("orders", "no_data"), record(data=[1])),
        (Unreadable("orders", "column_missing", "id"), record(data={"price": "1.50"})),
        (Unreadable("orders", "key_is_null", "id"), record(data={"id": None})),
        (Unreadable("days", "key_is_null", "day"), record({"day": "0000-00-00", "at": "2024-07-29"}, table_name="days")),
        (Unreadable("orders", "not_an_integer", "id"), record(data={"id": 1.5})),
        (Unreadable("orders", "not_an_integer", "id"), record(data={"id": True})),
        (Unreadable("orders", "not_an_integer", "id"), record(data={"id": [7]})),
        (Unreadable("orders", "not_an_integer", "id"), record(data={"id": " 7"})),
        (Unreadable("orders", "integer_out_of_range", "id"), record(data={"id": 2**63})),
        (Unreadable("prices", "decimal_out_of_range", "amount"), record({"amount": 1.239}, table_name="prices")),
        (Unreadable("orders", "key_is_null", "id"), record(operation="update", before={"id": None})),
    ],
)  # fmt: skip
def test_every_record_has_one_outcome(expected: Outcome, body: bytes) -> None:
    """Keys, control records, other tables, DMS's own errors and bad records are told apart; none is dropped in silence."""
    assert expected == READ(body)


def written(table: str, text: str, **more: Any) -> Outcome:
    """Read a record whose data stand in it as this text: json.dumps would round a number itself."""
    return READ(record({"here": 0}, table_name=table, **more).replace(b'{"here": 0}', text.encode()))


@pytest.mark.parametrize(
    ("table", "text", "key"),
    [
        ("counters", '{"id": 18446744073709551615}', (2**64 - 1,)),
        ("counters", '{"id": "18446744073709551615"}', (2**64 - 1,)),
        ("orders", '{"id": -9223372036854775808}', (-(2**63),)),
        ("orders", '{"id": 9007199254740993}', (9007199254740993,)),
        ("prices", '{"amount": 123456789012345678901234567890123456.78}', (Decimal("123456789012345678901234567890123456.78"),)),
        ("prices", '{"amount": 123456789012345678901234567890123456}', (Decimal(123456789012345678901234567890123456),)),
        ("prices", '{"amount": "-0.10"}', (Decimal("-0.10"),)),
        ("prices", '{"amount": 7}', (Decimal(7),)),
        ("days", '{"day": "2024-07-29", "at": "2024-07-29T01:02:03.123456Z"}', (DAY, MOMENT)),
        ("texts", '{"code": "A1 ", "line": 2}', ("A1 ", 2)),
        ("texts", '{"code": "", "line": 2}', ("", 2)),
        ("texts", '{"code": "caf\\u00e9 \\ud83d\\ude00", "line": 2}', ("café 😀", 2)),
        ("texts", '{"line": 2, "code": 1.10}', ("1.10", 2)),
    ],
)  # fmt: skip
def test_a_key_keeps_every_digit_and_every_blank(table: str, text: str, key: Key) -> None:
    """A number does not pass through a double, a text is not trimmed, and the key's order is that of the table."""
    outcome = written(table, text)
    assert Record(table, key) == outcome
    assert isinstance(outcome, Record)
    assert [type(value) for value in key] == [type(value) for value in outcome.key or ()]


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**35), max_value=10**35))
def test_any_decimal_is_exact_as_a_number_of_json(value: Decimal) -> None:
    """DMS may write a DECIMAL so; a float keeps 17 digits of it."""
    assert Record("prices", (value,)) == written("prices", f'{{"amount": {value:f}}}')


@pytest.mark.parametrize(
    ("expected", "before"),
    [
        (Record("orders", (7,), (6,), leaves=True), {"id": 6}),
        (Record("orders", (7,), (6,), leaves=True), {"id": "6"}),
        (Record("orders", (7,)), {"id": 7}),
        (Record("orders", (7,)), {"id": "7"}),
        (Record("orders", (7,)), {}),
    ],
)
def test_a_moved_row_names_both_keys(expected: Record, before: dict[str, object]) -> None:
    """The row of the old key is left behind in the target, unless somebody looks."""
    assert expected == READ(record(operation="update", before=before))


def test_a_part_of_a_key_may_move() -> None:
    """What the before image does not hold is as it is now; blanks at the end of a text are another key to the source."""
    both = {"code": "a", "line": 2}
    moved = READ(record(both, {"code": "a "}, operation="update", table_name="texts"))
    assert Record("texts", ("a", 2), ("a ", 2), leaves=True) == moved
    prices = written("prices", '{"amount": 12345678901234567890.12}', operation="update", before={"there": 0})
    assert Record("prices", (Decimal("12345678901234567890.12"),)) == prices


@pytest.mark.parametrize("now", ["12345678901234567890.12", "7"])
def test_the_old_key_of_a_moved_row_is_exact_too(now: str) -> None:
    """As doubles the first two keys are one number; the second one is an integer now and had digits before."""
    body = record({"here": 0}, {"there": 0}, operation="update", table_name="prices")
    body = body.replace(b'{"here": 0}', f'{{"amount": {now}}}'.encode())
    body = body.replace(b'{"there": 0}', b'{"amount": 12345678901234567890.11}')
    assert Record("prices", (Decimal(now),), (Decimal("12345678901234567890.11"),), leaves=True) == READ(body)


@pytest.mark.parametrize("before", [None, 5, [], "7"])
def test_an_update_without_before_image_ends_the_job(before: object) -> None:
    """A moved row's old key would be lost, record after record; only updates of followed tables need it."""
    with pytest.raises(MissingSetting, match="BeforeImageSettings"):
        READ(record(operation="update", before=before))
    assert IGNORED == READ(record(operation="update", table_name="other"))


def test_an_error_of_dms_tells_a_table_and_nothing_else() -> None:
    """Its statement and its error quote values; a name is no longer than a name can be."""
    told = READ(record({**OF_DMS, "TABLE_OWNER": "x" * 300}, table_name="awsdms_apply_exceptions"))
    assert LeftOut("x" * NAME_MAX) == told


@settings(deadline=None)
@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str).map(str.encode)
)
def test_no_rubbish_raises(body: bytes) -> None:
    """It is quarantined; it never stops the stream."""
    assert isinstance(READ(body), Unreadable)


@settings(deadline=None)
@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    table=st.sampled_from(sorted(TABLES)),
)
def test_no_value_of_a_key_raises(data: Any, table: str) -> None:
    """Whatever stands where a key should: a key of the table's types, or quarantine with table and column."""
    columns = TABLES[table].columns
    outcome = READ(record(dict.fromkeys(columns, data), table_name=table))
    assert isinstance(outcome, Record | Unreadable)
    assert table == outcome.table or outcome == Unreadable(None, "not_json")


def test_a_deep_value_beside_a_number_is_read_or_quarantined() -> None:
    """The exact parser is another one than the quick one, and its patience with nesting is another too."""
    outcome = written("prices", '{"amount": 1.5, "tree": ' + "[" * 990 + "]" * 990 + "}")
    assert isinstance(outcome, Record | Unreadable)
