"""The warehouse's memory of one load: a row a file, written in the transaction that copies the file's rows.

Three tables: `freshet.NAME_files`; `freshet.NAME_files_head`, one row that every transaction updates, so that two collide;
and `freshet.NAME_files_lock`, empty and read by nobody, which every transaction locks first, before its snapshot.

Reads:  the files table, in pages, in the order of the names' bytes.
Gives:  what is known; the statements that make the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from batch_jobs.load.compare import Known
from batch_jobs.load.listing import in_hex
from batch_jobs.load.specification import Load
from freshet.errors import InputError
from freshet.redshift.catalogue import SCHEMA, missing_schemas, tables_of
from freshet.redshift.data_api import Warehouse, patiently
from freshet.redshift.literals import quote

PAGE: Final = 20_000
FILES: Final = (
    ("file_hex", "varchar(2400) not null", "The url's bytes in hexadecimal: sorts as S3 lists, whatever the collation"),
    ("file", "varchar(1200) not null", "The file's s3:// url"),
    ("size", "bigint not null", "Bytes when it was listed; NOT NULL fails a file that is loaded already"),
    ("etag", "varchar(256) not null", "S3's ETag when it was listed"),
    ("outcome", "varchar(16) not null", "loaded or set_aside"),
    ("loaded_at", "timestamp not null", "When it was loaded or set aside, UTC"),
    ("batch", "varchar(36) not null", "The transaction that did it"),
    ("run", "varchar(36) not null", "Its run in freshet.runs"),
    ("replaced_by", "varchar(127)", "Column of the target that holds the batch of the file's rows, if there is one"),
    ("line", "bigint", "Set aside: line of the file"),
    ("column_name", "varchar(127)", "Set aside: column"),
    ("code", "integer", "Set aside: error code of COPY"),
    ("reason", "varchar(2000)", "Set aside: why, in the words of COPY without the values"),
)
HEAD: Final = (
    ("target", "varchar(255) not null", "The table that the load fills; NOT NULL fails a run that fills another"),
    ("run", "varchar(36) not null", "The run that last wrote; NOT NULL fails a reload that another run was ahead of"),
    ("moved_at", "timestamp not null", "When, UTC"),
)


@dataclass(frozen=True)
class FilesTable:
    """One load's control tables in one warehouse."""

    warehouse: Warehouse
    load: Load

    @property
    def files(self) -> str:
        """A row a file."""
        return f"{SCHEMA}.{self.load.name}_files"

    @property
    def head(self) -> str:
        """One row."""
        return f"{self.files}_head"

    @property
    def lock(self) -> str:
        """No row."""
        return f"{self.files}_lock"

    def exists(self) -> bool:
        """Tell whether the tables are there."""
        return f"{self.load.name}_files_head" in tables_of(self.warehouse, SCHEMA) and bool(self._kept())

    def _kept(self) -> list[dict[str, Any]]:
        return self.warehouse.query(f"select target from {self.head}")

    def create(self) -> None:
        """Make what is missing: the control tables, and the target from its own statement.

        Raises:
            InputError: The target lacks a column that the definition names, or the load filled another target before.
        """
        schema, _, table = self.load.target.partition(".")
        missing = [f"create schema if not exists {name}" for name in missing_schemas(self.warehouse, (SCHEMA, schema))]
        if table not in tables_of(self.warehouse, schema):
            missing.append(self.load.table)
        if missing:
            patiently(lambda: self.warehouse.run(missing))
        if not self.exists():
            patiently(lambda: self.warehouse.run(self._control()))
            patiently(lambda: self.warehouse.run(self._first()))
        self.check_target()

    def _control(self) -> list[str]:
        def body(columns: tuple[tuple[str, str, str], ...]) -> str:
            return ", ".join(f"{name} {kind}" for name, kind, _ in columns)

        comments = [
            f"comment on column {table}.{name} is {quote(comment)}"
            for table, columns in ((self.files, FILES), (self.head, HEAD))
            for name, _, comment in columns
        ]
        return [
            f"create table if not exists {self.lock} (nothing integer)",
            f"create table if not exists {self.files} ({body(FILES)}) diststyle all sortkey (file_hex)",
            f"create table if not exists {self.head} ({body(HEAD)}) diststyle all",
            *comments,
        ]

    def _first(self) -> list[str]:
        return [
            f"lock {self.lock}",
            f"insert into {self.head} (target, run, moved_at) select {quote(self.load.target)}, 'none', sysdate "
            f"from (select count(*) as rows_there from {self.head}) as existing where rows_there = 0",
        ]

    def check_target(self) -> None:
        """See that the target fits the definition.

        Raises:
            InputError: Says what does not, and what to do.
        """
        load = self.load
        kept = self._kept()
        if kept and kept[0]["target"] != load.target:
            raise InputError(
                f"load {load.name} filled {kept[0]['target']} before, and its files are remembered as loaded; its definition "
                f"says target {load.target}: give the load's folder another name"
            )
        columns = self.columns()
        for name in (*load.columns, *([load.replace] if load.replace else [])):
            if name not in columns:
                raise InputError(
                    f"the table {load.target} has no column {name}, which load.yaml names; it has {', '.join(columns)}. "
                    "Nothing was loaded: correct load.yaml, or the table"
                )
        if load.replace:
            kind, size, nullable = columns[load.replace]
            if not kind.startswith("character varying") or (size or 0) < 36 or not nullable:
                raise InputError(
                    f"column {load.replace} of {load.target} is to hold the batch of a row (replace in load.yaml): "
                    "it must be a varchar(36) that may be null"
                )

    def columns(self) -> dict[str, tuple[str, int | None, bool]]:
        """Give the target's columns in their order: type, length, whether they may be null."""
        schema, _, table = self.load.target.partition(".")
        rows = self.warehouse.query(
            "select column_name, data_type, character_maximum_length, is_nullable from svv_columns "
            f"where table_schema = {quote(schema)} and table_name = {quote(table)} order by ordinal_position"
        )
        return {
            row["column_name"]: (row["data_type"], row["character_maximum_length"], row["is_nullable"] == "YES")
            for row in rows
        }

    def known(self) -> Iterator[Known]:
        """Give what is known of the files below the prefix, ascending, a page at a time."""
        low = in_hex(self.load.url)
        high = f"{low}g"  # behind every url that begins so
        comparison = ">="
        while True:
            rows = self.warehouse.query(
                f"select file_hex, size, etag, outcome from {self.files} where file_hex {comparison} {quote(low)} "
                f"and file_hex < {quote(high)} order by file_hex limit {PAGE}"
            )
            for row in rows:
                yield Known(row["file_hex"], int(row["size"]), row["etag"], row["outcome"])
            if len(rows) < PAGE:
                return
            low, comparison = rows[-1]["file_hex"], ">"
