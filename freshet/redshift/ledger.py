"""The warehouse's memory of one pipeline: which step was last, where each shard stands, what happened to each record.

A step names the head that it follows and fails when the head is another. That one comparison fences stale jobs, replays,
gaps, late statements and restored warehouses. And it is how a job learns what became of a statement it lost sight of:
its step is in the ledger, or the head has not moved, or another step came first.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from freshet.errors import InputError, StaleBatch, TerminalError
from freshet.pipeline.ddl import check_target, column_type_of, quoted
from freshet.pipeline.model import Pipeline
from freshet.redshift.catalogue import missing_schemas, tables_of
from freshet.redshift.control_tables import SCHEMA, ControlTables, freshness_view, literal
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
from freshet.redshift.merge_sql import Step, counts, transaction
from freshet.redshift.positions import Position, utc

log = logging.getLogger(__name__)

ATTEMPTS_MAX: Final = 30
SAME_FAILURES_MAX: Final = 3


@dataclass(frozen=True)
class Remembered:
    """What the ledger says between two steps."""

    head: str
    positions: dict[str, Position]
    stream_arn: str | None
    stream_created_at: datetime | None
    transaction_id: int
    transaction_at: datetime | None

    def after(self, step: Step) -> Self:
        """Give what the ledger says once a step is committed."""
        moved = {position.shard: position for position in step.positions}
        return replace(
            self,
            head=step.id,
            positions={**({} if step.forget_positions else self.positions), **moved},
            transaction_id=step.transaction_id or self.transaction_id,
            transaction_at=step.transaction_at or self.transaction_at,
        )


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

    def create(self, target_ddl: Sequence[str]) -> None:
        """Make the target, the control tables and the readers' view where they are missing.

        Args:
            target_ddl: Statements that make the target, from `freshet.pipeline.ddl`.

        Raises:
            InputError: The target is there with other columns, or the pipeline's ledger keeps another target.
        """
        if self._check_target() and self._has_control_tables():
            self._check_kept()
            return
        self._create_readers()
        statements = [*self._missing_schemas(), *self.tables.create(), *target_ddl, *self.tables.describe()]
        for start in range(0, len(statements), STATEMENTS_MAX):
            self.warehouse.run(statements[start : start + STATEMENTS_MAX])
        self.warehouse.run(self.tables.first_state(str(uuid.uuid4())))
        self._check_kept()
        self._make_view()

    def _make_view(self) -> None:
        """Make the readers' view anew, with every pipeline's line; it belongs to the first job's user."""
        states = [table for table in tables_of(self.warehouse, SCHEMA) if table.endswith("_state")]
        try:
            self.warehouse.run([freshness_view(states), *self._reader_grants()])
        except StatementFailed as refused:
            if "owner" not in refused.reason:
                raise
            log.warning("%s.freshness belongs to another user, who must add the pipeline to it", SCHEMA)

    def _missing_schemas(self) -> list[str]:
        """Make no schema that is there, not even with IF NOT EXISTS: that asks for a right on the database."""
        missing = missing_schemas(self.warehouse, (SCHEMA, self.pipeline.target_schema))
        return [f"create schema if not exists {quoted(name)}" for name in missing]

    def _has_control_tables(self) -> bool:
        return {name.removeprefix(f"{SCHEMA}.") for name in self.tables.all} <= tables_of(self.warehouse, SCHEMA)

    def _check_kept(self) -> None:
        kept = self.warehouse.query(f"select target from {self.tables.state}")
        if kept and kept[0]["target"] != self.pipeline.target:
            raise InputError(
                f"the ledger of pipeline {self.pipeline.name} keeps {kept[0]['target']}, but its definition says target "
                f"{self.pipeline.target}: give the pipeline's folder another name"
            )

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

    def read(self) -> Remembered:
        """Read head and positions as of one moment, after every running transaction has ended.

        Raises:
            TerminalError: The state row is gone.
        """
        rows = self.warehouse.locked_query(
            self.tables.lock,
            f"select s.head, s.stream_arn, s.stream_created_at, s.transaction_id, s.transaction_at, "
            f"p.shard, p.kind, p.sequence, p.at_time, p.proved_at from {self.tables.state} as s "
            f"left join {self.tables.positions} as p on 1 = 1",
        )
        if not rows:
            raise TerminalError(
                f"{self.tables.state} has no row: the ledger of pipeline {self.pipeline.name} was tampered with"
            )
        state = rows[0]
        return Remembered(
            head=state["head"],
            positions={row["shard"]: Position.from_row(row) for row in rows if row["shard"]},
            stream_arn=state["stream_arn"],
            stream_created_at=utc(state["stream_created_at"]),
            transaction_id=int(state["transaction_id"] or 0),
            transaction_at=utc(state["transaction_at"]),
        )

    def read_after(self, remembered: Remembered, run: str) -> Remembered:
        """Read again after a batch failed; it may have failed after its step was committed.

        Args:
            remembered: What the batch began with.
            run: The job's own run.

        Raises:
            StaleBatch: Another job committed a step since.
        """
        now = self.read()
        if now.head != remembered.head and not self._is_step_of(now.head, run):
            raise self._stale(now.head, remembered.head)
        return now

    def _is_step_of(self, step: str, run: str) -> bool:
        where = f"step = {literal(step)} and run = {literal(run)}"
        return bool(self.warehouse.query(f"select step from {self.tables.steps} where {where}"))

    def committed(self, step: Step) -> bool:
        """Say what became of a step: True committed, False it did not run and still may.

        Raises:
            StaleBatch: It did not run and never will: the head is another.
        """
        rows = self.warehouse.locked_query(
            self.tables.lock,
            f"select s.head, (select count(*) from {self.tables.steps} where step = {literal(step.id)}) as found "
            f"from {self.tables.state} as s",
        )
        if rows and int(rows[0]["found"]) > 0:
            return True
        if rows and rows[0]["head"] == step.follows:
            return False
        raise self._stale(rows[0]["head"] if rows else "gone", step.follows)

    def _stale(self, head: str, followed: str) -> StaleBatch:
        return StaleBatch(
            f"pipeline {self.pipeline.name}: the ledger's head is {head}, but this job follows {followed}; nothing was "
            "written. Another job of this pipeline is ahead of this one: stop one of them."
        )

    def commit(self, step: Step, stopping: Callable[[], bool] = lambda: False) -> dict[str, int]:
        """Commit a step, however often the answer is lost.

        Args:
            step: What to commit.
            stopping: Asked while waiting; once it answers True the running statement is cancelled.

        Returns:
            What became of its records: received, merged, superseded, ignored, quarantined. The ledger is asked only when the
            answer was lost.

        Raises:
            StaleBatch: Another step came first; nothing was written.
            TerminalError: Redshift refused the same step several times in the same way.
            Cancelled: `stopping` answered True; the next start learns the outcome from the ledger.
        """
        statements = transaction(self.pipeline, self.tables, step, self.copy_role)
        refusals: list[str] = []
        rows: dict[int, int | None] = {}

        def told(part: Part) -> None:
            rows[part.number] = part.rows

        for attempt in range(ATTEMPTS_MAX):
            rows.clear()
            try:
                self.warehouse.run(statements, token=f"{step.id}-{attempt}", stopping=stopping, told=told)
                return counts(self.pipeline, self.tables, step, statements, rows) or self._counted(step)
            except StatementFailed as failed:
                refused = failed
            except UnknownOutcome:
                refused = None
            if self.committed(step):
                return self._counted(step)
            if refused is not None and not refused.conflict:
                refusals.append(refused.reason)
                if len(refusals) >= SAME_FAILURES_MAX:
                    raise TerminalError(
                        f"pipeline {self.pipeline.name}: Redshift refused step {step.id} {len(refusals)} times at statement "
                        f"{refused.number}: {refused.reason}. Nothing was written; the staged files are named by {step.manifest}"
                    ) from None
            if stopping():
                raise Cancelled(f"step {step.id} was given up; the ledger knows its outcome", certain=False)
            pause(attempt)
        raise TerminalError(
            f"pipeline {self.pipeline.name}: step {step.id} could not be committed in {ATTEMPTS_MAX} attempts; "
            "nothing was written"
        )

    def _counted(self, step: Step) -> dict[str, int]:
        names = ("received", "merged", "superseded", "ignored", "quarantined")
        (row,) = self.warehouse.query(
            f"select {', '.join(names)} from {self.tables.steps} where step = {literal(step.id)}"
        )
        return {name: int(row[name]) for name in names}

    def last_steps(self, count: int) -> list[Row]:
        """Read the newest steps, newest first."""
        return self.warehouse.query(f"select * from {self.tables.steps} order by committed_at desc limit {int(count)}")
