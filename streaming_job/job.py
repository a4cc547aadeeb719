"""The loop: read, look up, denormalize, stage, merge; then again.

The warehouse remembers; this process only holds what makes the next batch quicker, and forgets it after any fault.
"""

import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from freshet.errors import FreshetError, TerminalError
from freshet.pipeline.connection import MySQLSettings
from freshet.pipeline.model import Pipeline
from freshet.pipeline.tasks import FAILED_STEP
from freshet.redshift.data_api import Cancelled
from freshet.redshift.ledger import Ledger, Remembered
from streaming_job.arguments import Arguments
from streaming_job.changes import Facts
from streaming_job.denormalize import denormalize
from streaming_job.kinesis import Budget, Marker, Numbering, Range, read_batch
from streaming_job.lookup import look_up
from streaming_job.merge import batch_step, check_markers, commit, data_as_of
from streaming_job.metrics import Metrics
from streaming_job.newest import newest_per_key
from streaming_job.patience import awaited
from streaming_job.report import Clock, report, tell_what_dms_left_out
from streaming_job.stage import Place, Staged, drop, stage
from streaming_job.start import Stream, check_retention, start
from streaming_job.stopping import Stopping

log = logging.getLogger(__name__)

FAILURES_IN_A_ROW_MAX: Final = 8
FAILING_MAX_S: Final = 1800.0  # a restart of a database, or its maintenance, is over by then
IDLE_ROUNDS: Final = 2
TICK_S: Final = 15.0
SMALL_BATCH: Final = 2_000  # records that one task handles sooner than a shuffle is set up


@dataclass
class Job:
    """One run of one pipeline's job."""

    spark: SparkSession
    pipeline: Pipeline
    ledger: Ledger
    mysql: MySQLSettings
    kinesis: Any
    s3: Any
    stream: Stream
    arguments: Arguments
    stopping: Stopping
    metrics: Metrics | None = None
    run: str = field(default_factory=lambda: str(uuid.uuid4()))
    _iterators: dict[str, tuple[str, float]] = field(default_factory=dict)
    _pinned: list[DataFrame] = field(default_factory=list)

    def close(self) -> None:
        """Send the last metrics, and close the connections."""
        if self.metrics:
            self.metrics.close()
        for client in (self.kinesis, self.s3, self.ledger.warehouse.client):
            client.close()

    def work(self) -> None:
        """Run until asked to stop, or until idle when that was asked for.

        Raises:
            TerminalError: Going on would lose or spoil data, or batches kept failing.
        """
        remembered = awaited("Redshift or the stream", self._start, self.stopping)
        self._say("started", shards=len(self.stream.shards), run=self.run)
        self.stopping.when_idle |= self.arguments.until_idle
        idle_rounds = failures = 0
        well_at = time.monotonic()
        while not self.stopping.asked:
            began, ending = time.monotonic(), self.stopping.when_idle
            try:
                if failures:
                    remembered = self.ledger.read_after(remembered, self.run)
                remembered, markers = self._batch(remembered)
                failures, well_at = 0, time.monotonic()
            except Cancelled:
                return
            except TerminalError:
                raise
            except (FreshetError, PySparkException, ClientError, BotoCoreError) as error:
                if self.stopping.expired():
                    return
                failures += 1
                self._failed(error, failures, time.monotonic() - well_at)
                if self.metrics:
                    self.metrics.tick()
                markers = []
                self._iterators.clear()
                self.stopping.sleep(min(30.0, 0.5 * 2**failures))
            finally:
                self._unpin()
            idle_rounds = idle_rounds + 1 if is_idle(markers) and ending else 0
            if idle_rounds >= IDLE_ROUNDS:
                return
            if not is_behind(markers):
                self._rest(began + self.every_s)

    def _start(self) -> Remembered:
        from_start, expired = self.arguments.from_start, self.stopping.expired
        return start(self.ledger, self.kinesis, self.stream, self.run, from_start, expired)

    @property
    def every_s(self) -> float:
        """Seconds from one batch's begin to the next one's, while the job keeps up."""
        return self.arguments.every_s or self.pipeline.freshness_s

    def _rest(self, until: float) -> None:
        """Wait until the next batch is due; the metrics go on meanwhile, so that its age and its life are seen."""
        while not self.stopping.asked and (left := until - time.monotonic()) > 0:
            self.stopping.sleep(min(left, TICK_S))
            if self.metrics:
                self.metrics.tick()

    def _batch(self, remembered: Remembered) -> tuple[Remembered, list[Marker]]:
        clock, started_at, step_id = Clock(), datetime.now(UTC), str(uuid.uuid4())
        with clock.step("read"):
            pinned, markers = self._read(remembered)
        check_markers(markers, self.pipeline.name)
        for marker in markers:
            if marker.behind_ms > self.stream.retention.total_seconds() * 500:
                check_retention(
                    remembered.positions[marker.shard], self.kinesis, self.stream, started_at, self.pipeline.name
                )
        staged = None
        if any(marker.changes or marker.set_aside for marker in markers):
            staged = self._rows(pinned, markers, step_id, clock)
        step = batch_step(self.run, remembered, markers, staged, started_at, self.stream.retention, step_id)
        counts = None
        if step is not None:
            with clock.step("merge"):
                counts = commit(self.ledger, step, self.stopping.expired)
            remembered = remembered.after(step)
            if staged:
                self._drop(staged)
            report(self.pipeline.name, step, markers, clock)
            tell_what_dms_left_out(self.pipeline.name, markers)
        if self.metrics:
            self.metrics.round(markers, data_as_of(markers), counts, clock)
        for marker in markers:
            if marker.iterator:
                self._iterators[marker.shard] = (marker.iterator, marker.iterator_at)
        return remembered, markers

    def _read(self, remembered: Remembered) -> tuple[DataFrame, list[Marker]]:
        ranges = [
            Range(position, *self._iterators.pop(shard, (None, 0.0)))
            for shard, position in sorted(remembered.positions.items())
        ]
        at = remembered.transaction_at
        numbering = Numbering(remembered.transaction_id, at.replace(tzinfo=None).isoformat() + "Z" if at else "")
        facts = Facts(self.pipeline.database, self.pipeline.fact)
        enough_s = max(1.0, self.every_s / 4)
        budget = Budget(records=self.arguments.records_per_shard, seconds_after_first=enough_s)
        tasks = self.spark.sparkContext.defaultParallelism  # one wave: each task reads its shards at once
        pinned, markers = read_batch(self.spark, self.stream.name, ranges, facts, numbering, budget, tasks)
        self._pinned.append(pinned)
        return pinned, markers

    def _rows(self, pinned: DataFrame, markers: list[Marker], step_id: str, clock: Clock) -> Staged | None:
        changes = sum(marker.changes for marker in markers)
        tasks = 1 if changes <= SMALL_BATCH else self.spark.sparkContext.defaultParallelism
        rows = None
        if changes:
            with clock.step("newest"):
                newest = newest_per_key(pinned, self.pipeline.key_columns, tasks).localCheckpoint(eager=True)
                self._pinned.append(newest)
            with clock.step("lookup"):
                read_at = max(marker.iterator_at for marker in markers)
                dimensions = look_up(self.pipeline, newest, self.mysql, read_at, tasks)
                self._pinned += dimensions.values()
            rows = denormalize(self.spark, self.pipeline, newest, dimensions, small=tasks == 1)
        with clock.step("stage"):
            aside = pinned if any(marker.set_aside for marker in markers) else None
            prefix = "/".join((self.arguments.staging_prefix, self.pipeline.name, self.run, step_id))
            return stage(self.pipeline, rows, aside, Place(self.arguments.staging_bucket, prefix), self.s3)

    def _drop(self, staged: Staged) -> None:
        try:
            drop(self.s3, self.arguments.staging_bucket, staged)
        except (
            ClientError,
            BotoCoreError,
        ) as error:  # the step is committed; the bucket's lifecycle rule deletes them later
            self._say("staged files could not be deleted", error=type(error).__name__, files=len(staged.objects))

    def _unpin(self) -> None:
        """Let go of the batch's blocks: Spark forgets a local checkpoint only when it is told to."""
        for frame in self._pinned:
            frame._jdf.queryExecution().analyzed().rdd().unpersist(False)
        self._pinned.clear()

    def _failed(self, error: Exception, failures: int, failing_s: float) -> None:
        said = str(error) if isinstance(error, FreshetError) else _step_and_class(error)
        if failures >= FAILURES_IN_A_ROW_MAX and failing_s > FAILING_MAX_S:
            raise TerminalError(
                f"pipeline {self.pipeline.name}: for {failing_s / 60:.0f} minutes every batch failed, the last with: {said}. "
                "Nothing of them was written; the next start goes on from the ledger"
            ) from None
        self._say("batch failed and is read again", error=said, failures=failures)

    def _say(self, event: str, **fields: object) -> None:
        log.info(event, extra={"fields": {"pipeline": self.pipeline.name, **fields}})


def is_idle(markers: Sequence[Marker]) -> bool:
    """Tell whether a round came to the tip of every shard and found nothing; one that failed did not."""
    return bool(markers) and all(marker.tip_at and not marker.records for marker in markers)


def is_behind(markers: Sequence[Marker]) -> bool:
    """Tell whether a shard holds more than a batch takes: the next one begins at once."""
    return any(marker.tip_at is None and not marker.closed for marker in markers)


def _step_and_class(error: Exception) -> str:
    found = FAILED_STEP.search(str(error))
    return found[0] if found else f"a call failed with {type(error).__name__}"
