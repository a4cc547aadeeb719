"""What Kinesis may do to a reader: throttle, expire iterators, answer with nothing, forget."""

import pytest

from freshet.errors import LostData, WrongStream
from tests.faults.control import forget, inject, injected
from tests.river import River


@pytest.mark.parametrize("fault", ["throttle", "expire_iterator", "empty_page"])
def test_a_reader_that_is_hindered_goes_on_and_loses_nothing(own_stream: River, fault: str) -> None:
    """ProvisionedThroughputExceeded, ExpiredIterator, and empty pages far from the tip."""
    url = own_stream.place.endpoints["aws"]["endpoint_url"]
    own_stream.put(*[own_stream.sale(ticket, 5) for ticket in range(1, 21)])
    before = injected(url)
    inject(url, operation="GetRecords", fault=fault, times=3)
    own_stream.drain()
    assert 3 == injected(url) - before
    assert list(range(1, 21)) == [row[0] for row in own_stream.actual()]
    assert 20 == own_stream.ledger()["received"]


def age(river: River) -> None:
    """Let the ledger's proofs be two days old; the stream keeps one day."""
    river.warehouse_run(f"update freshet.{river.name}_positions set proved_at = proved_at - interval '2 days'")


def test_records_that_expired_unread_stop_the_job(own_stream: River) -> None:
    """Kinesis itself would go on in silence; the message names the shard and the way on, which then works."""
    own_stream.put(own_stream.sale(1, 5))
    own_stream.drain()
    own_stream.put(own_stream.sale(2, 5))
    forget(own_stream.place.endpoints["aws"]["endpoint_url"], own_stream.stream)
    age(own_stream)
    with pytest.raises(LostData, match="--from-start"):
        own_stream.drain()
    own_stream.put(own_stream.sale(3, 5))
    own_stream.drain(from_start=True)
    assert [1, 3] == [row[0] for row in own_stream.actual()]


def test_a_pipeline_that_was_down_for_days_but_lost_nothing_goes_on(own_stream: River) -> None:
    """The last record read is still in the stream: so is everything after it."""
    own_stream.put(*[own_stream.sale(1, 5, schema_name="elsewhere")] * 40, *[own_stream.sale(1, 5)])
    for shard in (1, 2, 3, 4, 5, 6, 7):  # something in each shard, so that each has a record to look for
        own_stream.put(own_stream.sale(shard, 5), key=str(shard))
    own_stream.drain()
    age(own_stream)
    own_stream.put(own_stream.sale(9, 5))
    own_stream.drain()
    assert 9 in [row[0] for row in own_stream.actual()]


def test_another_stream_of_the_same_name_stops_the_job(own_stream: River) -> None:
    """Its sequence numbers mean nothing in the ledger."""
    own_stream.put(own_stream.sale(1, 5))
    own_stream.drain()
    own_stream.warehouse_run(
        f"update freshet.{own_stream.name}_state set stream_created_at = stream_created_at - interval '1 hour'"
    )
    with pytest.raises(WrongStream):
        own_stream.drain()
