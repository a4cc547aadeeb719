"""What the alarms watch: numbers about the job, sent to CloudWatch once a minute, never a call a row.

Within a minute values are kept as their smallest, largest, sum and count. Sending happens beside the job: a CloudWatch
that does not answer is said once in the log, and neither stops nor delays anything.

Reads:  what each round did, and what its commit counted; never the warehouse, which would wake for it.
Gives:  metrics of one namespace; their dimension is the pipeline, of BatchSeconds also the step.

Source: CloudWatch API Reference, "PutMetricData" (1,000 metrics a call, 1 MB).
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from freshet.redshift.data_api import Warehouse
from streaming_job.kinesis import Reader
from streaming_job.report import Clock
from streaming_job.running import Running

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
LAST_WORD_S: Final = 8.0
METRICS: Final = {
    "FreshnessSeconds": "Seconds",
    "StreamLagSeconds": "Seconds",
    "RetentionHeadroomPercent": "Percent",
    "RecordsReceived": "Count",
    "RowsWritten": "Count",
    "RowsUnchanged": "Count",
    "RowsRemoved": "Count",
    "RecordsIgnored": "Count",
    "RecordsQuarantined": "Count",
    "CaptureErrors": "Count",
    "PendingEntries": "Count",
    "PendingSeconds": "Seconds",
    "BatchSeconds": "Seconds",
    "DataApiSeconds": "Seconds",
    "JobAlive": "Count",
}
Dimensions = tuple[tuple[str, str], ...]


@dataclass
class Values:
    """The values of one metric within a minute."""

    smallest: float
    largest: float
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Take one more value in."""
        self.smallest, self.largest = min(self.smallest, value), max(self.largest, value)
        self.total, self.count = self.total + value, self.count + 1


@dataclass
class Minute:
    """What was seen since metrics were sent last."""

    values: dict[tuple[str, Dimensions], Values] = field(default_factory=dict)

    def add(self, name: str, value: float, *dimensions: tuple[str, str]) -> None:
        """Take one value in."""
        self.values.setdefault((name, dimensions), Values(value, value)).add(value)


class Metrics:
    """The metrics of one job; with no namespace nothing is sent, and no call is made."""

    def __init__(self, cloudwatch: Any, namespace: str, warehouse: Warehouse, retention_s: float) -> None:
        self._cloudwatch, self._namespace, self._warehouse = cloudwatch, namespace, warehouse
        self._retention_s = retention_s
        self._minute = Minute()
        self._as_of: dict[str, float | None] = {}
        self._lag_s = 0.0
        self._left_out = 0
        self._left_out_told: dict[str, int] = {}
        self._data_api_s = 0.0
        self._sent_at = time.monotonic()
        self._sending: threading.Thread | None = None
        self._complained = False

    def read(self, reader: Reader, left_out: int) -> None:
        """Take in how far the stream was read, and how many records say that DMS left something out."""
        self._lag_s = max((shard.behind_ms for shard in reader.open_shards), default=0) / 1000
        self._left_out += left_out

    def round(self, running: Running, as_of: datetime | None, clock: Clock) -> None:
        """Take in what one round did.

        Args:
            running: The pipeline.
            as_of: Every change that was in the stream by then was looked at; None when this round cannot tell.
            clock: Seconds of each step.
        """
        pipeline = ("Pipeline", running.name)
        self._minute.add("StreamLagSeconds", self._lag_s, pipeline)
        headroom = 100 * max(0.0, self._retention_s - self._lag_s) / self._retention_s
        self._minute.add("RetentionHeadroomPercent", headroom, pipeline)
        self._as_of[running.name] = as_of.timestamp() if as_of else self._as_of.get(running.name)
        since = min((entry.since for entry in running.pending.values()), default=None)
        self._minute.add("PendingEntries", len(running.pending), pipeline)
        self._minute.add("PendingSeconds", 0.0 if since is None else max(0.0, time.time() - since), pipeline)
        self._minute.add("CaptureErrors", self._left_out - self._left_out_told.get(running.name, 0), pipeline)
        self._left_out_told[running.name] = self._left_out
        if running.counts is not None and running.told is not None:
            counts, told = running.counts, running.told
            for metric, value in (
                ("RecordsReceived", told.received),
                ("RowsWritten", counts["written"]),
                ("RowsUnchanged", counts["unchanged"]),
                ("RowsRemoved", counts["removed"] + counts["marked"]),
                ("RecordsIgnored", told.ignored),
                ("RecordsQuarantined", told.quarantined + counts["unfit"]),
            ):
                self._minute.add(metric, value, pipeline)
            for name, seconds in clock.seconds.items():
                self._minute.add("BatchSeconds", seconds, pipeline, ("Step", name))
        self.tick()

    def tick(self) -> None:
        """Say that the job lives, and send when a minute is over."""
        for name, as_of in self._as_of.items():
            if as_of is not None:
                self._minute.add("FreshnessSeconds", max(0.0, time.time() - as_of), ("Pipeline", name))
        if time.monotonic() - self._sent_at >= EVERY_S and not (self._sending and self._sending.is_alive()):
            self._start_sending()

    def close(self) -> None:
        """Send what is left, and wait for it, but not long."""
        if self._sending:
            self._sending.join(LAST_WORD_S)
        self._start_sending().join(LAST_WORD_S)

    def _start_sending(self) -> threading.Thread:
        minute, self._minute = self._minute, Minute()
        self._sent_at = time.monotonic()
        spent = self._warehouse.spent.seconds
        for name in self._as_of:
            minute.add("DataApiSeconds", spent - self._data_api_s, ("Pipeline", name))
            minute.add("JobAlive", 1, ("Pipeline", name))
        self._data_api_s = spent
        self._sending = threading.Thread(target=self._send, args=(minute,), daemon=True)
        self._sending.start()
        return self._sending

    def _send(self, minute: Minute) -> None:
        try:
            self._cloudwatch.put_metric_data(Namespace=self._namespace, MetricData=data(minute, datetime.now(UTC)))
        except (ClientError, BotoCoreError) as error:
            if not self._complained:
                log.warning("metrics could not be sent (%s); the job goes on without", type(error).__name__)
            self._complained = True
        else:
            self._complained = False


def data(minute: Minute, at: datetime) -> list[dict[str, Any]]:
    """Write a minute's values as PutMetricData takes them."""
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
            "Timestamp": at,
            "Unit": METRICS[name],
            "StatisticValues": {
                "SampleCount": values.count,
                "Sum": values.total,
                "Minimum": values.smallest,
                "Maximum": values.largest,
            },
        }
        for (name, dimensions), values in minute.values.items()
    ]
