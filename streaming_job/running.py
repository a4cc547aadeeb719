"""One pipeline in the job: what the job keeps of it in memory, and one round of it.

A round that fails leaves everything as it was: the changed keys stay in memory, the position in the ledger. Whatever became of
its commit is learned from the ledger before the next one.

Reads:  the keys that changed; the source; requests.
Gives:  commits.
"""

import logging
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pyspark.sql import SparkSession

from freshet.ledger import requests as request_rules
from freshet.ledger.commit import Commit, Outcome
from freshet.ledger.commit_sql import Particulars
from freshet.ledger.ledger import Ledger, Memory
from freshet.ledger.pending import Entry, What
from freshet.ledger.positions import Position, advanced
from freshet.pipeline.protection import TokenKey
from streaming_job import group
from streaming_job.answers import KEY_ENDS_WITH_BLANK, Answers, Connection, Target
from streaming_job.changed_keys import ChangedKeys, Record, RecordOutcome, note
from streaming_job.evaluate import Evaluation
from streaming_job.followed import Followed
from streaming_job.pending import Quota
from streaming_job.probe import Held
from streaming_job.questions import (
    Answer,
    FactKeys,
    Look,
    NoWait,
    Question,
    Referring,
    Rows,
    SkipLocked,
    TargetKeys,
    Wait,
)
from streaming_job.records import LeftOut, Unreadable
from streaming_job.records import Outcome as RecordRead
from streaming_job.report import Clock, report
from streaming_job.requests import Requests
from streaming_job.round import Given, Round, one_round
from streaming_job.stage import Staged, Staging, delete_staged, write_manifest
from streaming_job.start import oldest

log = logging.getLogger(__name__)

Decided = TypeVar("Decided")
STEP_OF: Final[dict[type, str]] = {
    Look: "look", SkipLocked: "probe", NoWait: "probe", Wait: "probe",
    Referring: "pending", FactKeys: "pending", TargetKeys: "pending", Rows: "rows",
}  # fmt: skip


@dataclass
class Tally:
    """What became of the records that were received since the last commit; each has one outcome."""

    received: int = 0
    ignored: int = 0
    quarantined: list[tuple[str, str, str, str | None]] = field(default_factory=list)

    def without(self, told: Particulars) -> "Tally":
        """Give what a commit did not tell yet; what it told was taken in first."""
        return Tally(self.received - told.received, self.ignored - told.ignored, self.quarantined[told.quarantined :])


@dataclass(frozen=True)
class Around:
    """What all pipelines of a job share.

    Attributes:
        spark: The session.
        connection: The driver's connection to the source.
        tokens: Which key makes tokens.
        s3: A boto3 client.
        bucket: Staging bucket.
        prefix: Prefix in it.
        run: Run of the job.
        tasks: How many tasks read rows at once.
        renew_proofs_s: A shard's proof is renewed when it is that old.
        stopping: Asked while waiting for the warehouse.
    """

    spark: SparkSession
    connection: Connection
    tokens: TokenKey
    s3: Any
    bucket: str
    prefix: str
    run: str
    tasks: int
    renew_proofs_s: float
    stopping: Callable[[], bool]


@dataclass(frozen=True)
class Progress:
    """How far the one reader is.

    Attributes:
        through: Position a shard.
        proofs: When each shard was last proved complete, seconds.
        data_as_of: Every change that was in the stream by then was read; None when that is not known.
        behind_ms: How far behind its tip the furthest shard is.
        read_s: Seconds that the last read took.
    """

    through: Mapping[str, Position]
    proofs: Mapping[str, float]
    data_as_of: datetime | None
    behind_ms: int
    read_s: float = 0.0


@dataclass
class Running:
    """One pipeline of a running job.

    Attributes:
        followed: The pipeline.
        ledger: Its ledger.
        memory: What the ledger says.
        around: What all pipelines share.
        changed: Keys that changed since its last commit.
        tally: Records received since then.
        held: Back-off of held keys.
        failures: Rounds that failed in a row.
        failing_since: When the first of them did, `time.monotonic()`.
        due_at: When its next round is due, likewise.
        counts: What its last commit did; None if the last round made none.
        told: What the ledger keeps of it, likewise.
        left_out: Memory could not keep what it has to look at; it starts anew once it can commit.
        sent: Id of the commit whose outcome is not known yet, and what it told; None if each is known.
    """

    followed: Followed
    ledger: Ledger
    memory: Memory
    around: Around
    changed: ChangedKeys = field(default_factory=ChangedKeys)
    tally: Tally = field(default_factory=Tally)
    held: dict[str, Held] = field(default_factory=dict)
    failures: int = 0
    failing_since: float = 0.0
    due_at: float = 0.0
    counts: dict[str, int] | None = None
    told: Particulars | None = None
    left_out: bool = False
    sent: tuple[str, Particulars] | None = None

    def __post_init__(self) -> None:
        prefix = f"{self.around.prefix}/{self.name}"
        self.requests = Requests(self.around.s3, self.around.bucket, f"{prefix}/requests")
        self.target = Target(
            self.ledger.warehouse,
            self.followed,
            self.around.s3,
            self.around.bucket,
            f"{prefix}/keys",
            self.ledger.copy_role,
            lambda: self.memory.quarantined,
        )

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return self.followed.pipeline.name

    @property
    def pending(self) -> Mapping[str, Entry]:
        """Pending work."""
        return self.memory.remembered.pending

    @property
    def has_work(self) -> bool:
        """True while passes are pending: the next round is due at once."""
        return any(entry.what not in {What.KEY, What.ROW} for entry in self.pending.values())

    def take_in(self, outcome: RecordRead, shard: str, sequence: str) -> None:
        """Take in one record."""
        self.tally.received += 1
        if isinstance(outcome, Unreadable):
            if outcome.table is None or outcome.table in self.followed.shape.tables:
                self.tally.quarantined.append((shard, sequence, outcome.reason, outcome.column))
            else:
                self.tally.ignored += 1
        elif isinstance(outcome, LeftOut) or note(self.followed.shape, outcome, self.changed) is RecordOutcome.IGNORED:
            self.tally.ignored += 1
        elif column := self._blank_at_end(outcome):
            self.tally.quarantined.append((shard, sequence, KEY_ENDS_WITH_BLANK, column))

    def _blank_at_end(self, record: Record) -> str | None:
        """Name the key column of a fact whose value the target could not tell from another one."""
        fact = self.followed.fact_key
        return fact.blank_at_end(record.key) if record.table == fact.table and record.key is not None else None

    def forget(self) -> None:
        """Forget changed keys that a sweep will come by, as this pipeline cannot commit and memory is full."""
        answers = Answers(self.followed, self.around.connection, self.target, _no_rows)
        kept = drive(group.forget(self.followed.shape, self.changed), answers.answer, Clock(), plain=True)
        self.left_out = kept is None
        self.changed = ChangedKeys() if kept is None else kept  # what is kept may be nothing but the sweep that is owed

    def round(
        self, progress: Progress, turn: int, allowed: int, clock: Clock, before_commit: Callable[[], None]
    ) -> int:
        """Make one round.

        Args:
            progress: How far the reader is.
            turn: Number of the round.
            allowed: Rows that the rate limiter grants to pending.
            clock: Takes the seconds of each step.
            before_commit: Is called once the source has answered everything: the warehouse works now, and this machine may.

        Returns:
            Rows that pending asked of the source.

        Raises:
            FreshetError: It failed; nothing is forgotten.
        """
        if self.failures:
            self.memory = self.ledger.read_after(self.memory.remembered.head, self.around.run)
            self._settle()
        started_at, commit_id = datetime.now(UTC), str(uuid.uuid4())
        found = self.requests.found(at_once=self.failures > 0)  # those of a round that failed are still there
        prefix = "/".join((self.around.prefix, self.name, self.around.run, commit_id))
        staging = Staging(
            self.followed.pipeline,
            self.followed.key_outputs,
            self.around.tokens,
            self.around.bucket,
            prefix,
            frees=bool(self.memory.quarantined),
        )
        answers = Answers(
            self.followed,
            self.around.connection,
            self.target,
            lambda server: Evaluation(
                self.around.spark, self.followed, self.around.connection.settings, staging, server
            ),
        )
        given = Given(
            shape=self.followed.shape,
            remembered=self.memory.remembered,
            changed=self.changed,
            through=progress.through,
            commit_id=commit_id,
            now=time.time(),
            turn=turn,
            allowed=allowed,
            requests=tuple(found.values()),
            held=self.held,
            quota=Quota(tasks=self.around.tasks),
        )
        decided: Round = drive(one_round(given), answers.answer, clock)
        self.held, self.counts, self.told = decided.held, None, None
        commit = decided.commit or self._renewal(given, progress, is_asked=bool(found))
        before_commit()
        if commit is not None:
            with clock.step("commit"):
                told, counts = self._commit(commit, answers, staging, progress, started_at)
            report(self.name, commit_id, told, counts, progress.behind_ms, clock)
            self.told, self.counts = told, counts
        self.changed, self.tally = ChangedKeys(), Tally()
        if request_rules.may_be_deleted(Outcome.COMMITTED):
            self.requests.delete(list(found))
        return decided.taken_rows

    def _settle(self) -> None:
        """Count no record twice: the commit that was sent last may have been made."""
        if self.sent is not None and self.sent[0] == self.memory.remembered.head:
            self.tally = self.tally.without(self.sent[1])
        self.sent = None

    def _renewal(self, given: Given, progress: Progress, *, is_asked: bool) -> Commit | None:
        """Give a commit that only says how far the job is: when a proof is old, or when a request asks for it.

        Without proofs nobody knows that nothing was lost.
        """
        remembered = self.memory.remembered
        if not is_asked and not self._moved(advanced(remembered.positions, progress.through), progress):
            return None
        return Commit(given.commit_id, remembered.head, remembered.positions, remembered.seen)

    def _moved(self, positions: Mapping[str, Position], progress: Progress) -> dict[str, Position]:
        """Give the positions to write: those that moved, and those whose proof is old."""
        before, proofs = self.memory.remembered.positions, self.memory.proofs
        return {
            shard: position
            for shard, position in positions.items()
            if before.get(shard) != position
            or progress.proofs.get(shard, 0.0) - proofs.get(shard, 0.0) > self.around.renew_proofs_s
        }

    def _commit(
        self, commit: Commit, answers: Answers, staging: Staging, progress: Progress, started_at: datetime
    ) -> tuple[Particulars, dict[str, int]]:
        files = list(answers.written)
        decisions = staging.write_decisions(self.tally.quarantined, answers.blanks, commit.put, sorted(commit.drop))
        files += [decisions] if decisions else []
        staged = write_manifest(self.around.s3, staging.bucket, staging.prefix, files) if files else None
        entries = {name: entry for name, entry in self.pending.items() if name not in commit.drop}
        entries |= {name: Entry.from_row(row) for name, row in commit.put.items()}
        proofs = {**self.memory.proofs, **progress.proofs}
        told = Particulars(
            kind="round",
            run=self.around.run,
            started_at=started_at,
            received=self.tally.received,
            ignored=self.tally.ignored,
            quarantined=len(self.tally.quarantined),
            looked_at=answers.looked_at,
            bytes=staged.bytes if staged else 0,
            manifest=staged.manifest if staged else None,
            staged=staged.rows if staged else {},
            data_as_of=progress.data_as_of,
            pending=len(entries),
            pending_since=oldest(entry.since for entry in entries.values()),
            proofs=proofs,
        )
        moved = self._moved(commit.positions, progress)
        self.sent = (commit.id, told)
        counts = self.ledger.commit(commit, moved, told, self.around.stopping)
        self.tally, self.sent = self.tally.without(told), None
        quarantined = self.memory.quarantined
        if quarantined or counts["unfit"] or answers.blanks:
            quarantined = self.ledger.quarantined_keys()
        self.memory = replace(
            self.memory,
            remembered=replace(
                self.memory.remembered, head=commit.id, positions=commit.positions, pending=entries, seen=commit.seen
            ),
            proofs={**self.memory.proofs, **{shard: proofs[shard] for shard in moved if shard in proofs}},
            quarantined=quarantined,
        )
        if staged:
            self._delete(staged)
        return told, counts

    def _delete(self, staged: Staged) -> None:
        try:
            delete_staged(self.around.s3, self.around.bucket, staged.objects)
        except (ClientError, BotoCoreError) as error:  # committed all the same; the bucket's lifecycle rule has them
            fields = {"pipeline": self.name, "error": type(error).__name__, "files": len(staged.objects)}
            log.info("staged files could not be deleted", extra={"fields": fields})


def _no_rows(_: str) -> Any:
    raise AssertionError("the probe asks for no rows")


def drive(
    steps: Generator[Question, Any, Decided], answer: Callable[[Question], Answer], clock: Clock, *, plain: bool = False
) -> Decided:
    """Ask what a generator wants to know, until it has decided.

    Args:
        steps: It gives questions.
        answer: Answers one.
        clock: Takes the seconds of each step.
        plain: It takes the bare value of an answer, not the servers that gave it.
    """
    try:
        question = next(steps)
        while True:
            with clock.step(STEP_OF[type(question)]):
                answered = answer(question)
            question = steps.send(answered.value if plain else answered)
    except StopIteration as ended:
        result: Decided = ended.value
        return result
