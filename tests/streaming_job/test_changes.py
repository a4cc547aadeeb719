"""Promises of step 2: every record has exactly one outcome, and no digit is lost."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming_job.changes import Change, Facts, Ignored, LeftOut, NoTransaction, SetAside, reader

from freshet.pipeline.model import Column, Table
from freshet.pipeline.types import ColumnType

NUMBER = ColumnType("bigint", "integer", "bigint", "bigint", -(2**63), 2**63 - 1, None, None)
PRICE = ColumnType("decimal(10,2)", "decimal", "decimal(10,2)", "decimal(10,2)", None, None, 10, 2)
TEXT = ColumnType("varchar(20)", "text", "string", "varchar(80)", None, None, None, None)
ORDERS = Table(
    "o", "orders", (Column("id", NUMBER, False), Column("price", PRICE, True), Column("note", TEXT, True)), ("id",)
)
OF_DMS = {"TASK_NAME": "T", "TABLE_OWNER": "shop", "Table_Name": "orders", "ERROR": "value 'kim@example.org'"}
READ = reader(Facts("shop", ORDERS))


def record(data: object = None, before: object = None, **metadata: Any) -> bytes:
    """A DMS record of an update, with parts of it changed; a metadata field of None is left out."""
    fields = {
        "timestamp": "2024-07-29T00:58:17.983670Z",
        "record-type": "data",
        "operation": "update",
        "schema-name": "shop",
        "table-name": "orders",
        "transaction-id": 12884904641,
        "commit-timestamp": "2024-07-29T00:58:10.000000Z",
        "transaction-record-id": 3,
        **{name.replace("_", "-"): value for name, value in metadata.items()},
    }
    document: dict[str, object] = {"data": {"id": 7, "price": "1.50", "note": None} if data is None else data}
    if before is not None:
        document["before-image"] = before
    document["metadata"] = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(document).encode()


def test_an_update_becomes_a_typed_change() -> None:
    """The after-image is taken whole, and its place in the binlog is its version."""
    version = "01" + "00000000012884904641" + "0000000003"
    expected = Change((7, Decimal("1.50"), None), version, 12884904641, "2024-07-29T00:58:10.000000Z", False)
    assert expected == READ(record())


def test_versions_sort_as_the_binlog_does() -> None:
    """Full load, then by transaction, then by place in the transaction; as text."""
    load = READ(record(operation="load", transaction_id=None, commit_timestamp=None, transaction_record_id=None))
    later = [READ(record(transaction_id=t, transaction_record_id=r)) for t, r in ((9, 9), (9, 10), (10, 1), (2**40, 1))]
    versions = [change.version for change in [load, *later] if isinstance(change, Change)]
    assert 5 == len(versions)
    assert sorted(versions) == versions
    assert {32} == {len(version) for version in versions}


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        (Ignored("control"), record(record_type="control", operation="create-table")),
        (LeftOut("shop.orders"), record(OF_DMS, table_name="awsdms_apply_exceptions", schema_name="")),
        (LeftOut("shop.orders"), record(OF_DMS, table_name="awsdms_suspended_tables", operation="insert")),
        (LeftOut("?.?"), record([], table_name="awsdms_suspended_tables", operation="load")),
        (Ignored("table"), record(OF_DMS, table_name="awsdms_suspended_tables", operation="delete")),
        (Ignored("table"), record(table_name="awsdms_status")),
        (Ignored("control"), record(record_type="control", table_name="awsdms_apply_exceptions")),
        (Ignored("table"), record(table_name=["awsdms_apply_exceptions"])),
        (Ignored("table"), record(schema_name="shop_test")),
        (Ignored("delete"), record(operation="delete")),
        (NoTransaction(), record(transaction_record_id=None)),
        (NoTransaction(), record(transaction_id=None)),
        (NoTransaction(), record(commit_timestamp=None)),
        (SetAside("not_json"), b""),
        (SetAside("not_json"), b"\x1f\x8b\x08 gzip"),
        (SetAside("not_json"), b'{"data": NaN}'),
        (SetAside("not_json"), record() + b"{}"),
        (SetAside("not_json"), b"[" * 100_000),
        (SetAside("no_metadata"), b"[]"),
        (SetAside("no_metadata"), b'{"metadata": 5}'),
        (SetAside("unknown_record_type"), record(record_type="other")),
        (SetAside("unknown_operation"), record(operation="truncate")),
        (SetAside("no_data"), record(data=[1])),
        (SetAside("bad_transaction_id"), record(transaction_id="1.2E17")),
        (SetAside("bad_commit_timestamp"), record(commit_timestamp="yesterday")),
        (SetAside("bad_timestamp"), record(operation="load", timestamp="never")),
        (SetAside("column_missing", "price"), record(data={"id": 1, "note": "x"})),
        (SetAside("not_an_integer", "id"), record(data={"id": 1.5, "price": None, "note": None})),
        (SetAside("decimal_out_of_range", "price"), record(data={"id": 1, "price": 1.239, "note": None})),
    ],
)
def test_what_is_no_change_is_named(expected: object, body: bytes) -> None:
    """Control records, other tables, deletes and bad records are told apart; none is dropped in silence."""
    assert expected == READ(body)


def test_a_number_keeps_every_digit() -> None:
    """A BIGINT of 19 digits does not pass through a double."""
    change = READ(record(data={"id": 9223372036854775807, "price": 12345678.91, "note": "12.10"}))
    assert isinstance(change, Change)
    assert (9223372036854775807, Decimal("12345678.91"), "12.10") == change.values


def test_a_moved_key_is_seen_in_the_before_image() -> None:
    """The row of the old key is left behind: the ledger counts it."""
    moved = [READ(record(before=before)) for before in ({"id": 6}, {"id": 7}, {}, None)]
    assert [True, False, False, False] == [change.key_moved for change in moved if isinstance(change, Change)]


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str).map(str.encode)
)
def test_no_record_raises(body: bytes) -> None:
    """Rubbish is set aside; it never stops the stream."""
    assert isinstance(READ(body), SetAside)
