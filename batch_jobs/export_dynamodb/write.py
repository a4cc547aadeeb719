"""The second pass, in Spark's tasks: put the finished items into DynamoDB, at the rate that is allowed.

BatchWriteItem may leave some of its items undone, or refuse all of them, when the table is busy: those are sent again, after a
pause that doubles, with jitter. A put replaces the whole item, so an item that is written twice is written once.

Reads:  files of finished items; the keys that are to be written.
Gives:  what each writer wrote, spent and waited for; or why it stopped.

Source: Amazon DynamoDB API Reference, "BatchWriteItem" (25 requests, 16 MB; UnprocessedItems); Developer Guide, "Error handling
with DynamoDB" (which errors to send again), "Read and write operations" (write capacity units: 1 KB each).
"""

import functools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import boto3
import pyarrow as pa
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from pyspark.sql import SparkSession

from batch_jobs.export_dynamodb import files
from batch_jobs.export_dynamodb.items import units_of
from batch_jobs.export_dynamodb.memory import Memory, Tables
from batch_jobs.export_dynamodb.pace import MARGIN, Hold, Pace
from batch_jobs.export_dynamodb.progress import Notes
from freshet.errors import FreshetError
from freshet.pipeline.tasks import Batches, aws_client, guarded
from freshet.redshift.data_api import Warehouse

REQUESTS_MAX: Final = 25
WIRE_BYTES_MAX: Final = 14 << 20  # of 16 MB
STALLED_S: Final = 300.0
PAUSE_MAX_S: Final = 10.0
BUSY: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "InternalFailure",
        "ServiceUnavailable",
    }
)
Request = dict[str, Any]


@dataclass(frozen=True)
class Where:
    """Where the tasks write, as whom, and where they note how far they are: nothing of it is secret."""

    table: str
    key: str
    workgroup: str
    database: str
    export: str
    run: str
    hold_s: float
    notes: str


@dataclass
class Written:
    """What one writer did; `stopped` says why it did not do all: hold_lost, busy, or refused:CODE."""

    puts: int = 0
    deletes: int = 0
    rows: int = 0
    bytes: int = 0
    units: float = 0
    calls: int = 0
    again: int = 0
    busy: int = 0
    call_s: float = 0.0
    waited_s: float = 0.0
    counted: int = 0
    stopped: str = ""


class Stopped(Exception):
    """A writer cannot go on."""


@dataclass(frozen=True)
class Share:
    """What one writer does: files of items, where the keys to write are listed for each (empty: all), its share of the rate."""

    items: tuple[tuple[str, str], ...]
    units_per_s: float


class Writer:
    """Sends batches of one table; all that it knows of the world it is given."""

    def __init__(
        self, client: Any, where: Where, pace: Pace, hold: Hold, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.client, self.where, self.pace, self.hold, self.sleep = client, where, pace, hold, sleep
        self.done = Written()

    def send(self, batch: Sequence[tuple[Request, int]]) -> None:
        """Send requests with their units until all are done.

        Raises:
            Stopped: The export is no longer held, the table stays busy, or DynamoDB refuses.
        """
        units_by_key = {_key(request, self.where.key): units for request, units in batch}
        left = [request for request, _ in batch]
        moved_at, attempt = time.monotonic(), 0
        while left:
            units = sum(units_by_key[_key(request, self.where.key)] for request in left)
            self.pace.take(units)
            if not self.hold.is_sure():
                raise Stopped("hold_lost")
            before, left = len(left), self._send(left, units)
            if len(left) < before:
                moved_at, attempt = time.monotonic(), 0
            if left:
                if time.monotonic() - moved_at > STALLED_S:
                    raise Stopped("busy")
                self.done.again += len(left)
                self.sleep(min(PAUSE_MAX_S, 0.05 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
                attempt += 1

    def _send(self, requests: list[Request], units: int) -> list[Request]:
        began = time.monotonic()
        try:
            answer = self.client.batch_write_item(
                RequestItems={self.where.table: requests}, ReturnConsumedCapacity="TOTAL"
            )
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code not in BUSY:
                raise Stopped(f"refused:{code}") from None
            self.done.busy += 1
            return requests
        except ParamValidationError:
            raise Stopped("refused:ParamValidationError") from None
        except BotoCoreError:  # no answer: whether it was carried out or not, it may be carried out again
            self.done.busy += 1
            return requests
        finally:
            self.done.calls += 1
            self.done.call_s += time.monotonic() - began
        left: list[Request] = answer.get("UnprocessedItems", {}).get(self.where.table, [])
        # An item that shrinks costs by its old size, an index costs too: only DynamoDB knows.
        spent = sum(float(part["CapacityUnits"]) for part in answer.get("ConsumedCapacity", ()))
        self.pace.add(max(0.0, spent - units))
        self.done.units += max(spent, units) if not left else spent
        return left


def _key(request: Request, name: str) -> str:
    kind = request.get("PutRequest", {}).get("Item") or request["DeleteRequest"]["Key"]
    return json.dumps(kind[name])


def batches(items: Iterator[tuple[Request, int, int]], units_max: float) -> Iterator[list[tuple[Request, int]]]:
    """Group (request, units, bytes as sent) so that a call is within DynamoDB's limits and costs a second's units at most."""
    held: list[tuple[Request, int]] = []
    units = wire = 0
    for request, cost, size in items:
        if held and (len(held) == REQUESTS_MAX or units + cost > units_max or wire + size > WIRE_BYTES_MAX):
            yield held
            held, units, wire = [], 0, 0
        held.append((request, cost))
        units, wire = units + cost, wire + size
    if held:
        yield held


@functools.cache
def dynamodb(timeout_s: float) -> Any:
    """Give this worker's client: it tells each fault to the writer, which knows what to do."""
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(3.0, timeout_s / 4),
        read_timeout=timeout_s * 0.7,
        parameter_validation=False,  # half of a call's CPU; what is sent is made by `values.py`
    )
    return boto3.Session().client("dynamodb", config=config)


def writer(where: Where, units_per_s: float) -> Writer:
    """Give a writer of this worker."""
    warehouse = Warehouse(aws_client("redshift-data", 1), where.workgroup, where.database)
    memory = Memory(warehouse, Tables(where.export, where.run), where.hold_s)

    def left_s() -> float:
        try:
            head, _, left = memory.holder()
        except FreshetError:  # who cannot ask does not know
            return 0.0
        return left if head == where.run else 0.0

    pace = Pace(units_per_s)
    return Writer(dynamodb(where.hold_s / MARGIN), where, pace, Hold(left_s, where.hold_s))


def guarded_writer(where: Where, units_per_s: float, work: Callable[[Writer], None]) -> Written:
    """Let a writer work; why it stopped is part of what it did."""
    made = writer(where, units_per_s)
    try:
        work(made)
    except Stopped as stopped:
        made.done.stopped = str(stopped)
    made.done.waited_s = made.pace.waited_s
    return made.done


def write(spark: SparkSession, shares: Sequence[Share], where: Where) -> list[Written]:
    """Write all items that are to be written, each share in a task of its own, all at the same time."""

    def work(tasks: Batches) -> Batches:
        for batch in tasks:
            for number in range_of(batch):
                share = shares[number]
                notes = Notes(aws_client("s3"), where.notes, where.hold_s / MARGIN / 3)
                done = guarded_writer(where, share.units_per_s, functools.partial(_write_share, share, notes))
                yield pa.RecordBatch.from_pydict({"report": [json.dumps(asdict(done))]})

    frame = spark.range(0, len(shares), 1, len(shares)).mapInArrow(guarded("write", work), "report string")
    return [Written(**json.loads(row["report"])) for row in frame.collect()]


def _write_share(share: Share, notes: Notes, made: Writer) -> None:
    s3 = aws_client("s3")
    for url, wanted in share.items:
        keys = keys_in(s3, wanted) if wanted else None
        for batch in batches(_requests(s3, url, keys, made.done), share.units_per_s):
            made.send(batch)
            made.done.puts += len(batch)
            notes.tell(made.done.puts, made.done.rows, made.done.bytes)


def range_of(batch: pa.RecordBatch) -> list[int]:
    """Give the numbers of the tasks in a batch of `spark.range`."""
    ids: Any = batch.column("id").to_pylist()
    return list(ids)


def keys_in(s3: Any, url: str) -> set[str]:
    """Read the hashes of keys in the files that begin with a URL."""
    found: set[str] = set()
    for file in files.listed(s3, url):
        hashes: Any = files.read(s3, file).read(["key_hash"])["key_hash"].to_pylist()
        found.update(hashes)
    return found


def _requests(s3: Any, url: str, wanted: set[str] | None, done: Written) -> Iterator[tuple[Request, int, int]]:
    for batch in files.read(s3, url).iter_batches(1000):
        for item in batch.to_pylist():
            if wanted is None or item["key_hash"] in wanted:
                done.rows += item["rows"]
                done.bytes += item["bytes"]
                text = item["json"]
                yield {"PutRequest": {"Item": json.loads(text)}}, units_of(item["bytes"]), len(text.encode())
