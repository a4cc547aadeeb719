"""What became of a statement is decided by the ledger, never by the client."""

from datetime import UTC, datetime

import pytest

from freshet.errors import StaleBatch, TerminalError
from freshet.redshift.merge_sql import Step
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
