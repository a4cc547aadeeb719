"""The tables in which the warehouse remembers one pipeline, and the SQL that makes them.

All of them belong to one pipeline, so that no two pipelines wait for each other. Comments become column comments, so
that whoever looks into the schema finds them explained. No key stands there in the clear; see `freshet.ledger.keys`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from freshet.redshift.catalogue import SCHEMA

KEY: Final = "varchar(16384)"
ENTRY: Final = "varchar(65535)"

STATE: Final = (
    ("head", "varchar(128) not null", "Id of the last commit; the next commit must name it"),
    ("pipeline", "varchar(127) not null", "Name of the pipeline"),
    ("target", "varchar(255) not null", "Table that the pipeline keeps"),
    ("stream_arn", "varchar(256)", "Kinesis stream whose positions these are"),
    ("stream_created_at", "timestamp", "When that stream was created: another one may bear the same name"),
    ("source", "varchar(65535)", "The source as the pipeline last saw it: its server, the generation of each table"),
    ("data_as_of", "timestamp", "Every change that was in the stream by then was looked at, UTC"),
    ("pending", "bigint", "Entries of pending work"),
    ("pending_since", "timestamp", "When the oldest pending work was first owed, UTC; NULL when nothing is pending"),
    ("moved_at", "timestamp", "When the last commit was made, UTC"),
)
COMMITS: Final = (
    ("commit_id", "varchar(128) not null", "Random id; NOT NULL is what fails a commit that follows another head"),
    ("follows", "varchar(128) not null", "The head that this commit followed"),
    ("kind", "varchar(16) not null", "start or round"),
    ("run", "varchar(64) not null", "Run of the job"),
    ("started_at", "timestamp", "When the round began, UTC"),
    ("committed_at", "timestamp", "When the transaction began, UTC"),
    ("received", "bigint not null", "Records read: keyed + ignored + quarantined"),
    ("ignored", "bigint not null", "Control records, tables that the pipeline does not follow"),
    ("quarantined", "bigint not null", "Records whose key cannot be read"),
    ("looked_at", "bigint not null", "Keys of the fact whose rows were read from the source"),
    ("staged", "bigint not null", "Rows staged; NOT NULL fails a wrong count or a doubled key"),
    ("written", "bigint not null", "Rows written into the target"),
    ("unchanged", "bigint not null", "Rows that the target had already"),
    ("removed", "bigint not null", "Rows removed from the target"),
    ("marked", "bigint not null", "Rows marked deleted"),
    ("unfit", "bigint not null", "Keys whose row could not be staged"),
    ("bytes", "bigint not null", "Bytes staged"),
)
POSITIONS: Final = (
    ("shard", "varchar(128) not null", "Kinesis shard"),
    ("kind", "varchar(16) not null", "TRIM_HORIZON, AT_TIMESTAMP, AFTER or END"),
    ("sequence", "varchar(129)", "Sequence number of the last record looked at"),
    ("at_time", "timestamp", "Start, with AT_TIMESTAMP; arrival of that record, with AFTER"),
    ("proved_at", "timestamp", "When nothing unread was last known to be lost, UTC"),
)
PENDING: Final = (
    ("id", f"{KEY} not null", "What the entry asks for; the same work is pending once"),
    ("entry", f"{ENTRY} not null", "The entry as JSON"),
)
QUARANTINE: Final = (
    ("commit_id", "varchar(128) not null", "Commit that quarantined the record or the key"),
    ("key", KEY, "Key of the fact whose row could not be staged; NULL for a record"),
    ("shard", "varchar(128)", "Where a record is in the stream"),
    ("sequence", "varchar(129)", "Where a record is in the shard"),
    ("reason", "varchar(64)", "Why, as a code"),
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
        """One row, updated by every commit."""
        return self._name("state")

    @property
    def commits(self) -> str:
        """One row a commit: what happened."""
        return self._name("commits")

    @property
    def positions(self) -> str:
        """One row a shard."""
        return self._name("positions")

    @property
    def pending(self) -> str:
        """One row an entry of pending work; only the job writes it."""
        return self._name("pending")

    @property
    def quarantine(self) -> str:
        """One row a record that cannot be read or a key whose row cannot be staged; never a value."""
        return self._name("quarantine")

    @property
    def columns(self) -> dict[str, Sequence[tuple[str, str, str]]]:
        """Columns of each table that has some: name, type, comment."""
        return {
            self.state: STATE,
            self.commits: COMMITS,
            self.positions: POSITIONS,
            self.pending: PENDING,
            self.quarantine: QUARANTINE,
        }

    @property
    def all(self) -> tuple[str, ...]:
        """Every control table."""
        return (self.lock, *self.columns)

    def create(self) -> list[str]:
        """Give the statements that make what is missing; the schema is there."""
        statements = [f"create table if not exists {self.lock} (nothing integer)"]
        for table, columns in self.columns.items():
            body = ", ".join(f"{name} {kind}" for name, kind, _ in columns)
            statements.append(f"create table if not exists {table} ({body}) diststyle all")
        return statements

    def describe(self) -> list[str]:
        """Give the statements that explain the columns."""
        return [
            f"comment on column {table}.{name} is {literal(comment)}"
            for table, columns in self.columns.items()
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
    """Give the view that tells analysts how fresh each table is, over the state rows of all pipelines.

    `dimensions_as_of` is earlier than `data_as_of` while work is pending: a change of a joined table may not show yet.
    """
    as_of = "case when pending_since < data_as_of then pending_since else data_as_of end as dimensions_as_of"
    selects = [
        f"select target, pipeline, data_as_of, {as_of}, moved_at from {SCHEMA}.{table}"
        for table in sorted(state_tables)
    ]
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
