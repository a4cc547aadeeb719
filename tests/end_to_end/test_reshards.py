"""A stream that is split or merged loses nothing, whether the job lags, runs or is down meanwhile."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from freshet.ledger.positions import Kind
from streaming_job.job import Job
from tests.river import River, eventually


@pytest.fixture
def shop(place: Place, spark: SparkSession, tmp_path: Path) -> River:
    """A filled pipeline over a stream of two shards; its later changes come by records alone."""
    river = River(place, spark, tmp_path, own_stream=True)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    river.sell_in_source(range(1, 101), 1)
    river.drain()
    return river


def check(river: River, received: int) -> None:
    """Every record was read once, and the target is the SELECT."""
    assert river.expected() == river.actual()
    assert received == river.ledger()["received"]


def standing(river: River) -> dict[str, str]:
    rows = river.warehouse_rows(f"select shard, kind from freshet.{river.name}_positions")
    return {row["shard"]: row["kind"] for row in rows}


# What is done, in order, and to which of the open shards.
RESHARDS = {
    "split": (("split", 0),),
    "merge": (("merge", 0),),
    "both shards split": (("split", 0), ("split", 2)),
    "a child is split again": (("split", 0), ("split", 0)),
    "split and merged with the neighbor": (("split", 0), ("merge", 1)),
}
Reshard = tuple[tuple[str, int], ...]


def carry_out(river: River, reshard: Reshard) -> None:
    for what, number in reshard:
        getattr(river, what)(number)


@pytest.mark.parametrize("reshard", RESHARDS.values(), ids=RESHARDS.keys())
def test_a_job_that_lags_or_was_down_reads_parents_and_children(shop: River, reshard: Reshard) -> None:
    """Records before, between and after; the shards that are read to their end stand at END, and later ones go on."""
    shop.sell(range(1, 21), 2, keys_apart=True)
    carry_out(shop, reshard)
    shop.sell(range(11, 41), 3, keys_apart=True)
    shop.drain()
    check(shop, 50)
    parents = set(standing(shop)) - {shard["ShardId"] for shard in shop.shards()}
    assert parents
    assert {"END"} == {standing(shop)[shard] for shard in parents}
    shop.sell(range(31, 61), 4, keys_apart=True)
    shop.drain()
    check(shop, 80)


@pytest.mark.parametrize("reshard", RESHARDS.values(), ids=RESHARDS.keys())
def test_a_job_that_runs_follows_without_a_restart(shop: River, reshard: Reshard) -> None:
    """It is told of the children when a parent ends."""
    with shop.running():
        shop.sell(range(1, 21), 2, keys_apart=True)
        carry_out(shop, reshard)
        shop.sell(range(11, 41), 3, keys_apart=True)
        eventually(lambda: shop.expected() == shop.actual(), "the target is the SELECT")
        eventually(lambda: shop.ledger()["received"] == 50, "every record was read once")
    check(shop, 50)
    assert {shard["ShardId"] for shard in shop.shards()} <= set(standing(shop))


def test_a_start_on_a_stream_that_was_resharded_before(place: Place, spark: SparkSession, tmp_path: Path) -> None:
    """A pipeline's first start reads the parents, which still hold records, and their children."""
    river = River(place, spark, tmp_path, own_stream=True)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    river.sell(range(1, 11), 2, keys_apart=True)
    river.split(0)
    river.merge(1)
    river.sell(range(11, 21), 3, keys_apart=True)
    river.drain()
    check(river, 20)
    assert 5 == len(standing(river))


def test_sixty_four_shards(place: Place, spark: SparkSession, tmp_path: Path) -> None:
    """As many as one driver is made for; a round takes a share of each, and all of them move in one commit."""
    river = River(place, spark, tmp_path, own_stream=True, shards=64)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "50", "--customers", "40")
    river.sell(range(1, 201), 2, keys_apart=True)
    river.drain(records_per_shard=2)
    check(river, 200)
    assert 64 == len(standing(river))
    river.split(0)
    river.sell(range(1, 101), 3, keys_apart=True)
    river.drain()
    check(river, 300)


def test_children_are_read_before_their_parents_are_drained(shop: River) -> None:
    """A round reads one record of a shard, so the child is far ahead of its parent: a record only names a key."""
    shop.sell_in_source([*range(1, 16), 40], 2)
    put_first(shop, *range(1, 16))
    shop.split(0)
    put_first(shop, 40)
    with shop.running(records_per_shard=1) as job:
        child = shop.shards()[0]["ShardId"]
        eventually(lambda: is_after(job, child), "the child is read")
        assert not any(shard.is_read_to_its_end for shard in job.reader.shards.values())
        eventually(lambda: shop.ledger()["received"] == 16, "every record is read")
    check(shop, 16)


def is_after(job: Job, shard: str) -> bool:
    position = job.reader.through.get(shard) if hasattr(job, "reader") else None
    return position is not None and position.kind is Kind.AFTER


def put_first(river: River, *tickets: int) -> None:
    """Put records into the shard of the least hash key."""
    for ticket in tickets:
        river.kinesis.put_record(
            StreamName=river.stream, Data=river.sale(ticket, 2), PartitionKey="x", ExplicitHashKey="0"
        )


def test_a_shard_that_expired_after_its_end_is_forgotten(shop: River) -> None:
    """Its parent is no longer listed; the pipeline starts, and goes on from the children."""
    shop.sell([1, 2], 2, keys_apart=True)
    shop.split(0)
    shop.drain()
    parents = {shard for shard, kind in standing(shop).items() if kind == "END"}
    assert 1 == len(parents)
    shop.warehouse_run(
        f"insert into freshet.{shop.name}_positions select 'shardId-999999999999', kind, sequence, at_time, proved_at "
        f"from freshet.{shop.name}_positions where kind = 'END'"
    )
    shop.sell([3], 2, keys_apart=True)
    shop.drain()
    check(shop, 3)
    assert "shardId-999999999999" not in standing(shop)
