"""Step 4: fetch the dimension rows that the batch needs, by key, from the server whose binlog DMS reads.

A row written with version v must have been computed from a state that holds every commit up to v; so each look-up sees a
fresh snapshot, comes after the batch was read, and nothing is kept from batch to batch.

Reads:  the batch's newest changes.
Gives:  a pinned DataFrame a dimension.
"""

import time

from pyspark.sql import DataFrame

from freshet.pipeline.connection import MySQLSettings
from freshet.pipeline.evaluate import dimension_rows
from freshet.pipeline.model import Pipeline

VISIBLE_AFTER_S = 0.2  # MySQL writes the binlog before it makes the commit visible to others


def look_up(
    pipeline: Pipeline, newest: DataFrame, mysql: MySQLSettings, read_at: float, tasks: int
) -> dict[str, DataFrame]:
    """Fetch the dimension rows of a batch.

    Args:
        pipeline: The pipeline.
        newest: One row a key of the fact.
        mysql: Where the source is.
        read_at: When the last page of the batch was asked for, in seconds since 1970.
        tasks: At most so many connections at once.

    Returns:
        Alias to rows.
    """
    time.sleep(max(0.0, read_at + VISIBLE_AFTER_S - time.time()))
    return dimension_rows(pipeline, newest, mysql, tasks)
