"""One run of an export: copy, cut, build and judge everything; only then write, delete what is gone, count.

    copy_source -> unload -> build -> plan -> note_begun -> write -> sweep -> note_done -> compare

Nothing is in DynamoDB before every item was built and judged. What was to be written is noted before, what was written after:
a run that is killed anywhere is completed by the next one.
"""

import logging
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pyspark.sql import SparkSession

from batch_jobs.export_dynamodb import files
from batch_jobs.export_dynamodb.build import Report, build
from batch_jobs.export_dynamodb.definition import Definition
from batch_jobs.export_dynamodb.holding import Holding, holding
from batch_jobs.export_dynamodb.items import ITEM_BYTES_MAX, Shape, units_of
from batch_jobs.export_dynamodb.memory import HoldLost, Memory, Tables
from batch_jobs.export_dynamodb.pace import MARGIN
from batch_jobs.export_dynamodb.progress import so_far, watched
from batch_jobs.export_dynamodb.session import in_its_thread
from batch_jobs.export_dynamodb.snapshot import Source, copy_source, unload, unload_query
from batch_jobs.export_dynamodb.sweep import sweep
from batch_jobs.export_dynamodb.table import ItemTable, check_key, describe
from batch_jobs.export_dynamodb.write import Share, Where, Written, write
from freshet.errors import FreshetError, TerminalError, TransientError
from freshet.pipeline.ddl import quoted
from freshet.redshift import runs
from freshet.redshift.data_api import Warehouse
from freshet.words import counted

log = logging.getLogger(__name__)

PROBLEMS: Final = {
    "key_is_null": "rows whose key is NULL",
    "key_is_empty": "items with an empty key",
    "key_too_long": "items whose key is over 2048 bytes",
    "item_too_large": f"items over 400 KB ({ITEM_BYTES_MAX:,} bytes)",
    "not_a_finite_number": "items with NaN or infinity",
    "number_out_of_range": "items with a number that DynamoDB cannot hold",
    "date_out_of_range": "items with a date before year 1 or after 9999",
}


class Refused(TerminalError):
    """Some of the data cannot be an item; nothing was written."""


class Differs(TerminalError):
    """The table does not hold one item a key of the source."""


@dataclass(frozen=True)
class Settings:
    """What one run is told beside the definition.

    Attributes:
        run: Random id.
        incremental: Write only keys whose rows changed since the last run.
        dry_run: Stop before anything is written.
        staging: Where the run's files stand.
        role: ARN of the role with which Redshift reads and writes there.
        hold_s: For how long the run holds the export without renewing.
    """

    run: str
    incremental: bool
    dry_run: bool
    staging: files.Folder
    role: str
    hold_s: float


@dataclass
class Result:
    """What a run found and did; `seconds` by step."""

    export: str
    table: str
    incremental: bool
    dry_run: bool
    rows: int = 0
    keys: int = 0
    item_bytes: int = 0
    heaviest_item_bytes: int = 0
    rows_per_part_max: int = 0
    rows_per_part_median: float = 0.0
    to_put: int = 0
    to_delete: int = 0
    put: int = 0
    deleted: int = 0
    write_units: float = 0.0
    sent_again: int = 0
    busy_answers: int = 0
    call_s: float = 0.0
    waited_for_rate_s: float = 0.0
    items_there: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class Export:
    """One run."""

    def __init__(
        self,
        spark: SparkSession,
        warehouse: Warehouse,
        s3: Any,
        dynamodb: Any,
        definition: Definition,
        settings: Settings,
    ) -> None:
        self.spark, self.warehouse, self.s3, self.dynamodb = spark, warehouse, s3, dynamodb
        self.definition, self.settings = definition, settings
        self.memory = Memory(warehouse, Tables(definition.name, settings.run), settings.hold_s)
        self.result = Result(definition.name, definition.table, settings.incremental, settings.dry_run)

    def run(self) -> Result:
        """Export.

        Raises:
            InputError: Source, columns or table are not there or do not fit; nothing was written.
            Refused: Some of the data cannot be an item; nothing was written.
            Busy: Another run of this export is alive; nothing was done.
            HoldLost: Another run took over; it brings the table up to date.
            Differs: The table holds more or fewer items than the source has keys.
            TransientError: The table stayed busy, or the Data API did not answer: run it again.
        """
        item_table = describe(self.dynamodb, self.definition)
        self.memory.create()
        with holding(self.memory, self.spark.sparkContext.cancelAllJobs) as hold:
            try:
                with runs.recorded(self.warehouse, "export", self.definition.name) as run:
                    self._work(hold, item_table, run)
            except HoldLost:
                raise
            except KeyboardInterrupt:
                self.spark.stop()  # the worker of a cancelled task goes on until it has something to tell
                raise
            except Exception:
                hold.check()  # why Spark's tasks were ended
                raise
            finally:
                self._clean_up()
        return self.result

    def _work(self, hold: Holding, item_table: ItemTable, run: runs.Run) -> None:
        self._clean_up()
        with self._timed("copy"):
            source = copy_source(self.memory, self.definition, self.definition.parts)
            check_key(item_table, source.key, self.definition)
        with self._timed("unload"):
            rows = unload(
                self.memory, source, self.definition.parts, self.settings.staging.url("rows/"), self.settings.role
            )
        with self._timed("build"):
            shape, folder = self._shape(source), self.settings.staging.url()
            reports = in_its_thread(self.spark, lambda: build(self.spark, rows, shape, folder))
            self._judge(source, reports)
        with self._timed("plan"):
            wanted, gone = self._plan(item_table, reports)
        self._tell_plan()
        hold.check()
        result = self.result
        run.note = f"{counted(result.to_put, 'item')} to write, {result.to_delete:,} to delete"
        if self.settings.dry_run:
            run.note += "; dry run"
            return
        self.memory.note_begun(item_table.id)
        hold.wrote = True
        with self._timed("write"):
            with watched(self.settings.hold_s / MARGIN, lambda: self._tell_progress(run)):
                written = self._write(reports, wanted) if self.result.to_put else []
            self._add(written, hold)
            run.rows, run.bytes = sum(one.rows for one in written), sum(one.bytes for one in written)
            run.progress()
        with self._timed("sweep"):
            tasks, rate, where = self._tasks, self.definition.write_units_per_s, self._where
            swept = in_its_thread(self.spark, lambda: sweep(self.spark, tasks, gone, rate, where))
            self._add(swept, hold)
            self.result.items_there = sum(one.counted for one in swept)
        run.note = f"{counted(result.put, 'item')} written, {result.deleted:,} deleted, {result.items_there:,} there"
        self.memory.note_done()
        self._compare()

    def _shape(self, source: Source) -> Shape:
        d = self.definition
        return Shape(source.key, source.columns, d.list_name, d.order, d.duplicates, d.same, d.nulls)

    @property
    def _tasks(self) -> int:
        """How many tasks run side by side."""
        return self.spark.sparkContext.defaultParallelism

    @property
    def _where(self) -> Where:
        d, w, s = self.definition, self.warehouse, self.settings
        return Where(d.table, d.key, w.workgroup, w.database, d.name, s.run, s.hold_s, s.staging.url("progress/"))

    def _judge(self, source: Source, reports: Sequence[Report]) -> None:
        result, rows = self.result, [report.rows for report in reports]
        result.rows, result.keys = source.rows, source.keys
        result.item_bytes = sum(report.bytes for report in reports)
        result.heaviest_item_bytes = max(report.heaviest for report in reports)
        result.rows_per_part_max, result.rows_per_part_median = max(rows), statistics.median(rows)
        problems: Counter[str] = Counter({"key_is_null": source.rows_without_key} if source.rows_without_key else {})
        samples: dict[str, list[str]] = {}
        for report in reports:
            problems.update(report.problems)
            for problem, hashes in report.samples.items():
                samples.setdefault(problem, []).extend(hashes)
        if problems:
            raise Refused(refusal(self.definition, problems, samples, result.heaviest_item_bytes))
        built = sum(report.items for report in reports)
        if sum(rows) != source.rows or built != source.keys:
            raise Differs(
                f"export {self.definition.name}: {counted(source.rows, 'row')} of {counted(source.keys, 'key')} were copied, "
                f"but the parts hold {counted(sum(rows), 'row')} and make {counted(built, 'item')}; nothing was written. "
                "This should not happen: run it again"
            )

    def _plan(self, item_table: ItemTable, reports: Sequence[Report]) -> tuple[str, str]:
        """Give the URLs of the keys to put, a folder a part (empty: all), and of those to delete (empty: none)."""
        built = [file for report in reports for file in report.built_files]
        manifest = self.settings.staging.url("built/manifest.json")
        files.write_manifest(self.s3, manifest, built)
        self.memory.note_built(manifest if built else "", self.settings.role)
        self.memory.plan(item_table.id, self.settings.incremental)
        todo = self.memory.tables.todo
        actions = self.warehouse.query(f"select action, count(*) as keys from {todo} group by action")
        counts = {str(row["action"]): int(row["keys"]) for row in actions}
        self.result.to_put, self.result.to_delete = counts.get("put", 0), counts.get("delete", 0)
        wanted = gone = ""
        role = self.settings.role
        if self.settings.dry_run:
            return wanted, gone
        if 0 < self.result.to_put < self.result.keys:
            query = f"select key_hash, part from {todo} where action = 'put'"
            wanted = unload_query(
                self.warehouse, query, self.settings.staging.url("wanted/"), role, " partition by (part)"
            )
        if self.result.to_delete:
            query = f"select key_hash from {todo} where action = 'delete'"
            gone = unload_query(self.warehouse, query, self.settings.staging.url("gone/"), role)
        return wanted, gone

    def _write(self, reports: Sequence[Report], wanted: str) -> list[Written]:
        shares = shared_out(reports, wanted, min(self._tasks, len(reports)), self.definition.write_units_per_s)
        where = self._where
        return in_its_thread(self.spark, lambda: write(self.spark, shares, where))

    def _add(self, written: Sequence[Written], hold: Holding) -> None:
        result = self.result
        for one in written:
            result.put += one.puts
            result.deleted += one.deletes
            result.write_units += one.units
            result.sent_again += one.again
            result.busy_answers += one.busy
            result.call_s = round(result.call_s + one.call_s, 2)
            result.waited_for_rate_s = round(result.waited_for_rate_s + one.waited_s, 2)
        hold.check()
        stopped = sorted({one.stopped for one in written if one.stopped})
        if stopped:
            raise stop(self.definition, stopped[-1], result)

    def _compare(self) -> None:
        result = self.result
        if result.items_there == result.keys and result.put == result.to_put and result.deleted <= result.to_delete:
            return
        raise Differs(
            f"export {result.export}: DynamoDB table {result.table} holds {counted(result.items_there or 0, 'item')}, but the "
            f"source has {counted(result.keys, 'key')}; {result.put} of {result.to_put} were written, "
            f"{result.deleted} of {result.to_delete} deleted. "
            "Items that this export did not write are never deleted: an export wants a table of its own. "
            "Items that somebody deleted come back by a run without --incremental"
        )

    def _tell_plan(self) -> None:
        result, rate = self.result, self.definition.write_units_per_s
        units = units_of(result.item_bytes) * result.to_put // max(1, result.keys)
        log.info(
            "planned",
            extra={
                "fields": {
                    "export": result.export,
                    "rows": result.rows,
                    "keys": result.keys,
                    "to_put": result.to_put,
                    "to_delete": result.to_delete,
                    "item_bytes": result.item_bytes,
                    "heaviest_item_bytes": result.heaviest_item_bytes,
                    "rows_per_part_max": result.rows_per_part_max,
                    "rows_per_part_median": result.rows_per_part_median,
                    "writing_takes_s_at_least": round(max(units, result.to_put) / rate, 1),
                }
            },
        )

    def _tell_progress(self, run: runs.Run) -> None:
        far = so_far(self.s3, self.settings.staging.url("progress/"))
        if (far.rows, far.bytes) != (run.rows, run.bytes):
            run.rows, run.bytes = far.rows, far.bytes
            run.progress()
            log.info("writing", extra={"fields": {"put": far.puts, "to_put": self.result.to_put, "rows": far.rows}})

    def _clean_up(self) -> None:
        """Drop tables and delete files of this run and of killed ones; what cannot be now, the next run does."""
        try:
            self.memory.renew()  # another run's files are not ours to delete
            self.memory.drop_left()
            files.delete_all(self.s3, f"s3://{self.settings.staging.bucket}/{self.settings.staging.export_prefix}")
        except (FreshetError, BotoCoreError, ClientError) as error:
            told = str(error) if isinstance(error, FreshetError) else type(error).__name__
            log.warning("what the run staged is still there, and the next run removes it: %s", told)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.result.seconds[step] = round(time.monotonic() - began, 2)


def shared_out(reports: Sequence[Report], wanted: str, writers: int, units_per_s: float) -> list[Share]:
    """Give each writer some parts, about as much to write, and a share of the rate by how much: all end at the same time."""
    loads = [0.0] * writers
    given: list[list[tuple[str, str]]] = [[] for _ in range(writers)]
    for report in sorted(reports, key=lambda report: -report.bytes):
        if not report.items:
            continue
        least = loads.index(min(loads))
        loads[least] += report.bytes / 1024 + report.items / 2
        keys = f"{wanted}part={report.part}/" if wanted else ""
        given[least] += [(url, keys) for url in report.item_files]
    total = sum(loads)
    return [Share(tuple(items), units_per_s * load / total) for items, load in zip(given, loads, strict=True) if items]


def refusal(definition: Definition, problems: Counter[str], samples: dict[str, list[str]], heaviest: int) -> str:
    """Say what cannot be written, how often, and how to find it; no value is named."""
    told = []
    for problem, count in sorted(problems.items()):
        code, _, column = problem.partition(":")
        what, _, rest = PROBLEMS[code].partition(" ")
        told.append(f"{counted(count, what.removesuffix('s'))} {rest}" + (f" in column {column}" if column else ""))
        if code == "item_too_large":
            told[-1] += f", the heaviest {heaviest:,}"
    key, where = quoted(definition.key), definition.source_name
    hashes = [f"'{one}'" for found in samples.values() for one in found][:3]
    ways = []
    if "key_is_null" in problems:
        ways.append(f"{key} is null")
    if hashes:
        ways.append(f"sha2(cast({key} as varchar(65535)), 256) in ({', '.join(hashes)})")
    return (
        f"export {definition.name}: {'; '.join(told)}. Nothing was written. Find them in {where} where {' or '.join(ways)}; "
        "leave them out, or take fewer rows or columns, in select.sql"
    )


def stop(definition: Definition, why: str, result: Result) -> FreshetError:
    """Say why the writers stopped."""
    so_far = f"{result.put:,} of {result.to_put:,} items were written; run it again: it goes on"
    name = f"export {definition.name}"
    if why == "hold_lost":
        return HoldLost(
            f"{name}: the warehouse was not heard of in time, so that another run might have begun; this one stopped. {so_far}"
        )
    if why == "busy":
        return TransientError(
            f"{name}: DynamoDB table {definition.table} took no item for 5 minutes: give it more write capacity, or write "
            f"slower (--rate). {so_far}"
        )
    code = why.partition(":")[2]
    return TerminalError(
        f"{name}: DynamoDB refused the writing of table {definition.table} ({code}): check that it is there, and the role's "
        f"rights. {so_far}"
    )


def with_changes(definition: Definition, rate: int | None, parts: int | None) -> Definition:
    """Give the definition with what the command line changed."""
    return replace(definition, write_units_per_s=rate or definition.write_units_per_s, parts=parts or definition.parts)
