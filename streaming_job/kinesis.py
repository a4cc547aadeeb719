"""Step 1: read the stream once, for all pipelines that are due, each shard from where the least of them stands.

A read takes whole pages of every shard, children of a split too, until the tip, the shard's end, or a budget. A position
moves when its page has been taken in, and not before: whatever breaks, what was not taken in is read again.

Reads:  positions.
Gives:  pages, in each shard's order; how far each shard was read.

Source: Kinesis Data Streams Developer Guide, "Quotas and limits"; API Reference, "GetRecords", "GetShardIterator".
"""

import binascii
import contextlib
import queue
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import boto3
import botocore.session
import orjson
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserFactory

from freshet.ledger import positions
from freshet.ledger.positions import Kind, Position, Positions, after_page

CALLS_APART_S: Final = 0.21  # a shard takes 5 GetRecords calls a second, from all its readers together
ITERATOR_LIFE_S: Final = 240  # of 300
PAGES_WAITING_MAX: Final = 4
SHARDS_AT_ONCE: Final = 64
THROTTLED: Final = frozenset(
    {"ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException"}
)


@dataclass(frozen=True)
class Budget:
    """When enough was read for one round: of a shard, and since the first record of it."""

    records: int = 50_000
    bytes: int = 64 * 1024 * 1024
    seconds_after_first: float = 1.0
    seconds: float = 60.0


@dataclass(frozen=True)
class Page:
    """One answer of GetRecords."""

    records: Sequence[dict[str, Any]]
    following: str | None
    behind_ms: int
    asked_at: float


@dataclass
class Shard:
    """One shard as the reader knows it. Times are seconds since 1970.

    Attributes:
        id: Shard id.
        position: Records up to here were taken in.
        iterator: Where the next page begins, as long as it lives.
        iterator_at: When it was given.
        tip_at: When the shard was last seen to hold nothing more; None if it did.
        proved_at: When nothing unread was last known to be lost: seen at the tip, or the last record's arrival.
        behind_ms: How far behind the tip the last page was.
        read: Records of the running read.
        bytes: Their bytes.
    """

    id: str
    position: Position
    iterator: str | None = None
    iterator_at: float = 0.0
    tip_at: float | None = None
    proved_at: float = 0.0
    behind_ms: int = 0
    read: int = 0
    bytes: int = 0

    @property
    def is_read_to_its_end(self) -> bool:
        """True once the shard was closed and its last record taken in."""
        return self.position.kind is Kind.END

    def take_in(self, page: Page) -> None:
        """Move on by a page."""
        last = page.records[-1] if page.records else None
        moved = (int(last["SequenceNumber"]), float(last["ApproximateArrivalTimestamp"])) if last else None
        self.position = after_page(
            self.position, moved, closed=page.following is None, has_next=page.following is not None
        )
        self.iterator, self.iterator_at, self.behind_ms = page.following, page.asked_at, page.behind_ms
        self.tip_at = page.asked_at if page.behind_ms == 0 else None
        self.proved_at = self.tip_at or (moved[1] if moved else self.proved_at)
        self.read += len(page.records)
        self.bytes += sum(len(record["Data"]) for record in page.records)


class Reader:
    """The one reader of a stream.

    Args:
        client: A boto3 Kinesis client without retries of its own, whose times are seconds; from `kinesis_client`.
        stream: Its name. A call with the ARN would go to the host ACCOUNT.data-kinesis, to which a VPC need not have a way.
        stands: The least position of the pipelines, a shard.
    """

    def __init__(self, client: Any, stream: str, stands: Positions) -> None:
        self.client, self.stream = client, stream
        self.shards = {shard: Shard(shard, position) for shard, position in stands.items()}

    def add(self, shards: Iterable[str]) -> None:
        """Take in shards that came to be: they are read from their oldest record."""
        for shard in shards:
            self.shards.setdefault(shard, Shard(shard, positions.START))

    def go_back(self, stands: Positions) -> None:
        """Read again from where a pipeline stands that could not keep up."""
        for shard, position in stands.items():
            here = self.shards.get(shard)
            if here is None or positions.is_before(position, here.position):
                self.shards[shard] = Shard(shard, position)

    @property
    def through(self) -> dict[str, Position]:
        """How far each shard was read."""
        return {shard.id: shard.position for shard in self.shards.values()}

    @property
    def proofs(self) -> dict[str, float]:
        """When each shard was last proved complete, seconds; shards without a proof of this reader are left out."""
        return {shard.id: shard.proved_at for shard in self.shards.values() if shard.proved_at}

    @property
    def open_shards(self) -> list[Shard]:
        """Shards that may hold more."""
        return [shard for shard in self.shards.values() if not shard.is_read_to_its_end]

    def forget_iterators(self) -> None:
        """Begin anew from the positions: after a fault nothing else is known."""
        for shard in self.shards.values():
            shard.iterator = None

    def read(self, budget: Budget) -> Iterator[tuple[Shard, Page]]:
        """Read until each shard's tip, its end or the budget.

        Yields:
            A shard and its next page, which the caller takes in; see `Shard.take_in`.

        Raises:
            ClientError: Kinesis refused; what was not given is read again.
        """
        reading = self.open_shards
        for shard in reading:
            shard.read = shard.bytes = 0
        yield from _pages(self.client, self.stream, reading, budget)


def _pages(client: Any, stream: str, shards: Sequence[Shard], budget: Budget) -> Iterator[tuple[Shard, Page]]:
    """Read several shards at once, since each waits for its own quota; pages of one shard come in their order."""
    arrived: queue.Queue[tuple[Shard, Page | BaseException | None]] = queue.Queue(maxsize=PAGES_WAITING_MAX)
    abandoned = threading.Event()

    def give(shard: Shard, item: Page | BaseException | None) -> None:
        while not abandoned.is_set():
            with contextlib.suppress(queue.Full):
                arrived.put((shard, item), timeout=1)
                return

    def fetch(shard: Shard) -> None:
        try:
            for page in read_shard(client, stream, shard, budget):
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
            if item is None:
                left -= 1
            else:
                yield shard, item
    finally:
        abandoned.set()


def read_shard(client: Any, stream: str, shard: Shard, budget: Budget) -> Iterator[Page]:
    """Read whole pages of one shard until its tip, its end or the budget; changes nothing of the shard.

    A walk over empty pages is ended by `Budget.seconds` only, and its iterator goes on in the next round.
    """
    started, first_record_at = time.monotonic(), 0.0
    records = size = attempt = 0
    position, iterator = shard.position, shard.iterator
    if iterator is None or time.time() - shard.iterator_at >= ITERATOR_LIFE_S:
        iterator = _fresh_iterator(client, stream, shard.id, position)

    def spent() -> bool:
        now = time.monotonic()
        return (
            records >= budget.records
            or size >= budget.bytes
            or (first_record_at > 0 and now - first_record_at > budget.seconds_after_first)
            or now - started > budget.seconds
        )

    while True:
        try:
            page = _get_records(client, iterator)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ExpiredIteratorException":
                iterator = _fresh_iterator(client, stream, shard.id, position)
            elif code not in THROTTLED:
                raise
            elif spent():
                return
            _back_off(attempt)
            attempt += 1
            continue
        attempt = 0
        if page.records:
            first_record_at = first_record_at or time.monotonic()
            records += len(page.records)
            size += sum(len(record["Data"]) for record in page.records)
            last = page.records[-1]
            position = Position(Kind.AFTER, int(last["SequenceNumber"]), float(last["ApproximateArrivalTimestamp"]))
        yield page
        if page.following is None or page.behind_ms == 0 or spent():
            return
        iterator = page.following
        time.sleep(max(0.0, CALLS_APART_S - (time.time() - page.asked_at)))


def kinesis_client() -> Any:
    """Give a client without retries of its own, which reads pages of records a few times quicker than botocore does.

    Botocore walks a page value by value along its model. The page itself is small JSON: three fields a record.
    """
    session = botocore.session.get_session()
    session.register_component("response_parser_factory", _PageParsers())
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=SHARDS_AT_ONCE,
    )
    return boto3.Session(botocore_session=session).client("kinesis", config=config)


class _PageParsers(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> Any:
        return _PageParser(super().create_parser(protocol_name))


class _PageParser:
    """Reads GetRecords's answers; everything else is botocore's."""

    def __init__(self, others: Any) -> None:
        self._others = others

    def parse(self, response: Any, shape: Any) -> Any:
        if shape is None or shape.name != "GetRecordsOutput" or response["status_code"] != 200:
            return self._others.parse(response, shape)
        page = orjson.loads(response["body"])
        for record in page["Records"]:
            record["Data"] = binascii.a2b_base64(record["Data"])
        headers = response["headers"]
        metadata = {"HTTPStatusCode": 200, "HTTPHeaders": headers, "RequestId": headers.get("x-amzn-requestid", "")}
        return {**page, "ResponseMetadata": metadata}


def _get_records(client: Any, iterator: str) -> Page:
    asked_at = time.time()
    answer = client.get_records(ShardIterator=iterator, Limit=10_000)
    return Page(answer["Records"], answer.get("NextShardIterator"), answer.get("MillisBehindLatest", 0), asked_at)


def _fresh_iterator(client: Any, stream: str, shard: str, position: Position) -> str:
    start: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
    if position.kind is Kind.AFTER:
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": str(position.sequence)}
    elif position.at:
        start = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": datetime.fromtimestamp(position.at, UTC)}
    for attempt in range(10):
        try:
            return str(client.get_shard_iterator(StreamName=stream, ShardId=shard, **start)["ShardIterator"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in THROTTLED or attempt == 9:
                raise
        _back_off(attempt)
    raise AssertionError("unreachable")


def _back_off(attempt: int) -> None:
    time.sleep(min(2.0, CALLS_APART_S * 2**attempt) * random.uniform(0.8, 1.2))  # noqa: S311 - not a secret
