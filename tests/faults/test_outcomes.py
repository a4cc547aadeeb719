"""What became of a statement is decided by the ledger, never by the client."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from freshet.redshift.merge_sql import Step

import streaming_job.job
from freshet.errors import EnvironmentFault, StaleBatch, TerminalError
from streaming_job.start import start
from tests.faults.control import inject, injected
from tests.river import River


def redshift(river: River) -> str:
    return str(river.place.endpoints["redshift"]["endpoint_url"])


def test_a_lost_response_is_decided_by_the_ledger(own_stream: River) -> None:
    """The transaction ran, its answer never came: the step is found in the ledger and counts once."""
    own_stream.put(*[own_stream.sale(ticket, 5) for ticket in range(1, 6)])
    before = injected(redshift(own_stream))
    with own_stream.job() as job:
        inject(redshift(own_stream), operation="BatchExecuteStatement", fault="lose_response", times=4)
        job.work()
    assert injected(redshift(own_stream)) - before == 4
    assert [(ticket, 5) for ticket in range(1, 6)] == [(row[0], row[8]) for row in own_stream.actual()]
    ledger = own_stream.ledger()
    assert (ledger["starts"], ledger["batches"], ledger["merged"]) == (1, 1, 5)


def test_throttling_delays_and_loses_nothing(own_stream: River) -> None:
    """ThrottlingException is waited out."""
    own_stream.put(own_stream.sale(1, 5))
    before = injected(redshift(own_stream))
    with own_stream.job() as job:
        inject(redshift(own_stream), operation="BatchExecuteStatement", fault="throttle", times=3)
        job.work()
    assert injected(redshift(own_stream)) - before == 3
    assert own_stream.ledger()["merged"] == 1


def test_a_stale_job_writes_nothing_more(own_stream: River) -> None:
    """Another job's start moved the head: the older one ends, and the newer one has every row once."""
    own_stream.put(own_stream.sale(1, 5))
    with own_stream.job() as older:
        remembered = start(older.ledger, older.kinesis, older.stream, "older", False, lambda: False)
        own_stream.drain()
        before = own_stream.target()
        own_stream.put(own_stream.sale(2, 5))
        late = Step("late", remembered.head, "batch", "older", datetime.now(UTC))
        with pytest.raises(StaleBatch, match="Another job"):
            older.ledger.commit(late)
    own_stream.drain()
    assert [row["ticket_id"] for row in before] == [1]
    assert [row[0] for row in own_stream.actual()] == [1, 2]


def test_what_redshift_refuses_again_and_again_stops_the_job(
    own_stream: River, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that can never be merged is not tried for ever; nothing was written, and the next start goes on."""
    own_stream.put(own_stream.sale(1, 5))
    with own_stream.job() as job:
        own_stream.warehouse_run(f"alter table public.{own_stream.name} drop column seat_level")
        with pytest.raises(TerminalError, match="Redshift refused step"):
            job.work()
    assert own_stream.ledger()["batches"] == 0
    own_stream.warehouse_run(f"drop table public.{own_stream.name}")
    own_stream.drain()
    assert [row[0] for row in own_stream.actual()] == [1]


def test_a_ledger_without_its_state_row_accepts_no_step(own_stream: River) -> None:
    """The check is an aggregate, which gives a row even if the state row is gone: NOT NULL fails it."""
    with own_stream.job() as job:
        own_stream.warehouse_run(f"delete from freshet.{own_stream.name}_state")
        with pytest.raises(TerminalError, match="tampered"):
            job.work()
        own_stream.put(own_stream.sale(1, 5))
        with pytest.raises(StaleBatch, match="gone"):
            job.ledger.commit(Step("a", "b", "batch", "run", datetime.now(UTC)))


def failing(times: int, work: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """A function that works after it failed so often."""
    left = iter(range(times))

    def call(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return work(*arguments, **named)

    return call


def test_staged_files_that_cannot_be_deleted_do_no_harm(own_stream: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is committed; the job goes on from it, and the bucket's lifecycle rule has the files."""
    slow = ClientError({"Error": {"Code": "SlowDown"}}, "DeleteObjects")
    monkeypatch.setattr(streaming_job.job, "drop", failing(1, streaming_job.job.drop, slow))
    own_stream.put(own_stream.sale(1, 5))
    own_stream.drain()
    assert (1, 1) == (own_stream.ledger()["batches"], own_stream.ledger()["merged"])


def test_a_failure_after_the_commit_is_not_another_job(own_stream: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head is a step of this very run: the job goes on from there, and nothing is done twice."""
    monkeypatch.setattr(
        streaming_job.job, "report", failing(1, streaming_job.job.report, EnvironmentFault("no answer"))
    )
    own_stream.put(own_stream.sale(1, 5), own_stream.sale(2, 5))
    own_stream.drain()
    assert (1, 2) == (own_stream.ledger()["batches"], own_stream.ledger()["merged"])
    assert [1, 2] == [row[0] for row in own_stream.actual()]


def test_an_outage_is_waited_out(own_stream: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen batches fail, and the ledger does not answer either; then all is as it was."""
    own_stream.put(own_stream.sale(1, 5))
    with own_stream.job() as job:
        monkeypatch.setattr(job.stopping, "sleep", lambda _: None)
        monkeypatch.setattr(job, "_read", failing(6, job._read, EnvironmentFault("MySQL does not answer")))
        again = type(job.ledger).read_after
        monkeypatch.setattr(
            type(job.ledger), "read_after", failing(6, again, EnvironmentFault("Redshift does not answer"))
        )
        job.work()
    assert [1] == [row[0] for row in own_stream.actual()]


def test_an_outage_without_an_end_ends_the_job(own_stream: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that somebody is told; nothing was written."""
    with own_stream.job() as job:
        monkeypatch.setattr(job.stopping, "sleep", lambda _: None)
        monkeypatch.setattr(streaming_job.job, "FAILING_MAX_S", 0.0)
        monkeypatch.setattr(job, "_read", failing(99, job._read, EnvironmentFault("MySQL does not answer")))
        with pytest.raises(TerminalError, match="every batch failed, the last with: MySQL does not answer"):
            job.work()
    assert 0 == own_stream.ledger()["batches"]
