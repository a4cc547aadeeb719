"""Several pipelines in one job: one read of the stream, each on its own, none held back by another."""

from typing import Any

import pytest

from freshet.errors import EnvironmentFault, SourceChanged, TerminalError
from freshet.ledger.ledger import Ledger
from streaming_job import group
from streaming_job.changed_keys import ChangedKeys, Shape
from tests.river import River, deletes, eventually, where


def test_pipelines_of_one_job_each_keep_their_own_table(river: River) -> None:
    """Another mode of deletes, another condition; one of them joins the job later and is filled."""
    cheap = river.second(deletes("apply"), where("`ticket.ticket_price` < 60"))
    river.run_sql("update ticket set ticket_price = ticket_id")
    river.sell_in_source(range(41, 81), 5)
    river.wait_for_dms()
    river.drain()
    late = river.second(deletes("mark"))
    river.run_sql("delete from ticket_activity where ticket_id = 41", "update customer set name = 'Kim'")
    river.sell_in_source([1, 2], 6)
    river.wait_for_dms()
    river.drain()
    river.run_sql("delete from ticket_activity where ticket_id = 42")
    river.wait_for_dms()
    river.drain()
    assert river.expected() == [row for row in river.actual() if row[0] not in {41, 42}]
    assert {41, 42} <= {row[0] for row in river.actual()}
    assert river.expected("t.ticket_price < 60") == river.actual(cheap)
    marks = [row["ticket_id"] for row in river.target(late) if row["_freshet_deleted_at"] is not None]
    assert [42] == marks
    assert river.expected() == [row for row in river.actual(late) if row[0] != 42]


def test_a_target_that_is_dropped_ends_its_pipeline_and_holds_no_other_back(own_stream: River) -> None:
    """The other goes on; at the end the job says what ended. `--rebuild` makes the table again, and fills it."""
    other = own_stream.second()
    own_stream.sell(range(1, 6), 5)
    own_stream.drain()
    with pytest.raises(TerminalError, match=f"pipeline {other}: Redshift refused commit"):
        drop_and_go_on(own_stream, other)
    with pytest.raises(TerminalError, match=f"pipeline {other}: its target .* is gone"):
        own_stream.drain()
    own_stream.drain(rebuild=True)
    assert own_stream.expected() == own_stream.actual() == own_stream.actual(other)


def drop_and_go_on(river: River, other: str) -> None:
    """Run a job of two pipelines; the target of one is dropped."""
    with river.running() as job:
        river.warehouse_run(f"drop table public.{other}")
        river.sell([6, 7], 6)
        eventually(lambda: other in job.ended, "the second ends")
        river.sell([8], 6)
        eventually(lambda: river.expected() == river.actual(), "the first pipeline goes on")


@pytest.mark.parametrize("moved", [0, 12], ids=["a sweep finds all", "too many keys moved"])
def test_a_pipeline_that_fails_for_long_keeps_no_more_than_memory_may(
    own_stream: River, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """It forgets what a sweep will find; if even moved keys are too many it is left out, and starts anew once it can."""
    other, away, kept = own_stream.second(), False, []
    when_full, forget, commit = group.when_full, group.forget, Ledger.commit

    def forgetting(shape: Shape, changed: ChangedKeys) -> Any:
        left = yield from forget(shape, changed, 5)
        kept.append(left)
        return left

    def committing(ledger: Ledger, *arguments: Any) -> Any:
        if away and ledger.pipeline.name == other and arguments[2].kind == "round":
            raise EnvironmentFault("Redshift does not answer")
        return commit(ledger, *arguments)

    monkeypatch.setattr(group, "RETRY_MAX_S", 0.5)
    monkeypatch.setattr(group, "when_full", lambda changed, *, failing: when_full(changed, 5, failing=failing))
    monkeypatch.setattr(group, "forget", forgetting)
    monkeypatch.setattr(Ledger, "commit", committing)
    own_stream.sell(range(1, 21), 5)
    own_stream.drain()
    with own_stream.running() as job:
        away = True
        own_stream.sell([30], 6)
        eventually(lambda: job.pipelines[other].failures >= 1, "the second fails")
        own_stream.sell(range(31, 50), 6)
        for ticket in range(1, moved + 1):
            own_stream.run_sql(f"update ticket_activity set ticket_id = {ticket + 60} where ticket_id = {ticket}")
            own_stream.put(own_stream.record({"ticket_id": ticket + 60}, old={"ticket_id": ticket}))
        eventually(lambda: bool(kept) and (None in kept) == (moved > 0), "its memory is full")
        eventually(lambda: own_stream.expected() == own_stream.actual(), "the first pipeline goes on")
        away = False
        eventually(lambda: own_stream.expected() == own_stream.actual(other), "the second is whole")


@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("alter table customer drop column phone", "customer.phone is gone"),
        ("alter table customer modify phone varchar(60)", r"customer.phone is varchar\(60\) now, not varchar\(40\)"),
        ("alter table customer change phone telephone varchar(40)", "customer.phone is gone"),
        ("alter table ticket_activity drop primary key, add primary key (ticket_id, purchased_by)", "primary key"),
        ("drop table customer", "the table customer is gone"),
    ],
    ids=["dropped", "wider", "renamed", "another key", "the whole table"],
)
def test_a_column_that_is_gone_ends_its_pipeline_by_name_and_no_other(river: River, ddl: str, says: str) -> None:
    """The other one, which does not use it, goes on; at the end the job says what ended."""
    plain = river.define(
        "select t.ticket_id, t.seat_level, t.ticket_price from ticket as t",
        {"keys": ["ticket_id"], "freshness": "30s"},
        name=f"{river.name}_plain",
    )
    river.run_as_administrator(
        "set foreign_key_checks = 0", "alter table ticket_activity drop foreign key activity_by_customer"
    )
    river.sell_in_source(range(1, 6), 5)
    river.wait_for_dms()
    river.drain()
    before = river.target()
    with pytest.raises(TerminalError, match=says) as ended:
        change_and_go_on(river, ddl, plain)
    assert f"pipeline {river.name}:" in str(ended.value)
    assert before == river.target()


def change_and_go_on(river: River, ddl: str, plain: str) -> None:
    """Run a job of two pipelines; the first ends, the other goes on with what changes afterwards."""
    with river.running() as job:
        river.run_as_administrator("set foreign_key_checks = 0", ddl)
        eventually(lambda: river.name in job.ended, "the pipeline ends")
        assert isinstance(job.ended[river.name], SourceChanged)
        river.run_sql("update ticket set seat_level = 'new' where ticket_id = 3")
        eventually(
            lambda: ["new"] == [row["seat_level"] for row in river.target(plain) if row["ticket_id"] == 3],
            "the other pipeline goes on",
        )
