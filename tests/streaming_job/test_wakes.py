"""How often the warehouse is woken: each statement that is sent to the Data API bills a minute of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from freshet.redshift.ledger import Ledger, Remembered
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from streaming_job import metrics
from streaming_job.job import Job
from streaming_job.kinesis import Marker
from tests.faults.control import inject
from tests.river import River

STATEMENTS = ("ExecuteStatement", "BatchExecuteStatement")


@pytest.fixture
def river(place: Place, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> River:
    """A pipeline whose job sends its metrics at every turn."""
    monkeypatch.setattr(metrics, "EVERY_S", 0.0)
    made = River(place, spark, tmp_path, own_stream=True)
    made.simulate("initial", "--events", "2", "--tickets_per_event", "10", "--customers", "10")
    return made


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, int]]:
    """What each commit says of its records."""
    heard: list[Mapping[str, int]] = []
    commit = Ledger.commit

    def listen(*given: Any) -> dict[str, int]:
        said = commit(*given)
        heard.append(said)
        return said

    monkeypatch.setattr(Ledger, "commit", listen)
    return heard


@contextmanager
def started(river: River) -> Iterator[tuple[Job, Remembered, "Counter[str]"]]:
    """A job that has started, what the ledger remembers, and the statements that are sent from then on."""
    sent: Counter[str] = Counter()
    with river.job(metrics_namespace="Freshet/wakes") as job:
        remembered = job._start()

        def note(model: Any, **_: Any) -> None:
            sent[model.name] += model.name in STATEMENTS

        job.ledger.warehouse.client.meta.events.register("before-call.redshift-data", note)
        yield job, remembered, sent


def totals(river: River) -> Mapping[str, int]:
    names = ("received", "merged", "superseded", "ignored", "quarantined")
    return {name: river.ledger()[name] for name in names}


def test_a_batch_sends_one_statement_and_an_idle_round_none(river: River, counted: list[Mapping[str, int]]) -> None:
    """Its counts come with its own answer, metrics included; without them the warehouse would wake twice."""
    good = [river.sale(ticket, 1, at=f"2024-07-29T12:00:0{again}.000000Z") for ticket in (1, 2, 3) for again in (0, 1)]
    river.put(*good, river.sale(4, 1, at="soon"), river.sale(5, 1, operation="delete"), river.record({}, table="other"))
    with started(river) as (job, first, sent):
        remembered = first
        markers: list[Marker] = []
        while not any(marker.records for marker in markers):
            remembered, markers = job._batch(remembered)
        for _ in range(3):
            remembered, markers = job._batch(remembered)
            assert not any(marker.records for marker in markers)
        assert job.metrics
        job.metrics.close()
        assert {"BatchExecuteStatement": 1} == +sent
    assert {"received": 9, "merged": 3, "superseded": 3, "ignored": 2, "quarantined": 1} == counted[-1] == totals(river)


def test_a_batch_whose_answer_is_lost_is_counted_by_the_ledger(river: River, counted: list[Mapping[str, int]]) -> None:
    """Then, and only then, the warehouse is asked."""
    river.put(river.sale(1, 1), river.sale(2, 1))
    url = river.place.endpoints["redshift"]["endpoint_url"]
    with started(river) as (job, remembered, sent):
        inject(url, operation="BatchExecuteStatement", fault="lose_response", times=1)
        while not job._batch(remembered)[1][0].records and not totals(river)["received"]:
            pass
        assert sent["ExecuteStatement"] == 1
    assert {"received": 2, "merged": 2, "superseded": 0, "ignored": 0, "quarantined": 0} == counted[-1] == totals(river)
