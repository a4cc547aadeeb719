"""Keep streams and their records over restarts.

One SQLite file, one table a shard, one row a record. A record is kept as the JSON text that GetRecords answers
with: it is written once and read often, and reading is then joining.

Gives:  streams and shards, kept in memory too; pages of records after a counter.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from sandbox.kinesis.errors import ResourceInUse, ResourceNotFound
from sandbox.kinesis.shards import NS, Shard, Stream, check_merge, check_scale, check_split, equal_ranges

PAGE_BYTES_MAX = 10 * 1024 * 1024
TRIM_EVERY_NS = 30 * NS
SCHEMA = """
create table if not exists stream (name text primary key, arn text, created_ns integer, retention_hours integer);
create table if not exists shard (stream text, number integer, parent integer, adjacent integer, start_hash text,
    end_hash text, first integer, last integer, primary key (stream, number));
"""


class Entry(NamedTuple):
    """One record to be put: its data in base64, its key as JSON text, and how many bytes both have."""

    data: str
    key_json: str
    size: int


class Page(NamedTuple):
    """What GetRecords gives: the records as JSON texts, where to go on, and how much is left."""

    records: list[str]
    last: int
    size: int
    behind_ms: int


class Store:
    """The streams of one sandbox. Every method may be called from any thread."""

    def __init__(self, path: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.lock = threading.RLock()
        self.now_ns = now_ns
        self._streams: dict[str, Stream] = {}
        self._trimmed_ns = 0
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # The records of a stand-in survive a killed process, not a power cut.
        self._file.executescript(
            "pragma page_size=16384; pragma journal_mode=wal; pragma synchronous=off; pragma cache_size=-65536;"
            + SCHEMA
        )
        self._load()

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._file.close()

    def _load(self) -> None:
        for name, arn, created_ns, retention_hours in self._file.execute("select * from stream"):
            shards = [
                Shard(number, _table(name, number), int(start), int(end), first, last, parent, adjacent)
                for number, parent, adjacent, start, end, first, last in self._file.execute(
                    "select number, parent, adjacent, start_hash, end_hash, first, last from shard"
                    " where stream = ? order by number",
                    (name,),
                )
            ]
            for shard in shards:
                (tail,) = self._file.execute(f"select max(counter) from {shard.table}").fetchone()
                shard.tail = max(shard.tail, tail or 0)
            self._streams[name] = Stream(name, arn, created_ns, retention_hours, shards)

    def names(self) -> list[str]:
        """List the streams."""
        with self.lock:
            return sorted(self._streams)

    def stream(self, name: str) -> Stream:
        """Find a stream."""
        self._trim()
        try:
            return self._streams[name]
        except KeyError:
            raise ResourceNotFound(f"Stream {name} under account 123456789012 not found.") from None

    def create(self, name: str, arn: str, shard_count: int) -> Stream:
        """Make a stream; it is active at once."""
        with self.lock:
            if name in self._streams:
                raise ResourceInUse(f"Stream {name} under account 123456789012 already exists.")
            created_ns = self.now_ns()
            stream = Stream(name, arn, created_ns, 24, [])
            self._streams[name] = stream
            self._file.execute("insert into stream values (?, ?, ?, ?)", (name, arn, created_ns, 24))
            for number, (start, end) in enumerate(equal_ranges(shard_count)):
                self._add(stream, Shard(number, _table(name, number), start, end, created_ns))
            return stream

    def delete(self, name: str) -> None:
        """Forget a stream with its records."""
        with self.lock:
            for shard in self.stream(name).shards:
                self._file.execute(f"drop table {shard.table}")
            self._file.execute("delete from shard where stream = ?", (name,))
            self._file.execute("delete from stream where name = ?", (name,))
            del self._streams[name]

    def _add(self, stream: Stream, shard: Shard) -> None:
        self._file.execute(f"create table {shard.table} (counter integer primary key, size integer, record text)")
        values = (stream.name, shard.number, shard.parent, shard.adjacent, str(shard.start_hash), str(shard.end_hash))
        self._file.execute("insert into shard values (?, ?, ?, ?, ?, ?, ?, ?)", (*values, shard.first, None))
        stream.shards.append(shard)

    def _close(self, stream: Stream, shard: Shard) -> None:
        shard.last = self._next(shard)
        shard.tail = shard.last
        self._file.execute(
            "update shard set last = ? where stream = ? and number = ?", (shard.last, stream.name, shard.number)
        )

    def split(self, stream: Stream, shard: Shard, new_start: int) -> None:
        """Close a shard and open two that share its hash keys."""
        with self.lock:
            check_split(shard, new_start)
            self._close(stream, shard)
            for start, end in ((shard.start_hash, new_start - 1), (new_start, shard.end_hash)):
                number = stream.next_number()
                first = self._next(shard)
                self._add(stream, Shard(number, _table(stream.name, number), start, end, first, parent=shard.number))

    def merge(self, stream: Stream, shard: Shard, other: Shard) -> None:
        """Close two adjacent shards and open one that has the hash keys of both."""
        with self.lock:
            check_merge(shard, other)
            self._close(stream, shard)
            self._close(stream, other)
            number, first = stream.next_number(), max(self._next(shard), self._next(other))
            start, end = min(shard.start_hash, other.start_hash), max(shard.end_hash, other.end_hash)
            merged = Shard(number, _table(stream.name, number), start, end, first)
            merged.parent, merged.adjacent = shard.number, other.number
            self._add(stream, merged)

    def scale(self, stream: Stream, count: int) -> int:
        """Split and merge until so many shards of one size are open; gives how many were open before.

        As in Kinesis, some shards live only between a split and a merge.

        Raises:
            LimitExceeded: More than double or less than half; or the eleventh time within 24 hours.
        """
        with self.lock:
            before, now_ns = len(stream.open_shards()), self.now_ns()
            check_scale(stream, before, count, now_ns)
            stream.scaled_ns.append(now_ns)
            for start, _ in equal_ranges(count):
                shard = next(shard for shard in stream.open_shards() if start <= shard.end_hash)
                if shard.start_hash < start:
                    self.split(stream, shard, start)
            for start, end in equal_ranges(count):
                inside = [shard for shard in stream.open_shards() if start <= shard.start_hash <= end]
                while len(inside) > 1:
                    self.merge(stream, inside[0], inside[1])
                    inside = [shard for shard in stream.open_shards() if start <= shard.start_hash <= end]
            return before

    def _next(self, shard: Shard) -> int:
        return max(shard.tail + 1, self.now_ns())

    def put(self, shard: Shard, entries: Iterable[Entry]) -> list[str]:
        """Add records at the end of an open shard; gives their sequence numbers."""
        with self.lock:
            rows: list[tuple[int, int, str]] = []
            sequences: list[str] = []
            for counter, entry in enumerate(entries, self._next(shard)):
                sequence = shard.sequence(counter)
                sequences.append(sequence)
                record = (
                    f'{{"ApproximateArrivalTimestamp":{counter // 1_000_000 / 1000},"Data":"{entry.data}",'
                    f'"PartitionKey":{entry.key_json},"SequenceNumber":"{sequence}"}}'
                )
                rows.append((counter, entry.size, record))
            self._file.execute("begin")
            self._file.executemany(f"insert into {shard.table} values (?, ?, ?)", rows)
            self._file.execute("commit")
            shard.tail = rows[-1][0]
            return sequences

    def read(self, shard: Shard, after: int, limit: int) -> Page:
        """Read records after a counter: at most `limit`, and at most 10 MiB."""
        with self.lock:
            records: list[str] = []
            last, size, more = after, 0, False
            cursor = self._file.execute(
                f"select counter, size, record from {shard.table} where counter > ? order by counter limit ?",
                (after, limit + 1),
            )
            for counter, record_size, record in cursor:
                if len(records) == limit or (size + record_size > PAGE_BYTES_MAX and records):
                    more = True
                    break
                records.append(record)
                last, size = counter, size + record_size
            cursor.close()
            return Page(records, last, size, max(1, (self.now_ns() - last) // 1_000_000) if more else 0)

    def set_retention(self, stream: Stream, hours: int) -> None:
        """Keep records for this long from now on."""
        with self.lock:
            stream.retention_hours = hours
            self._file.execute("update stream set retention_hours = ? where name = ?", (hours, stream.name))

    def _trim(self) -> None:
        now_ns = self.now_ns()
        if now_ns - self._trimmed_ns < TRIM_EVERY_NS:
            return
        self._trimmed_ns = now_ns
        for stream in self._streams.values():
            self.trim(stream, stream.horizon(now_ns))

    def trim(self, stream: Stream, below: int) -> int:
        """Forget the records below a counter, and the closed shards that have none left; gives how many records."""
        forgotten = 0
        with self.lock:
            for shard in list(stream.shards):
                forgotten += self._file.execute(f"delete from {shard.table} where counter < ?", (below,)).rowcount
                if shard.last is not None and shard.last < below:
                    self._file.execute(f"drop table {shard.table}")
                    self._file.execute("delete from shard where stream = ? and number = ?", (stream.name, shard.number))
                    stream.shards.remove(shard)
        return forgotten


def _table(stream: str, number: int) -> str:
    return f'"records {stream} {number}"'
