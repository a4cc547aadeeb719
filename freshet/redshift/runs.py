"""The ledger of batch runs: what ran, when, how many rows and bytes, how it ended.

It is what `freshet status` shows and nothing decides by it: what a job must know of its own past (which files are loaded, what
was exported) it keeps beside its rows, in their transaction. So a run writes here in short statements of their own, and no run
waits for another's work.

A run that was killed cannot say so: it is found `lost` when its like begins again; should it end after all, it says so itself.

Reads and writes:  the table `freshet.runs`.  It holds names and counts, never a value of a row.

It runs on Python 3.9 too, as AWS Glue's Python shell has it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from freshet.errors import FreshetError
from freshet.redshift.catalogue import SCHEMA, missing_schemas, tables_of
from freshet.redshift.data_api import Cancelled, Row, Warehouse, patiently
from freshet.redshift.literals import quote

TABLE: Final = f"{SCHEMA}.runs"
COLUMNS: Final = (
    ("run", "varchar(36) not null", "Random id"),
    ("kind", "varchar(16) not null", "load, sql, pull or export"),
    ("name", "varchar(512) not null", "What ran: the name of a definition or file"),
    ("started_at", "timestamp not null", "UTC"),
    ("heard_at", "timestamp not null", "When the run last told of itself, UTC"),
    ("rows", "bigint not null", "Rows moved so far"),
    ("bytes", "bigint not null", "Bytes moved so far, as far as the job knows them"),
    ("outcome", "varchar(16) not null", "running, done, failed, stopped; lost: not heard of when its like began"),
    ("message", "varchar(2000) not null", "Why it failed; identifiers only"),
)
MESSAGE_MAX: Final = 1000  # characters; at most four bytes each, of which messages use one or two


@dataclass
class Run:
    """One run that is going on: `rows` and `bytes` are what it has moved; tell them with `progress`."""

    id: str
    warehouse: Warehouse
    rows: int = 0
    bytes: int = 0
    note: str = ""

    def progress(self, rows: int = 0, bytes: int = 0) -> None:  # noqa: A002 - the column's name
        """Add to what was moved, and tell."""
        self.rows += rows
        self.bytes += bytes
        self._tell("running", self.note)

    def end(self, outcome: str, message: str = "") -> None:
        """Tell how it ended: done, failed or stopped."""
        self._tell(outcome, message or self.note)

    def _tell(self, outcome: str, message: str) -> None:
        statement = (
            f"update {TABLE} set heard_at = sysdate, rows = {self.rows}, bytes = {self.bytes}, "
            f"outcome = {quote(outcome)}, message = {quote(message[:MESSAGE_MAX])} where run = {quote(self.id)}"
        )
        patiently(lambda: self.warehouse.run([statement]))


def create(warehouse: Warehouse, writers: Sequence[str] = ()) -> None:
    """Make the table if it is missing.

    Args:
        warehouse: Where.
        writers: Users, as they are quoted in SQL, who may read and write it too.
    """
    if not _is_there(warehouse):
        columns = ", ".join(f"{name} {kind}" for name, kind, _ in COLUMNS)
        schema = [f"create schema if not exists {name}" for name in missing_schemas(warehouse, [SCHEMA])]
        comments = [f"comment on column {TABLE}.{name} is {quote(comment)}" for name, _, comment in COLUMNS]
        table = f"create table if not exists {TABLE} ({columns}) diststyle all"
        patiently(lambda: warehouse.run([*schema, table, *comments]))
    if writers:
        warehouse.run([f"grant select, insert, update on {TABLE} to {', '.join(writers)}"])


def _is_there(warehouse: Warehouse) -> bool:
    return TABLE in {f"{SCHEMA}.{name}" for name in tables_of(warehouse, SCHEMA)}


def begin(warehouse: Warehouse, kind: str, name: str) -> Run:
    """Write that a run begins; makes the table if it is missing."""
    create(warehouse)
    run = Run(str(uuid.uuid4()), warehouse)
    same = f"kind = {quote(kind)} and name = {quote(name)}"
    statements = [
        f"update {TABLE} set outcome = 'lost' where {same} and outcome = 'running' and run <> {quote(run.id)}",
        f"insert into {TABLE} (run, kind, name, started_at, heard_at, rows, bytes, outcome, message) "
        f"select {quote(run.id)}, {quote(kind)}, {quote(name)}, sysdate, sysdate, 0, 0, 'running', '' "
        f"from (select count(*) as there from {TABLE} where run = {quote(run.id)}) as known where there = 0",
    ]
    patiently(lambda: warehouse.run(statements))
    return run


@contextmanager
def recorded(warehouse: Warehouse, kind: str, name: str) -> Iterator[Run]:
    """Record what happens within: done, or failed with the error's message, or stopped by Ctrl-C or SIGTERM."""
    run = begin(warehouse, kind, name)
    try:
        yield run
    except BaseException as error:
        stopped = isinstance(error, (KeyboardInterrupt, Cancelled))
        # An error that is not ours may quote a value: only its kind is told.
        message = str(error) if isinstance(error, FreshetError) else type(error).__name__
        with suppress(FreshetError):  # the first error is the one to tell
            run.end("stopped" if stopped else "failed", message)
        raise
    run.end("done")


def recent(warehouse: Warehouse, limit: int = 20) -> list[Row]:
    """Read the newest runs, newest first: run, kind, name, started_at, heard_at, seconds, rows, bytes, outcome, message."""
    if not _is_there(warehouse):
        return []
    return warehouse.query(
        "select run, kind, name, started_at, heard_at, datediff(second, started_at, heard_at) as seconds, "
        f"rows, bytes, outcome, message from {TABLE} order by started_at desc, run limit {int(limit)}"
    )
