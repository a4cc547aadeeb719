"""A run of a load: compare, load what is new, compare again.

The first comparison counts; the second, a moment later, gives the batches while they are loaded, so a file's ETag is as fresh as
its batch; the last one shows what there is to say at the end, such as a file that was changed while it was loaded.

Reads:  S3's list, the files table.
Writes: batches; the run into the ledger of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from batch_jobs.load.commit import Committer, Copied
from batch_jobs.load.compare import CHANGED, GONE, LOADED, MENDED, NEW, SET_ASIDE, Survey, batches, compare, survey
from batch_jobs.load.culprits import Loader, Tell, told
from batch_jobs.load.files_table import FilesTable
from batch_jobs.load.listing import File, files_below
from batch_jobs.load.reload import again
from batch_jobs.load.specification import Load
from batch_jobs.load.staging import Staging
from batch_jobs.load.transaction import Refusal
from freshet.errors import FreshetError, InputError, TerminalError
from freshet.redshift.data_api import Warehouse
from freshet.redshift.runs import Run, recorded


class FilesRefused(FreshetError):
    """The load is done but for files that Redshift refused; `summary` is the whole result."""

    def __init__(self, message: str, summary: dict[str, Any]) -> None:
        self.summary = summary
        super().__init__(message)


@dataclass(frozen=True)
class Job:
    """What a run needs.

    Attributes:
        load: What to do; its bucket is known.
        warehouse: Where to.
        s3: The boto3 client.
        staging: Where lists and manifests are written.
        copy_role: ARN of the role with which Redshift reads.
        tell: Is told each step: {"event": ...}.
        stopping: Asked now and then; once it answers True the run ends, and what runs is cancelled.
    """

    load: Load
    warehouse: Warehouse
    s3: Any
    staging: Staging
    copy_role: str
    tell: Tell = lambda _event: None
    stopping: Callable[[], bool] = lambda: False

    @property
    def table(self) -> FilesTable:
        """The load's control tables."""
        return FilesTable(self.warehouse, self.load)

    def found(self, *, remembers: bool = True) -> Iterator[tuple[str, File]]:
        """Compare what there is with what is remembered."""
        files = files_below(self.s3, self.load.bucket, self.load.prefix, self.load.suffix, self.stopping)
        return compare(files, self.table.known() if remembers else ())

    def dry_run(self, retry: bool = False) -> dict[str, Any]:
        """Say what a run would do; write nothing.

        Raises:
            InputError: There is no file, and never was.
        """
        seen = survey(self.found(remembers=self.table.exists()))
        self._check_any(seen)
        wanted = (NEW, MENDED, SET_ASIDE) if retry else (NEW, MENDED)
        return {
            **self._named(seen),
            "files": seen.count(*wanted),
            "bytes": seen.size(*wanted),
            "would_load": [url for state in wanted for url in seen.named.get(state, ())],
        }

    def run(self, retry: bool = False, reload: Sequence[str] = ()) -> dict[str, Any]:
        """Load what is new; or, with `reload`, the files that it names.

        Args:
            retry: Try files that were set aside once more.
            reload: Files to load again; see `reload.again`.

        Returns:
            The summary: counts, and up to 100 names of each kind.

        Raises:
            FilesRefused: The run is over, and files of it were refused.
            InputError: The definition, the bucket or a named file is wrong.
            TerminalError: Redshift refuses the load itself.
            Cancelled, KeyboardInterrupt: `stopping` answered True.
        """
        self.staging.check(self.load)
        if not reload and not self.table.exists():
            self._check_any(survey(self.found(remembers=False)))
        self.table.create()
        with recorded(self.warehouse, "load", self.load.name) as run:
            return self._reload(run, reload) if reload else self._load(run, retry)

    def _load(self, run: Run, retry: bool) -> dict[str, Any]:
        wanted = {NEW, MENDED, SET_ASIDE} if retry else {NEW, MENDED}
        before = survey(self.found())
        self._check_any(before)
        self.tell(
            {"event": "compared", "files": before.count(*wanted), "bytes": before.size(*wanted), **self._named(before)}
        )
        loader = self._loader(run)
        loader.proved_before = before.count(LOADED, CHANGED, GONE) > 0
        if before.count(*wanted):
            files = (file for state, file in self.found() if state in wanted)
            with closing(files):
                for batch in batches(files, self.load.files_max, self.load.bytes_max):
                    self._stop_if_asked()
                    loader.load(batch)
            loader.finish()
        after = survey(self.found()) if loader.moved.batches or loader.moved.set_aside else before
        return self._end(run, loader, after)

    def _reload(self, run: Run, keys: Sequence[str]) -> dict[str, Any]:
        what = again(self.table, self.s3, run.id, keys)
        loader = self._loader(run)
        for batch in what.batches:
            outcome = loader.committer.copy(batch)
            if isinstance(outcome, Refusal):
                raise TerminalError(
                    f"load {self.load.name}: Redshift refused the new rows of {outcome.file or f'{len(batch.files)} files'}: "
                    f"{outcome}. The rows that were loaded before are still there"
                )
            rows = (outcome.rows or 0) if isinstance(outcome, Copied) else 0
            loader.moved.files += len(batch.files)
            loader.moved.rows += rows
            loader.moved.bytes += batch.size
            loader.moved.batches += 1
            run.progress(rows, batch.size)
            self.tell({"event": "replaced", "files": len(batch.files), "rows": rows, "bytes": batch.size})
        if what.fresh:
            loader.proved_before = True  # somebody named the file, and wants it judged
            loader.load(what.fresh)
            loader.finish()
        return self._end(run, loader, survey(self.found()))

    def _loader(self, run: Run) -> Loader:
        def tell(event: dict[str, Any]) -> None:
            if event["event"] == "batch":
                run.progress(event["rows"], event["bytes"])
            self.tell(event)

        return Loader(Committer(self.table, self.staging, self.copy_role, self.stopping), self.s3, run.id, tell)

    def _stop_if_asked(self) -> None:
        if self.stopping():
            raise KeyboardInterrupt

    def _check_any(self, seen: Survey) -> None:
        if not sum(seen.files.values()):
            wanted = f" that ends with {self.load.suffix}" if self.load.suffix else ""
            raise InputError(
                f"load {self.load.name}: there is no file{wanted} below {self.load.url}, and none was ever loaded from there: "
                "correct prefix in load.yaml, or wait for the first file"
            )

    def _named(self, seen: Survey) -> dict[str, Any]:
        return {
            "load": self.load.name,
            "target": self.load.target,
            "known": seen.count(LOADED),
            "gone": seen.count(GONE),
            "changed": seen.named.get(CHANGED, []),
            "changed_files": seen.count(CHANGED),
            "set_aside_before": seen.named.get(SET_ASIDE, []),
            "set_aside_before_files": seen.count(SET_ASIDE),
        }

    def _end(self, run: Run, loader: Loader, after: Survey) -> dict[str, Any]:
        moved = loader.moved
        refused = {url for url, _ in moved.set_aside}
        named = self._named(after)
        older = [url for url in named["set_aside_before"] if url not in refused]
        summary = {
            **named,
            "set_aside_before": older,
            "set_aside_before_files": named["set_aside_before_files"] - len(refused),
            "run": run.id,
            "files": moved.files,
            "rows": moved.rows,
            "bytes": moved.bytes,
            "batches": moved.batches,
            "loaded_by_others": moved.by_others,
            "vanished": moved.vanished,
            "unsteady": moved.unsteady,
            "arrived_meanwhile": after.count(NEW, MENDED),
            "set_aside": [{"file": url, **told(refusal)} for url, refusal in moved.set_aside],
        }
        run.note = f"changed since they were loaded: {named['changed_files']} files" if named["changed_files"] else ""
        if refused:
            url, refusal = moved.set_aside[0]
            more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
            raise FilesRefused(
                f"load {self.load.name}: {moved.files} files are loaded, {len(refused)} set aside: {url}: {refusal}{more}. "
                f"They stand in {self.table.files}; once they are mended they are loaded by themselves, unchanged with --retry",
                summary,
            )
        return summary
