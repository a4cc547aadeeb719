"""Compare the target with the SELECT over the source, row for row, and tell what differs and why.

The target's stored columns are unloaded once. The source is walked by ranges of its primary key, each range put through the
same expressions and held against the digests of the target's rows. What the walk did not meet is asked at the source by key.
What differs is a candidate: while changes flow, most of them are on their way, and `settle` finds out which are not.

Reads:  MySQL, S3, the target, its control tables.
Gives:  keys and names of columns, never values of other columns.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from pyspark.sql import SparkSession

from freshet.pipeline.connection import MySQLSettings, connect
from freshet.pipeline.model import Pipeline
from freshet.pipeline.protection import TokenKey
from freshet.pipeline.spark import register_functions
from freshet.redshift.data_api import Warehouse
from freshet.verify.control import ask_for, read_state
from freshet.verify.rows import GONE, KEPT, Difference, Form, Key, Stored, digest
from freshet.verify.settle import Capture, Patience, Settling, Sides
from freshet.verify.source import Source
from freshet.verify.target import Staging, Target

LAG_S: Final = 60.0
SHOWN_MAX: Final = 20


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        rows: Rows of the source that inner joins and `where` admit.
        source_rows: Rows of the fact that were read.
        differences: Keys that differ, each with its verdict.
        kept_after_delete: Keys of deleted facts, which `deletes: ignore` or `mark` keeps.
        too_hot: Keys that changed each time they were read: not compared, and no failure.
        repaired: Keys that were stale and are equal now: so many changes had been lost.
        quarantined: Entries in quarantine.
        asked_to_repair: What is stale was asked for; without that, a stale key cannot be told from a wrong one.
        capture_is_behind: DMS has not yet delivered what was committed when rows were read.
        unanswered: The job did not take the request to repair.
    """

    rows: int = 0
    source_rows: int = 0
    differences: list[Difference] = field(default_factory=list)
    kept_after_delete: list[Key] = field(default_factory=list)
    too_hot: list[Key] = field(default_factory=list)
    repaired: list[Key] = field(default_factory=list)
    quarantined: int = 0
    asked_to_repair: bool = False
    capture_is_behind: bool = False
    unanswered: bool = False

    @property
    def verified(self) -> bool:
        """True when the target is what the SELECT says, and nothing is in quarantine."""
        return not self.differences and not self.quarantined

    def count(self, verdict: str) -> int:
        """Count the keys of one verdict: stale, wrong, in_flight or quarantined."""
        return sum(difference.verdict == verdict for difference in self.differences)


@dataclass(frozen=True)
class Verifier:
    """Everything that a comparison needs.

    Attributes:
        spark: The session that runs the SELECT.
        pipeline: The pipeline.
        mysql: Where the source is.
        warehouse: Where the target is.
        tokens: Which key makes tokens.
        s3: A boto3 client.
        bucket: The staging bucket.
        prefix: In that bucket; below it lie `PIPELINE/verify/` and `PIPELINE/requests/`.
        copy_role: ARN of the role with which Redshift reads and writes there.
        lag_s: How long a committed change may need into the stream.
        rows_per_range: Rows of the source that one statement reads.
        without_news_s: For how long nothing may be heard of the job before what differs is told to be in flight.
        capture: What is known of DMS; None where nothing is.
    """

    spark: SparkSession
    pipeline: Pipeline
    mysql: MySQLSettings
    warehouse: Warehouse
    tokens: TokenKey
    s3: Any
    bucket: str
    prefix: str
    copy_role: str
    lag_s: float = LAG_S
    rows_per_range: int = 20_000
    without_news_s: float = 60.0
    capture: Capture | None = None
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def compare(self, on_progress: Callable[[int], None] = lambda _: None, *, repair: bool = False) -> Comparison:
        """Compare the whole table, and wait until each key that differs is decided about.

        Args:
            on_progress: Is called with the number of the source's rows compared so far.
            repair: Ask the job for what is stale, and compare again.

        Raises:
            StatementFailed: The target or the control tables cannot be read.
            EnvironmentFault: MySQL or S3 does not answer, or refuses.
            TerminalError: The SELECT cannot be computed.
        """
        register_functions(self.spark, self.tokens)
        name = self.pipeline.name
        staging = Staging(self.s3, self.bucket, f"{self.prefix}/{name}/verify/{uuid.uuid4()}", self.copy_role)
        try:
            with connect(self.mysql, self.pipeline.database) as connection:
                source = Source(self.spark, self.pipeline, self.tokens, connection)
                target = Target(self.pipeline, self.warehouse, staging)
                walk = _Walk(Form(self.pipeline), Comparison(asked_to_repair=repair))
                walk.unload(target)
                walk.meet(source, self.rows_per_range, on_progress)
                walk.ask_for_unmet(source)
                return self._settled(walk, source, target, repair)
        finally:
            staging.clear()

    def _settled(self, walk: "_Walk", source: Source, target: Target, repair: bool) -> Comparison:
        found, name = walk.found, self.pipeline.name
        sides = Sides(
            source.by_keys,
            target.by_keys,
            lambda: read_state(self.warehouse, name),
            lambda keys: ask_for(self.s3, self.bucket, self.prefix, name, keys),
            self.capture,
        )
        patience = Patience(self.lag_s, self.without_news_s, self.clock, self.sleep)
        settling = Settling(Form(self.pipeline), sides, patience)
        fates = settling.settle(walk.candidates)
        if repair:
            fates = settling.repair()
        found.differences = fates.differences
        found.kept_after_delete += fates.kept
        found.too_hot, found.repaired = fates.too_hot, fates.repaired
        found.capture_is_behind, found.unanswered = fates.capture_is_behind, fates.unanswered
        found.quarantined = sides.state().entries
        return found


@dataclass
class _Walk:
    """The first pass: the target's digests by key, and what the source's rows leave of them.

    A row takes about 170 bytes of memory, and those of its key's texts, until the source's walk meets it.
    """

    form: Form
    found: Comparison
    candidates: list[Key] = field(default_factory=list)
    _unmet: dict[Key, bytes] = field(default_factory=dict)
    _odd: dict[Key, Stored] = field(default_factory=dict)

    def unload(self, target: Target) -> None:
        """Read the target; rows that are marked deleted, and keys with several rows, are kept apart."""
        for key, values, is_marked in target.rows():
            if key in self._unmet or key in self._odd:
                copies = self._odd[key].copies if key in self._odd else 1
                self._odd[key] = Stored(values, is_marked, copies + 1)
            elif is_marked:
                self._odd[key] = Stored((), is_marked=True)
            else:
                self._unmet[key] = digest(values)

    def meet(self, source: Source, rows_per_range: int, on_progress: Callable[[int], None]) -> None:
        """Walk over the source; what does not agree becomes a candidate."""
        for page in source.pages(rows_per_range):
            for key, expected in page.items():
                stored = self._unmet.pop(key, None)
                agrees = stored == (None if expected.values is None else digest(expected.values))
                odd = self._odd.pop(key, None)
                if not agrees or odd is not None or expected.unfit is not None:
                    self.candidates.append(key)
                self.found.rows += expected.values is not None
            self.found.source_rows += len(page)
            on_progress(self.found.source_rows)

    def ask_for_unmet(self, source: Source) -> None:
        """Ask the source for the target's keys that the walk did not meet."""
        unmet = list({**self._unmet, **self._odd})
        there = source.by_keys(unmet)
        for key in unmet:
            difference = self.form.difference(key, GONE, self._odd.get(key, Stored(())))
            if key not in there and difference is not None and difference.kind == KEPT:
                self.found.kept_after_delete.append(key)
            else:
                self.candidates.append(key)
