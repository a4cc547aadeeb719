"""What Spark's Python workers are forked from."""

import gc
import zipimport
from collections.abc import Iterable

import pyarrow as pa
from pyspark.sql import SparkSession


def test_a_task_looks_through_no_modules_and_reads_no_archive_again(spark: SparkSession) -> None:
    """What was imported before the fork is frozen; emptying the import caches costs nothing."""

    def look(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for _ in batches:
            keeps = zipimport.zipimporter.invalidate_caches.__module__
            yield pa.RecordBatch.from_pydict({"frozen": [gc.get_freeze_count()], "keeps": [keeps]})

    (row,) = spark.range(0, 1, 1, 1).mapInArrow(look, "frozen long, keeps string").collect()
    assert row["frozen"] > 100_000
    assert "freshet.pipeline.tasks" == row["keeps"]
