"""Where shards stand: the least of several pipelines, and where a pipeline stands after a commit.

A stream is read once for all pipelines, from the least of their positions. A pipeline may so be shown records again that it has
committed: a record only names a key, and looking at a key twice changes nothing. A position therefore only ever moves on.

Gives:  positions a shard. A shard without an entry stands at `START`.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeAlias


class Kind(IntEnum):
    """What a position says; of one shard, a greater kind is further on."""

    AT = 0
    AFTER = 1
    END = 2


class Position(NamedTuple):
    """How far one shard has been read.

    Attributes:
        kind: AT (nothing read, starts at time `at`), AFTER (read up to `sequence`), END (read to its end, and closed).
        sequence: Kinesis's sequence number; only with AFTER.
        at: AT: time to start from, seconds. AFTER: arrival of the last record read, seconds.
    """

    kind: Kind
    sequence: int = 0
    at: float = 0.0


Positions: TypeAlias = Mapping[str, Position]
START: Final = Position(Kind.AT)
END: Final = Position(Kind.END)
NEW_PIPELINE_LOOKS_BACK_S: Final = 3600.0


def is_before(one: Position, other: Position) -> bool:
    """Tell whether one position of a shard leaves records unread that the other has passed."""
    if Kind.END in (one.kind, other.kind) or one.kind == other.kind:
        return one < other
    return one.at < other.at or (one.at == other.at and one.kind is Kind.AT)


def least(pipelines: Iterable[Positions]) -> dict[str, Position]:
    """Give for every shard that any pipeline knows the position of the one furthest behind."""
    known = list(pipelines)
    result: dict[str, Position] = {}
    for shard in {shard for positions in known for shard in positions}:
        stands = [positions.get(shard, START) for positions in known]
        result[shard] = stands[0]
        for position in stands[1:]:
            if is_before(position, result[shard]):
                result[shard] = position
    return result


def advanced(own: Positions, through: Positions) -> dict[str, Position]:
    """Give where a pipeline stands once it has committed what was read through some positions.

    Args:
        own: What the pipeline has committed.
        through: How far the one reader had read when the pipeline's changed keys were taken. Reading began at or before `own`.

    Returns:
        For each shard the further of both: `max(own, through)`.
    """
    result = dict(own)
    for shard, position in through.items():
        if shard not in result or result[shard] < position:
            result[shard] = position
    return result


def after_page(position: Position, last: tuple[int, float] | None, *, closed: bool, has_next: bool) -> Position:
    """Give where a shard stands after a page of it.

    Args:
        position: Before.
        last: Sequence number and arrival, in seconds, of the page's last record; None for an empty page.
        closed: The shard was split or merged; it may still hold records.
        has_next: Kinesis gave another iterator. It gives none once a closed shard was read to its end.

    Source: Amazon Kinesis Data Streams API Reference, GetRecords, NextShardIterator.
    """
    if closed and not has_next:
        return END
    return Position(Kind.AFTER, *last) if last else position


def of_new_pipeline(
    shards: Iterable[str], now: float, looks_back_s: float = NEW_PIPELINE_LOOKS_BACK_S
) -> dict[str, Position]:
    """Give the positions that a new pipeline commits before its first sweep.

    The group's own positions would be too far on. A transaction can be in the stream and still be invisible (semi-sync, XA):
    the group has read its record and keeps the key pending, but the new pipeline's sweep would read the row as it was.

    Args:
        shards: Every shard that the stream has.
        now: Seconds.
        looks_back_s: How long before `now` to start; longer than a transaction stays invisible.

    Returns:
        One position a shard, at that time.
    """
    return {shard: Position(Kind.AT, at=max(0.0, now - looks_back_s)) for shard in shards}


def as_row(position: Position) -> tuple[str, str | None, datetime | None]:
    """Write a position for the ledger: kind, sequence, time; the kinds are those of Kinesis's iterators, and END."""
    at = datetime.fromtimestamp(position.at, UTC) if position.at else None
    if position.kind is Kind.AFTER:
        return "AFTER", str(position.sequence), at
    if position.kind is Kind.END:
        return "END", None, None
    return ("AT_TIMESTAMP" if at else "TRIM_HORIZON"), None, at


def from_row(row: Mapping[str, Any]) -> Position:
    """Read what `as_row` wrote."""
    at = utc(row["at_time"])
    seconds = at.timestamp() if at else 0.0
    if row["kind"] == "AFTER":
        return Position(Kind.AFTER, int(row["sequence"]), seconds)
    return END if row["kind"] == "END" else Position(Kind.AT, at=seconds)


def utc(text: str | None) -> datetime | None:
    """Read a TIMESTAMP of Redshift, which Freshet always writes in UTC."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
