"""What the warehouse remembers of one export: who may write, and which item was written for which key.

One row says which run holds the export, and until when. Every change of these tables names the run it belongs to and fails,
by NOT NULL, when another run holds the export: a run that was late, or thought dead, changes nothing. The run renews its hold
while it lives; a run that was killed is followed by the next one as soon as its hold has passed.

What was written is kept as SHA-256 of key and item. Before items are written their keys are noted with an empty digest, after
it with the item's: whoever is killed between leaves keys that the next run writes again.

Source: Redshift Developer Guide, "LOCK", "Serializable isolation", "SYSDATE function" (the start of the transaction).
"""

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from freshet.errors import TerminalError
from freshet.redshift.catalogue import SCHEMA, missing_schemas, tables_of
from freshet.redshift.data_api import StatementFailed, UnknownOutcome, Warehouse, pause
from freshet.redshift.literals import quote

log = logging.getLogger(__name__)

FENCED_ATTEMPTS_MAX: Final = 8
STATE: Final = (
    (
        "head",
        "varchar(36) not null",
        "Run that holds the export, empty for none; NOT NULL fails the change of another run",
    ),
    ("held_until", "timestamp not null", "Until when that run holds the export unless it renews, UTC"),
    ("item_table", "varchar(600) not null", "The DynamoDB table that was written, and when it was made"),
    ("exported_at", "timestamp", "When a run last completed, UTC"),
)
EXPORTED: Final = (
    ("key_hash", "varchar(64) not null", "SHA-256 of the key"),
    ("digest", "varchar(64) not null", "SHA-256 of the item; empty: it may or may not have been written"),
    ("run", "varchar(36) not null", "Run that wrote it"),
)
BUILT: Final = (
    ("key_hash", "varchar(64) not null"),
    ("digest", "varchar(64) not null"),
    ("part", "integer not null"),
)


class Busy(TerminalError):
    """Another run of the same export is alive."""


class HoldLost(TerminalError):
    """Another run took the export over, since this one was not heard of in time."""


@dataclass(frozen=True)
class Tables:
    """Names of one export's tables; those of a run are dropped at its end, or by the next run."""

    export: str
    run: str

    def _name(self, suffix: str) -> str:
        return f"{SCHEMA}.{self.export}_export{suffix}"

    @property
    def lock(self) -> str:
        """Empty, read by nobody: locking it makes runs wait for each other, and no reader."""
        return self._name("_lock")

    @property
    def state(self) -> str:
        """One row."""
        return self._name("")

    @property
    def exported(self) -> str:
        """One row a key that is in DynamoDB."""
        return f"{SCHEMA}.{self.export}_exported"

    @property
    def rows(self) -> str:
        """The source as of one moment."""
        return self._name(f"_rows_{self.run[:8]}")

    @property
    def built(self) -> str:
        """One row a key of the source: what its item is now."""
        return self._name(f"_built_{self.run[:8]}")

    @property
    def todo(self) -> str:
        """One row a key to put or to delete."""
        return self._name(f"_todo_{self.run[:8]}")


@dataclass(frozen=True)
class Memory:
    """One export's tables in one warehouse, as one run uses them.

    Attributes:
        warehouse: Where.
        tables: Their names.
        hold_s: For how long the run holds the export without renewing.
    """

    warehouse: Warehouse
    tables: Tables
    hold_s: float

    def create(self) -> None:
        """Make what is missing."""
        prefix = f"{self.tables.export}_export"
        there = tables_of(self.warehouse, SCHEMA)
        if {prefix, f"{prefix}_lock", f"{prefix}ed"} <= there:
            return
        statements = [f"create schema if not exists {name}" for name in missing_schemas(self.warehouse, [SCHEMA])]
        statements.append(f"create table if not exists {self.tables.lock} (nothing integer)")
        for table, columns in ((self.tables.state, STATE), (self.tables.exported, EXPORTED)):
            statements.append(f"create table if not exists {table} ({_definitions(columns)})")
            statements += [f"comment on column {table}.{name} is {quote(told)}" for name, _, told in columns]
        statements += [
            f"lock {self.tables.lock}",
            f"insert into {self.tables.state} (head, held_until, item_table) select '', sysdate, '' "
            f"from (select count(*) as rows_there from {self.tables.state}) as existing where rows_there = 0",
        ]
        self._insist(statements)

    def take(self) -> None:
        """Take the export for this run; wait for a hold that is not renewed to pass.

        Raises:
            Busy: Another run renews its hold.
        """
        seen: tuple[str, str] | None = None
        while True:
            try:
                self.warehouse.run(
                    [
                        f"lock {self.tables.lock}",
                        f"update {self.tables.state} set head = case when head = '' or held_until < sysdate "
                        f"or head = {quote(self.tables.run)} then {quote(self.tables.run)} end, {self._until}",
                    ]
                )
                return
            except StatementFailed as failed:
                if failed.number != 2 and not failed.conflict:
                    raise
            except UnknownOutcome:
                pass
            head, until, left_s = self.holder()
            if head not in {"", self.tables.run} and left_s > 0:
                if seen not in {None, (head, until)}:
                    raise Busy(
                        f"export {self.tables.export}: another run ({head}) is alive and holds it; nothing was done. "
                        "Wait for its end, or stop it: then this one can begin at once, or, if it was killed, "
                        f"{self.hold_s:g} s later"
                    )
                if seen is None:
                    log.info(
                        "waiting %.0f s at most: another run is alive, or ended less than %g s ago", left_s, self.hold_s
                    )
                seen = (head, until)
                time.sleep(min(left_s, 1.0))
            else:
                pause(0)

    def holder(self) -> tuple[str, str, float]:
        """Tell which run holds the export, until when, and for how many seconds from now."""
        rows = self.warehouse.query(
            f"select head, held_until, datediff(millisecond, sysdate, held_until) as left_ms from {self.tables.state}"
        )
        if not rows:
            raise TerminalError(f"{self.tables.state} has no row: drop it, and the next full export makes it anew")
        return str(rows[0]["head"]), str(rows[0]["held_until"]), int(rows[0]["left_ms"]) / 1000

    def renew(self) -> None:
        """Hold the export from now on.

        Raises:
            HoldLost: Another run took it.
        """
        self.change([])

    def change(self, statements: Sequence[str]) -> None:
        """Carry out statements in one transaction, if this run still holds the export.

        All of them may be carried out twice: an answer that did not come is asked for again.

        Raises:
            HoldLost: Another run took it; nothing was changed.
        """
        mine = f"case when head = {quote(self.tables.run)} then head end"
        self._insist(
            [f"lock {self.tables.lock}", f"update {self.tables.state} set head = {mine}, {self._until}", *statements]
        )

    def release(self) -> None:
        """Let the next run begin at once; nothing happens if another one has it already."""
        self._insist(
            [
                f"lock {self.tables.lock}",
                f"update {self.tables.state} set head = '', held_until = sysdate where head = {quote(self.tables.run)}",
            ]
        )

    def drop_left(self) -> None:
        """Drop the tables of this run, and those that killed runs left; the export is held."""
        run_table = re.compile(rf"{re.escape(self.tables.export)}_export_(?:rows|built|todo)_[0-9a-f]{{8}}")
        left = sorted(name for name in tables_of(self.warehouse, SCHEMA) if run_table.fullmatch(name))
        for start in range(0, len(left), 20):
            self.change([f"drop table if exists {SCHEMA}.{name}" for name in left[start : start + 20]])

    def note_built(self, manifest: str, role: str) -> None:
        """Load what the items are now, from files of (key_hash, digest, part); without a manifest there are no items."""
        columns = ", ".join(name for name, _ in BUILT)
        copy = (
            f"copy {self.tables.built} ({columns}) from {quote(manifest)} iam_role {quote(role)} "
            "format as parquet manifest statupdate off"
        )
        self.change(
            [
                f"drop table if exists {self.tables.built}",
                f"create table {self.tables.built} ({', '.join(f'{name} {kind}' for name, kind in BUILT)})",
                *([copy] if manifest else []),
            ]
        )

    def plan(self, item_table: str, incremental: bool) -> None:
        """Decide which keys to put and which to delete.

        Args:
            item_table: The DynamoDB table; what was written into another one does not count.
            incremental: Put only keys whose item is another than when it was written.
        """
        tables = self.tables
        known = (
            f"(select e.key_hash, e.digest from {tables.exported} as e, {tables.state} as s "
            f"where s.item_table = {quote(item_table)})"
        )
        changed = " where e.key_hash is null or e.digest <> b.digest" if incremental else ""
        self.change(
            [
                f"drop table if exists {tables.todo}",
                f"create table {tables.todo} as "
                "select b.key_hash, b.digest, b.part, cast('put' as varchar(6)) as action "
                f"from {tables.built} as b left join {known} as e on e.key_hash = b.key_hash{changed} union all "
                "select e.key_hash, cast('' as varchar(64)) as digest, cast(-1 as integer) as part, "
                "cast('delete' as varchar(6)) as action "
                f"from {known} as e left join {tables.built} as b on b.key_hash = e.key_hash where b.key_hash is null",
            ]
        )

    def note_begun(self, item_table: str) -> None:
        """Note, before anything is written, which keys may be written from now on."""
        tables = self.tables
        self.change(
            [
                f"delete from {tables.exported} where (select max(item_table) from {tables.state}) <> {quote(item_table)}",
                f"update {tables.state} set item_table = {quote(item_table)}",
                self._forget("put"),
                f"insert into {tables.exported} (key_hash, digest, run) "
                f"select key_hash, '', {quote(tables.run)} from {tables.todo} where action = 'put'",
            ]
        )

    def note_done(self) -> None:
        """Note that all that was planned was written and deleted."""
        tables = self.tables
        self.change(
            [
                self._forget("put"),
                self._forget("delete"),
                f"insert into {tables.exported} (key_hash, digest, run) "
                f"select key_hash, digest, {quote(tables.run)} from {tables.todo} where action = 'put'",
                f"update {tables.state} set exported_at = sysdate",
            ]
        )

    def _forget(self, action: str) -> str:
        tables = self.tables
        return (
            f"delete from {tables.exported} using {tables.todo} "
            f"where {tables.exported}.key_hash = {tables.todo}.key_hash and {tables.todo}.action = {quote(action)}"
        )

    @property
    def _until(self) -> str:
        return f"held_until = dateadd(millisecond, {int(self.hold_s * 1000)}, sysdate)"

    def _insist(self, statements: Sequence[str]) -> None:
        for attempt in range(FENCED_ATTEMPTS_MAX):
            try:
                self.warehouse.run(statements)
                return
            except StatementFailed as failed:
                if not failed.conflict or attempt == FENCED_ATTEMPTS_MAX - 1:
                    self._refuse_if_lost()
                    raise
            except UnknownOutcome:
                if attempt == FENCED_ATTEMPTS_MAX - 1:
                    raise
            pause(attempt)

    def _refuse_if_lost(self) -> None:
        head = self.holder()[0]
        if head != self.tables.run:
            raise HoldLost(
                f"export {self.tables.export}: run {head or 'of somebody else'} took it over, for this one was not heard of in "
                f"{self.hold_s:g} s. This one has stopped; the other brings the table up to date"
            ) from None


def _definitions(columns: Sequence[tuple[str, str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind, _ in columns)
