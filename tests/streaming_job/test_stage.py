"""What Redshift would refuse is quarantined by key, reason and column; a hash tells rows apart; deletes are as said."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from freshet.cli.context import Place
from freshet.ledger.commit_sql import DROP, PUT, RECORD, columns_staged
from freshet.ledger.effect import Action
from freshet.ledger.keys import encoded
from freshet.mysql.rows import UNFIT
from freshet.pipeline.functions import MASK_DIGITS
from freshet.pipeline.model import ADMITTED, HASH_COLUMN, Column, Output, Pipeline, Table
from freshet.pipeline.protection import TokenKey
from freshet.pipeline.types import column_type
from streaming_job import stage
from streaming_job.changed_keys import Deletes
from streaming_job.questions import Asked
from streaming_job.rows import FORCED, FOUND, MOVED, action
from streaming_job.stage import Staging, hashes, ops, write_manifest

VALUES = {
    "id": (1, "bigint", "bigint"), "code": ("a", "string", "varchar(8)"), "note": ("text", "string", "varchar(8)"),
    "more": ("", "string", "varchar(8)"), "weight": (1.5, "double", "double precision"),
    "price": (Decimal("1.50"), "decimal(10,2)", "decimal(10,2)"), "day": (date(2024, 7, 29), "date", "date"),
    "at": (datetime(2024, 7, 29, 1, 2, 3), "timestamp_ntz", "timestamp"), "paid": (True, "boolean", "boolean"),  # noqa: DTZ001
}  # fmt: skip
OUTPUTS = tuple(
    Output(name, None, spark, redshift, f"`o.{name}`", (f"orders.{name}",), None)
    for name, (_, spark, redshift) in VALUES.items()
)
GOOD = {name: value for name, (value, _, _) in VALUES.items()}
KEY = (Column("id", column_type("bigint(20)"), False), Column("code", column_type("varchar(8)"), False))


def pipeline(deletes: str = "ignore", outputs: Sequence[Output] = OUTPUTS) -> Pipeline:
    return Pipeline(
        name="orders", folder=Path("orders"), database="shop", target_schema="public", target_table="orders_wide",
        keys=("id", "code"), key_columns=("id", "code"), fact=Table("o", "orders", KEY, ("id", "code")), dimensions=(),
        outputs=tuple(outputs), deletes=deletes, readers=(), freshness_s=30, distkey=None, sortkey=(),
    )  # fmt: skip


def staging(deletes: str = "ignore", *, frees: bool = False, outputs: Sequence[Output] = OUTPUTS) -> Staging:
    return Staging(pipeline(deletes, outputs), ("id", "code"), TokenKey("", "", ""), "bucket", "prefix", frees)


def table(*rows: dict[str, Any], outputs: Sequence[Output] = OUTPUTS) -> pa.Table:
    """Rows as Spark gives them; each a good one with some of its values changed."""
    flags = {ADMITTED: True, FOUND: True, MOVED: False, FORCED: False}
    fields = [pa.field(output.name, output.arrow) for output in outputs]
    fields += [pa.field(name, pa.bool_()) for name in flags] + [pa.field(UNFIT, pa.string())]
    return pa.Table.from_pylist([{**GOOD, **flags, UNFIT: None, **row} for row in rows], pa.schema(fields))


def decided(staging_: Staging, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    return staging_.decided(table(*rows, outputs=staging_.pipeline.outputs)).to_pylist()


def one(deletes: str = "ignore", *, frees: bool = False, **row: Any) -> dict[str, Any]:
    (found,) = decided(staging(deletes, frees=frees), row)
    return found


def gone(**row: Any) -> dict[str, Any]:
    """A key that the source does not have: the key, and nothing else."""
    values = {name: None for name in VALUES if name not in ("id", "code")}
    return {**values, FOUND: False, ADMITTED: False, **row}


def test_the_quick_decision_is_the_written_one() -> None:
    """Column by column as row by row, for every combination of what is known of a key and for every mode."""
    cases = list(
        product(
            (False, True),
            (None, False, True),
            (False, True),
            (None, "orders.day:not_a_date"),
            (None, "note:too_many_bytes"),
        )
    )
    columns = list(zip(*cases, strict=True))
    made = pa.table({
        FOUND: pa.array(columns[0], pa.bool_()), ADMITTED: pa.array([bool(one) for one in columns[1]], pa.bool_()),
        MOVED: pa.array(columns[2], pa.bool_()), UNFIT: pa.array(columns[3], pa.string()),
    })  # fmt: skip
    unfit = [bad or refused for bad, refused in zip(columns[3], columns[4], strict=True)]
    for deletes in Deletes:
        expected = [
            str(action(
                Asked((1,), moved, False), deletes,
                found=found, admitted=bool(admitted) or bad is not None, can_be_staged=why is None,
            ))
            for (found, admitted, moved, bad, _), why in zip(cases, unfit, strict=True)
        ]  # fmt: skip
        assert expected == ops(made, pa.array(unfit, pa.string()), deletes).to_pylist()


@pytest.mark.parametrize(
    ("expected", "deletes", "row"),
    [
        ("u", "ignore", {}),
        ("d", "ignore", {ADMITTED: False}),
        ("d", "apply", gone()),
        ("m", "mark", gone()),
        ("d", "ignore", gone(**{MOVED: True})),
        ("d", "mark", gone(**{MOVED: True})),
        ("d", "mark", {ADMITTED: False}),
        ("u", "mark", {MOVED: True}),
        ("q", "apply", {"note": "123456789"}),
        ("q", "apply", {ADMITTED: False, UNFIT: "orders.day:not_a_date"}),
    ],
)
def test_what_becomes_of_a_key(expected: str, deletes: str, row: dict[str, Any]) -> None:
    """A row that is written has its values, one that is removed or marked its key, a quarantined one its key's code."""
    found = one(deletes, **row)
    assert expected == found["_freshet_op"]
    assert (GOOD["id"], GOOD["code"]) == (found["id"], found["code"]) or expected == "q"
    values = {name: found[name] for name in VALUES}
    keys_only = {name: value if name in ("id", "code") else None for name, value in GOOD.items()}
    assert {"u": GOOD, "d": keys_only, "m": keys_only, "q": dict.fromkeys(GOOD)}[expected] == values
    assert (encoded((1, "a")) if expected == "q" else None) == found["_freshet_key"]
    assert (expected == "u") == (found[HASH_COLUMN] is not None) or expected != "u"


def test_a_row_that_stays_is_not_staged_unless_it_frees_its_key() -> None:
    """Of a deleted row under `ignore` there is nothing to say, but that a quarantined key is no longer in question."""
    assert [] == decided(staging(), gone())
    (kept,) = decided(staging(frees=True), gone())
    assert ("k", encoded((1, "a")), None) == (kept["_freshet_op"], kept["_freshet_key"], kept["id"])
    assert encoded((1, "a")) == one(frees=True)["_freshet_key"]
    assert ["u", "d"] == [row["_freshet_op"] for row in decided(staging(), {}, gone(), gone(**{MOVED: True}))]


def test_a_key_is_staged_as_the_warehouse_compares_it() -> None:
    """Redshift does not see blanks at the end; blanks elsewhere, other white space and the blanks of values stay."""
    found = one(code="a  ", note="b ")
    assert ("a", "b ") == (found["code"], found["note"])
    assert ("", " a\t") == (one(code="   ")["code"], one(code=" a\t ")["code"])
    assert encoded((1, "a")) == one(code="a  ", note="123456789")["_freshet_key"]
    assert one(code="a")[HASH_COLUMN] == one(code="a  ")[HASH_COLUMN]


@pytest.mark.parametrize(
    "row",
    [
        {"note": "12345678"}, {"note": "😀😀"}, {"note": None}, {"note": ""}, {"note": "        "}, {"code": "12345678    "},
        {"weight": -0.0}, {"weight": 1e308}, {"weight": None}, {"day": date(1, 1, 1)}, {"day": date(9999, 12, 31)}, {"day": None},
        {"at": datetime(1, 1, 1)}, {"at": datetime(9999, 12, 31, 23, 59, 59, 999999)}, {"at": None}, {"price": None},  # noqa: DTZ001
        {"paid": None}, {"id": -(2**63)},
    ],
)  # fmt: skip
def test_a_row_at_the_limit_is_written(row: dict[str, Any]) -> None:
    """Eight bytes fit into VARCHAR(8), whether they are eight letters or two emoji."""
    found = one(**row)
    assert ("u", None, None) == (found["_freshet_op"], found["_freshet_reason"], found["_freshet_column"])
    expected = {**GOOD, **row}
    assert {**expected, "code": str(expected["code"]).rstrip(" ")} == {name: found[name] for name in VALUES}


@pytest.mark.parametrize(
    ("reason", "column", "row"),
    [
        ("too_many_bytes", "note", {"note": "123456789"}),
        ("too_many_bytes", "note", {"note": "😀😀x"}),
        ("too_many_bytes", "code", {"code": "123456789"}),
        ("has_nul_character", "note", {"note": "a\x00b"}),
        ("not_a_finite_number", "weight", {"weight": float("nan")}),
        ("not_a_finite_number", "weight", {"weight": float("-inf")}),
        ("not_zero_or_one", "customer.active", {UNFIT: "customer.active:not_zero_or_one"}),
        ("not_zero_or_one", "customer.active", {UNFIT: "customer.active:not_zero_or_one", "note": "123456789"}),
        ("too_many_bytes", "note", {"note": "123456789", "weight": float("nan")}),
    ],
)
def test_what_redshift_would_refuse_is_quarantined(reason: str, column: str, row: dict[str, Any]) -> None:
    """The key goes to quarantine with column and reason, and none of its values goes with it."""
    aside = one(**row)
    assert ("q", reason, column) == (aside["_freshet_op"], aside["_freshet_reason"], aside["_freshet_column"])
    assert {None} == {aside[name] for name in VALUES}


def test_days_that_python_has_not_are_quarantined() -> None:
    """A cast may give the year 0 or 10000; Redshift's calendar begins and ends where Python's does."""
    for name, kind, wrong in (
        ("day", pa.date32(), (-719_163, 2_932_897)),
        ("at", pa.timestamp("us"), (-719_162 * stage.DAY_US - 1, 2_932_897 * stage.DAY_US)),
    ):
        for number in wrong:
            rows = table({})
            place = rows.schema.get_field_index(name)
            value = pa.array([number], pa.int32() if name == "day" else pa.int64()).cast(kind)
            staged = staging().decided(rows.set_column(place, name, value))
            assert ["q", "date_out_of_range", name] == [
                staged[c][0].as_py() for c in ("_freshet_op", "_freshet_reason", "_freshet_column")
            ]


@pytest.mark.parametrize("deletes", ["apply", "mark"])
def test_a_key_that_the_target_cannot_hold_has_no_row_to_remove(deletes: str) -> None:
    """COPY would refuse it; and there is nothing to be done."""
    assert [] == decided(staging(deletes), gone(code="123456789"))
    assert ["d"] == [row["_freshet_op"] for row in decided(staging("apply"), gone(code="123456789"), gone())]


texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=4)
finite = st.floats(allow_nan=False, allow_infinity=False)
VALUE_OF = {
    "id": st.integers(-(2**63), 2**63 - 1), "code": texts, "note": st.none() | texts, "more": st.none() | texts,
    "weight": st.none() | finite, "price": st.none() | st.decimals(-(10**7), 10**7, places=2), "day": st.none() | st.dates(),
    "at": st.none() | st.datetimes(), "paid": st.none() | st.booleans(),
}  # fmt: skip
rows_of_values = st.fixed_dictionaries(VALUE_OF)


def hash_of(row: dict[str, Any]) -> int:
    columns = [pa.array([row[output.name]], output.arrow) for output in OUTPUTS]
    (found,) = hashes(columns).to_pylist()
    return int(found)


@settings(deadline=None)
@given(row=rows_of_values, name=st.sampled_from(sorted(VALUES)), data=st.data())
def test_a_hash_differs_for_each_changed_value(row: dict[str, Any], name: str, data: st.DataObject) -> None:
    """Whichever value changes, and however little; NULL is another value than an empty text."""
    changed = {**row, name: data.draw(VALUE_OF[name])}
    assume(repr(changed[name]) != repr(row[name]))
    assert hash_of(row) != hash_of(changed)
    assert hash_of(row) == hash_of(dict(row))


@settings(deadline=None)
@given(texts, texts, texts, texts)
def test_neighbors_do_not_run_into_each_other(note: str, more: str, other_note: str, other_more: str) -> None:
    """ab|c is another row than a|bc, and ''|NULL than NULL|''."""
    assume((note, more) != (other_note, other_more))
    assert hash_of({**GOOD, "note": note, "more": more}) != hash_of({**GOOD, "note": other_note, "more": other_more})
    assert hash_of({**GOOD, "note": None, "more": note}) != hash_of({**GOOD, "note": note, "more": None})


def test_null_is_another_value_than_an_empty_text() -> None:
    """The target would keep the one for the other."""
    assert 3 == len({hash_of({**GOOD, "note": note}) for note in (None, "", "\ufffd")})


def test_a_hash_is_of_what_leaves() -> None:
    """Two numbers that are masked alike are one value in the warehouse; so a hash tells nothing that the row does not."""
    masked = tuple(
        Output(o.name, None, o.spark, o.redshift, o.sql, o.sources, MASK_DIGITS, MASK_DIGITS) if o.name == "note" else o
        for o in OUTPUTS
    )
    same = decided(staging(outputs=masked), {"note": "0 12"}, {"note": "9 87"})
    assert ["* **", "* **"] == [row["note"] for row in same]
    assert 1 == len({row[HASH_COLUMN] for row in same})


def test_a_hash_is_the_same_on_any_machine() -> None:
    """The target's rows keep it for years: another hash would write every row anew."""
    assert HASH_OF_GOOD == hash_of(GOOD)


HASH_OF_GOOD = -3933726936765517709


def test_files_are_as_copy_reads_them(place: Place) -> None:
    """A manifest names what was written, with its bytes and rows; columns stand in COPY's order, times as INT96."""
    s3, bucket = place.client("s3"), place.endpoints["staging_bucket"]
    here = Staging(pipeline("apply"), ("id", "code"), TokenKey("", "", ""), bucket, "test_stage")
    files = list(here.stage(table({}, {"id": 2}, gone(id=3), {"id": 4, "note": "123456789"})))
    decisions = here.write_decisions(
        [("s", "9", "not_json", None)], [("KEY", "code")], {"key:1": {"id": "key:1"}}, ["key:2"]
    )
    assert decisions
    staged = write_manifest(s3, bucket, "test_stage", [*files, decisions])
    assert {"u": 2, "d": 1, "q": 2, RECORD: 1, PUT: 1, DROP: 1} == staged.rows
    assert here.write_decisions([], [], {}, []) is None
    entries = json.loads(s3.get_object(Bucket=bucket, Key="test_stage/manifest.json")["Body"].read())["entries"]
    assert [f"s3://{bucket}/{file.object}" for file in (*files, decisions)] == [entry["url"] for entry in entries]
    assert staged.bytes == sum(entry["meta"]["content_length"] for entry in entries)
    for file in (*files, decisions):
        body = s3.get_object(Bucket=bucket, Key=file.object)["Body"].read()
        assert file.bytes == len(body)
        read = pq.ParquetFile(pa.BufferReader(body))
        assert list(columns_staged(here.pipeline)) == read.schema_arrow.names
        assert "INT96" == read.schema.column(read.schema_arrow.names.index("at")).physical_type
    lines = pq.read_table(
        pa.BufferReader(s3.get_object(Bucket=bucket, Key=decisions.object)["Body"].read())
    ).to_pylist()
    assert [
        ("r", None, "s", "9", "not_json"),
        ("q", "KEY", None, None, "key_ends_with_blank"),
        ("p", "key:1", None, None, None),
        ("x", "key:2", None, None, None),
    ] == [tuple(line[f"_freshet_{name}"] for name in ("op", "key", "shard", "sequence", "reason")) for line in lines]


def test_a_large_part_is_several_files(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redshift's slices copy files side by side; no row is in two."""
    monkeypatch.setattr(stage, "ROWS_PER_FILE_MAX", 2)
    here = Staging(pipeline(), ("id", "code"), TokenKey("", "", ""), place.endpoints["staging_bucket"], "test_stage")
    assert [2, 2, 1] == [file.rows[str(Action.WRITE)] for file in here.stage(table(*({"id": n} for n in range(5))))]
