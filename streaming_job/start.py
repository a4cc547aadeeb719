"""Before the first round: agree with the ledger on the stream and on where each shard stands.

Positions are committed before anything is read, by a commit of its own: from then on every statement of an older job fails.

Reads:  the stream's description and the ledger.
Gives:  a committed start and what the ledger remembers after it.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from freshet.errors import EnvironmentFault, LostData, WrongStream
from freshet.ledger import commit as commits
from freshet.ledger.commit_sql import Particulars
from freshet.ledger.ledger import Ledger, Memory
from freshet.ledger.positions import START, Kind, Position, of_new_pipeline

PROOF_MARGIN = timedelta(hours=1)


@dataclass(frozen=True)
class Stream:
    """A Kinesis stream as it is now; its shards are those that hold records, closed ones and children of a split too."""

    name: str
    arn: str
    created_at: datetime
    retention: timedelta
    shards: tuple[str, ...]


@dataclass(frozen=True)
class How:
    """How a job starts.

    Attributes:
        run: Run of the job.
        from_start: Read the stream again from its oldest record.
        accept_gap: Go on although records were lost unread: a two-sided sweep follows.
        stopping: Asked while waiting.
    """

    run: str
    from_start: bool = False
    accept_gap: bool = False
    stopping: Callable[[], bool] = lambda: False


def describe_stream(kinesis: Any, name: str) -> Stream:
    """Describe the stream.

    Raises:
        EnvironmentFault: There is no such stream, or we may not read it.
    """
    try:
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        shards = shards_of(kinesis, name)
    except kinesis.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        raise EnvironmentFault(f"stream {name} cannot be read ({code}): check its name and the role's rights") from None
    return Stream(
        name=name,
        arn=summary["StreamARN"],
        created_at=_when(summary["StreamCreationTimestamp"]),
        retention=timedelta(hours=summary["RetentionPeriodHours"]),
        shards=shards,
    )


def _when(at: Any) -> datetime:
    return at.astimezone(UTC) if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)


def shards_of(kinesis: Any, name: str) -> tuple[str, ...]:
    """List the shards whose records are still kept."""
    shards: list[str] = []
    following: dict[str, str] = {"StreamName": name}
    while following:
        page = kinesis.list_shards(**following)
        shards += [shard["ShardId"] for shard in page["Shards"]]
        following = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
    return tuple(sorted(shards))


def start(ledger: Ledger, kinesis: Any, stream: Stream, how: How) -> Memory:
    """Make the commit of a start, and give what the ledger remembers after it.

    Raises:
        WrongStream: The ledger's positions belong to another stream.
        LostData: A shard's unread records may have expired.
        StaleBatch: Another job started at the same moment.
    """
    memory, name = ledger.read(), ledger.pipeline.name
    _check_stream(memory, stream, name)
    now = datetime.now(UTC)
    remembered = memory.remembered
    gone = tuple(sorted(set(remembered.positions) - set(stream.shards)))
    if how.from_start:
        remembered = replace(remembered, positions=dict.fromkeys(stream.shards, START))
    elif how.accept_gap:
        # The sweep reads rows as they are; the last hour's records name what is in the stream and was not visible yet.
        remembered = replace(remembered, positions=of_new_pipeline(stream.shards, now.timestamp()), seen=None)
    else:
        for shard in gone:
            if remembered.positions[shard].kind is not Kind.END:
                raise _lost(name, shard, memory, stream)
        for shard, position in remembered.positions.items():
            if shard not in gone:
                check_retention(shard, position, memory, kinesis, stream, name)
        remembered = replace(remembered, positions={s: p for s, p in remembered.positions.items() if s not in gone})
    commit = commits.start(remembered, str(uuid.uuid4()), shards=stream.shards, now=now.timestamp())
    before = memory.remembered.positions
    moved = {shard: position for shard, position in commit.positions.items() if before.get(shard) != position}
    proofs = {**memory.proofs, **dict.fromkeys(moved, now.timestamp())}
    pending = remembered.pending
    told = Particulars(
        kind="start",
        run=how.run,
        started_at=now,
        pending=len(pending),
        pending_since=oldest(entry.since for entry in pending.values()),
        stream=(stream.arn, stream.created_at),
        proofs=proofs,
        forget=gone,
    )
    ledger.commit(commit, moved, told, how.stopping)
    after = replace(remembered, head=commit.id, positions=commit.positions)
    return replace(memory, remembered=after, proofs=proofs, stream=(stream.arn, stream.created_at))


def oldest(times: Any) -> datetime | None:
    """Give the earliest of some times in seconds; None if there are none."""
    earliest = min(times, default=None)
    return None if earliest is None else datetime.fromtimestamp(earliest, UTC)


def _check_stream(memory: Memory, stream: Stream, pipeline: str) -> None:
    if memory.stream is None:
        return
    arn, created = memory.stream
    if arn != stream.arn or abs(created - stream.created_at) >= timedelta(seconds=1):
        raise WrongStream(
            f"pipeline {pipeline}: the ledger's positions belong to {arn} created {created}, "
            f"but the stream now is {stream.arn} created {stream.created_at}; nothing was read. "
            "Positions mean nothing in another stream: load the table anew under another pipeline name"
        )


def check_retention(
    shard: str, position: Position, memory: Memory, kinesis: Any, stream: Stream, pipeline: str
) -> None:
    """Stop when records after a position may have expired unread: Kinesis itself goes on in silence.

    Raises:
        LostData: No proof is younger than the retention, and the position's record is gone.
    """
    proved_at = memory.proofs.get(shard)
    if position.kind is Kind.END or proved_at is None:
        return
    if datetime.now(UTC).timestamp() - proved_at < (stream.retention - PROOF_MARGIN).total_seconds():
        return
    if position.kind is Kind.AFTER and _still_there(shard, position, kinesis, stream):
        return
    raise _lost(pipeline, shard, memory, stream)


def _lost(pipeline: str, shard: str, memory: Memory, stream: Stream) -> LostData:
    proved_at = memory.proofs.get(shard, 0.0)
    return LostData(
        f"pipeline {pipeline}: {shard} was last known complete at {datetime.fromtimestamp(proved_at, UTC):%Y-%m-%d %H:%M:%S}; "
        f"the stream keeps records for {stream.retention}, so changes since then may be gone. Nothing was read or written: start "
        "with --accept-gap to go on from now; a sweep then compares every row"
    )


def _still_there(shard: str, position: Position, kinesis: Any, stream: Stream) -> bool:
    sequence = str(position.sequence)
    iterator = kinesis.get_shard_iterator(
        StreamName=stream.name,
        ShardId=shard,
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=sequence,
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"]
    return bool(records) and records[0]["SequenceNumber"] == sequence
