"""The sandbox's Kinesis does what the Kinesis documentation says, seen through boto3."""

import hashlib
import itertools
import json
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from sandbox.aws import Endpoint
from sandbox.kinesis.api import Kinesis
from sandbox.kinesis.store import Store
from sandbox.server import Server

HALF = str(1 << 127)
MINUTE, HOUR = 60.0, 3600.0
MakeStream = Callable[..., str]


class Clock:
    """A clock that only tests turn forward, so that a slow machine refills no quota; each look is a millisecond later."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._start_ns = time.time_ns()
        self._looks = itertools.count()

    def now_ns(self) -> int:
        return self._start_ns + 1_000_000 * next(self._looks) + int(self.ahead_s * 1e9)

    def now_s(self) -> float:
        return self.now_ns() / 1e9


class Service:
    """One Kinesis behind HTTP, and a stream of one's own."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store = Store(folder / "kinesis.sqlite", self.clock.now_ns)
        self.endpoint = Endpoint(Kinesis(self.store, now_s=self.clock.now_s))
        self.server = Server(0, self.endpoint.answer, lambda _environ, _start: [])
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.client = boto3.client(
            "kinesis",
            endpoint_url=f"http://127.0.0.1:{self.server.port}",
            region_name="us-east-1",
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def close(self) -> None:
        self.client.close()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.store.close()

    def fault(self, **fault: object) -> None:
        url = f"http://127.0.0.1:{self.server.port}/_sandbox/faults"
        request = urllib.request.Request(url, json.dumps(fault).encode(), method="POST")
        urllib.request.urlopen(request).close()

    def injected(self, name: str) -> int:
        return self.endpoint.faults.injected.get(name, 0)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("kinesis"))
    yield service
    service.close()


@pytest.fixture
def client(service: Service) -> Any:
    # Another second for each test: quotas of the test before are over.
    service.clock.ahead_s += 10
    return service.client


@pytest.fixture
def make_stream(client: Any) -> MakeStream:
    def make(shards: int = 1) -> str:
        name = f"s-{uuid.uuid4().hex[:8]}"
        client.create_stream(StreamName=name, ShardCount=shards)
        return name

    return make


def shard_ids(client: Any, name: str, **how: Any) -> list[str]:
    return [shard["ShardId"] for shard in client.list_shards(StreamName=name, **how)["Shards"]]


def iterator(client: Any, name: str, shard: str = "shardId-000000000000", kind: str = "TRIM_HORIZON", **at: Any) -> str:
    return str(client.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType=kind, **at)["ShardIterator"])


def read(client: Any, name: str, shard: str = "shardId-000000000000", **at: Any) -> list[bytes]:
    answer = client.get_records(ShardIterator=iterator(client, name, shard, **at))
    return [record["Data"] for record in answer["Records"]]


def put(client: Any, name: str, *texts: str, key: str = "k") -> list[str]:
    records = [{"Data": text.encode(), "PartitionKey": key} for text in texts]
    return [record["SequenceNumber"] for record in client.put_records(StreamName=name, Records=records)["Records"]]


def test_a_record_comes_back_as_it_was_put(client: Any, make_stream: MakeStream) -> None:
    """Any bytes and any Unicode key come back, with an arrival time (API reference, Record)."""
    name = make_stream()
    data, key = bytes(range(256)), 'schlüssel\U0001d11e"\\'
    before = datetime.now(UTC).timestamp()
    client.put_record(StreamName=name, Data=data, PartitionKey=key)
    (record,) = client.get_records(ShardIterator=iterator(client, name))["Records"]
    assert (data, key) == (record["Data"], record["PartitionKey"])
    assert before - 1 < record["ApproximateArrivalTimestamp"].timestamp()


def test_a_key_belongs_to_the_shard_of_its_md5(client: Any, make_stream: MakeStream) -> None:
    """The MD5 of the key, as a 128-bit number, chooses the shard; ExplicitHashKey overrides it (PutRecords)."""
    name = make_stream(2)
    keys = [f"key {number}" for number in range(40)]
    owners = [int(hashlib.md5(key.encode()).hexdigest(), 16) >> 127 for key in keys]
    answer = client.put_records(StreamName=name, Records=[{"Data": b"x", "PartitionKey": key} for key in keys])
    assert [f"shardId-{owner:012d}" for owner in owners] == [record["ShardId"] for record in answer["Records"]]
    explicit = client.put_record(StreamName=name, Data=b"x", PartitionKey=keys[0], ExplicitHashKey=HALF)
    assert "shardId-000000000001" == explicit["ShardId"]


def test_sequence_numbers_have_56_digits_grow_and_have_gaps(client: Any, make_stream: MakeStream) -> None:
    """Numbers grow within a shard, and are not dense (Developer guide, "Sequence number")."""
    name = make_stream()
    numbers = put(client, name, "a", "b") + put(client, name, "c")
    assert {56} == {len(number) for number in numbers}
    assert sorted(numbers, key=int) == numbers
    assert int(numbers[1]) + 1 != int(numbers[2])


def test_the_five_iterator_types_begin_where_they_say(client: Any, service: Service, make_stream: MakeStream) -> None:
    """AT and AFTER a number, TRIM_HORIZON, LATEST, AT_TIMESTAMP (GetShardIterator)."""
    name = make_stream()
    numbers = put(client, name, "a", "b")
    service.clock.ahead_s += 10
    moment = service.clock.now_ns() / 1e9
    latest = iterator(client, name, kind="LATEST")
    put(client, name, "c")
    assert [b"a", b"b", b"c"] == read(client, name)
    assert [b"b", b"c"] == read(client, name, kind="AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1])
    assert [b"c"] == read(client, name, kind="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1])
    assert [b"c"] == [record["Data"] for record in client.get_records(ShardIterator=latest)["Records"]]
    service.clock.ahead_s += 10
    assert [b"c"] == read(client, name, kind="AT_TIMESTAMP", Timestamp=moment)


def test_a_number_of_another_shard_is_refused(client: Any, make_stream: MakeStream) -> None:
    """A number that the shard never gave is an InvalidArgument (GetShardIterator)."""
    name = make_stream(2)
    answer = client.put_record(StreamName=name, Data=b"x", PartitionKey="k", ExplicitHashKey="0")
    with pytest.raises(client.exceptions.InvalidArgumentException):
        iterator(
            client, name, "shardId-000000000001", "AT_SEQUENCE_NUMBER", StartingSequenceNumber=answer["SequenceNumber"]
        )


def test_a_split_closes_the_parent_and_ends_its_iterator(client: Any, make_stream: MakeStream) -> None:
    """Records go to the children only; the parent keeps its own, and ends with them (Developer guide, resharding)."""
    name = make_stream()
    put(client, name, "before")
    client.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    client.put_record(StreamName=name, Data=b"low", PartitionKey="k", ExplicitHashKey="0")
    client.put_record(StreamName=name, Data=b"high", PartitionKey="k", ExplicitHashKey=HALF)
    end = client.get_records(ShardIterator=iterator(client, name))
    assert [b"before"] == [record["Data"] for record in end["Records"]]
    assert "NextShardIterator" not in end
    assert ["shardId-000000000001", "shardId-000000000002"] == [child["ShardId"] for child in end["ChildShards"]]
    assert ["shardId-000000000000"] == end["ChildShards"][0]["ParentShards"]
    assert [b"low"] == read(client, name, "shardId-000000000001")
    assert [b"high"] == read(client, name, "shardId-000000000002")
    parent, low, _high = client.list_shards(StreamName=name)["Shards"]
    assert "EndingSequenceNumber" in parent["SequenceNumberRange"]
    assert int(parent["SequenceNumberRange"]["EndingSequenceNumber"]) < int(
        low["SequenceNumberRange"]["StartingSequenceNumber"]
    )
    with pytest.raises(client.exceptions.ResourceInUseException):
        client.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)


def test_a_merge_has_two_parents_and_every_record_once(client: Any, make_stream: MakeStream) -> None:
    """The merged shard names both parents; what they held stays theirs (MergeShards)."""
    name = make_stream(2)
    for hashed in ("0", HALF):
        client.put_record(StreamName=name, Data=hashed.encode(), PartitionKey="k", ExplicitHashKey=hashed)
    client.merge_shards(
        StreamName=name, ShardToMerge="shardId-000000000000", AdjacentShardToMerge="shardId-000000000001"
    )
    put(client, name, "after")
    merged = client.list_shards(StreamName=name)["Shards"][2]
    assert ("shardId-000000000000", "shardId-000000000001") == (
        merged["ParentShardId"],
        merged["AdjacentParentShardId"],
    )
    assert [[b"0"], [HALF.encode()], [b"after"]] == [read(client, name, shard) for shard in shard_ids(client, name)]


def test_only_adjacent_shards_merge(client: Any, make_stream: MakeStream) -> None:
    """Shards whose hash keys do not touch are refused (MergeShards)."""
    name = make_stream(3)
    with pytest.raises(client.exceptions.InvalidArgumentException):
        client.merge_shards(
            StreamName=name, ShardToMerge="shardId-000000000000", AdjacentShardToMerge="shardId-000000000002"
        )


def test_a_number_of_shards_is_reached_by_splits_and_merges(
    client: Any, service: Service, make_stream: MakeStream
) -> None:
    """Shards of one size; what was put before is read from its old shard, and nothing is lost (UpdateShardCount)."""
    name, put_in = make_stream(2), []
    for number, count in enumerate((2, 3, 6, 4)):
        if number:
            answer = client.update_shard_count(StreamName=name, TargetShardCount=count, ScalingType="UNIFORM_SCALING")
            assert count == answer["TargetShardCount"]
        opened = client.list_shards(StreamName=name, ShardFilter={"Type": "AT_LATEST"})["Shards"]
        starts = sorted(int(shard["HashKeyRange"]["StartingHashKey"]) for shard in opened)
        assert [(1 << 128) * place // count for place in range(count)] == starts
        records = [{"Data": f"{number}.{key}".encode(), "PartitionKey": str(key)} for key in range(20)]
        put_in += [record["Data"] for record in records]
        client.put_records(StreamName=name, Records=records)
    found = []
    for shard in shard_ids(client, name):
        service.clock.ahead_s += 1
        found += read(client, name, shard)
    assert sorted(put_in) == sorted(found)


@pytest.mark.parametrize("count", [1, 9])
def test_a_stream_grows_at_most_to_double_and_shrinks_to_half(client: Any, make_stream: MakeStream, count: int) -> None:
    """LimitExceeded beyond (UpdateShardCount)."""
    name = make_stream(4)
    with pytest.raises(client.exceptions.LimitExceededException):
        client.update_shard_count(StreamName=name, TargetShardCount=count, ScalingType="UNIFORM_SCALING")
    assert 4 == len(shard_ids(client, name))


def test_a_stream_is_scaled_ten_times_a_day(client: Any, service: Service, make_stream: MakeStream) -> None:
    """The eleventh call within 24 hours is refused (UpdateShardCount)."""
    name = make_stream(1)
    for turn in range(10):
        client.update_shard_count(StreamName=name, TargetShardCount=1 + (turn + 1) % 2, ScalingType="UNIFORM_SCALING")
    with pytest.raises(client.exceptions.LimitExceededException):
        client.update_shard_count(StreamName=name, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    service.clock.ahead_s += 25 * HOUR
    client.update_shard_count(StreamName=name, TargetShardCount=2, ScalingType="UNIFORM_SCALING")


def test_a_time_after_a_shard_was_closed_is_its_end(client: Any, service: Service, make_stream: MakeStream) -> None:
    """No record, no next iterator, and the children, as at the end of any closed shard (GetShardIterator, GetRecords)."""
    name = make_stream()
    put(client, name, "before")
    client.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    service.clock.ahead_s += 10
    for kind, at in (("AT_TIMESTAMP", {"Timestamp": service.clock.now_ns() / 1e9}), ("LATEST", {})):
        end = client.get_records(ShardIterator=iterator(client, name, kind=kind, **at))
        assert [] == end["Records"]
        assert "NextShardIterator" not in end
        assert ["shardId-000000000001", "shardId-000000000002"] == [child["ShardId"] for child in end["ChildShards"]]


def test_children_are_read_before_their_parent(client: Any, make_stream: MakeStream) -> None:
    """Nothing keeps a reader from it: the order over a split is the reader's matter (Developer guide, resharding)."""
    name = make_stream()
    put(client, name, "old")
    client.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    client.put_record(StreamName=name, Data=b"new", PartitionKey="k", ExplicitHashKey="0")
    assert [[b"new"], [b"old"]] * 2 == [read(client, name, f"shardId-00000000000{number}") for number in (1, 0, 1, 0)]


def test_an_iterator_lives_five_minutes(client: Any, service: Service, make_stream: MakeStream) -> None:
    """Then GetRecords answers ExpiredIterator (GetShardIterator)."""
    name = make_stream()
    old = iterator(client, name)
    service.clock.ahead_s += 5 * MINUTE - 1
    client.get_records(ShardIterator=old)
    service.clock.ahead_s += 2
    with pytest.raises(client.exceptions.ExpiredIteratorException):
        client.get_records(ShardIterator=old)


def test_a_shard_is_read_five_times_a_second(client: Any, service: Service, make_stream: MakeStream) -> None:
    """By all readers together; the sixth call is throttled, a second later it works (quotas)."""
    name = make_stream()
    first, second = iterator(client, name), iterator(client, name)
    for _ in range(5):
        client.get_records(ShardIterator=first)
    with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
        client.get_records(ShardIterator=second)
    service.clock.ahead_s += 1
    client.get_records(ShardIterator=second)


def test_a_large_answer_is_paid_by_a_pause(client: Any, service: Service, make_stream: MakeStream) -> None:
    """An answer has at most 10 MiB, and 10 MiB use up the 2 MB/s of the next seconds (GetRecords)."""
    name = make_stream()
    for _ in range(3):
        records = [{"Data": b"x" * 1_000_000, "PartitionKey": "k"}] * 4
        client.put_records(StreamName=name, Records=records)
    service.clock.ahead_s += 2
    page = client.get_records(ShardIterator=iterator(client, name))
    assert 10 == len(page["Records"])
    assert 0 < page["MillisBehindLatest"]
    service.clock.ahead_s += 3
    with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
        client.get_records(ShardIterator=page["NextShardIterator"])
    service.clock.ahead_s += 2
    page = client.get_records(ShardIterator=page["NextShardIterator"])
    assert (2, 0) == (len(page["Records"]), page["MillisBehindLatest"])


def test_the_limit_is_kept_and_reading_goes_on_behind_it(client: Any, make_stream: MakeStream) -> None:
    """Limit is the most that one page holds; MillisBehindLatest is 0 at the tip only (GetRecords)."""
    name = make_stream()
    put(client, name, "a", "b", "c")
    first = client.get_records(ShardIterator=iterator(client, name), Limit=2)
    second = client.get_records(ShardIterator=first["NextShardIterator"], Limit=2)
    assert ([b"a", b"b"], [b"c"]) == tuple([r["Data"] for r in page["Records"]] for page in (first, second))
    assert first["MillisBehindLatest"] > 0
    assert 0 == second["MillisBehindLatest"]
    assert second["NextShardIterator"]


def test_a_page_may_be_empty_far_from_the_tip(client: Any, service: Service, make_stream: MakeStream) -> None:
    """No record and MillisBehindLatest above 0 is a legal answer; the next page has the rest (GetRecords)."""
    name = make_stream()
    put(client, name, "a")
    service.fault(operation="GetRecords", fault="empty_page")
    page = client.get_records(ShardIterator=iterator(client, name))
    assert [] == page["Records"]
    assert page["MillisBehindLatest"] > 0
    assert [b"a"] == [r["Data"] for r in client.get_records(ShardIterator=page["NextShardIterator"])["Records"]]
    assert 1 == service.injected("GetRecords.empty_page")


def test_some_entries_fail_within_a_success(client: Any, service: Service, make_stream: MakeStream) -> None:
    """The answer is 200, its entries in order, and only what failed is missing from the stream (PutRecords)."""
    name = make_stream()
    service.fault(operation="PutRecords", fault="fail_entries", value=2)
    answer = client.put_records(
        StreamName=name, Records=[{"Data": text, "PartitionKey": "k"} for text in (b"a", b"b", b"c")]
    )
    assert 2 == answer["FailedRecordCount"]
    assert ["InternalFailure", "InternalFailure", None] == [entry.get("ErrorCode") for entry in answer["Records"]]
    assert [b"c"] == read(client, name)


def test_a_lost_answer_does_not_undo_the_put(client: Any, service: Service, make_stream: MakeStream) -> None:
    """The connection dies after the records are in: a retry doubles them (Developer guide, duplicate records)."""
    name = make_stream()
    service.fault(operation="PutRecords", fault="lose_response")
    with pytest.raises(ConnectionClosedError):
        put(client, name, "a")
    put(client, name, "a")
    assert [b"a", b"a"] == read(client, name)
    assert 1 == service.injected("PutRecords.lose_response")


def test_throttling_and_expiry_can_be_asked_for(client: Any, service: Service, make_stream: MakeStream) -> None:
    """The fault control answers with the errors of the API, so many times."""
    name = make_stream()
    place = iterator(client, name)
    service.fault(operation="GetRecords", fault="throttle", times=2)
    service.fault(operation="GetRecords", fault="expire_iterator")
    for _ in range(2):
        with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
            client.get_records(ShardIterator=place)
    with pytest.raises(client.exceptions.ExpiredIteratorException):
        client.get_records(ShardIterator=place)
    client.get_records(ShardIterator=place)
    assert 2 == service.injected("GetRecords.throttle")


def test_limits_of_a_put(client: Any, make_stream: MakeStream) -> None:
    """At most 500 records, 1 MiB a record with its key (PutRecords)."""
    name = make_stream()
    with pytest.raises(client.exceptions.ClientError, match="500"):
        client.put_records(StreamName=name, Records=[{"Data": b"x", "PartitionKey": "k"}] * 501)
    with pytest.raises(client.exceptions.ClientError, match="1048576"):
        client.put_record(StreamName=name, Data=b"x" * 1048576, PartitionKey="k")
    client.put_record(StreamName=name, Data=b"x" * 1048575, PartitionKey="k")


def test_old_records_are_trimmed_and_nobody_is_told(client: Any, service: Service, make_stream: MakeStream) -> None:
    """After the retention a position behind a trimmed record reads what is left, without an error (retention)."""
    name = make_stream()
    (old,) = put(client, name, "old")
    service.clock.ahead_s += 23 * HOUR
    put(client, name, "young")
    service.clock.ahead_s += 1 * HOUR + MINUTE
    assert [b"young"] == read(client, name)
    assert [b"young"] == read(client, name, kind="AT_SEQUENCE_NUMBER", StartingSequenceNumber=old)


def test_retention_can_be_longer(client: Any, service: Service, make_stream: MakeStream) -> None:
    """Up to 8,760 hours (IncreaseStreamRetentionPeriod)."""
    name = make_stream()
    client.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    put(client, name, "old")
    service.clock.ahead_s += 47 * HOUR
    assert [b"old"] == read(client, name)
    assert 48 == client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["RetentionPeriodHours"]
    with pytest.raises(client.exceptions.InvalidArgumentException):
        client.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=9000)


def test_a_closed_shard_disappears_after_the_retention(client: Any, service: Service, make_stream: MakeStream) -> None:
    """CLOSED becomes EXPIRED, and is not listed any more (Developer guide, resharding)."""
    name = make_stream()
    client.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    service.clock.ahead_s += 24 * HOUR + MINUTE
    assert ["shardId-000000000001", "shardId-000000000002"] == shard_ids(client, name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        iterator(client, name)


def test_listing_shards_by_pages_and_filters(client: Any, service: Service, make_stream: MakeStream) -> None:
    """MaxResults and NextToken; the filters choose by the time in which a shard was open (ListShards)."""
    name = make_stream(2)
    service.clock.ahead_s += HOUR
    between = service.clock.now_ns() / 1e9
    service.clock.ahead_s += HOUR
    client.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(1 << 126))
    old, children = ["shardId-000000000000", "shardId-000000000001"], ["shardId-000000000002", "shardId-000000000003"]
    first = client.list_shards(StreamName=name, MaxResults=3)
    second = client.list_shards(NextToken=first["NextToken"])
    assert (3, 1) == (len(first["Shards"]), len(second["Shards"]))
    assert old + children == shard_ids(client, name)
    assert [old[1], *children] == shard_ids(client, name, ShardFilter={"Type": "AT_LATEST"})
    assert old == shard_ids(client, name, ShardFilter={"Type": "AT_TRIM_HORIZON"})
    assert old == shard_ids(client, name, ShardFilter={"Type": "AT_TIMESTAMP", "Timestamp": between})
    assert children == shard_ids(client, name, ShardFilter={"Type": "AFTER_SHARD_ID", "ShardId": old[1]})
    assert children == shard_ids(client, name, ExclusiveStartShardId=old[1])
    service.clock.ahead_s += 6 * MINUTE
    with pytest.raises(client.exceptions.ExpiredNextTokenException):
        client.list_shards(NextToken=first["NextToken"])


def test_streams_are_described_and_deleted(client: Any, make_stream: MakeStream) -> None:
    """A stream made again under the same name is another one: its creation time tells (DescribeStreamSummary)."""
    name = make_stream()
    place = iterator(client, name)
    first = client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert f"arn:aws:kinesis:us-east-1:123456789012:stream/{name}" == first["StreamARN"]
    assert ("ACTIVE", 1) == (first["StreamStatus"], first["OpenShardCount"])
    assert name in client.list_streams(Limit=1000)["StreamNames"]
    assert (
        []
        == client.describe_stream(StreamARN=first["StreamARN"], ExclusiveStartShardId="shardId-000000000000")[
            "StreamDescription"
        ]["Shards"]
    )
    with pytest.raises(client.exceptions.ResourceInUseException):
        client.create_stream(StreamName=name, ShardCount=1)
    client.delete_stream(StreamName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_stream_summary(StreamName=name)
    client.create_stream(StreamName=name, ShardCount=1)
    again = client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert first["StreamCreationTimestamp"] < again["StreamCreationTimestamp"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_records(ShardIterator=place)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Records, closed shards and positions are the same after the server was started again."""
    first = Service(tmp_path)
    first.client.create_stream(StreamName="s", ShardCount=1)
    numbers = put(first.client, "s", "a", "b")
    first.client.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF)
    shards = first.client.list_shards(StreamName="s")["Shards"]
    place = iterator(first.client, "s", kind="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[0])
    first.close()
    second = Service(tmp_path)
    assert shards == second.client.list_shards(StreamName="s")["Shards"]
    assert [b"b"] == [r["Data"] for r in second.client.get_records(ShardIterator=place)["Records"]]
    (number,) = put(second.client, "s", "c")
    assert int(numbers[1]) < int(number)
    second.close()
