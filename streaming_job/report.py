"""Step 8: say what a batch did, as one JSON line: identifiers, counts and seconds, never values."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from freshet.redshift.merge_sql import Step
from streaming_job.kinesis import Marker

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """Seconds spent in each step of a batch."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def tell_what_dms_left_out(pipeline: str, markers: Sequence[Marker]) -> None:
    """Write an error when DMS says that it left changes out: the table is no longer what the source says."""
    records = sum(marker.left_out for marker in markers)
    if not records:
        return
    tables = sorted({table for marker in markers for table in marker.left_out_of})
    log.error(
        "pipeline %s: DMS left out changes, or whole tables: %s. The job goes on without them. The task's log says why; set its "
        "error policies to STOP_TASK again, and load the tables anew",
        pipeline, ", ".join(tables), extra={"fields": {"pipeline": pipeline, "error": "LeftOut", "records": records}},
    )  # fmt: skip


def report(pipeline: str, step: Step, markers: Sequence[Marker], clock: Clock) -> None:
    """Write the line of a committed batch."""
    log.info(
        "batch",
        extra={
            "fields": {
                "pipeline": pipeline,
                "step": step.id,
                "received": step.received,
                "ignored": step.ignored,
                "staged": step.staged,
                "bytes": step.bytes,
                "behind_ms": max((marker.behind_ms for marker in markers), default=0),
                "data_as_of": step.data_as_of,
                "seconds": {name: round(seconds, 3) for name, seconds in clock.seconds.items()},
            }
        },
    )
