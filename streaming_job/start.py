"""Before the first batch: agree with the ledger on the stream and on where each shard stands.

Positions are committed before anything is read, by a step of its own: from then on every statement of an older job fails.

Reads:  the stream's description and the ledger.
Gives:  a committed start step and what the ledger remembers after it.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from freshet.errors import EnvironmentFault, LostData, ShardsChanged, WrongStream
from freshet.redshift.ledger import Ledger, Remembered
from freshet.redshift.merge_sql import Step
from freshet.redshift.positions import Position

PROOF_MARGIN = timedelta(hours=1)


@dataclass(frozen=True)
class Stream:
    """A Kinesis stream as it is now."""

    name: str
    arn: str
    created_at: datetime
    retention: timedelta
    shards: tuple[str, ...]


def describe_stream(kinesis: Any, name: str) -> Stream:
    """Describe the stream.

    Raises:
        EnvironmentFault: There is no such stream, or we may not read it.
        ShardsChanged: It was split or merged.
    """
    try:
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        shards: list[Any] = []
        following: dict[str, str] = {"StreamName": name}
        while following:
            page = kinesis.list_shards(**following)
            shards += page["Shards"]
            following = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
    except kinesis.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        raise EnvironmentFault(f"stream {name} cannot be read ({code}): check its name and the role's rights") from None
    changed = [
        s["ShardId"] for s in shards if s.get("ParentShardId") or s["SequenceNumberRange"].get("EndingSequenceNumber")
    ]
    if changed:
        raise ShardsChanged(
            f"stream {name} was split or merged ({', '.join(changed[:4])}), which this version does not follow; nothing was "
            "read or written. Use a stream with a fixed number of shards in PROVISIONED mode"
        )
    return Stream(
        name=name,
        arn=summary["StreamARN"],
        created_at=summary["StreamCreationTimestamp"].astimezone(UTC),
        retention=timedelta(hours=summary["RetentionPeriodHours"]),
        shards=tuple(sorted(shard["ShardId"] for shard in shards)),
    )


def start(
    ledger: Ledger, kinesis: Any, stream: Stream, run: str, from_start: bool, stopping: Callable[[], bool]
) -> Remembered:
    """Commit a start step and give what the ledger remembers after it.

    Raises:
        WrongStream: The ledger's positions belong to another stream.
        LostData: A shard's unread records may have expired.
        StaleBatch: Another job started at the same moment.
    """
    remembered = ledger.read()
    name = ledger.pipeline.name
    if remembered.stream_arn is not None and not _same_stream(remembered, stream):
        raise WrongStream(
            f"pipeline {name}: the ledger's positions belong to {remembered.stream_arn} created {remembered.stream_created_at}, "
            f"but the stream now is {stream.arn} created {stream.created_at}; nothing was read. "
            "Positions mean nothing in another stream: load the table anew under another pipeline name"
        )
    now = datetime.now(UTC)
    positions = {} if from_start else {shard: p for shard, p in remembered.positions.items() if shard in stream.shards}
    gone = sorted(set(remembered.positions) - set(stream.shards)) if not from_start else []
    if gone:
        raise ShardsChanged(f"pipeline {name}: {', '.join(gone)} stands in the ledger but is no longer in the stream")
    for position in positions.values():
        check_retention(position, kinesis, stream, now, name)
    new = {shard: Position(shard, "TRIM_HORIZON", proved_at=now) for shard in stream.shards if shard not in positions}
    step = Step(
        id=str(uuid.uuid4()),
        follows=remembered.head,
        kind="start",
        run=run,
        started_at=now,
        positions=tuple(new.values()),
        stream_arn=stream.arn,
        stream_created_at=stream.created_at,
        forget_positions=from_start,
    )
    ledger.commit(step, stopping)
    return replace(remembered, positions=positions, stream_arn=stream.arn, stream_created_at=stream.created_at).after(
        step
    )


def _same_stream(remembered: Remembered, stream: Stream) -> bool:
    created = remembered.stream_created_at
    return (
        remembered.stream_arn == stream.arn
        and created is not None
        and abs(created - stream.created_at) < timedelta(seconds=1)
    )


def check_retention(position: Position, kinesis: Any, stream: Stream, now: datetime, pipeline: str) -> None:
    """Stop when records after a position may have expired unread: Kinesis itself goes on in silence.

    Raises:
        LostData: No proof is younger than the retention, and the position's record is gone.
    """
    if (
        position.kind == "END"
        or position.proved_at is None
        or now - position.proved_at < stream.retention - PROOF_MARGIN
    ):
        return
    if position.kind == "AFTER" and _still_there(position, kinesis, stream):
        return
    raise LostData(
        f"pipeline {pipeline}: {position.shard} was last known complete at {position.proved_at:%Y-%m-%d %H:%M:%S} UTC, position "
        f"{position.kind} {position.sequence or ''}; the stream keeps records for {stream.retention}, so changes since then may "
        "be gone. Nothing was read or written: run the job with --from-start to take what is left, then verify"
    )


def _still_there(position: Position, kinesis: Any, stream: Stream) -> bool:
    iterator = kinesis.get_shard_iterator(
        StreamName=stream.name,
        ShardId=position.shard,
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=position.sequence,
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"]
    return bool(records) and records[0]["SequenceNumber"] == position.sequence
