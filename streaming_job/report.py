"""Step 9: say what a round did, as one JSON line: identifiers, counts and seconds, never values."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from freshet.ledger.commit_sql import Particulars

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """Seconds spent in each step of a round."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def tell_what_dms_left_out(tables: Mapping[str, int]) -> None:
    """Write an error when DMS says that it left changes out: the tables are no longer what the source says.

    Args:
        tables: How many records say so, by table.
    """
    if not tables:
        return
    log.error(
        "DMS left out changes, or whole tables: %s. The job goes on without them. The task's log says why; set its "
        "error policies to STOP_TASK again, and sweep: freshet backfill",
        ", ".join(sorted(tables)), extra={"fields": {"error": "LeftOut", "records": sum(tables.values())}},
    )  # fmt: skip


def report(
    pipeline: str, commit_id: str, told: Particulars, counts: Mapping[str, int], behind_ms: int, clock: Clock
) -> None:
    """Write the line of a committed round."""
    log.info(
        "round",
        extra={
            "fields": {
                "pipeline": pipeline,
                "commit": commit_id,
                "received": told.received,
                "ignored": told.ignored,
                "quarantined": told.quarantined + counts["unfit"],
                "looked_at": told.looked_at,
                "written": counts["written"],
                "unchanged": counts["unchanged"],
                "removed": counts["removed"] + counts["marked"],
                "pending": told.pending,
                "bytes": told.bytes,
                "behind_ms": behind_ms,
                "data_as_of": told.data_as_of,
                "seconds": {name: round(seconds, 3) for name, seconds in clock.seconds.items()},
            }
        },
    )
