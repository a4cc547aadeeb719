"""A transaction that is in the stream before its rows can be seen: its keys stay pending until it has ended."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from sandbox import mysql as source
from tests.faults.server import own_server, semi_sync_of
from tests.river import River, deletes, eventually
from tests.servers import MYSQL_SERVERS


@pytest.fixture(scope="module", params=MYSQL_SERVERS)
def place_of_its_own(
    request: pytest.FixtureRequest, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """The sandbox, with another server for its source."""
    with own_server(tmp_path_factory.mktemp("mysql"), place, request.param) as made:
        yield made


@pytest.fixture
def shop(place_of_its_own: Place, spark: SparkSession, tmp_path: Path) -> River:
    """A filled pipeline that removes what is deleted."""
    river = River(place_of_its_own, spark, tmp_path, own_stream=True)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    river.change(deletes("apply"))
    river.sell_in_source(range(1, 11), 5)
    river.drain()
    return river


Change = tuple[str, Callable[[River], bytes]]
CHANGES: dict[str, Change] = {
    "an update": (
        "update ticket_activity set purchased_by = 7 where ticket_id = 1",
        lambda river: river.sale(1, 7, old={"ticket_id": 1}),
    ),
    "an insert": (
        "insert into ticket_activity values (50, 7, now(3), now(3))",
        lambda river: river.sale(50, 7),
    ),
    "a delete": (
        "delete from ticket_activity where ticket_id = 2",
        lambda river: river.sale(2, 5, operation="delete"),
    ),
    "a moved key": (
        "update ticket_activity set ticket_id = 60 where ticket_id = 3",
        lambda river: river.sale(60, 5, old={"ticket_id": 3}),
    ),
    "a dimension": (
        "update customer set name = 'Kim' where customer_id = 5",
        lambda river: river.record({"customer_id": 5}, table="customer", old={}),
    ),
}


def commits(river: River) -> int:
    return int(river.ledger()["batches"])


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_prepared_and_not_yet_committed_ends_right(shop: River, change: Change, end: str) -> None:
    """XA PREPARE is in the binlog; the row is read as it is and stays pending, and an idle round commits nothing meanwhile."""
    statement, record = change
    with shop.mysql() as holder, holder.cursor() as cursor:
        for step in (f"xa start '{shop.name}'", statement, f"xa end '{shop.name}'", f"xa prepare '{shop.name}'"):
            cursor.execute(step)
        with shop.running() as job:
            shop.put(record(shop))
            eventually(lambda: bool(shop.pending()), "the key is held")
            eventually(lambda: not job.pipelines[shop.name].changed, "its round is over")
            before, turn = commits(shop), job.turn
            assert shop.expected() == shop.actual()
            shop.sell([90], 9)
            eventually(lambda: 90 in [row[0] for row in shop.actual()], "others go on")
            assert shop.ledger()["pending_since"] is not None
            turn, before = job.turn, commits(shop)
            eventually(lambda: job.turn > turn + 3, "rounds go on")
            assert before == commits(shop)
            cursor.execute(f"xa {end} '{shop.name}'")
            eventually(lambda: not shop.pending(), "nothing is held any more")
    assert shop.expected() == shop.actual()
    others = [row for row in shop.actual() if row[0] == 90]
    assert 1 == len(others)


def test_what_waits_for_a_replica_ends_right(shop: River) -> None:
    """AFTER_SYNC: the change is in the binlog, and nobody sees it until a replica answers or the wait is over."""
    with shop.running():
        waits = f"{semi_sync_of(shop.place.endpoints['mysql']['server'])}_enabled"
        shop.run_as_administrator(f"set global {waits} = on")
        statement, record = CHANGES["an update"]
        waiting = threading.Thread(target=shop.run_sql, args=(statement,))
        end = binlog_end(shop)
        waiting.start()
        try:
            eventually(lambda: binlog_end(shop) != end, "the change is in the binlog")
            shop.put(record(shop))
            eventually(lambda: bool(shop.pending()), "the key is held")
            assert waiting.is_alive()
            assert 5 == next(row[8] for row in shop.actual() if row[0] == 1)
        finally:
            shop.run_as_administrator(f"set global {waits} = off")
            waiting.join(60)
        eventually(lambda: not shop.pending(), "the key is free")
    assert 7 == next(row[8] for row in shop.actual() if row[0] == 1)
    assert shop.expected() == shop.actual()


def binlog_end(river: River) -> Any:
    return source.binlog_position(river.place.endpoints["mysql"])


def test_a_held_key_survives_a_restart(shop: River) -> None:
    """It is in the warehouse: the next job finds it without its record, also that it moved."""
    statement, record = CHANGES["a moved key"]
    with shop.mysql() as holder, holder.cursor() as cursor:
        for step in (f"xa start '{shop.name}'", statement, f"xa end '{shop.name}'", f"xa prepare '{shop.name}'"):
            cursor.execute(step)
        with shop.running():
            shop.put(record(shop))
            eventually(lambda: 2 == len(shop.pending()), "both keys are held")
        cursor.execute(f"xa commit '{shop.name}'")
    shop.change(deletes("ignore"))
    shop.drain()
    assert [] == shop.pending()
    assert shop.expected() == shop.actual()


def test_a_walk_waits_behind_a_metadata_lock_for_a_moment_only(shop: River) -> None:
    """An ALTER that waits for a long transaction: the job gives up after a second, says so, and is right afterwards."""
    with shop.mysql() as holder, holder.cursor() as cursor, shop.running() as job:
        cursor.execute("start transaction")
        cursor.execute("select count(*) from ticket_activity")
        cursor.fetchall()
        altering = threading.Thread(
            target=shop.run_sql, args=("alter table ticket_activity add column note varchar(10) null",)
        )
        altering.start()
        time.sleep(0.5)
        shop.put(shop.record({"customer_id": 5}, table="customer", old={}))
        eventually(lambda: job.pipelines[shop.name].failures > 0, "a round gives up")
        cursor.execute("commit")
        altering.join(60)
        shop.run_sql("update customer set name = 'Kim' where customer_id = 5")
        shop.put(shop.record({"customer_id": 5}, table="customer", old={}))
        eventually(lambda: shop.expected() == shop.actual(), "the target is the SELECT")
