"""One transaction, however often its answer is lost: it was carried out, or another run has the files, or COPY refused.

A statement of which no answer came may run later still. That is no danger: the files table lets a file in once, so whichever
comes second fails. What became of it is asked behind the lock that the transaction holds.

Reads:  the files table.
Gives:  `Copied`, `Taken` or a `Refusal`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Union

from batch_jobs.load.files_table import FilesTable
from batch_jobs.load.listing import File
from batch_jobs.load.refusals import why
from batch_jobs.load.staging import Staging
from batch_jobs.load.transaction import Batch, Refusal, Transaction, copying, setting_aside
from freshet.errors import TerminalError, TransientError
from freshet.redshift.data_api import Cancelled, Row, StatementFailed, UnknownOutcome, pause
from freshet.redshift.literals import quote

ATTEMPTS_MAX: Final = 30
HEXES_PER_QUERY: Final = 40  # of up to 2,190 characters each; a statement has 100 KB


@dataclass(frozen=True)
class Copied:
    """The batch is in the target and remembered; `rows` is None when Redshift could not be asked."""

    rows: int | None


@dataclass(frozen=True)
class Taken:
    """Another run was ahead: these files, by url, are loaded by it; nothing was copied."""

    urls: frozenset[str]


Outcome = Union[Copied, Taken, Refusal]


@dataclass(frozen=True)
class Committer:
    """Commits batches of one load.

    Attributes:
        table: The load's tables.
        staging: Where lists and manifests are written.
        copy_role: ARN of the role with which Redshift reads.
        stopping: Asked while waiting; once it answers True the statement is cancelled.
    """

    table: FilesTable
    staging: Staging
    copy_role: str
    stopping: Callable[[], bool] = lambda: False

    def copy(self, batch: Batch) -> Outcome:
        """Copy a batch and remember its files, in one transaction.

        Raises:
            TerminalError: Redshift refused what is no file's fault.
            TransientError: No answer came, many times; the files table knows what happened.
            Cancelled: `stopping` answered True.
        """
        load = self.table.load
        listed, manifest = self.staging.write(load, batch)
        transaction = copying(self.table, batch, listed, manifest, self.copy_role)
        outcome = self._copy(batch, transaction, manifest)
        self.staging.drop(load, batch)
        return outcome

    def _copy(self, batch: Batch, transaction: Transaction, manifest: str) -> Outcome:
        for attempt in range(ATTEMPTS_MAX):
            try:
                statement = self.table.warehouse.run(
                    transaction.statements, token=f"{batch.id}-{attempt}", stopping=self.stopping
                )
            except UnknownOutcome:
                if self._recorded(batch):
                    return Copied(self._rows_in_history(manifest))
            except StatementFailed as failed:
                if not failed.conflict:
                    return self._refused(batch, transaction, manifest, failed)
            else:
                return Copied(int(self.table.warehouse.rows_of(statement, transaction.counts)[0]["rows"]))
            if self.stopping():
                raise Cancelled(f"batch {batch.id} was given up; the files table knows its outcome", certain=False)
            pause(attempt)
        raise TransientError(
            f"load {self.table.load.name}: a batch of {len(batch.files)} files could not be committed in {ATTEMPTS_MAX} tries, "
            "others were in the way or no answer came; nothing is half loaded: run it again"
        )

    def _refused(self, batch: Batch, transaction: Transaction, manifest: str, failed: StatementFailed) -> Outcome:
        if failed.number in transaction.copies:
            return why(self.table.warehouse, failed, batch, manifest)
        if failed.number in transaction.fences:
            if self._recorded(batch):  # an attempt of ours that was taken for lost
                return Copied(self._rows_in_history(manifest))
            if batch.instead_of:
                raise TerminalError(
                    f"load {self.table.load.name}: batch {batch.instead_of}, whose rows were to be replaced, is no longer as it "
                    "was; nothing was changed. Another run reloaded it: look with --dry-run"
                )
            if taken := self._taken(batch):
                return Taken(taken)
        raise TerminalError(
            f"load {self.table.load.name}: Redshift refused statement {failed.number} of the transaction: {failed.reason}. "
            "Nothing was loaded by it"
        )

    def _recorded(self, batch: Batch) -> bool:
        rows = self._behind_the_lock(
            f"select count(*) as found from {self.table.files} where batch = {quote(batch.id)}"
        )
        return int(rows[0]["found"]) > 0

    def _taken(self, batch: Batch) -> frozenset[str]:
        """Look which files another run has loaded."""
        found: set[str] = set()
        for start in range(0, len(batch.files), HEXES_PER_QUERY):
            names = ", ".join(quote(file.hex) for file in batch.files[start : start + HEXES_PER_QUERY])
            rows = self.table.warehouse.query(
                f"select file from {self.table.files} where file_hex in ({names}) and outcome = 'loaded'"
            )
            found.update(row["file"] for row in rows)
        return frozenset(found)

    def _behind_the_lock(self, sql: str) -> list[Row]:
        return self.table.warehouse.locked_query(self.table.lock, sql)

    def _rows_in_history(self, manifest: str) -> int | None:
        rows = self.table.warehouse.query(
            f"select max(loaded_rows) as loaded_rows from sys_load_history where data_source = {quote(manifest)}"
        )
        counted = rows[0]["loaded_rows"]
        return None if counted is None else int(counted)

    def set_aside(self, batch: Batch, file: File, refusal: Refusal) -> bool:
        """Remember a file as bad, with Redshift's reason.

        Returns:
            False when another run has loaded it meanwhile.

        Raises:
            TransientError: No answer came, many times.
        """
        statements = setting_aside(self.table, batch, file, refusal)
        for attempt in range(ATTEMPTS_MAX):
            try:
                self.table.warehouse.run(statements)
                return True
            except UnknownOutcome:
                pass  # the same once more changes nothing
            except StatementFailed as failed:
                if not failed.conflict:
                    if self._taken(Batch(batch.id, batch.run, (file,))):
                        return False
                    raise
            pause(attempt)
        raise TransientError(f"{file.url} could not be set aside in {ATTEMPTS_MAX} attempts: run the load again")
