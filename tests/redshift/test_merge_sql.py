"""The transaction as text: what is sent to Redshift is read and reviewed here."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest
from freshet.redshift.control_tables import ControlTables, literal
from freshet.redshift.merge_sql import Step, transaction
from freshet.redshift.positions import Position

from freshet.pipeline.model import Column, Output, Pipeline, Table
from freshet.pipeline.types import ColumnType
from freshet.redshift.data_api import check_limits

GOLDEN = Path(__file__).parents[1] / "golden" / "redshift"
NOON = datetime(2024, 7, 29, 12, 0, 0, 123456, tzinfo=UTC)
NUMBER = ColumnType("bigint", "integer", "bigint", "bigint", -(2**63), 2**63 - 1, None, None)
ID = Column("id", NUMBER, False)
PIPELINE = Pipeline(
    name="orders",
    folder=Path("orders"),
    database="shop",
    target_schema="public",
    target_table="orders_wide",
    keys=("id", "line"),
    key_columns=("id", "line"),
    fact=Table("o", "orders", (ID, Column("line", NUMBER, False)), ("id", "line")),
    dimensions=(),
    outputs=tuple(
        Output(name, None, "bigint", kind, f"o.{name}", (f"orders.{name}",), None)
        for name, kind in (("id", "bigint"), ("line", "bigint"), ("order", "varchar(80)"))
    ),
    deletes="ignore",
    readers=("analysts",),
    freshness_s=30,
    distkey="id",
    sortkey=(),
)
TABLES = ControlTables("orders", PIPELINE.target)
BATCH = Step(
    id="11111111-1111-1111-1111-111111111111",
    follows="00000000-0000-0000-0000-000000000000",
    kind="batch",
    run="run-1",
    started_at=NOON,
    positions=(Position("shardId-000000000000", "AFTER", "49" * 28, None, NOON),),
    received=1240,
    ignored=6,
    deletes_ignored=1,
    staged=1000,
    bytes=54321,
    manifest="s3://staging/freshet/orders/run-1/step/manifest.json",
    transaction_id=12884904641,
    transaction_at=NOON,
    data_as_of=NOON,
)
START = dataclasses.replace(
    BATCH, kind="start", received=0, ignored=0, deletes_ignored=0, staged=0, bytes=0, manifest=None, transaction_id=None,
    transaction_at=None, data_as_of=None, stream_arn="arn:aws:kinesis:us-east-1:123456789012:stream/s", stream_created_at=NOON,
    positions=(Position("shardId-000000000000", "TRIM_HORIZON", proved_at=NOON),), forget_positions=True,
)  # fmt: skip
ROLE = "arn:aws:iam::123456789012:role/copy"


@pytest.mark.parametrize(("name", "step"), [("batch", BATCH), ("start_from_the_beginning", START)])
def test_the_transaction_reads_as_reviewed(name: str, step: Step) -> None:
    """Each statement, in its order, is the one that was reviewed; the file in tests/golden shows it."""
    sql = ";\n".join(transaction(PIPELINE, TABLES, step, ROLE)) + ";\n"
    golden = GOLDEN / f"{name}.sql"
    assert golden.read_text() == sql


def test_the_lock_comes_first_and_nothing_commits_on_the_way() -> None:
    """A snapshot taken before the lock would let two writers insert one new key; TRUNCATE would commit half a batch."""
    statements = transaction(PIPELINE, TABLES, BATCH, ROLE)
    assert statements[0] == f"lock {TABLES.lock}"
    assert not [s for s in statements if s.split()[0] in {"truncate", "vacuum", "begin", "commit", "merge", "alter"}]


def test_five_thousand_moved_shards_still_pass_the_data_api() -> None:
    """Positions are written 500 a statement: 40 statements of 100 KB hold them."""
    many = tuple(Position(f"shardId-{n:012}", "AFTER", "4" * 56, None, NOON) for n in range(5000))
    check_limits(transaction(PIPELINE, TABLES, dataclasses.replace(BATCH, positions=many), ROLE))


@pytest.mark.parametrize("text", ["it's", "a\\b", 'a"b', "a\nb", "é", "$$", "%s"])
def test_a_literal_that_dialects_read_differently_is_refused(text: str) -> None:
    """Redshift reads backslashes as escapes, PostgreSQL does not: neither ever sees one from us."""
    with pytest.raises(ValueError, match="not a safe literal"):
        literal(text)
