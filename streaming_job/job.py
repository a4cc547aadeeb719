"""The loop: read the stream once for all pipelines, then a round of each that is due; then again.

The warehouse remembers. This process holds what makes the next round quicker, and the keys that changed since a pipeline's last
commit. One pipeline that fails keeps its keys and its position, is tried again later, and holds nobody back. A source or a stream
that does not answer stops all of them for a while.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pyspark.errors import PySparkException

from freshet.errors import FreshetError, TerminalError
from freshet.ledger.positions import least
from freshet.redshift.data_api import Cancelled
from streaming_job import group
from streaming_job.arguments import Arguments
from streaming_job.group import Full
from streaming_job.kinesis import CALLS_APART_S, Budget, Reader
from streaming_job.metrics import Metrics
from streaming_job.patience import awaited
from streaming_job.rate_limiter import RateLimiter
from streaming_job.records import LeftOut, Outcome
from streaming_job.report import Clock, tell_what_dms_left_out
from streaming_job.running import Progress, Running
from streaming_job.start import How, Stream, check_retention, shards_of, start
from streaming_job.stopping import Stopping

log = logging.getLogger(__name__)

FAILURES_IN_A_ROW_MAX: Final = 8
FAILING_MAX_S: Final = 1800.0  # a restart of a database, or its maintenance, is over by then
IDLE_ROUNDS: Final = 2
TICK_S: Final = 15.0
RECORDS_PER_ROUND: Final = 80_000  # as many changed facts as one round reads at once
FAULTS: Final = (FreshetError, PySparkException, ClientError, BotoCoreError)


@dataclass
class Job:
    """One run of the job.

    Attributes:
        pipelines: Those that run, by name.
        read: Reads one record.
        kinesis: A boto3 client.
        stream: The stream.
        arguments: The command line.
        stopping: Says when to stop.
        run: Random id of this run.
        metrics: Takes what each round did; None when nobody wants to know.
        ended: Pipelines that ended by a fault that a person must mend, with it.
    """

    pipelines: dict[str, Running]
    read: Callable[[bytes], Outcome]
    kinesis: Any
    stream: Stream
    arguments: Arguments
    stopping: Stopping
    run: str
    metrics: Metrics | None = None
    ended: dict[str, TerminalError] = field(default_factory=dict)
    closing: list[Any] = field(default_factory=list)
    turn: int = 0
    read_at: float = 0.0
    read_s: float = 0.0

    def close(self) -> None:
        """Send the last metrics, and close the connections."""
        if self.metrics:
            self.metrics.close()
        for client in self.closing:
            client.close()

    def work(self) -> None:
        """Run until asked to stop, or until idle when that was asked for.

        Raises:
            TerminalError: Going on would lose or spoil data, or rounds kept failing; for a pipeline of several it is raised when
            all have ended.
        """
        for running in list(self.pipelines.values()):
            self._guarded(running, lambda one=running: self._start(one))  # type: ignore[misc]
        self._raise_if_none_is_left()
        self.reader = Reader(
            self.kinesis,
            self.stream.name,
            self.read,
            least([running.memory.remembered.positions for running in self.pipelines.values()]),
        )
        self.closing.append(self.reader)
        self.reader.add(self.stream.shards)
        self.limiter = RateLimiter(self.arguments.rows_per_s, self.arguments.rows_per_s, time.monotonic())
        self._say("started", shards=len(self.stream.shards), run=self.run, pipelines=sorted(self.pipelines))
        self.stopping.when_idle |= self.arguments.until_idle
        idle_rounds, failures, well_at = 0, 0, time.monotonic()
        while not self.stopping.asked:
            ending = self.stopping.when_idle
            records = 0
            try:
                records = self._read_pages()
                failures, well_at = 0, time.monotonic()
            except Cancelled:
                return
            except TerminalError:
                raise
            except FAULTS as error:
                if self.stopping.expired():
                    return
                failures += 1
                self._say_failed(error, failures, time.monotonic() - well_at, "the stream could not be read")
                self.reader.forget_iterators()
                self._tick()
                self.stopping.sleep(min(30.0, 0.5 * 2**failures))
                continue
            for running in list(self.pipelines.values()):
                if self._is_due(running):
                    self._guarded(running, lambda one=running: self._round(one))  # type: ignore[misc]
            self._raise_if_none_is_left()
            idle_rounds = idle_rounds + 1 if ending and not records and self._is_idle() else 0
            if idle_rounds >= IDLE_ROUNDS:
                break
            self._rest()
        if self.ended:
            raise TerminalError("; ".join(str(error) for error in self.ended.values()))

    def _start(self, running: Running) -> None:
        how = How(self.run, self.arguments.from_start, self.arguments.accept_gap, self.stopping.expired)
        running.memory = awaited(
            "Redshift or the stream", lambda: start(running.ledger, self.kinesis, self.stream, how), self.stopping
        )

    def every_s(self, running: Running) -> float:
        """Seconds from one round's begin to the next one's, while the job keeps up."""
        return self.arguments.every_s or running.followed.pipeline.freshness_s

    def _is_due(self, running: Running) -> bool:
        return running.due_at <= time.monotonic()

    def _read_pages(self) -> int:
        """Read the stream once for all, and take each record into every pipeline."""
        self.read_at = time.monotonic()
        records, left_out, ended, began = 0, dict[str, int](), False, time.perf_counter()
        everyone = [running for running in self.pipelines.values() if not running.left_out]
        for shard, page in self.reader.read(self._budget()):
            for sequence, outcome in page.records:
                if isinstance(outcome, LeftOut):
                    left_out[outcome.table] = left_out.get(outcome.table, 0) + 1
                for running in everyone:
                    running.take_in(outcome, shard.id, sequence)
            shard.take_in(page)
            records += len(page.records)
            ended |= page.following is None
        if ended:
            self.reader.add(shards_of(self.kinesis, self.stream.name))
        self.read_s = time.perf_counter() - began
        tell_what_dms_left_out(left_out)
        self._check_retention()
        for running in list(self.pipelines.values()):
            self._keep_or_forget(running)
        if self.metrics:
            self.metrics.read(self.reader, sum(left_out.values()))
        return records

    def _read_ahead(self) -> None:
        """Begin to read what the next round needs, while the job is behind."""
        if self._is_behind():
            self.reader.read_ahead(self._budget())

    def _budget(self) -> Budget:
        """Give what one read takes of a shard."""
        shards = max(1, len(self.reader.open_shards))
        return Budget(
            records=min(self.arguments.records_per_shard, -(-RECORDS_PER_ROUND // shards)),
            seconds_after_first=max(1.0, self._least_every_s() / 4),
        )

    def _is_behind(self) -> bool:
        return any(shard.tip_at is None for shard in self.reader.open_shards)

    def _check_retention(self) -> None:
        for shard in self.reader.open_shards:
            if shard.behind_ms > self.stream.retention.total_seconds() * 500:
                for running in self.pipelines.values():
                    position = running.memory.remembered.positions.get(shard.id)
                    if position is not None:
                        check_retention(shard.id, position, running.memory, self.kinesis, self.stream, running.name)

    def _keep_or_forget(self, running: Running) -> None:
        full = group.when_full(running.changed, failing=running.failures > 0)
        if full is Full.COMMIT_NOW:
            running.due_at = 0.0
        elif full is Full.FORGET_FREE:
            # What cannot be probed now is kept, and probed after the next read.
            self._guarded(running, running.forget, counts=False)

    def _round(self, running: Running) -> None:
        if running.left_out:
            how = How(self.run, stopping=self.stopping.expired)
            running.memory = start(running.ledger, self.kinesis, self.stream, how)
            self.reader.go_back(running.memory.remembered.positions)
            running.left_out, running.due_at = False, 0.0
            return
        clock, began = Clock({"read": self.read_s}), time.monotonic()
        self.turn += 1
        self.limiter = self.limiter.at_time(began)
        progress = self._progress()
        taken = running.round(progress, self.turn, self.limiter.allowed, clock, self._read_ahead)
        self.limiter = self.limiter.after_taking(taken)
        running.due_at = 0.0 if self._is_behind() or running.has_work else began + self.every_s(running)
        if self.metrics:
            self.metrics.round(running, progress.data_as_of, clock)

    def _progress(self) -> Progress:
        shards = self.reader.open_shards
        times = [shard.tip_at or shard.proved_at for shard in shards]
        as_of = datetime.fromtimestamp(min(times), UTC) if times and all(times) else None
        behind_ms = max((shard.behind_ms for shard in shards), default=0)
        return Progress(self.reader.through, self.reader.proofs, as_of, behind_ms, self.read_s)

    def _guarded(self, running: Running, work: Callable[[], None], *, counts: bool = True) -> None:
        """Do something for one pipeline; what goes wrong there is its own affair."""
        try:
            work()
        except Cancelled:
            return
        except TerminalError as error:
            self.pipelines.pop(running.name, None)
            self.ended[running.name] = error
            log.error(str(error), extra={"fields": {"pipeline": running.name, "error": type(error).__name__}})
        except FAULTS as error:
            if self.stopping.expired() or not counts:
                return
            running.failures += 1
            now = time.monotonic()
            running.failing_since = running.failing_since or now
            running.due_at = now + group.retry_after_s(running.failures)
            try:
                self._say_failed(
                    error, running.failures, now - running.failing_since, "round failed and is tried again"
                )
            except TerminalError as terminal:
                self.pipelines.pop(running.name, None)
                self.ended[running.name] = terminal
        else:
            if counts:
                running.failures, running.failing_since = 0, 0.0

    def _raise_if_none_is_left(self) -> None:
        if self.pipelines:
            return
        if len(self.ended) == 1:
            raise next(iter(self.ended.values()))
        if self.ended:
            raise TerminalError("every pipeline has ended: " + "; ".join(str(error) for error in self.ended.values()))

    def _is_idle(self) -> bool:
        """Tell whether every shard was at its tip and no pipeline has anything left to do."""
        at_tip = all(shard.tip_at for shard in self.reader.open_shards)
        return at_tip and not any(
            running.failures or running.left_out or running.pending or running.changed or running.tally.received
            for running in self.pipelines.values()
        )

    def _least_every_s(self) -> float:
        return min((self.every_s(running) for running in self.pipelines.values()), default=1.0)

    def _rest(self) -> None:
        """Wait until a pipeline is due; the metrics go on meanwhile, so that its age and its life are seen."""
        due_at = min((running.due_at for running in self.pipelines.values()), default=0.0)
        until = max(due_at, self.read_at + CALLS_APART_S)
        while not self.stopping.asked and (left := until - time.monotonic()) > 0:
            self.stopping.sleep(min(left, TICK_S))
            self._tick()

    def _tick(self) -> None:
        if self.metrics:
            self.metrics.tick()

    def _say_failed(self, error: Exception, failures: int, failing_s: float, what: str) -> None:
        said = str(error) if isinstance(error, FreshetError) else f"a call failed with {type(error).__name__}"
        if failures >= FAILURES_IN_A_ROW_MAX and failing_s > FAILING_MAX_S:
            raise TerminalError(
                f"for {failing_s / 60:.0f} minutes every round failed, the last with: {said}. "
                "Nothing of them was written; the next start goes on from the ledger"
            ) from None
        self._say(what, error=said, failures=failures)

    @staticmethod
    def _say(event: str, **fields: object) -> None:
        log.info(event, extra={"fields": fields})
