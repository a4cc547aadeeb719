"""Evaluate the SELECT over the rows that were read, in Spark SQL, so that every function has one meaning everywhere.

A small round is read and staged by the driver itself: starting a task costs more than reading some hundred rows. A large one
is one Spark job: keys are shared out, each task reads its rows, Spark SQL runs over them, each task stages what came of its part.
There is no shuffle, window or checkpoint.

Reads:  keys to look at.
Gives:  staged files, from `streaming_job.stage`.
"""

import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from freshet.errors import EnvironmentFault, FreshetError
from freshet.mysql.asking import Source, kept_source
from freshet.mysql.rows import UNFIT
from freshet.pipeline.connection import MySQLSettings
from freshet.pipeline.model import ROWS
from freshet.pipeline.tasks import FAILED_STEP, Batches, guarded
from streaming_job import rows
from streaming_job.followed import Followed
from streaming_job.questions import Asked
from streaming_job.rows import FLAGS, NotTheWriter
from streaming_job.stage import REPORT, Staging, Written

SMALL_ROUND: Final = 2_000  # keys
CARRIED: Final = (UNFIT, *FLAGS)
NOT_THE_WRITER: Final = (
    "a read-only server, or another one than at the start of the round, answered for the source; nothing was "
    "written. Let source.yaml name the writer itself, not a reader endpoint or a proxy that splits reads"
)


@dataclass(frozen=True)
class Evaluation:
    """Reads and stages the keys of one round of one pipeline.

    Attributes:
        spark: The session.
        followed: The pipeline.
        mysql: Where the source is, for tasks.
        staging: Where and how rows are staged.
        server: Who must answer.
    """

    spark: SparkSession
    followed: Followed
    mysql: MySQLSettings
    staging: Staging
    server: str

    def run(self, tasks: Sequence[Sequence[Asked]], source: Source) -> list[Written]:
        """Read, evaluate, stage.

        Args:
            tasks: Keys, a part a task.
            source: The driver's connection.

        Raises:
            EnvironmentFault: MySQL does not answer, or another server than the writer did.
            FreshetError: A task failed; says the step and the class of the error.
        """
        keys = [asked for task in tasks for asked in task]
        if len(keys) <= SMALL_ROUND:
            return self._here(keys, source)
        return self._in_tasks(tasks)

    def _select(self, frame: DataFrame) -> DataFrame:
        frame.createOrReplaceTempView(ROWS)
        return self.spark.sql(self.followed.pipeline.select_sql(CARRIED))

    def _here(self, keys: Sequence[Asked], source: Source) -> list[Written]:
        try:
            read = rows.read_task(source, self.followed, keys, self.server)
        except NotTheWriter:
            raise EnvironmentFault(NOT_THE_WRITER) from None
        return list(self.staging.stage(self._select(self.spark.createDataFrame(read)).toArrow()))

    def _in_tasks(self, tasks: Sequence[Sequence[Asked]]) -> list[Written]:
        read = _reading(self.followed, self.mysql, [_packed(task) for task in tasks], self.server)
        stage = _staging(self.staging)
        parts = len(tasks)
        frame = self.spark.range(0, parts, 1, parts).mapInArrow(
            guarded("rows", read), spark_schema(rows.schema(self.followed))
        )
        try:
            told = self._select(frame).mapInArrow(guarded("stage", stage), spark_schema(REPORT)).collect()
        except PySparkException as error:
            raise _as_ours(error) from None
        return [Written(row["object"], row["bytes"], dict(row["rows"])) for row in told]


def _packed(task: Sequence[Asked]) -> bytes:
    """Write the keys of a task for its way: most are neither moved nor forced, and a worker reads no task but its own."""
    moved = {place for place, asked in enumerate(task) if asked.moved}
    forced = {place for place, asked in enumerate(task) if asked.forced}
    return pickle.dumps(([asked.key for asked in task], moved, forced))


def _unpacked(packed: bytes) -> list[Asked]:
    keys, moved, forced = pickle.loads(packed)  # noqa: S301 - the driver wrote it
    return [Asked(key, place in moved, place in forced) for place, key in enumerate(keys)]


def _reading(
    followed: Followed, mysql: MySQLSettings, tasks: Sequence[bytes], server: str
) -> Callable[[Batches], Batches]:
    def read(batches: Batches) -> Batches:
        for batch in batches:
            for part in batch.column(0).to_numpy():
                source = kept_source(mysql)
                yield from rows.read_task(source, followed, _unpacked(tasks[int(part)]), server).to_batches()

    return read


def _staging(staging: Staging) -> Callable[[Batches], Batches]:
    def stage(batches: Batches) -> Batches:
        for table in _tables(batches):
            for written in staging.stage(table):
                row: dict[str, Any] = {
                    "object": [written.object],
                    "bytes": [written.bytes],
                    "rows": [list(written.rows.items())],
                }
                yield pa.RecordBatch.from_pydict(row, schema=REPORT)

    return stage


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.Table]:
    held = [batch for batch in batches if batch.num_rows]
    if held:
        yield pa.Table.from_batches(held)


def _as_ours(error: PySparkException) -> FreshetError:
    found = FAILED_STEP.search(str(error))
    if found and found[2] == NotTheWriter.__name__:
        return EnvironmentFault(NOT_THE_WRITER)
    return FreshetError(found[0] if found else f"Spark failed with {type(error).__name__}")


def spark_schema(schema: pa.Schema) -> Any:
    """Give the Spark schema of an Arrow schema."""
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - slow to import, and tasks need it not

    return from_arrow_schema(schema, prefer_timestamp_ntz=True)
