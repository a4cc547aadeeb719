"""Step 1: read the stream once, for all pipelines that are due, each shard from where the least of them stands.

A read takes whole pages of every shard, children of a split too, until the tip, the shard's end, or a budget. A position
moves when its page has been taken in, and not before: whatever breaks, what was not taken in is read again. While the job is
behind, the next pages are read beside the round of the last ones.

Reads:  positions.
Gives:  pages of records, in each shard's order; how far each shard was read.

Source: Kinesis Data Streams Developer Guide, "Quotas and limits"; API Reference, "GetRecords", "GetShardIterator".
"""

import binascii
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import boto3
import botocore.session
import orjson
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserFactory

from freshet.ledger import positions
from freshet.ledger.positions import Kind, Position, Positions, after_page
from streaming_job.records import Outcome

CALLS_APART_S: Final = 0.21  # a shard takes 5 GetRecords calls a second, from all its readers together
ITERATOR_LIFE_S: Final = 240  # of 300
RECORDS_PER_CALL_MAX: Final = 10_000
SHARDS_AT_ONCE: Final = 64
PARSING: Final = (
    threading.Lock()
)  # Python computes in one thread at a time: many that want to would only keep the round waiting
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


class Received(NamedTuple):
    """One record: its sequence number, and what was read of it. Its body is kept nowhere."""

    sequence: str
    outcome: Outcome


@dataclass(frozen=True)
class Page:
    """One answer of GetRecords.

    Attributes:
        records: Its records.
        last: Sequence number and arrival of the last one, the latter in seconds since 1970; None if there is none.
        bytes: Bytes of their bodies.
        following: Iterator of the next page; None at the shard's end.
        behind_ms: How far behind the tip the page was.
        asked_at: When it was asked for, seconds since 1970.
    """

    records: Sequence[Received]
    last: tuple[int, float] | None
    bytes: int
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
    """

    id: str
    position: Position
    iterator: str | None = None
    iterator_at: float = 0.0
    tip_at: float | None = None
    proved_at: float = 0.0
    behind_ms: int = 0

    @property
    def is_read_to_its_end(self) -> bool:
        """True once the shard was closed and its last record taken in."""
        return self.position.kind is Kind.END

    def take_in(self, page: Page) -> None:
        """Move on by a page."""
        ended = page.following is None
        self.position = after_page(self.position, page.last, closed=ended, has_next=not ended)
        self.iterator, self.iterator_at, self.behind_ms = page.following, page.asked_at, page.behind_ms
        self.tip_at = page.asked_at if page.behind_ms == 0 else None
        self.proved_at = self.tip_at or (page.last[1] if page.last else self.proved_at)


class Reader:
    """The one reader of a stream.

    Args:
        client: A boto3 Kinesis client without retries of its own, whose times are seconds; from `kinesis_client`.
        stream: Its name. A call with the ARN would go to the host ACCOUNT.data-kinesis, to which a VPC need not have a way.
        parse: Reads one record's body.
        stands: The least position of the pipelines, a shard.
    """

    def __init__(self, client: Any, stream: str, parse: Callable[[bytes], Outcome], stands: Positions) -> None:
        self.client, self.stream, self.parse = client, stream, parse
        self.shards = {shard: Shard(shard, position) for shard, position in stands.items()}
        self._ahead: _Reading | None = None

    def add(self, shards: Iterable[str]) -> None:
        """Take in shards that came to be: they are read from their oldest record."""
        for shard in shards:
            self.shards.setdefault(shard, Shard(shard, positions.START))

    def go_back(self, stands: Positions) -> None:
        """Read again from where a pipeline stands that could not keep up."""
        self._forget_ahead()
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
        self._forget_ahead()
        for shard in self.shards.values():
            shard.iterator = None

    def read(self, budget: Budget) -> Iterator[tuple[Shard, Page]]:
        """Read until each shard's tip, its end or the budget; what was read ahead comes first, and alone.

        Yields:
            A shard and its next page, which the caller takes in; see `Shard.take_in`.

        Raises:
            ClientError: Kinesis refused; what was not given is read again.
        """
        reading, self._ahead = self._ahead or self._begin(budget), None
        try:
            yield from reading.pages()
        finally:
            reading.abandon()

    def read_ahead(self, budget: Budget) -> None:
        """Begin to read what the next `read` gives, unless that was begun. Every page that was given has been taken in."""
        self._ahead = self._ahead or self._begin(budget)

    def close(self) -> None:
        """Read no further."""
        self._forget_ahead()

    def _begin(self, budget: Budget) -> "_Reading":
        return _Reading(self.open_shards, lambda shard: read_shard(self.client, self.stream, shard, self.parse, budget))

    def _forget_ahead(self) -> None:
        if self._ahead:
            self._ahead.abandon()
        self._ahead = None


class _Reading:
    """Reads several shards at once, since each waits for its own quota; pages of one shard come in their order.

    The budget bounds what waits to be taken.
    """

    def __init__(self, shards: Sequence[Shard], read: Callable[[Shard], Iterator[Page]]) -> None:
        self._arrived: queue.SimpleQueue[tuple[Shard, Page | BaseException | None]] = queue.SimpleQueue()
        self._abandoned, self._left = threading.Event(), len(shards)
        for shard in shards:
            threading.Thread(target=self._fetch, args=(shard, read), daemon=True).start()

    def pages(self) -> Iterator[tuple[Shard, Page]]:
        """Give pages as they come."""
        while self._left:
            shard, item = self._arrived.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                self._left -= 1
            else:
                yield shard, item

    def abandon(self) -> None:
        """Ask for no more pages."""
        self._abandoned.set()

    def _fetch(self, shard: Shard, read: Callable[[Shard], Iterator[Page]]) -> None:
        try:
            for page in read(shard):
                self._arrived.put((shard, page))
                if self._abandoned.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again where the pages are taken
            self._arrived.put((shard, error))
        else:
            self._arrived.put((shard, None))


def read_shard(
    client: Any, stream: str, shard: Shard, parse: Callable[[bytes], Outcome], budget: Budget
) -> Iterator[Page]:
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
            page = _get_records(client, iterator, min(RECORDS_PER_CALL_MAX, budget.records - records), parse)
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
        if page.last:
            first_record_at = first_record_at or time.monotonic()
            records, size = records + len(page.records), size + page.bytes
            position = Position(Kind.AFTER, *page.last)
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


def _get_records(client: Any, iterator: str, limit: int, parse: Callable[[bytes], Outcome]) -> Page:
    asked_at = time.time()
    answer = client.get_records(ShardIterator=iterator, Limit=limit)
    found = answer["Records"]
    with PARSING:
        records = [Received(record["SequenceNumber"], parse(record["Data"])) for record in found]
    return Page(
        records=records,
        last=(int(found[-1]["SequenceNumber"]), float(found[-1]["ApproximateArrivalTimestamp"])) if found else None,
        bytes=sum(len(record["Data"]) for record in found),
        following=answer.get("NextShardIterator"),
        behind_ms=answer.get("MillisBehindLatest", 0),
        asked_at=asked_at,
    )


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
