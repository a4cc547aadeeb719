"""Step 4: fetch the dimension rows that the batch needs, by key, from the server whose binlog DMS reads.

A row written with version v must have been computed from a state that holds every commit up to v; so each look-up sees a
fresh snapshot, comes after the batch was read, and nothing is kept from batch to batch. Keys travel as bound parameters
inside tasks: a value that became a Spark literal would be seen in plans and event logs.

Reads:  the batch's newest changes.
Gives:  a pinned DataFrame a dimension, at most one row a key.
"""

import time
from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's own abbreviation

from freshet.pipeline.connection import MySQLSettings
from freshet.pipeline.model import Dimension, Pipeline
from freshet.pipeline.rows import rows_by_key, rows_schema
from streaming_job.kinesis import spark_schema
from streaming_job.tasks import Batches, guarded, mysql_connection

VISIBLE_AFTER_S = 0.2  # the binlog is written before the commit becomes visible to others


def dimension_rows(
    pipeline: Pipeline, newest: DataFrame, mysql: MySQLSettings, read_at: float, tasks: int
) -> dict[str, DataFrame]:
    """Fetch each dimension's rows, in the order of the joins, since one may be found through another.

    Args:
        pipeline: The pipeline.
        newest: One row a key of the fact.
        mysql: Where the source is.
        read_at: When the last page of the batch was asked for, in seconds since 1970.
        tasks: At most so many connections at once.

    Returns:
        Alias to pinned rows; a key that the source does not have has no row.
    """
    time.sleep(max(0.0, read_at + VISIBLE_AFTER_S - time.time()))
    frames: dict[str, DataFrame] = {pipeline.fact.alias: newest}
    for dimension in pipeline.dimensions:
        frames[dimension.alias] = _rows(pipeline, dimension, frames, mysql, tasks)
    del frames[pipeline.fact.alias]
    return frames


def _rows(
    pipeline: Pipeline, dimension: Dimension, frames: Mapping[str, DataFrame], mysql: MySQLSettings, tasks: int
) -> DataFrame:
    columns = [term.column for term in dimension.on]
    database = pipeline.database

    def work(batches: Batches) -> Batches:
        wanted: set[tuple[Any, ...]] = set()
        for batch in batches:
            wanted.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        if wanted:
            yield from rows_by_key(mysql_connection(mysql), database, dimension, columns, sorted(wanted))

    # Partitioned by key, each key is asked for by one task only.
    keys = _keys(pipeline, dimension, frames).repartition(tasks, *columns)
    return keys.mapInArrow(guarded("lookup", work), spark_schema(rows_schema(dimension))).localCheckpoint(eager=True)


def _keys(pipeline: Pipeline, dimension: Dimension, frames: Mapping[str, DataFrame]) -> DataFrame:
    aliases = {term.left_alias for term in dimension.on}
    if len(aliases) == 1:
        left = frames[aliases.pop()]
        return left.select(*[F.col(term.left_column).alias(term.column) for term in dimension.on]).dropna()
    joined = _named(frames[pipeline.fact.alias], pipeline.fact.alias)
    for earlier in pipeline.dimensions[: pipeline.dimensions.index(dimension)]:
        same = [F.col(f"{t.left_alias} {t.left_column}") == F.col(f"{earlier.alias} {t.column}") for t in earlier.on]
        joined = joined.join(_named(frames[earlier.alias], earlier.alias), same, "left")
    return joined.select(*[F.col(f"{t.left_alias} {t.left_column}").alias(t.column) for t in dimension.on]).dropna()


def _named(frame: DataFrame, alias: str) -> DataFrame:
    return frame.toDF(*[f"{alias} {column}" for column in frame.columns])
