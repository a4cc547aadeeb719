"""The one reader: what it reads ahead is what it would have read, and nothing that was not taken in counts."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from freshet.ledger import positions
from freshet.ledger.positions import Kind, Position
from streaming_job.kinesis import Budget, Reader

FEW = Budget(records=4)


class Stream:
    """A client of a stream in memory: shard to sequence numbers; an iterator is "shard number"."""

    def __init__(self, shards: dict[str, list[int]]) -> None:
        self.shards = shards
        self.asked: list[tuple[str, int]] = []
        self.away = False

    def get_shard_iterator(self, **asked: Any) -> dict[str, str]:
        after = int(asked.get("StartingSequenceNumber", 0))
        first = sum(1 for number in self.shards[asked["ShardId"]] if number <= after)
        return {"ShardIterator": f"{asked['ShardId']} {first}"}

    def get_records(self, **asked: Any) -> dict[str, Any]:
        if self.away:
            raise ClientError({"Error": {"Code": "InternalFailure"}}, "GetRecords")
        shard, _, first = asked["ShardIterator"].partition(" ")
        numbers, last = self.shards[shard], int(first) + asked["Limit"]
        self.asked.append((shard, asked["Limit"]))
        return {
            "Records": [
                {"SequenceNumber": str(number), "Data": b"%d" % number, "ApproximateArrivalTimestamp": float(number)}
                for number in numbers[int(first) : last]
            ],
            "NextShardIterator": f"{shard} {min(last, len(numbers))}",
            "MillisBehindLatest": 0 if last >= len(numbers) else 1000,
        }


def reader_of(stream: Stream) -> Reader:
    at_start = dict.fromkeys(stream.shards, positions.START)
    return Reader(stream, "s", lambda body: body, at_start)  # type: ignore[arg-type, return-value]  # bodies say enough


def taken(reader: Reader, budget: Budget = FEW) -> dict[str, list[bytes]]:
    """Read once, and take everything in."""
    found: dict[str, list[bytes]] = {}
    for shard, page in reader.read(budget):
        shard.take_in(page)
        found.setdefault(shard.id, []).extend(each.outcome for each in page.records)  # type: ignore[misc]
    return found


def test_a_read_takes_no_more_of_a_shard_than_its_budget() -> None:
    """So that many shards together fill no memory."""
    stream = Stream({"a": list(range(1, 20)), "b": [30, 31]})
    assert {"a": [b"1", b"2", b"3", b"4"], "b": [b"30", b"31"]} == taken(reader_of(stream))
    assert {("a", 4), ("b", 4)} == set(stream.asked)


def test_what_is_read_ahead_is_what_comes_next() -> None:
    """Once, in order, and no position moves before it is taken in."""
    stream = Stream({"a": list(range(1, 11))})
    reader = reader_of(stream)
    found = taken(reader)["a"]
    while reader.open_shards[0].tip_at is None:
        reader.read_ahead(FEW)
        assert int(found[-1]) == reader.through["a"].sequence
        found += taken(reader)["a"]
    assert [b"%d" % number for number in range(1, 11)] == found
    assert Position(Kind.AFTER, 10, 10.0) == reader.through["a"]


def test_a_reader_that_goes_back_forgets_what_it_read_ahead() -> None:
    """Else the position would move past records that were read only once, from another place."""
    reader = reader_of(Stream({"a": list(range(1, 11))}))
    taken(reader)
    taken(reader)
    reader.read_ahead(FEW)
    reader.go_back({"a": Position(Kind.AFTER, 2, 2.0)})
    assert [b"3", b"4", b"5", b"6"] == taken(reader)["a"]


def test_an_error_of_reading_ahead_is_raised_when_its_pages_are_taken() -> None:
    """The round in between is not disturbed; then the reader begins anew from its positions."""
    stream = Stream({"a": list(range(1, 11))})
    reader = reader_of(stream)
    taken(reader)
    stream.away = True
    reader.read_ahead(FEW)
    with pytest.raises(ClientError):
        taken(reader)
    stream.away = False
    reader.forget_iterators()
    assert [b"5", b"6", b"7", b"8"] == taken(reader)["a"]


def test_a_page_that_was_not_taken_in_is_read_again() -> None:
    """Whoever takes pages may fail in the middle."""
    stream = Stream({"a": list(range(1, 11))})
    reader = reader_of(stream)
    with pytest.raises(ZeroDivisionError):
        _fail(reader)
    reader.forget_iterators()
    assert [b"1", b"2", b"3", b"4"] == taken(reader)["a"]


def _fail(reader: Reader) -> None:
    for _ in reader.read(FEW):
        raise ZeroDivisionError
