"""The tables in which the warehouse remembers one pipeline, and the SQL that makes them.

All of them belong to one pipeline, so that no two pipelines wait for each other. Comments become column comments, so
that whoever looks into the schema finds them explained.
"""

import re
from dataclasses import dataclass
from typing import Final

SCHEMA: Final = "freshet"

STATE: Final = (
    ("head", "varchar(36) not null", "Id of the last step; the next step must name it"),
    ("pipeline", "varchar(127) not null", "Name of the pipeline"),
    ("target", "varchar(255) not null", "Table that the pipeline keeps"),
    ("stream_arn", "varchar(256)", "Kinesis stream whose positions these are"),
    ("stream_created_at", "timestamp", "When that stream was created: another one may bear the same name"),
    ("transaction_id", "decimal(20,0)", "Highest transaction id of the source seen"),
    ("transaction_at", "timestamp", "Latest commit time of the source seen, UTC"),
    ("data_as_of", "timestamp", "Every change that was in the stream by then is in the target, UTC"),
    ("moved_at", "timestamp", "When the last step was committed, UTC"),
)
STEPS: Final = (
    ("step", "varchar(36) not null", "Random id; NOT NULL is what fails a step that follows another head"),
    ("follows", "varchar(36) not null", "The head that this step followed"),
    ("kind", "varchar(16) not null", "start or batch"),
    ("run", "varchar(64) not null", "Run of the job"),
    ("started_at", "timestamp", "When the batch began to read, UTC"),
    ("committed_at", "timestamp", "When the transaction began, UTC"),
    ("received", "bigint not null", "Records read: merged + superseded + propagated + ignored + quarantined"),
    ("ignored", "bigint not null", "Control records, other tables, deletes"),
    ("deletes_ignored", "bigint not null", "Of the ignored: deletes of the fact"),
    ("keys_moved", "bigint not null", "Changes of a primary key: the row of the old key stays under deletes: ignore"),
    ("staged", "bigint not null", "Rows staged; NOT NULL fails a wrong count or a doubled key"),
    ("merged", "bigint not null", "Records whose row was written"),
    ("superseded", "bigint not null", "Records older than another of the batch or than the target"),
    ("propagated", "bigint not null", "Changes of dimensions carried into rows"),
    ("quarantined", "bigint not null", "Records set aside"),
    ("bytes", "bigint not null", "Bytes staged"),
)
POSITIONS: Final = (
    ("shard", "varchar(128) not null", "Kinesis shard"),
    ("kind", "varchar(16) not null", "TRIM_HORIZON, AT_TIMESTAMP, AFTER or END"),
    ("sequence", "varchar(129)", "Sequence number of the last record merged"),
    ("at_time", "timestamp", "Start, with AT_TIMESTAMP"),
    ("proved_at", "timestamp", "When nothing unread was last known to be lost, UTC"),
)
QUARANTINE: Final = (
    ("step", "varchar(36) not null", "Step that set the record aside"),
    ("shard", "varchar(128) not null", "Where the record is in the stream"),
    ("sequence", "varchar(129) not null", "Where the record is in the shard"),
    ("reason", "varchar(64) not null", "Why, as a code"),
    ("column_name", "varchar(255)", "The column in question"),
    ("quarantined_at", "timestamp", "UTC"),
)


@dataclass(frozen=True)
class ControlTables:
    """Names of one pipeline's control tables."""

    pipeline: str
    target: str

    def _name(self, table: str) -> str:
        return f"{SCHEMA}.{self.pipeline}_{table}"

    @property
    def lock(self) -> str:
        """Empty, read by nobody: locking it makes writers wait for each other, and no reader."""
        return self._name("lock")

    @property
    def state(self) -> str:
        """One row, updated by every step."""
        return self._name("state")

    @property
    def steps(self) -> str:
        """One row a step: what happened."""
        return self._name("steps")

    @property
    def positions(self) -> str:
        """One row a shard."""
        return self._name("positions")

    @property
    def quarantine(self) -> str:
        """One row a record set aside: its position and the reason, never its body."""
        return self._name("quarantine")

    @property
    def all(self) -> tuple[str, ...]:
        """Every control table."""
        return (self.lock, self.state, self.steps, self.positions, self.quarantine)

    def create(self) -> list[str]:
        """Give the statements that make what is missing; the schema is there."""
        tables = {self.state: STATE, self.steps: STEPS, self.positions: POSITIONS, self.quarantine: QUARANTINE}
        statements = [f"create table if not exists {self.lock} (nothing integer)"]
        for table, columns in tables.items():
            body = ", ".join(f"{name} {kind}" for name, kind, _ in columns)
            statements.append(f"create table if not exists {table} ({body}) diststyle all")
        return statements

    def describe(self) -> list[str]:
        """Give the statements that explain the columns."""
        tables = {self.state: STATE, self.steps: STEPS, self.positions: POSITIONS, self.quarantine: QUARANTINE}
        return [
            f"comment on column {table}.{name} is {literal(comment)}"
            for table, columns in tables.items()
            for name, _, comment in columns
        ]

    def first_state(self, genesis: str) -> list[str]:
        """Give the transaction that writes the single state row unless it is there."""
        return [
            f"lock {self.lock}",
            f"insert into {self.state} (head, pipeline, target) "
            f"select {literal(genesis)}, {literal(self.pipeline)}, {literal(self.target)} "
            f"from (select count(*) as rows_there from {self.state}) as existing where rows_there = 0",
        ]


def freshness_view(state_tables: list[str]) -> str:
    """Give the view that tells analysts how fresh each table is, over the state rows of all pipelines."""
    selects = [f"select target, pipeline, data_as_of, moved_at from {SCHEMA}.{table}" for table in sorted(state_tables)]
    return f"create or replace view {SCHEMA}.freshness as " + " union all ".join(selects)


def literal(text: str) -> str:
    """Write text as a SQL literal.

    Only characters that no dialect treats specially: Redshift reads backslashes as escapes, PostgreSQL does not.

    Raises:
        ValueError: The text has another character.
    """
    if not re.fullmatch(r"[A-Za-z0-9 _.,:;/+=()-]*", text):
        raise ValueError(f"not a safe literal: {len(text)} characters")
    return f"'{text}'"
