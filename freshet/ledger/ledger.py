"""The warehouse's memory of one pipeline: which commit was last, where each shard stands, what is pending, what happened.

A commit names the head that it follows and fails when the head is another. That one comparison fences stale jobs, replays,
gaps, late statements and restored warehouses. And it is how a job learns what became of a statement it lost sight of:
the commit is in the ledger, or the head has not moved, or another commit came first.
"""

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from freshet.errors import InputError, StaleBatch, TerminalError
from freshet.ledger.commit import Commit, Outcome, Remembered, Seen, outcome
from freshet.ledger.commit_sql import Particulars, counts, transaction
from freshet.ledger.keys import Key, decoded
from freshet.ledger.pending import Entry
from freshet.ledger.positions import Position, from_row, utc
from freshet.ledger.tables import ControlTables, freshness_view, literal
from freshet.pipeline.ddl import check_target, column_type_of, quoted
from freshet.pipeline.model import Pipeline
from freshet.redshift.catalogue import SCHEMA, missing_schemas, tables_of
from freshet.redshift.data_api import (
    STATEMENTS_MAX,
    Cancelled,
    Part,
    Row,
    StatementFailed,
    UnknownOutcome,
    Warehouse,
    pause,
)

log = logging.getLogger(__name__)

ATTEMPTS_MAX: Final = 30
SAME_FAILURES_MAX: Final = 3
READ_OF_ALL: Final = {"pipeline", "target", "data_as_of", "pending_since", "moved_at"}
COUNTED: Final = ("written", "unchanged", "removed", "marked", "unfit")


@dataclass(frozen=True)
class Memory:
    """What the ledger says between two commits.

    Attributes:
        remembered: What a round needs.
        proofs: When each shard was last proved complete, seconds.
        stream: ARN and creation of the stream; None before the first start.
        quarantined: Keys of the fact in quarantine.
    """

    remembered: Remembered
    proofs: Mapping[str, float] = field(default_factory=dict)
    stream: tuple[str, datetime] | None = None
    quarantined: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class Ledger:
    """One pipeline's ledger in one warehouse."""

    warehouse: Warehouse
    pipeline: Pipeline
    copy_role: str

    @property
    def tables(self) -> ControlTables:
        """Names of the control tables."""
        return ControlTables(self.pipeline.name, self.pipeline.target)

    def create(self, target_ddl: Sequence[str], *, rebuild: bool = False) -> None:
        """Make the target, the control tables and the readers' view where they are missing.

        Args:
            target_ddl: Statements that make the target, from `freshet.pipeline.ddl`.
            rebuild: Make a target again that is gone, and fill it.

        Raises:
            InputError: The target is there with other columns or belongs to another pipeline, or the ledger keeps another
            target.
            TerminalError: The target is gone although the ledger says that it was filled.
        """
        there, known = self._check_target(), tables_of(self.warehouse, SCHEMA)
        remembers = {name.removeprefix(f"{SCHEMA}.") for name in self.tables.all} <= known
        self._check_kept(self._states())
        if there and remembers:
            return
        if remembers and self._has_committed():
            if not rebuild:
                raise TerminalError(
                    f"pipeline {self.pipeline.name}: its target {self.pipeline.target} is gone, although the ledger says that it "
                    "was filled; nothing was made. Start with --rebuild to make and fill it again"
                )
            self.warehouse.run([f"lock {self.tables.lock}", f"update {self.tables.state} set source = null"])
        self._create_readers()
        statements = [*self._missing_schemas(), *self.tables.create(), *target_ddl, *self.tables.describe()]
        for start in range(0, len(statements), STATEMENTS_MAX):
            self.warehouse.run(statements[start : start + STATEMENTS_MAX])
        self.warehouse.run(self.tables.first_state(str(uuid.uuid4())))
        self._make_view()

    def _has_committed(self) -> bool:
        return bool(self.warehouse.query(f"select commit_id from {self.tables.commits} limit 1"))

    def _make_view(self) -> None:
        """Make the readers' view anew, with every pipeline's line; it belongs to the first job's user."""
        try:
            self.warehouse.run([freshness_view(self._states()), *self._reader_grants()])
        except StatementFailed as refused:
            if "owner" not in refused.reason:
                raise
            log.warning("%s.freshness belongs to another user, who must add the pipeline to it", SCHEMA)

    def _missing_schemas(self) -> list[str]:
        """Make no schema that is there, not even with IF NOT EXISTS: that asks for a right on the database."""
        missing = missing_schemas(self.warehouse, (SCHEMA, self.pipeline.target_schema))
        return [f"create schema if not exists {quoted(name)}" for name in missing]

    def _states(self) -> list[str]:
        """Name the state tables of all pipelines; one that an earlier version made is passed over."""
        names = ", ".join(map(literal, sorted(READ_OF_ALL)))
        rows = self.warehouse.query(
            f"select table_name, column_name from svv_columns where table_schema = {literal(SCHEMA)} "
            f"and column_name in ({names})"
        )
        columns: dict[str, set[str]] = {}
        for row in rows:
            columns.setdefault(str(row["table_name"]), set()).add(str(row["column_name"]))
        return sorted(name for name, found in columns.items() if name.endswith("_state") and found == READ_OF_ALL)

    def _check_kept(self, states: Sequence[str]) -> None:
        """A target belongs to one pipeline, and a pipeline keeps one target."""
        if not states:
            return
        try:
            rows = self._kept(states)
        except StatementFailed as refused:
            if "permission" not in refused.reason:
                raise
            log.warning(
                "the ledgers of others may not be read, so nobody checks whether one keeps %s", self.pipeline.target
            )
            rows = self._kept([name for name in states if f"{SCHEMA}.{name}" == self.tables.state])
        for row in rows:
            if row["pipeline"] == self.pipeline.name and row["target"] != self.pipeline.target:
                raise InputError(
                    f"the ledger of pipeline {self.pipeline.name} keeps {row['target']}, but its definition says target "
                    f"{self.pipeline.target}: give the pipeline's folder another name"
                )
            if row["pipeline"] != self.pipeline.name and row["target"] == self.pipeline.target:
                raise InputError(
                    f"the target {self.pipeline.target} of pipeline {self.pipeline.name} belongs to pipeline {row['pipeline']}: "
                    "name another target"
                )

    def _kept(self, states: Sequence[str]) -> list[Row]:
        selects = [f"select pipeline, target from {SCHEMA}.{table}" for table in states]
        return self.warehouse.query(" union all ".join(selects)) if selects else []

    def _check_target(self) -> bool:
        """Say whether the target is there."""
        columns = self.warehouse.query(
            "select column_name, data_type, character_maximum_length, numeric_precision, numeric_scale from svv_columns "
            "where table_schema = :schema and table_name = :table",
            {"schema": self.pipeline.target_schema, "table": self.pipeline.target_table},
        )
        existing = {row["column_name"]: column_type_of(*list(row.values())[1:]) for row in columns}
        if existing and (differences := check_target(self.pipeline, existing)):
            raise InputError(
                f"pipeline {self.pipeline.name}: its target is there already and does not fit: {'; '.join(differences)}. "
                "Nothing was changed: name another target, or drop the table"
            )
        return bool(existing)

    def _create_readers(self) -> None:
        if not self.pipeline.readers:
            return
        known = {row["role_name"] for row in self.warehouse.query("select role_name from svv_roles")}
        missing = [role for role in self.pipeline.readers if role not in known]
        if missing:
            self.warehouse.run([f"create role {quoted(role)}" for role in missing])

    def _reader_grants(self) -> list[str]:
        grants = []
        for role in self.pipeline.readers:
            grants += [
                f"grant usage on schema {SCHEMA} to role {quoted(role)}",
                f"grant select on {SCHEMA}.freshness to role {quoted(role)}",
            ]
        return grants

    def read(self) -> Memory:
        """Read all that is remembered as of one moment, after every running transaction has ended.

        Raises:
            TerminalError: The state row is gone.
        """
        tables = self.tables
        found = self.warehouse.locked_queries(
            tables.lock,
            [
                f"select head, stream_arn, stream_created_at, source from {tables.state}",
                f"select shard, kind, sequence, at_time, proved_at from {tables.positions}",
                f"select entry from {tables.pending}",
                f"select key from {tables.quarantine} where key is not null",
            ],
        )
        states, positions, pending, quarantine = found
        if not states:
            raise TerminalError(
                f"{tables.state} has no row: the ledger of pipeline {self.pipeline.name} was tampered with"
            )
        state = states[0]
        entries = [Entry.from_row(json.loads(row["entry"])) for row in pending]
        seen = Seen.from_text(state["source"]) if state["source"] else None
        created = utc(state["stream_created_at"])
        proofs = {row["shard"]: proved.timestamp() for row in positions if (proved := utc(row["proved_at"]))}
        return Memory(
            Remembered(
                state["head"],
                {row["shard"]: from_row(row) for row in positions},
                {entry.id: entry for entry in entries},
                seen,
            ),
            proofs,
            (state["stream_arn"], created) if created else None,
            frozenset(decoded(row["key"]) for row in quarantine),
        )

    def read_after(self, head: str, run: str) -> Memory:
        """Read again after a round failed; it may have failed after its commit was made.

        Args:
            head: The head that the round followed.
            run: The job's own run.

        Raises:
            StaleBatch: Another job has committed since.
        """
        now = self.read()
        if now.remembered.head != head and not self._is_commit_of(now.remembered.head, run):
            raise self._stale(now.remembered.head, head)
        return now

    def _is_commit_of(self, commit_id: str, run: str) -> bool:
        where = f"commit_id = {literal(commit_id)} and run = {literal(run)}"
        return bool(self.warehouse.query(f"select commit_id from {self.tables.commits} where {where}"))

    def outcome_of(self, commit: Commit) -> Outcome:
        """Say what became of a commit whose answer was lost, after every running transaction has ended."""
        rows = self.warehouse.locked_query(
            self.tables.lock,
            f"select s.head, (select count(*) from {self.tables.commits} where commit_id = {literal(commit.id)}) as found "
            f"from {self.tables.state} as s",
        )
        head, found = (rows[0]["head"], int(rows[0]["found"]) > 0) if rows else ("gone", False)
        became = outcome(commit, finished=False, head=head, found=found)
        if became is Outcome.STALE:
            raise self._stale(head, commit.follows)
        return became

    def _stale(self, head: str, followed: str) -> StaleBatch:
        return StaleBatch(
            f"pipeline {self.pipeline.name}: the ledger's head is {head}, but this job follows {followed}; nothing was "
            "written. Another job of this pipeline is ahead of this one: stop one of them."
        )

    def commit(
        self,
        commit: Commit,
        moved: Mapping[str, Position],
        told: Particulars,
        stopping: Callable[[], bool] = lambda: False,
    ) -> dict[str, int]:
        """Make a commit, however often the answer is lost.

        Args:
            commit: What was decided.
            moved: Positions to write.
            told: What the ledger keeps besides.
            stopping: Asked while waiting; once it answers True the running statement is cancelled.

        Returns:
            `COUNTED`. The ledger is asked only when the answer was lost.

        Raises:
            StaleBatch: Another commit came first; nothing was written.
            TerminalError: Redshift refused the same commit several times in the same way.
            Cancelled: `stopping` answered True; the next start learns the outcome from the ledger.
        """
        statements = transaction(self.pipeline, self.tables, commit, moved, told, self.copy_role)
        refusals: list[str] = []
        rows: dict[int, int | None] = {}

        def tell(part: Part) -> None:
            rows[part.number] = part.rows

        for attempt in range(ATTEMPTS_MAX):
            rows.clear()
            refused: StatementFailed | None = None
            try:
                self.warehouse.run(statements, token=f"{commit.id[:60]}-{attempt}", stopping=stopping, told=tell)
                return counts(self.pipeline, statements, rows, told) or self._counted(commit.id)
            except StatementFailed as failed:
                refused = failed
            except UnknownOutcome:
                pass
            if self.outcome_of(commit) is Outcome.COMMITTED:
                return self._counted(commit.id)
            if refused is not None and not refused.conflict:
                refusals.append(refused.reason)
                if len(refusals) >= SAME_FAILURES_MAX:
                    raise TerminalError(
                        f"pipeline {self.pipeline.name}: Redshift refused commit {commit.id} {len(refusals)} times at statement "
                        f"{refused.number}: {refused.reason}. Nothing was written; the staged files are named by {told.manifest}"
                    ) from None
            if stopping():
                raise Cancelled(f"commit {commit.id} was given up; the ledger knows its outcome", certain=False)
            pause(attempt)
        raise TerminalError(
            f"pipeline {self.pipeline.name}: commit {commit.id} could not be made in {ATTEMPTS_MAX} attempts; "
            "nothing was written"
        )

    def _counted(self, commit_id: str) -> dict[str, int]:
        (row,) = self.warehouse.query(
            f"select {', '.join(COUNTED)} from {self.tables.commits} where commit_id = {literal(commit_id)}"
        )
        return {name: int(row[name]) for name in COUNTED}

    def quarantined_keys(self) -> frozenset[Key]:
        """Read which keys are in quarantine."""
        rows = self.warehouse.query(f"select key from {self.tables.quarantine} where key is not null")
        return frozenset(decoded(row["key"]) for row in rows)

    def last_commits(self, count: int) -> list[Row]:
        """Read the newest commits, newest first."""
        return self.warehouse.query(
            f"select * from {self.tables.commits} order by committed_at desc limit {int(count)}"
        )
