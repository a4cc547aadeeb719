"""Where a shard stands, and how that is written into the ledger."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self

Kind = Literal["TRIM_HORIZON", "AT_TIMESTAMP", "AFTER", "END"]


@dataclass(frozen=True)
class Position:
    """How far one shard has been read and committed.

    Attributes:
        shard: Shard id.
        kind: TRIM_HORIZON (nothing read), AT_TIMESTAMP (nothing read, start at `at`), AFTER (read up to `sequence`), END.
        sequence: Kinesis sequence number, only with AFTER.
        at: Time to start from, only with AT_TIMESTAMP.
        proved_at: When the shard was last known to have lost nothing unread: seen at its tip, or its last record's arrival.
    """

    shard: str
    kind: Kind
    sequence: str | None = None
    at: datetime | None = None
    proved_at: datetime | None = None

    def moved_to(self, sequence: str | None, proved_at: datetime) -> Self:
        """Give this position after reading on; without a sequence only the proof is newer."""
        if sequence is None:
            return replace(self, proved_at=proved_at)
        return replace(self, kind="AFTER", sequence=sequence, at=None, proved_at=proved_at)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Read a row of the positions table."""
        return cls(row["shard"], row["kind"], row["sequence"], utc(row["at_time"]), utc(row["proved_at"]))


def utc(text: str | None) -> datetime | None:
    """Read a TIMESTAMP of Redshift, which Freshet always writes in UTC."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
