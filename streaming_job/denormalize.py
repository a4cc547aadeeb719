"""Step 5: run the pipeline's SELECT over the batch, tokens and masks included.

Reads:  the newest changes and the dimension rows.
Gives:  the outputs, and what staging needs to know of each row.
"""

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from freshet.pipeline.evaluate import select_rows
from freshet.pipeline.model import Pipeline

CARRIED = ("_freshet_version", "_freshet_records", "_freshet_shard", "_freshet_sequence")


def denormalize(
    spark: SparkSession, pipeline: Pipeline, newest: DataFrame, dimensions: Mapping[str, DataFrame], small: bool
) -> DataFrame:
    """Run the SELECT; see `freshet.pipeline.evaluate.select_rows` for what comes out beside the outputs.

    Args:
        spark: The session.
        pipeline: The pipeline.
        newest: The newest changes.
        dimensions: The rows they need.
        small: Everything is in one part already: a plain join is quicker than sending the dimensions around.
    """
    if not small:
        dimensions = {alias: frame.hint("broadcast") for alias, frame in dimensions.items()}
    return select_rows(spark, pipeline, newest, dimensions, CARRIED)
