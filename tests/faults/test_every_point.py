"""Whatever happens between any two statements of a round, nothing is lost, doubled or resurrected."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import streaming_job.connect
import streaming_job.job
from freshet.cli.context import Place
from freshet.errors import StaleBatch
from freshet.ledger.ledger import Ledger
from streaming_job import group
from tests.faults.points import ASK, Killed, Points, cut_off, keep_waiting, kill, lose
from tests.river import River

RUNS_MAX = 150


class World:
    """A pipeline that is filled, and a source that changes between any two jobs."""

    def __init__(self, river: River) -> None:
        self.river, self.records, self.poison, self.turn = river, 0, 0, 0
        river.sell(range(1, 21), 5)
        self.records += 20
        river.drain()

    def change(self) -> None:
        """Two sales pass on, one is new, a customer's name changes, a key moves, a request comes, a record is rubbish."""
        self.turn += 1
        river, turn = self.river, self.turn
        river.sell([1, 2, 20 + (turn % 60)], turn % 40 + 1)
        customer, moved = turn % 40 + 1, 90 + turn % 2
        river.run_sql(
            f"update customer set name = 'customer {turn}' where customer_id = {customer}",
            "delete from ticket_activity where ticket_id in (90, 91)",
            f"insert into ticket_activity values ({moved}, 7, utc_timestamp(3), utc_timestamp(3))",
        )
        river.put(
            river.record({"customer_id": customer}, table="customer", old={}),
            river.record({"ticket_id": moved}, old={"ticket_id": 90 + (turn + 1) % 2}),
            b"rubbish",
        )
        river.request_keys((3,))
        self.records += 6
        self.poison += 1

    def check(self, seen: list[str]) -> None:
        """The target is the SELECT, each record was counted once, nothing is left to do."""
        river, at = self.river, f"after {len(seen)} statements: {seen[-8:]}"
        assert river.expected() == river.actual(), at
        ledger = river.ledger()
        assert (self.records, self.poison, 0) == (ledger["received"], ledger["quarantined"], ledger["pending"]), at
        assert len(river.target()) == len({row["ticket_id"] for row in river.target()}), at
        assert [] == [name for name in river.objects() if "/requests/" in name], at


@pytest.fixture
def world(place: Place, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Of its own stream; what failed is tried again at once, and a job is idle after one look.

    Its hundreds of jobs know their pipeline already, and that the tables are there.
    """
    monkeypatch.setattr(group, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(streaming_job.job, "IDLE_ROUNDS", 1)
    river = River(place, spark, tmp_path, own_stream=True, shards=1)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    world = World(river)
    with river.job() as job:
        (pipeline,) = job.pipelines.values()
    monkeypatch.setattr(streaming_job.connect, "_source", lambda *_: None)
    monkeypatch.setattr(streaming_job.connect, "Followed", lambda _: pipeline.followed)
    monkeypatch.setattr(river, "_built", lambda *_: None)
    monkeypatch.setattr(Ledger, "create", lambda *_, **__: None)
    return world


def every_point(work: Callable[[int], Points], at_least: int = 20) -> None:
    """Call for each statement of a job until its first round is over."""
    for at in range(1, RUNS_MAX):
        points = work(at)
        if not points.reached:
            assert at > at_least, points.seen
            return
    raise AssertionError(f"a round has more than {RUNS_MAX} statements")


def test_a_job_that_is_killed_twice_at_any_point(world: World) -> None:
    """The second start dies where the first did; the third finds everything."""

    def twice(at: int) -> Points:
        world.change()
        for _ in range(2):
            points = Points(at, kill)
            try:
                with points.armed():
                    world.river.drain()
            except Killed:
                pass
        if points.reached:
            world.river.drain()
        world.check(points.seen)
        return points

    every_point(twice)


def test_a_second_job_at_any_point(world: World) -> None:
    """It takes the ledger over and does all there is to do; the first, let go on, writes nothing that it should not."""

    def beside(at: int) -> Points:
        world.change()
        points = Points(at, lambda _: world.river.drain())
        try:
            with points.armed():
                world.river.drain()
        except StaleBatch:
            assert points.reached
        world.check(points.seen)
        return points

    every_point(beside)


@pytest.mark.parametrize("afterwards", [False, True], ids=["no question arrives", "no answer arrives"])
def test_a_job_that_gets_no_answer_at_any_point_goes_on_by_itself(world: World, afterwards: bool) -> None:
    """Whether what it asked for was done or not; no record is counted twice."""
    every_point(lambda at: undisturbed(world, Points(at, lose, afterwards)))


@pytest.mark.parametrize("action", [cut_off, keep_waiting])
def test_a_statement_that_mysql_ends_or_keeps_waiting_fails_its_round_only(
    world: World, action: Callable[[str], None]
) -> None:
    """A server that is overloaded, a table that is being altered: also in the probe, and in the look at the source."""
    every_point(lambda at: undisturbed(world, Points(at, action, only=ASK)), at_least=6)


def undisturbed(world: World, points: Points) -> Points:
    """One job comes to its end, whatever happens on its way."""
    world.change()
    with points.armed():
        world.river.drain()
    world.check(points.seen)
    return points
