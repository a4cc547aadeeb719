"""Streams and shards: what they are, who owns a hash key, how a shard is split and merged.

A record's place in a shard is its *counter*: the nanosecond of its arrival, or one more than the record before.
So counters grow, are not dense, and tell the arrival time; a sequence number is a counter in Kinesis's 56 digits.

Source: Kinesis API reference, Shard, SplitShard, MergeShards, UpdateShardCount.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise

from sandbox.kinesis.errors import InvalidArgument, LimitExceeded, ResourceInUse, ResourceNotFound
from sandbox.kinesis.quota import ReadQuota

HASH_KEYS = 1 << 128
NS = 1_000_000_000
SCALINGS_A_DAY_MAX = 10


@dataclass
class Shard:
    """One shard; `first` and `last` are the counters of its sequence number range, `last` set when it is closed."""

    number: int
    table: str
    start_hash: int
    end_hash: int
    first: int
    last: int | None = None
    parent: int | None = None
    adjacent: int | None = None
    tail: int = 0
    quota: ReadQuota = field(default_factory=ReadQuota)

    def __post_init__(self) -> None:
        self.shard_id = shard_id(self.number)
        # 36 digits that no other shard of the stream has and that grow from parent to child; the counter has 20.
        self.prefix = f"49{self.first // NS:010d}{self.number:08d}".ljust(36, "0")
        self.tail = max(self.tail, self.first)

    def sequence(self, counter: int) -> str:
        """Write a counter as a sequence number of this shard."""
        return f"{self.prefix}{counter:020d}"

    def counter(self, sequence: str) -> int:
        """Read a sequence number of this shard.

        Raises:
            InvalidArgument: It is not a number, or belongs to another shard.
        """
        if (
            not re.fullmatch(r"0|[1-9]\d{0,128}", sequence)
            or not sequence.startswith(self.prefix)
            or len(sequence) != 56
        ):
            raise InvalidArgument(f"StartingSequenceNumber {sequence} is invalid: it did not come from {self.shard_id}")
        return int(sequence[36:])


@dataclass
class Stream:
    """One stream with its shards, in the order of their numbers."""

    name: str
    arn: str
    created_ns: int
    retention_hours: int
    shards: list[Shard]
    scaled_ns: list[int] = field(default_factory=list)  # when UpdateShardCount was called; a restart forgets it

    def shard(self, wanted: str) -> Shard:
        """Find a shard by its id."""
        for shard in self.shards:
            if shard.shard_id == wanted:
                return shard
        raise ResourceNotFound(f"Shard {wanted} in stream {self.name} does not exist")

    def open_shards(self) -> list[Shard]:
        """List the shards that take records, by their hash keys."""
        return sorted((shard for shard in self.shards if shard.last is None), key=lambda shard: shard.start_hash)

    def children(self, parent: Shard) -> list[Shard]:
        """List the shards that a split or merge made of this one."""
        return [shard for shard in self.shards if parent.number in {shard.parent, shard.adjacent}]

    def next_number(self) -> int:
        """Number the next shard."""
        return max(shard.number for shard in self.shards) + 1

    def horizon(self, now_ns: int) -> int:
        """Find the counter below which records are trimmed."""
        return now_ns - self.retention_hours * 3600 * NS


def shard_id(number: int) -> str:
    """Write a shard's id as Kinesis does."""
    return f"shardId-{number:012d}"


def equal_ranges(count: int) -> list[tuple[int, int]]:
    """Cut the hash keys into ranges of one size."""
    bounds = [HASH_KEYS * index // count for index in range(count + 1)]
    return [(low, high - 1) for low, high in pairwise(bounds)]


def check_split(shard: Shard, new_start: int) -> None:
    """Refuse a split that Kinesis refuses."""
    if shard.last is not None:
        raise ResourceInUse(f"Shard {shard.shard_id} is closed")
    if not shard.start_hash < new_start <= shard.end_hash:
        raise InvalidArgument(f"NewStartingHashKey {new_start} is not inside the hash key range of {shard.shard_id}")


def check_merge(shard: Shard, other: Shard) -> None:
    """Refuse a merge that Kinesis refuses."""
    if shard.last is not None or other.last is not None:
        raise ResourceInUse(f"Shards {shard.shard_id} and {other.shard_id} must both be open")
    if shard.end_hash + 1 != other.start_hash and other.end_hash + 1 != shard.start_hash:
        raise InvalidArgument(f"Shards {shard.shard_id} and {other.shard_id} are not adjacent")


def check_scale(stream: Stream, current: int, wanted: int, now_ns: int) -> None:
    """Refuse a number of shards that Kinesis refuses.

    Source: Kinesis API reference, UpdateShardCount.
    """
    if not current / 2 <= wanted <= current * 2:
        raise LimitExceeded(f"UpdateShardCount: from {current} shards at most to double, at least to half of them")
    if sum(now_ns - then_ns < 24 * 3600 * NS for then_ns in stream.scaled_ns) >= SCALINGS_A_DAY_MAX:
        raise LimitExceeded(f"UpdateShardCount: at most {SCALINGS_A_DAY_MAX} times within 24 hours")
