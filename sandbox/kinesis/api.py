"""Answer the operations of the Kinesis API (JSON 1.1).

Reads:  an operation's name and its request body.
Gives:  the response body; or a KinesisError.

Source: Kinesis API reference, version 2013-12-02.
"""

import binascii
import hashlib
import json
import re
import time
from collections.abc import Callable
from itertools import groupby
from typing import Any

from sandbox.kinesis.errors import (
    InvalidArgument,
    ProvisionedThroughputExceeded,
    ResourceNotFound,
    UnknownOperation,
    ValidationFailed,
)
from sandbox.kinesis.iterators import open_iterator, open_token, seal
from sandbox.kinesis.shards import HASH_KEYS, NS, Shard, Stream, shard_id
from sandbox.kinesis.store import Entry, Store

Json = dict[str, Any]
RECORDS_PER_PUT_MAX = 500
BYTES_PER_PUT_MAX = 10 * 1024 * 1024
BYTES_PER_RECORD_MAX = 1024 * 1024
RECORDS_PER_GET_MAX = 10_000


class Kinesis:
    """The operations, over one store.

    Args:
        store: Streams and records.
        region: What the streams' ARNs name.
        now_s: The clock of the read quotas.
    """

    def __init__(self, store: Store, region: str = "us-east-1", now_s: Callable[[], float] = time.monotonic) -> None:
        self.store, self.region, self.now_s = store, region, now_s
        self._operations: dict[str, Callable[[Json], Json | str]] = {
            "CreateStream": self._create_stream,
            "DeleteStream": self._delete_stream,
            "DescribeStream": self._describe_stream,
            "DescribeStreamSummary": self._describe_stream_summary,
            "ListStreams": self._list_streams,
            "ListShards": self._list_shards,
            "PutRecord": self._put_record,
            "PutRecords": self._put_records,
            "GetShardIterator": self._get_shard_iterator,
            "GetRecords": self._get_records,
            "SplitShard": self._split_shard,
            "MergeShards": self._merge_shards,
            "UpdateShardCount": self._update_shard_count,
            "IncreaseStreamRetentionPeriod": self._increase_retention,
            "DecreaseStreamRetentionPeriod": self._decrease_retention,
        }

    def answer(self, operation: str, body: bytes, fail_entries: int = 0, empty_page: bool = False) -> bytes:
        """Carry out one operation.

        Args:
            operation: Name as in X-Amz-Target, without the service.
            body: The request, JSON.
            fail_entries: So many entries of a PutRecords fail, from its first (fault control).
            empty_page: GetRecords gives nothing, and says that it is behind (fault control).

        Raises:
            KinesisError: What the API answers instead.
        """
        try:
            handler = self._operations[operation]
        except KeyError:
            raise UnknownOperation(f"the sandbox's Kinesis has no operation {operation}") from None
        try:
            request = json.loads(body or b"{}")
        except ValueError:
            raise ValidationFailed("the request is not JSON") from None
        request |= {"_fail": fail_entries, "_empty": empty_page}
        try:
            response = handler(request)
        except KeyError as missing:
            raise ValidationFailed(
                f"Value null at {missing} failed to satisfy constraint: Member must not be null"
            ) from None
        return response.encode() if isinstance(response, str) else json.dumps(response).encode()

    def _stream(self, request: Json) -> Stream:
        name = request.get("StreamName") or str(request.get("StreamARN", "")).partition(":stream/")[2]
        if not name:
            raise InvalidArgument("StreamName or StreamARN must be given")
        with self.store.lock:
            return self.store.stream(name)

    # Streams

    def _create_stream(self, request: Json) -> str:
        name = request["StreamName"]
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,128}", name):
            raise ValidationFailed("Value at 'streamName' failed to satisfy constraint")
        arn = f"arn:aws:kinesis:{self.region}:123456789012:stream/{name}"
        self.store.create(name, arn, request.get("ShardCount") or 4)
        return ""

    def _delete_stream(self, request: Json) -> str:
        self.store.delete(self._stream(request).name)
        return ""

    def _summary(self, stream: Stream) -> Json:
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "RetentionPeriodHours": stream.retention_hours,
            "StreamCreationTimestamp": stream.created_ns // 1_000_000 / 1000,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
        }

    def _describe_stream(self, request: Json) -> Json:
        stream = self._stream(request)
        start = request.get("ExclusiveStartShardId", "")
        shards = [shard for shard in stream.shards if shard.shard_id > start]
        limit = request.get("Limit", 100)
        listed = [_described(shard) for shard in shards[:limit]]
        return {"StreamDescription": self._summary(stream) | {"Shards": listed, "HasMoreShards": len(shards) > limit}}

    def _describe_stream_summary(self, request: Json) -> Json:
        stream = self._stream(request)
        counts = {"OpenShardCount": len(stream.open_shards()), "ConsumerCount": 0, "MaxRecordSizeInKiB": 1024}
        return {"StreamDescriptionSummary": self._summary(stream) | counts}

    def _list_streams(self, request: Json) -> Json:
        start = request.get("ExclusiveStartStreamName", "")
        names = [name for name in self.store.names() if name > start]
        listed = names[: request.get("Limit", 100)]
        return {
            "StreamNames": listed,
            "HasMoreStreams": len(names) > len(listed),
            "StreamSummaries": [
                {
                    key: value
                    for key, value in self._summary(self.store.stream(name)).items()
                    if key.startswith("Stream")
                }
                for name in listed
            ],
        }

    def _increase_retention(self, request: Json) -> str:
        return self._set_retention(request, lambda old, new: old <= new <= 8760)

    def _decrease_retention(self, request: Json) -> str:
        return self._set_retention(request, lambda old, new: 24 <= new <= old)

    def _set_retention(self, request: Json, allowed: Callable[[int, int], bool]) -> str:
        stream, hours = self._stream(request), request["RetentionPeriodHours"]
        if not allowed(stream.retention_hours, hours):
            raise InvalidArgument(f"Requested retention period {hours} does not fit {stream.retention_hours} hours")
        self.store.set_retention(stream, hours)
        return ""

    # Shards

    def _list_shards(self, request: Json) -> Json:
        now_ns = self.store.now_ns()
        if "NextToken" in request:
            if "StreamName" in request or "StreamARN" in request:
                raise InvalidArgument("NextToken and StreamName cannot be given together")
            name, wanted, after = open_token(request["NextToken"], now_ns)
            stream = self._stream({"StreamName": name})
        else:
            stream, wanted = self._stream(request), request.get("ShardFilter", {"Type": "FROM_TRIM_HORIZON"})
            after = request.get("ExclusiveStartShardId", "")
        with self.store.lock:
            shards = [shard for shard in _filtered(stream, wanted, now_ns) if shard.shard_id > after]
            limit = request.get("MaxResults", 1000)
            answer: Json = {"Shards": [_described(shard) for shard in shards[:limit]]}
        if len(shards) > limit:
            answer["NextToken"] = seal([stream.name, wanted, shards[limit - 1].shard_id], now_ns)
        return answer

    def _split_shard(self, request: Json) -> str:
        stream = self._stream(request)
        self.store.split(stream, stream.shard(request["ShardToSplit"]), int(request["NewStartingHashKey"]))
        return ""

    def _merge_shards(self, request: Json) -> str:
        stream = self._stream(request)
        shard, other = stream.shard(request["ShardToMerge"]), stream.shard(request["AdjacentShardToMerge"])
        self.store.merge(stream, shard, other)
        return ""

    def _update_shard_count(self, request: Json) -> Json:
        stream, wanted = self._stream(request), request["TargetShardCount"]
        if request["ScalingType"] != "UNIFORM_SCALING":
            raise ValidationFailed("Value at 'scalingType' failed to satisfy constraint: UNIFORM_SCALING")
        current = self.store.scale(stream, wanted)
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "CurrentShardCount": current,
            "TargetShardCount": wanted,
        }

    # Records

    def _put_record(self, request: Json) -> Json:
        stream, entry = self._stream(request), _entry(request)
        with self.store.lock:
            shard = _owner(stream.open_shards(), request)
            (sequence,) = self.store.put(shard, [entry])
        return {"ShardId": shard.shard_id, "SequenceNumber": sequence, "EncryptionType": "NONE"}

    def _put_records(self, request: Json) -> str:
        records = request["Records"]
        if not 1 <= len(records) <= RECORDS_PER_PUT_MAX:
            raise ValidationFailed("Value at 'records' failed to satisfy constraint: length between 1 and 500")
        stream, entries = self._stream(request), [_entry(record) for record in records]
        if sum(entry.size for entry in entries) > BYTES_PER_PUT_MAX:
            raise InvalidArgument("Records size exceeds 10 MiB")
        answers = ['{"ErrorCode":"InternalFailure","ErrorMessage":"Internal service failure."}'] * len(records)
        with self.store.lock:
            shards = stream.open_shards()
            owners = [
                (_owner(shards, record), index) for index, record in enumerate(records) if index >= request["_fail"]
            ]
            owners.sort(key=lambda owned: owned[0].number)
            for shard, owned in groupby(owners, key=lambda owned: owned[0]):
                indexes = [index for _, index in owned]
                for index, sequence in zip(
                    indexes, self.store.put(shard, map(entries.__getitem__, indexes)), strict=True
                ):
                    answers[index] = f'{{"SequenceNumber":"{sequence}","ShardId":"{shard.shard_id}"}}'
        failed = len(records) - len(owners)
        return f'{{"EncryptionType":"NONE","FailedRecordCount":{failed},"Records":[{",".join(answers)}]}}'

    def _get_shard_iterator(self, request: Json) -> Json:
        stream, kind = self._stream(request), request["ShardIteratorType"]
        now_ns = self.store.now_ns()
        with self.store.lock:
            shard = stream.shard(request["ShardId"])
            if not shard.quota.take_iterator(self.now_s()):
                raise ProvisionedThroughputExceeded(
                    f"Rate exceeded for shard {shard.shard_id}: 5 GetShardIterator a second"
                )
            after = _place(shard, kind, request)
        return {"ShardIterator": seal([stream.name, stream.created_ns, shard.number, after], now_ns)}

    def _get_records(self, request: Json) -> str:
        limit, now_ns, now_s = request.get("Limit", RECORDS_PER_GET_MAX), self.store.now_ns(), self.now_s()
        if not 1 <= limit <= RECORDS_PER_GET_MAX:
            raise ValidationFailed("Value at 'limit' failed to satisfy constraint: between 1 and 10000")
        name, created_ns, number, after = open_iterator(request["ShardIterator"], now_ns)
        with self.store.lock:
            stream = self.store.stream(name)
            if stream.created_ns != created_ns:
                raise ResourceNotFound(f"The stream {name} of this iterator does not exist anymore")
            shard = stream.shard(shard_id(number))
            if not shard.quota.take_read(now_s):
                raise ProvisionedThroughputExceeded(f"Rate exceeded for shard {shard.shard_id} in stream {name}")
            if request["_empty"]:
                return _records_answer([], 1000, seal([name, created_ns, number, after], now_ns), None)
            page = self.store.read(shard, after, limit)
            shard.quota.charge(page.size, now_s)
            if shard.last is not None and page.behind_ms == 0:
                return _records_answer(page.records, 0, None, [_child(child) for child in stream.children(shard)])
        return _records_answer(page.records, page.behind_ms, seal([name, created_ns, number, page.last], now_ns), None)


def _entry(record: Json) -> Entry:
    data, key = record["Data"], record["PartitionKey"]
    if not 1 <= len(key) <= 256:
        raise ValidationFailed("Value at 'partitionKey' failed to satisfy constraint: length between 1 and 256")
    try:
        size = len(binascii.a2b_base64(data, strict_mode=True)) if data else 0
    except (binascii.Error, ValueError):
        raise ValidationFailed("Value at 'data' is not base64") from None
    size += len(key.encode())
    if size > BYTES_PER_RECORD_MAX:
        raise ValidationFailed("Value at 'data' failed to satisfy constraint: at most 1048576 bytes with its key")
    return Entry(data, json.dumps(key), size)


def _owner(open_shards: list[Shard], record: Json) -> Shard:
    explicit = record.get("ExplicitHashKey")
    if explicit is None:
        hashed = int.from_bytes(hashlib.md5(record["PartitionKey"].encode(), usedforsecurity=False).digest(), "big")
    elif not re.fullmatch(r"0|[1-9]\d{0,38}", explicit) or int(explicit) >= HASH_KEYS:
        raise InvalidArgument(f"Invalid ExplicitHashKey {explicit}: between 0 and 2^128 - 1")
    else:
        hashed = int(explicit)
    return next(shard for shard in open_shards if hashed <= shard.end_hash)


def _place(shard: Shard, kind: str, request: Json) -> int:
    match kind:
        case "TRIM_HORIZON":
            return 0
        case "LATEST":
            return shard.tail
        case "AT_SEQUENCE_NUMBER":
            return shard.counter(request["StartingSequenceNumber"]) - 1
        case "AFTER_SEQUENCE_NUMBER":
            return shard.counter(request["StartingSequenceNumber"])
        case "AT_TIMESTAMP":
            # A record's arrival is its counter in whole milliseconds.
            return round(float(request["Timestamp"]) * 1000) * 1_000_000 - 1
    raise ValidationFailed("Value at 'shardIteratorType' failed to satisfy constraint")


def _filtered(stream: Stream, wanted: object, now_ns: int) -> list[Shard]:
    """Choose the shards that a ShardFilter means.

    Source: Kinesis API reference, ShardFilter.
    """
    if not isinstance(wanted, dict):
        raise InvalidArgument("Invalid NextToken.")
    kind = wanted["Type"]
    horizon = max(stream.horizon(now_ns), stream.created_ns)
    at = max(int(float(wanted["Timestamp"]) * NS), horizon) if kind.endswith("_TIMESTAMP") else horizon
    match kind:
        case "AFTER_SHARD_ID":
            return [shard for shard in stream.shards if shard.shard_id > wanted["ShardId"]]
        case "AT_LATEST":
            return [shard for shard in stream.shards if shard.last is None]
        case "AT_TRIM_HORIZON" | "AT_TIMESTAMP":
            return [shard for shard in stream.shards if shard.first <= at and (shard.last is None or shard.last > at)]
        case "FROM_TRIM_HORIZON" | "FROM_TIMESTAMP":
            return [shard for shard in stream.shards if shard.last is None or shard.last >= at]
    raise InvalidArgument(f"Invalid ShardFilter type {kind}")


def _hash_range(shard: Shard) -> Json:
    return {"StartingHashKey": str(shard.start_hash), "EndingHashKey": str(shard.end_hash)}


def _described(shard: Shard) -> Json:
    sequences = {"StartingSequenceNumber": shard.sequence(shard.first)}
    if shard.last is not None:
        sequences["EndingSequenceNumber"] = shard.sequence(shard.last)
    described: Json = {
        "ShardId": shard.shard_id,
        "HashKeyRange": _hash_range(shard),
        "SequenceNumberRange": sequences,
    }
    if shard.parent is not None:
        described["ParentShardId"] = shard_id(shard.parent)
    if shard.adjacent is not None:
        described["AdjacentParentShardId"] = shard_id(shard.adjacent)
    return described


def _child(shard: Shard) -> Json:
    parents = [shard_id(number) for number in (shard.parent, shard.adjacent) if number is not None]
    return {"ShardId": shard.shard_id, "ParentShards": parents, "HashKeyRange": _hash_range(shard)}


def _records_answer(records: list[str], behind_ms: int, iterator: str | None, children: list[Json] | None) -> str:
    following = f',"NextShardIterator":"{iterator}"' if iterator else ""
    children_json = f',"ChildShards":{json.dumps(children)}' if children else ""
    return f'{{"MillisBehindLatest":{behind_ms}{following}{children_json},"Records":[{",".join(records)}]}}'
