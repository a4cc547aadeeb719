"""Evaluate a pipeline's SELECT over some rows of its fact: fetch the dimension rows they need, then run it in Spark.

The streaming job and `verify` both come here, so what is promised and what is checked are computed by the same code. Keys
travel as bound parameters inside tasks: a value that became a Spark literal would be seen in plans and event logs.

Reads:  rows of the fact.
Gives:  the outputs of the SELECT, row for row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's own abbreviation

from freshet.pipeline.connection import MySQLSettings
from freshet.pipeline.model import Dimension, Pipeline, quote
from freshet.pipeline.rows import UNFIT, rows_by_key, rows_schema
from freshet.pipeline.tasks import Batches, guarded, mysql_connection


def dimension_rows(pipeline: Pipeline, facts: DataFrame, mysql: MySQLSettings, tasks: int) -> dict[str, DataFrame]:
    """Fetch each dimension's rows, in the order of the joins, since one may be found through another.

    Args:
        pipeline: The pipeline.
        facts: Rows of the fact, pinned.
        mysql: Where the source is.
        tasks: At most so many connections at once; one needs no shuffle, which is quicker for a few rows.

    Returns:
        Alias to pinned rows, at most one a key; a key that the source does not have has no row.
    """
    frames: dict[str, DataFrame] = {pipeline.fact.alias: facts}
    for dimension in pipeline.dimensions:
        frames[dimension.alias] = _rows(pipeline, dimension, frames, mysql, tasks)
    del frames[pipeline.fact.alias]
    return frames


def select_rows(
    spark: SparkSession,
    pipeline: Pipeline,
    facts: DataFrame,
    dimensions: Mapping[str, DataFrame],
    carried: Sequence[str] = (),
) -> DataFrame:
    """Run the SELECT.

    Args:
        spark: A session in which `freshet.pipeline.spark.register_functions` was called.
        pipeline: The pipeline.
        facts: The fact's columns and `carried`.
        dimensions: From `dimension_rows`.
        carried: Columns of `facts` to keep after the outputs.

    Returns:
        The outputs, `carried`, and `UNFIT`: NULL, or which value of a dimension its type could not hold.
    """
    facts.createOrReplaceTempView(pipeline.fact.alias)
    for alias, frame in dimensions.items():
        frame.createOrReplaceTempView(alias)
    unfit = [f"{quote(dimension.alias)}.{UNFIT}" for dimension in pipeline.dimensions]
    first_unfit = f"coalesce({', '.join([*unfit, 'cast(null as string)'])}) as {UNFIT}"
    return spark.sql(pipeline.select_sql(carried, [first_unfit]))


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
    keys = _keys(pipeline, dimension, frames)
    keys = keys.coalesce(1) if tasks == 1 else keys.repartition(tasks, *columns)
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


def spark_schema(schema: pa.Schema) -> Any:
    """Give the Spark schema of an Arrow schema."""
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - slow to import, and tasks need it not

    return from_arrow_schema(schema, prefer_timestamp_ntz=True)
