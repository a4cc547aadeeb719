"""The model's DMS and Kinesis: records that are re-sent, doubled, cut; shards that are split and merged while the job lags."""

import random
from dataclasses import dataclass, field

from freshet.ledger.positions import START, Kind, Position, Positions, after_page
from streaming_job.changed_keys import Record
from tests.model.source import Source, norm

SHARDS_MAX = 9


@dataclass
class Shard:
    """Records as (sequence, arrival, record), in order."""

    records: list[tuple[int, float, Record]] = field(default_factory=list)
    closed: bool = False


class Stream:
    def __init__(self, rng: random.Random, source: Source, resend: float) -> None:
        self.rng, self.source, self.resend = rng, source, resend
        self.shards = {"s0": Shard(), "s1": Shard()}
        self.at = 0
        self.sequence = 0
        self.resent = self.resharded = self.cut = 0

    def _open(self) -> list[str]:
        return [name for name, shard in self.shards.items() if not shard.closed]

    def put(self, record: Record, place: int) -> None:
        opened = self._open()
        self.sequence += 1
        self.shards[opened[place % len(opened)]].records.append((self.sequence, self.source.now, record))

    def dms(self) -> None:
        """DMS sends on; now and then it was restarted and sends again what it had sent."""
        if self.at and self.rng.random() < self.resend:
            self.at = max(0, self.at - self.rng.randrange(1, 8))
            self.resent += 1
        for logged_at, change in self.source.binlog[self.at : self.at + self.rng.randrange(1, 6)]:
            if logged_at + 0.05 > self.source.now:
                break
            old = None if change.old is None else (change.old,)
            place = sum(map(ord, change.table + norm(change.key)))
            self.put(Record(change.table, (change.key,), old), place)
            if self.rng.random() < 0.03:
                self.put(Record(change.table, None), place)
                self.cut += 1
            self.at += 1

    def reshard(self) -> None:
        opened = self._open()
        self.resharded += 1
        number = len(self.shards)
        if len(opened) > 2 and self.rng.random() < 0.5:
            for name in self.rng.sample(opened, 2):
                self.shards[name].closed = True
            self.shards[f"s{number}"] = Shard()
        elif number < SHARDS_MAX:
            self.shards[self.rng.choice(opened)].closed = True
            self.shards[f"s{number}"], self.shards[f"s{number + 1}"] = Shard(), Shard()

    def page(self, name: str, position: Position, records: int) -> tuple[list[Record], Position]:
        """Some whole records after a position, and where the shard stands then."""
        shard = self.shards[name]
        if position.kind is Kind.END:
            return [], position
        unread = [
            (sequence, at, record)
            for sequence, at, record in shard.records
            if (sequence > position.sequence if position.kind is Kind.AFTER else at >= position.at)
        ]
        page = unread[:records]
        last = (page[-1][0], page[-1][1]) if page else None
        has_next = not shard.closed or len(unread) > records
        return [record for _, _, record in page], after_page(position, last, closed=shard.closed, has_next=has_next)

    def is_read(self, positions: Positions) -> bool:
        """Whether a pipeline has committed everything."""
        return self.at >= len(self.source.binlog) and all(
            position.kind is Kind.END
            or not shard.records
            or (position.kind is Kind.AFTER and position.sequence >= shard.records[-1][0])
            for name, shard in self.shards.items()
            for position in (positions.get(name, START),)
        )
