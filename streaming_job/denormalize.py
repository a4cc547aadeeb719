"""Step 5: run the pipeline's SELECT over the batch, tokens and masks included.

Reads:  the newest changes and the dimension rows, each a view named by its alias.
Gives:  the outputs, and what staging needs to know of each row.
"""

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from freshet.pipeline.model import Pipeline
from freshet.pipeline.rows import UNFIT

CARRIED = ("_freshet_version", "_freshet_records", "_freshet_shard", "_freshet_sequence")
BROADCAST_ROWS_MAX = 200_000


def denormalize(
    spark: SparkSession, pipeline: Pipeline, newest: DataFrame, dimensions: Mapping[str, DataFrame]
) -> DataFrame:
    """Run the SELECT.

    Args:
        spark: A session in which `freshet.pipeline.spark.register_functions` was called.
        pipeline: The pipeline.
        newest: One row a key: the fact's columns and `CARRIED`.
        dimensions: Alias to the rows that the batch needs.

    Returns:
        The outputs, `CARRIED`, and `UNFIT`: NULL, or which value of a dimension could not be held.
    """
    newest.createOrReplaceTempView(pipeline.fact.alias)
    for alias, frame in dimensions.items():
        frame.hint("broadcast").createOrReplaceTempView(alias)
    unfit = [f"{dimension.alias}.{UNFIT}" for dimension in pipeline.dimensions]
    carry = [f"{pipeline.fact.alias}.{name}" for name in CARRIED]
    carry.append(f"coalesce({', '.join([*unfit, 'null'])}) as {UNFIT}")
    return spark.sql(pipeline.select_sql(carry))
