"""The transaction of a commit as text: what is sent to Redshift is read and reviewed here."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from freshet.ledger.commit import Commit, Seen
from freshet.ledger.commit_sql import DROP, PUT, RECORD, Particulars, counts, transaction
from freshet.ledger.effect import Action
from freshet.ledger.positions import END, Kind, Position
from freshet.ledger.tables import ControlTables, literal
from freshet.redshift.data_api import check_limits
from tests.ledger.orders import pipeline

GOLDEN = Path(__file__).parents[1] / "golden" / "redshift"
NOON = datetime(2024, 7, 29, 12, 0, 0, 123456, tzinfo=UTC)
PIPELINE = pipeline(deletes="mark")
TABLES = ControlTables("orders", PIPELINE.target)
SHARD = "shardId-000000000000"
ROLE = "arn:aws:iam::123456789012:role/copy"
EVERYTHING = Counter({**dict.fromkeys(Action, 2), RECORD: 1, PUT: 3, DROP: 4})
MOVED = {SHARD: Position(Kind.AFTER, int("49" * 28), NOON.timestamp())}
COMMIT = Commit(
    id="11111111-1111-1111-1111-111111111111",
    follows="00000000-0000-0000-0000-000000000000",
    positions=MOVED,
    seen=Seen("it's a server", (("orders", "2024-07-29 11:00:00/17/abc"),)),
)
ROUND = Particulars(
    kind="round",
    run="run-1",
    started_at=NOON,
    received=1240,
    ignored=6,
    quarantined=1,
    looked_at=1000,
    bytes=54321,
    manifest="s3://staging/freshet/orders/run-1/commit/manifest.json",
    staged=EVERYTHING,
    data_as_of=NOON,
    pending=2,
    pending_since=NOON,
    proofs={SHARD: NOON.timestamp()},
)
START = Particulars(
    kind="start",
    run="run-1",
    started_at=NOON,
    stream=("arn:aws:kinesis:us-east-1:123456789012:stream/s", NOON),
    proofs={SHARD: NOON.timestamp()},
    forget=("shardId-000000000009",),
)
POSITIONS_ONLY = Particulars(kind="round", run="run-1", started_at=NOON, received=3, ignored=3, data_as_of=NOON)


def sql(told: Particulars, moved: Mapping[str, Position] = MOVED, commit: Commit = COMMIT) -> list[str]:
    return transaction(PIPELINE, TABLES, commit, moved, told, ROLE)


@pytest.mark.parametrize(
    ("name", "told", "moved"),
    [
        ("round", ROUND, MOVED),
        ("start", START, {SHARD: Position(Kind.AT), "shardId-000000000001": Position(Kind.AT, at=NOON.timestamp())}),
        ("positions_only", POSITIONS_ONLY, {**MOVED, "shardId-000000000001": END}),
    ],
)
def test_the_transaction_reads_as_reviewed(name: str, told: Particulars, moved: Mapping[str, Position]) -> None:
    """Each statement, in its order, is the one that was reviewed; the file in tests/golden shows it."""
    text = ";\n".join(sql(told, moved)) + ";\n"
    assert (GOLDEN / f"{name}.sql").read_text() == text


def test_the_lock_comes_first_and_nothing_commits_on_the_way() -> None:
    """A snapshot taken before the lock would let two writers insert one new key; TRUNCATE would commit half a batch."""
    statements = sql(ROUND)
    assert f"lock {TABLES.lock}" == statements[0]
    assert [] == [s for s in statements if s.split()[0] in {"truncate", "vacuum", "begin", "commit", "merge", "alter"}]


def test_what_the_target_has_is_dropped_before_anything_is_deleted() -> None:
    """The other way round, an unchanged row would be removed and not written again."""
    statements = sql(ROUND)
    target = 'delete from "public"."orders_wide"'
    firsts = [
        next(n for n, s in enumerate(statements) if s.startswith(start))
        for start in ("delete from freshet_stage", target)
    ]
    assert sorted(firsts) == firsts


@pytest.mark.parametrize("op", [*Action, RECORD, PUT, DROP])
def test_what_is_not_staged_costs_no_statement(op: str) -> None:
    """Each statement is a trip through the leader node: one op alone sends what it needs, and all ops no more than 20."""
    alone = sql(dataclasses.replace(ROUND, staged=Counter({op: 1})))
    assert len(alone) < len(sql(ROUND)) <= 20


def test_the_widest_table_and_the_most_shards_pass_the_data_api() -> None:
    """1,590 columns with names of 20 letters; 5,000 shards, 500 a statement: 40 statements of 100 KB hold them."""
    wide = pipeline(deletes="mark", columns=1588)
    outputs = tuple(
        dataclasses.replace(one, name=f"{one.name:_<20}") if one.name not in wide.keys else one for one in wide.outputs
    )
    wide = dataclasses.replace(wide, outputs=outputs)
    assert 1590 == len(wide.outputs)
    many = {f"shardId-{n:012}": Position(Kind.AFTER, int("4" * 56), NOON.timestamp()) for n in range(5000)}
    told = dataclasses.replace(ROUND, proofs=dict.fromkeys(many, NOON.timestamp()), forget=())
    check_limits(transaction(wide, ControlTables("orders", wide.target), COMMIT, many, told, ROLE))


def test_what_a_round_did_is_told_by_its_own_statements() -> None:
    """Rows written, removed and marked are those that the target's statements changed; nobody is asked."""
    statements = sql(ROUND)
    changed: dict[int, int | None] = dict.fromkeys(range(1, len(statements) + 1), 9)
    for number, text in enumerate(statements, 1):
        for begin, rows in (
            ('insert into "public"."orders_wide"', 1),
            ('delete from "public"."orders_wide" using freshet_stage where freshet_stage._freshet_op = \'d\'', 2),
            ('update "public"."orders_wide"', 0),
        ):
            if text.startswith(begin):
                changed[number] = rows
    expected = {"written": 1, "unchanged": 1, "removed": 2, "marked": 0, "unfit": 2}
    assert expected == counts(PIPELINE, statements, changed, ROUND)
    assert counts(PIPELINE, statements, dict.fromkeys(changed), ROUND) is None


@pytest.mark.parametrize("text", ["it's", "a\\b", 'a"b', "a\nb", "é", "$$", "%s"])
def test_a_literal_that_dialects_read_differently_is_refused(text: str) -> None:
    """Redshift reads backslashes as escapes, PostgreSQL does not: neither ever sees one from us."""
    with pytest.raises(ValueError, match="not a safe literal"):
        literal(text)
