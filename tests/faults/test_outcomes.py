"""What became of a statement is decided by the ledger, never by the client."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

import streaming_job.job
from freshet.errors import EnvironmentFault, StaleBatch, TerminalError
from freshet.ledger.commit import Commit
from freshet.ledger.commit_sql import Particulars
from freshet.ledger.ledger import Ledger
from streaming_job import group, running
from streaming_job.start import How, start
from tests.faults.control import inject, injected
from tests.river import River


@pytest.fixture
def filled(own_stream: River) -> River:
    """A pipeline after its first sweep: what it learns from now on, it learns from records."""
    own_stream.sell([90], 9)
    own_stream.drain()
    return own_stream


def redshift(river: River) -> str:
    return str(river.place.endpoints["redshift"]["endpoint_url"])


def test_a_lost_response_is_decided_by_the_ledger(filled: River) -> None:
    """The transaction ran, its answer never came: the commit is found in the ledger and counts once."""
    filled.sell(range(1, 6), 5)
    before = injected(redshift(filled))
    with filled.job() as job:
        inject(redshift(filled), operation="BatchExecuteStatement", fault="lose_response", times=4)
        job.work()
    assert injected(redshift(filled)) - before == 4
    assert filled.expected() == filled.actual()
    ledger = filled.ledger()
    assert (2, 2, 6, 6) == tuple(ledger[name] for name in ("starts", "batches", "received", "written"))


def test_throttling_delays_and_loses_nothing(filled: River) -> None:
    """ThrottlingException is waited out."""
    filled.sell([1], 5)
    before = injected(redshift(filled))
    with filled.job() as job:
        inject(redshift(filled), operation="BatchExecuteStatement", fault="throttle", times=3)
        job.work()
    assert injected(redshift(filled)) - before == 3
    assert filled.expected() == filled.actual()


def empty_commit(commit_id: str, follows: str) -> tuple[Commit, dict[str, Any], Particulars]:
    """A commit that says nothing."""
    return Commit(commit_id, follows, {}, None), {}, Particulars("round", "older", datetime.now(UTC))


def test_a_stale_job_writes_nothing_more(filled: River) -> None:
    """Another job's start moved the head: the older one ends, and the newer one has every row."""
    filled.sell([1], 5)
    with filled.job() as older:
        (pipeline,) = older.pipelines.values()
        memory = start(pipeline.ledger, older.kinesis, older.stream, How("older"))
        filled.drain()
        before = filled.target()
        filled.sell([2], 5)
        with pytest.raises(StaleBatch, match="Another job"):
            pipeline.ledger.commit(*empty_commit("late", memory.remembered.head))
        with pytest.raises(StaleBatch, match="Another job"):
            pipeline.ledger.read_after(memory.remembered.head, "older")
    assert before == filled.target()
    filled.drain()
    assert filled.expected() == filled.actual()


def test_what_redshift_refuses_again_and_again_ends_the_pipeline(filled: River) -> None:
    """A commit that can never be made is not tried for ever; nothing was written, and a start after the mend goes on."""
    filled.sell([1], 5)
    with filled.job() as job:
        filled.warehouse_run(f"alter table public.{filled.name} rename seat_level to level")
        with pytest.raises(TerminalError, match="Redshift refused commit"):
            job.work()
    assert 1 == filled.ledger()["batches"]
    filled.warehouse_run(f"alter table public.{filled.name} rename level to seat_level")
    filled.drain()
    assert filled.expected() == filled.actual()
    assert (2, 0) == (filled.ledger()["received"], filled.ledger()["quarantined"])


def test_a_target_that_is_gone_is_an_error_until_it_is_asked_for_anew(filled: River) -> None:
    """Never silently an empty table: `--rebuild` makes it again and fills it with what no record names."""
    filled.sell([1, 2], 5)
    filled.drain()
    filled.warehouse_run(f"drop table public.{filled.name}")
    with pytest.raises(TerminalError, match="--rebuild"):
        filled.drain()
    with pytest.raises(TerminalError, match="--rebuild"):
        filled.drain(from_start=True)
    filled.drain(rebuild=True)
    assert filled.expected() == filled.actual()
    assert 3 == len(filled.actual())
    filled.drain(rebuild=True)
    assert filled.expected() == filled.actual()


def test_a_ledger_without_its_state_row_accepts_no_commit(filled: River) -> None:
    """The check is an aggregate, which gives a row even if the state row is gone: NOT NULL fails it."""
    with filled.job() as job:
        filled.warehouse_run(f"delete from freshet.{filled.name}_state")
        (pipeline,) = job.pipelines.values()
        with pytest.raises(TerminalError, match="tampered"):
            job.work()
        with pytest.raises(StaleBatch, match="gone"):
            pipeline.ledger.commit(*empty_commit("a", "b"))
    with pytest.raises(TerminalError, match="tampered"):
        filled.drain()


def failing(times: int, work: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """A function that works after it failed so often."""
    left = iter(range(times))

    def call(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return work(*arguments, **named)

    return call


def test_staged_files_that_cannot_be_deleted_do_no_harm(filled: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is made; the job goes on from it, and the bucket's lifecycle rule has the files."""
    slow = ClientError({"Error": {"Code": "SlowDown"}}, "DeleteObjects")
    monkeypatch.setattr(running, "delete_staged", failing(1, running.delete_staged, slow))
    filled.sell([1], 5)
    filled.drain()
    assert (2, 2) == (filled.ledger()["batches"], filled.ledger()["written"])
    assert filled.objects()


def test_a_failure_after_the_commit_is_not_another_job(filled: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head is a commit of this very run: the job goes on from there, and its records have been counted."""
    monkeypatch.setattr(group, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(running, "report", failing(1, running.report, EnvironmentFault("no answer")))
    filled.sell([1, 2], 5)
    filled.put(b"rubbish")
    filled.drain()
    assert_counted_once(filled)


def test_a_commit_whose_outcome_is_learned_by_the_next_round_counts_nothing_twice(
    filled: River, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is made, and then neither Redshift nor the ledger answers for a while; meanwhile records arrive."""
    monkeypatch.setattr(group, "RETRY_FIRST_S", 0.01)
    commit = Ledger.commit
    lost: list[str] = []

    def answering_nothing(ledger: Ledger, *arguments: Any) -> Any:
        answer = commit(ledger, *arguments)
        if arguments[2].kind == "round" and not lost:
            lost.append(arguments[0].id)
            filled.sell([2], 5)
            raise EnvironmentFault("Redshift does not answer")
        return answer

    monkeypatch.setattr(Ledger, "commit", answering_nothing)
    filled.sell([1], 5)
    filled.put(b"rubbish")
    filled.drain()
    assert lost
    assert_counted_once(filled)


def assert_counted_once(river: River) -> None:
    """The target is the SELECT; four records were received, one of them rubbish."""
    assert river.expected() == river.actual()
    assert (4, 1) == (river.ledger()["received"], river.ledger()["quarantined"])


def test_an_outage_is_waited_out(filled: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen rounds fail, and the ledger does not answer either; then all is as it was."""
    monkeypatch.setattr(group, "RETRY_FIRST_S", 0.0)
    filled.sell([1], 5)
    with filled.job() as job:
        (pipeline,) = job.pipelines.values()
        monkeypatch.setattr(job.stopping, "sleep", lambda _: None)
        monkeypatch.setattr(pipeline, "_commit", failing(6, pipeline._commit, EnvironmentFault("S3 does not answer")))
        monkeypatch.setattr(
            Ledger, "read_after", failing(6, Ledger.read_after, EnvironmentFault("Redshift does not answer"))
        )
        job.work()
    assert filled.expected() == filled.actual()
    assert 2 == filled.ledger()["received"]


def test_an_outage_without_an_end_ends_the_pipeline(filled: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that somebody is told; nothing was written."""
    monkeypatch.setattr(group, "RETRY_FIRST_S", 0.0)
    filled.sell([1], 5)
    with filled.job() as job:
        (pipeline,) = job.pipelines.values()
        monkeypatch.setattr(job.stopping, "sleep", lambda _: None)
        monkeypatch.setattr(streaming_job.job, "FAILING_MAX_S", 0.0)
        monkeypatch.setattr(pipeline, "_commit", failing(99, pipeline._commit, EnvironmentFault("S3 does not answer")))
        with pytest.raises(TerminalError, match="every round failed, the last with: S3 does not answer"):
            job.work()
    assert 1 == filled.ledger()["batches"]


def test_a_stream_that_does_not_answer_is_waited_for(filled: River, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pipelines wait with it; then every record is there."""
    filled.sell([1], 5)
    with filled.job() as job:
        monkeypatch.setattr(job.stopping, "sleep", lambda _: None)
        away = ClientError({"Error": {"Code": "InternalFailure"}}, "GetRecords")
        monkeypatch.setattr(job, "_read_pages", failing(6, job._read_pages, away))
        job.work()
    assert filled.expected() == filled.actual()
    assert 2 == filled.ledger()["received"]
