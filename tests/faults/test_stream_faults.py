"""What Kinesis may do to a reader: throttle, expire iterators, answer with nothing, forget."""

import pytest

from freshet.errors import LostData, WrongStream
from streaming_job.kinesis import Reader
from tests.faults.control import forget, inject, injected
from tests.river import River, deletes


@pytest.mark.parametrize("fault", ["throttle", "expire_iterator", "empty_page"])
def test_a_reader_that_is_hindered_goes_on_and_loses_nothing(own_stream: River, fault: str) -> None:
    """ProvisionedThroughputExceeded, ExpiredIterator, and empty pages far from the tip."""
    url = own_stream.place.endpoints["aws"]["endpoint_url"]
    own_stream.drain()
    own_stream.sell(range(1, 21), 5)
    before = injected(url)
    inject(url, operation="GetRecords", fault=fault, times=3)
    own_stream.drain()
    assert 3 == injected(url) - before
    assert own_stream.expected() == own_stream.actual()
    assert 20 == own_stream.ledger()["received"]


def test_a_backlog_is_read_ahead_and_no_fault_on_the_way_loses_a_record(
    own_stream: River, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next pages are read while a commit fails, and while Kinesis fails: each record is taken in once all the same."""
    begun: list[int] = []
    real = Reader.read_ahead
    monkeypatch.setattr(
        Reader, "read_ahead", lambda reader, budget: begun.append(budget.records) or real(reader, budget)
    )
    endpoints = own_stream.place.endpoints
    own_stream.drain()
    own_stream.sell(range(1, 61), 5, keys_apart=True)
    before = injected(endpoints["aws"]["endpoint_url"]), injected(endpoints["redshift"]["endpoint_url"])
    inject(endpoints["redshift"]["endpoint_url"], operation="BatchExecuteStatement", fault="throttle", times=3)
    inject(endpoints["aws"]["endpoint_url"], operation="GetRecords", fault="expire_iterator", times=2)
    own_stream.drain(records_per_shard=4)
    after = injected(endpoints["aws"]["endpoint_url"]), injected(endpoints["redshift"]["endpoint_url"])
    assert (2, 3) == (after[0] - before[0], after[1] - before[1])
    assert len(begun) > 5
    assert own_stream.expected() == own_stream.actual()
    assert 60 == own_stream.ledger()["received"]


def age(river: River) -> None:
    """Let the ledger's proofs be two days old; the stream keeps one day."""
    river.warehouse_run(f"update freshet.{river.name}_positions set proved_at = proved_at - interval '2 days'")


def test_records_that_expired_unread_stop_the_job(own_stream: River) -> None:
    """Kinesis itself would go on in silence; the message names the shard and the way on, whose sweep finds what was lost."""
    own_stream.change(deletes("apply"))
    own_stream.sell(range(1, 6), 5)
    own_stream.drain()
    own_stream.sell([6, 7], 5)
    own_stream.run_sql("delete from ticket_activity where ticket_id = 1", "update customer set name = 'Kim'")
    own_stream.put(own_stream.sale(1, 5, operation="delete"))
    forget(own_stream.place.endpoints["aws"]["endpoint_url"], own_stream.stream)
    age(own_stream)
    before = own_stream.target()
    for how in ({}, {"take_over": True}):
        with pytest.raises(LostData, match=r"shardId-[0-9]+ was .* --accept-gap"):
            own_stream.drain(**how)
    assert before == own_stream.target()
    own_stream.sell([8], 5)
    own_stream.drain(accept_gap=True)
    assert own_stream.expected() == own_stream.actual()
    own_stream.sell([9], 5)
    own_stream.drain()
    assert own_stream.expected() == own_stream.actual()


def test_a_pipeline_that_was_down_for_days_but_lost_nothing_goes_on(own_stream: River) -> None:
    """The last record read is still in the stream: so is everything after it."""
    own_stream.sell(range(1, 21), 5, keys_apart=True)  # something in each shard, so that each has a record to look for
    own_stream.drain()
    age(own_stream)
    own_stream.sell([30], 5)
    own_stream.drain()
    assert own_stream.expected() == own_stream.actual()
    assert 21 == own_stream.ledger()["received"]


def test_another_stream_of_the_same_name_stops_the_job(own_stream: River) -> None:
    """Its sequence numbers mean nothing in the ledger."""
    own_stream.sell([1], 5)
    own_stream.drain()
    own_stream.warehouse_run(
        f"update freshet.{own_stream.name}_state set stream_created_at = stream_created_at - interval '1 hour'"
    )
    with pytest.raises(WrongStream):
        own_stream.drain()
