"""How often the warehouse is woken: each statement that is sent to the Data API bills a minute of it."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from streaming_job import metrics
from streaming_job.running import Running
from tests.faults.control import inject
from tests.river import River

STATEMENTS = ("ExecuteStatement", "BatchExecuteStatement")
CUSTOMER, TICKETS = 1, (1, 2, 3, 4)


@pytest.fixture
def river(place: Place, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> River:
    """A pipeline that has swept its source, whose job sends its metrics at every turn."""
    monkeypatch.setattr(metrics, "EVERY_S", 0.0)
    made = River(place, spark, tmp_path, own_stream=True)
    made.simulate("initial", "--events", "2", "--tickets_per_event", "10", "--customers", "10")
    rows = ", ".join(f"({ticket}, {CUSTOMER}, '2024-07-29', '2024-07-29')" for ticket in TICKETS)
    made.run_sql(f"insert into ticket_activity values {rows}")
    made.drain()
    made.run_sql(f"update ticket_activity set purchased_by = {CUSTOMER + 1} where ticket_id <= 3")
    return made


class Woken:
    """The statements that a job sends from its first round on, and what its rounds did."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.rounds: list[Mapping[str, int] | None] = []


def work(river: River, monkeypatch: pytest.MonkeyPatch, before_rounds: Callable[[], None] = lambda: None) -> Woken:
    """Run a job until it is idle."""
    woken, round_ = Woken(), Running.round

    def note(model: Any, **_: Any) -> None:
        woken.sent[model.name] += model.name in STATEMENTS

    def one_round(running: Running, *given: Any) -> int:
        if not woken.rounds:
            before_rounds()
            running.ledger.warehouse.client.meta.events.register("before-call.redshift-data", note)
        taken = round_(running, *given)
        told = running.told and {
            "received": running.told.received,
            "ignored": running.told.ignored,
            "quarantined": running.told.quarantined,
        }
        woken.rounds.append(told and {**told, **(running.counts or {})})
        return taken

    monkeypatch.setattr(Running, "round", one_round)
    with river.job(metrics_namespace="Freshet/wakes") as job:
        job.work()
    return woken


EXPECTED = {
    "received": 9,
    "ignored": 1,
    "quarantined": 1,
    "written": 3,
    "unchanged": 1,
    "removed": 0,
    "marked": 0,
    "unfit": 0,
}


@pytest.fixture
def told(river: River) -> River:
    """Seven records of four tickets, one of another table, one without its key."""
    river.put(*[river.sale(ticket, 1) for ticket in (1, 1, 2, 2, 3, 3, 4)])
    river.put(river.record({}, table="other"), river.record({"purchased_by": 1}))
    return river


def test_a_round_sends_one_statement_and_an_idle_one_none(told: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counts come with its own answer, metrics included; without them the warehouse would wake twice."""
    before = told.ledger()
    woken = work(told, monkeypatch)
    committed = [one for one in woken.rounds if one is not None]
    assert [EXPECTED] == committed
    assert len(woken.rounds) >= 3
    assert {"BatchExecuteStatement": 1} == +woken.sent
    after = told.ledger()
    assert {name: EXPECTED[name] for name in ("received", "ignored", "written", "unchanged")} == {
        name: after[name] - before[name] for name in ("received", "ignored", "written", "unchanged")
    }


def test_a_round_whose_answer_is_lost_is_counted_by_the_ledger(told: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then, and only then, the warehouse is asked: what became of the commit, and what it did."""
    url = told.place.endpoints["redshift"]["endpoint_url"]
    woken = work(
        told, monkeypatch, lambda: inject(url, operation="BatchExecuteStatement", fault="lose_response", times=1)
    )
    assert [EXPECTED] == [one for one in woken.rounds if one is not None]
    # What became of it may be asked before it has run: then it is sent again, and refused.
    assert woken.sent["BatchExecuteStatement"] in {2, 4}
    assert 1 == woken.sent["ExecuteStatement"]
