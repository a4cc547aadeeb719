"""The transaction that copies files and remembers them, as SQL text.

Order matters. The lock comes before any snapshot, so the second of two runs sees what the first wrote. The head is updated by
everyone, so two collide under every isolation level. A file that is loaded already gets NULL for its size, which the table
refuses, and nothing is copied: that one check fences second runs, late statements and answers that were lost.

Reads:  the batch's list and manifest, from S3.
Gives:  statements; where the rows are counted.

Source: Redshift database developer guide, "LOCK", "COPY", "Using a manifest to specify data files", "PG_LAST_COPY_COUNT".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from batch_jobs.load import specification
from batch_jobs.load.files_table import FilesTable
from batch_jobs.load.listing import File, in_hex
from freshet.redshift.literals import quote

LISTED: Final = "freshet_listed"
STAGE: Final = "freshet_stage"
REASON_MAX: Final = 400


@dataclass(frozen=True)
class Refusal:
    """Why COPY refused a file: the file if COPY names it, and its place; identifiers and Redshift's words, no values."""

    reason: str
    file: str | None = None
    line: int | None = None
    column: str | None = None
    code: int | None = None

    def __str__(self) -> str:
        place = [f"line {self.line}"] if self.line else []
        place += [f"column {self.column}"] if self.column else []
        code = f" (code {self.code})" if self.code else ""
        return f"{', '.join(place)}: {self.reason}{code}" if place else f"{self.reason}{code}"


@dataclass(frozen=True)
class Batch:
    """Files that go together: what one transaction is about.

    Attributes:
        id: Random; the files' rows in the files table bear it.
        run: The run.
        files: The files.
        instead_of: A batch whose rows these files replace; empty: none.
        instead_of_files: How many files that batch has.
    """

    id: str
    run: str
    files: tuple[File, ...]
    instead_of: str = ""
    instead_of_files: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Transaction:
    """Statements, and which of them do what, by number from 1."""

    statements: list[str] = field(default_factory=list)
    fences: tuple[int, ...] = ()
    copies: tuple[int, ...] = ()
    counts: int = 0


def copying(table: FilesTable, batch: Batch, listed_url: str, manifest_url: str, copy_role: str) -> Transaction:
    """Give the transaction that copies a batch.

    Args:
        table: The load's tables.
        batch: The files.
        listed_url: Of the batch's list, JSON lines.
        manifest_url: Of its manifest.
        copy_role: ARN of the role with which Redshift reads the files.
    """
    load = table.load
    role = f"iam_role {quote(copy_role)}"
    same_file = f"{table.files.split('.')[1]}.file_hex = {LISTED}.file_hex"
    marker = quote(load.replace) if load.replace else "null"
    statements = [
        f"lock {table.lock}",
        _head(table, batch),
        f"create temp table {LISTED} (file_hex varchar(2400) not null, file varchar(1200) not null, "
        "size bigint not null, etag varchar(256) not null)",
        f"copy {LISTED} from {quote(listed_url)} {role} format as json 'auto'",
        f"delete from {table.files} using {LISTED} where {same_file} and outcome = 'set_aside'",
    ]
    if batch.instead_of:
        statements.append(f"delete from {table.files} where batch = {quote(batch.instead_of)}")
    statements.append(
        f"insert into {table.files} (file_hex, file, size, etag, outcome, loaded_at, batch, run, replaced_by) "
        f"select {LISTED}.file_hex, {LISTED}.file, case when loaded.file_hex is null then {LISTED}.size end, {LISTED}.etag, "
        f"'loaded', sysdate, {quote(batch.id)}, {quote(batch.run)}, {marker} "
        f"from {LISTED} left join {table.files} as loaded on loaded.file_hex = {LISTED}.file_hex"
    )
    fences = (2, len(statements))
    if batch.instead_of:
        statements.append(f"delete from {load.target} where {load.replace} = {quote(batch.instead_of)}")
    copies = len(statements) + 1
    copy = f"from {quote(manifest_url)} {role} {specification.options(load)} manifest"
    if not load.replace:
        names = f" ({', '.join(load.columns)})" if load.columns else ""
        statements += [f"copy {load.target}{names} {copy}", "select pg_last_copy_count() as rows"]
        return Transaction(statements, fences, (copies,), copies + 1)
    names = ", ".join(load.columns or [name for name in table.columns() if name != load.replace])
    statements += [
        f"create temp table {STAGE} (like {load.target})",
        f"copy {STAGE} ({names}) {copy}",
        f"select count(*) as rows from {STAGE}",
        f"insert into {load.target} ({names}, {load.replace}) select {names}, {quote(batch.id)} from {STAGE}",
    ]
    return Transaction(statements, fences, (copies + 1, copies + 3), copies + 2)


def _head(table: FilesTable, batch: Batch) -> str:
    """Update the head; of a reload, only if the batch that is replaced is still there, whole and replaceable."""
    run = quote(batch.run)
    if batch.instead_of:
        run = (
            f"(select case when count(*) = {batch.instead_of_files} then {run} end from {table.files} "
            f"where batch = {quote(batch.instead_of)} and outcome = 'loaded' and replaced_by = {quote(table.load.replace)})"
        )
    target = quote(table.load.target)
    return (
        f"update {table.head} set run = {run}, moved_at = sysdate, target = case when target = {target} then target end"
    )


def setting_aside(table: FilesTable, batch: Batch, file: File, refusal: Refusal) -> list[str]:
    """Give the transaction that remembers a file as bad; it fails by NOT NULL when the file is loaded meanwhile."""
    here = f"file_hex = {quote(in_hex(file.url))}"
    reason = quote(refusal.reason[:REASON_MAX])
    column = quote(refusal.column[:127]) if refusal.column else "null"
    numbers = ", ".join("null" if number is None else str(number) for number in (refusal.line, refusal.code))
    return [
        f"lock {table.lock}",
        _head(table, batch),
        f"delete from {table.files} where {here} and outcome = 'set_aside'",
        f"insert into {table.files} "
        "(file_hex, file, size, etag, outcome, loaded_at, batch, run, line, code, column_name, reason) "
        f"select {quote(file.hex)}, {quote(file.url)}, case when count(*) = 0 then {file.size} end, {quote(file.etag)}, "
        f"'set_aside', sysdate, {quote(batch.id)}, {quote(batch.run)}, {numbers}, {column}, {reason} "
        f"from {table.files} where {here}",
    ]
