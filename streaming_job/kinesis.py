"""Step 1: read each shard from where the ledger says it stands, and pin what was read.

A batch is what was read: whole pages until the tip, the shard's end, or a budget; each shard ends with a marker that says
how far it came. Nothing later reads Kinesis, so nothing can be read differently a second time.

Reads:  positions.
Gives:  a pinned DataFrame of changes and records set aside, and a marker a shard.

Source: Kinesis Data Streams Developer Guide, "Quotas and limits"; API Reference, "GetRecords", "GetShardIterator".
"""

import contextlib
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
from botocore.exceptions import ClientError
from pyspark.sql import DataFrame, SparkSession

from freshet.pipeline.evaluate import spark_schema
from freshet.pipeline.rows import arrow_schema
from freshet.pipeline.tasks import Batches, aws_client, guarded
from freshet.redshift.positions import Position
from streaming_job.changes import Change, Facts, Ignored, LeftOut, NoTransaction, Outcome, SetAside, reader

CALLS_APART_S: Final = 0.21  # a shard takes 5 GetRecords calls a second, from all its readers together
ITERATOR_LIFE_S: Final = 240  # of 300
THROTTLED: Final = frozenset(
    {"ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException"}
)
ROW, QUARANTINE, MARKER = 0, 1, 2
TABLES_TOLD_MAX: Final = 10
OURS: Final = (
    ("_freshet_kind", pa.int8()),
    ("_freshet_version", pa.string()),
    ("_freshet_shard", pa.string()),
    ("_freshet_sequence", pa.string()),
    ("_freshet_reason", pa.string()),
    ("_freshet_column", pa.string()),
    ("_freshet_marker", pa.string()),
)


@dataclass(frozen=True)
class Budget:
    """When a shard has been read enough for one batch."""

    records: int = 50_000
    bytes: int = 64 * 1024 * 1024
    seconds_after_first: float = 1.0
    seconds: float = 60.0


@dataclass(frozen=True)
class Range:
    """One shard to read: from a position, or from an iterator that goes on where the last batch ended."""

    position: Position
    iterator: str | None = None
    iterator_at: float = 0.0


@dataclass(frozen=True)
class Numbering:
    """The newest transaction seen: a lower id with a much later commit time means that the source numbers anew."""

    transaction_id: int
    committed_at: str


@dataclass
class Marker:
    """How far one shard was read, and what was in it. Times are ISO text in UTC or seconds since 1970."""

    shard: str
    through: str | None = None
    records: int = 0
    bytes: int = 0
    control: int = 0
    other_tables: int = 0
    deletes: int = 0
    keys_moved: int = 0
    set_aside: int = 0
    left_out: int = 0
    left_out_of: list[str] = field(default_factory=list)
    closed: bool = False
    tip_at: float | None = None
    behind_ms: int = 0
    last_arrival: float | None = None
    iterator: str | None = None
    iterator_at: float = 0.0
    calls: int = 0
    transaction_id: int = 0
    committed_at: str = ""
    without_transaction: int = 0
    renumbered: str | None = None
    changes: int = 0


@dataclass(frozen=True)
class Page:
    """One answer of GetRecords."""

    records: Sequence[dict[str, Any]]
    following: str | None
    behind_ms: int
    asked_at: float


def read_batch(
    spark: SparkSession,
    stream: str,
    ranges: Sequence[Range],
    facts: Facts,
    numbering: Numbering,
    budget: Budget,
    tasks: int,
) -> tuple[DataFrame, list[Marker]]:
    """Read every shard once and pin the result.

    Args:
        spark: The session.
        stream: Its name. A call with the ARN would go to the host ACCOUNT.data-kinesis, to which a VPC need not have a way.
        ranges: The shards and where they stand.
        facts: What the records are read as.
        numbering: The newest transaction that the ledger knows.
        budget: When to stop reading a shard.
        tasks: At most so many Spark tasks; each may hold several shards.

    Returns:
        A pinned DataFrame (the fact's columns and `OURS`) and the markers. A lost pin fails whoever reads it;
        it is never computed anew, since it would then hold other records.
    """
    schema = pa.schema([*arrow_schema(facts.table.columns), *[pa.field(name, kind) for name, kind in OURS]])
    parts = min(len(ranges), tasks)

    def work(batches: Batches) -> Batches:
        read = reader(facts)
        for batch in batches:
            for part in batch.column(0).to_pylist():
                shards = [Shard(stream, wanted, numbering) for wanted in ranges[part::parts]]
                for shard, page in pages(aws_client("kinesis", 1), shards, budget):
                    if page is None:
                        yield _last_row(shard.marker, schema)
                    elif rows := _rows(page, shard.marker, read, len(facts.table.columns)):
                        yield _batch(rows, schema)

    pinned = (
        spark.range(0, parts, 1, parts)
        .mapInArrow(guarded("kinesis", work), spark_schema(schema))
        .localCheckpoint(eager=True)
    )
    markers = pinned.where(f"_freshet_kind = {MARKER}").select("_freshet_marker").collect()
    return pinned, [Marker(**json.loads(row[0])) for row in markers]


class Shard:
    """A shard on its way through one batch: what is wanted of it, and the marker that it will end with."""

    def __init__(self, stream: str, wanted: Range, numbering: Numbering) -> None:
        self.stream, self.wanted = stream, wanted
        position = wanted.position
        self.marker = Marker(
            position.shard, transaction_id=numbering.transaction_id, committed_at=numbering.committed_at
        )


def pages(client: Any, shards: Sequence[Shard], budget: Budget) -> Iterator[tuple[Shard, Page | None]]:
    """Read several shards at once, since each waits for its own quota; None says that a shard has been read enough.

    Args:
        client: A boto3 Kinesis client without retries of its own.
        shards: The shards; each is read by a thread of its own, whose pages come in their order.
        budget: When to stop reading a shard.
    """
    arrived: queue.Queue[tuple[Shard, Page | BaseException | None]] = queue.Queue(maxsize=2)
    abandoned = threading.Event()

    def give(shard: Shard, item: Page | BaseException | None) -> None:
        while not abandoned.is_set():
            with contextlib.suppress(queue.Full):
                arrived.put((shard, item), timeout=1)
                return

    def fetch(shard: Shard) -> None:
        try:
            for page in read_shard(client, shard.stream, shard.wanted, shard.marker, budget):
                give(shard, page)
                if abandoned.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again where the pages are taken
            give(shard, error)
        else:
            give(shard, None)

    for shard in shards:
        threading.Thread(target=fetch, args=(shard,), daemon=True).start()
    left = len(shards)
    try:
        while left:
            shard, item = arrived.get()
            if isinstance(item, BaseException):
                raise item
            left -= item is None
            yield shard, item
    finally:
        abandoned.set()


def _rows(page: Page, marker: Marker, read: Callable[[bytes], Outcome], columns: int) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for record in page.records:
        outcome = read(record["Data"])
        place = (marker.shard, record["SequenceNumber"])
        if isinstance(outcome, Change):
            marker.changes += 1
            marker.keys_moved += outcome.key_moved
            _follow_numbering(marker, outcome)
            rows.append((*outcome.values, ROW, outcome.version, *place, None, None, None))
        elif isinstance(outcome, SetAside):
            marker.set_aside += 1
            rows.append((*(None,) * columns, QUARANTINE, None, *place, outcome.reason, outcome.column, None))
        elif isinstance(outcome, NoTransaction):
            marker.without_transaction += 1
        elif isinstance(outcome, LeftOut):
            marker.left_out += 1
            if outcome.table not in marker.left_out_of and len(marker.left_out_of) < TABLES_TOLD_MAX:
                marker.left_out_of.append(outcome.table)
        else:
            _count(marker, outcome)
    return rows


def _batch(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _last_row(marker: Marker, schema: pa.Schema) -> pa.RecordBatch:
    nothing = (None,) * (len(schema) - len(OURS))
    said = json.dumps(asdict(marker))
    return _batch([(*nothing, MARKER, None, marker.shard, marker.through, None, None, said)], schema)


def _count(marker: Marker, ignored: Ignored) -> None:
    if ignored.kind == "control":
        marker.control += 1
    elif ignored.kind == "delete":
        marker.deletes += 1
    else:
        marker.other_tables += 1


def _follow_numbering(marker: Marker, change: Change) -> None:
    if change.transaction_id is None or change.committed_at is None:
        return
    if change.transaction_id < marker.transaction_id:
        if marker.committed_at and _seconds_between(marker.committed_at, change.committed_at) > 600:
            marker.renumbered = f"transaction id {change.transaction_id} follows {marker.transaction_id}"
        return
    marker.transaction_id = change.transaction_id
    marker.committed_at = max(marker.committed_at, change.committed_at)


def _seconds_between(earlier: str, later: str) -> float:
    return (at_utc(later) - at_utc(earlier)).total_seconds()


def at_utc(text: str) -> datetime:
    """Read DMS's ISO time, of any number of fractional digits."""
    return datetime.fromisoformat(text.removesuffix("Z")[:26]).replace(tzinfo=UTC)


def read_shard(client: Any, stream: str, wanted: Range, marker: Marker, budget: Budget) -> Iterator[Page]:
    """Read whole pages of one shard until its tip, its end or the budget, and keep the marker.

    Args:
        client: A boto3 Kinesis client without retries of its own, from `tasks.aws_client`.
        stream: Its name.
        wanted: The shard and where it stands.
        marker: Is kept up to date before each page is given.
        budget: When to stop. A walk over empty pages is ended by `seconds` only, and its iterator goes on in the next batch.
    """
    started = time.monotonic()
    first_page_at: float | None = None
    iterator, position = _iterator(client, stream, wanted), wanted.position
    attempt = 0
    while True:
        try:
            page = _get_records(client, iterator)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ExpiredIteratorException":
                iterator = _fresh_iterator(client, stream, position)
            elif code not in THROTTLED:
                raise
            elif _spent(marker, budget, started, first_page_at):
                break
            time.sleep(min(2.0, CALLS_APART_S * 2**attempt) * random.uniform(0.8, 1.2))  # noqa: S311 - not a secret
            attempt += 1
            continue
        attempt = 0
        marker.calls += 1
        marker.behind_ms = page.behind_ms
        marker.iterator, marker.iterator_at, marker.closed = page.following, page.asked_at, page.following is None
        marker.tip_at = page.asked_at if page.behind_ms == 0 else None
        if page.records:
            first_page_at = first_page_at or time.monotonic()
            marker.records += len(page.records)
            marker.bytes += sum(len(record["Data"]) for record in page.records)
            marker.through = str(page.records[-1]["SequenceNumber"])
            marker.last_arrival = float(page.records[-1]["ApproximateArrivalTimestamp"])
            position = position.moved_to(marker.through, datetime.now(UTC))
        yield page
        if page.following is None or page.behind_ms == 0 or _spent(marker, budget, started, first_page_at):
            break
        iterator = page.following
        time.sleep(max(0.0, CALLS_APART_S - (time.time() - page.asked_at)))


def _spent(marker: Marker, budget: Budget, started: float, first_page_at: float | None) -> bool:
    now = time.monotonic()
    return (
        marker.records >= budget.records
        or marker.bytes >= budget.bytes
        or (first_page_at is not None and now - first_page_at > budget.seconds_after_first)
        or now - started > budget.seconds
    )


def _get_records(client: Any, iterator: str) -> Page:
    asked_at = time.time()
    answer = client.get_records(ShardIterator=iterator, Limit=10_000)
    return Page(answer["Records"], answer.get("NextShardIterator"), answer.get("MillisBehindLatest", 0), asked_at)


def _iterator(client: Any, stream: str, wanted: Range) -> str:
    if wanted.iterator is not None and time.time() - wanted.iterator_at < ITERATOR_LIFE_S:
        return wanted.iterator
    return _fresh_iterator(client, stream, wanted.position)


def _fresh_iterator(client: Any, stream: str, position: Position) -> str:
    start: dict[str, Any] = {"ShardIteratorType": position.kind}
    if position.kind == "AFTER":
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": position.sequence}
    elif position.kind == "AT_TIMESTAMP":
        start["Timestamp"] = position.at
    for attempt in range(10):
        try:
            answer = client.get_shard_iterator(StreamName=stream, ShardId=position.shard, **start)
            return str(answer["ShardIterator"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in THROTTLED or attempt == 9:
                raise
        time.sleep(min(2.0, CALLS_APART_S * 2**attempt) * random.uniform(0.8, 1.2))  # noqa: S311 - not a secret
    raise AssertionError("unreachable")
