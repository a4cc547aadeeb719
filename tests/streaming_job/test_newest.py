"""Promises of step 3: at most one change a key, and it is the newest in the binlog."""

from itertools import permutations

import pytest
from pyspark.sql import SparkSession
from streaming_job.newest import newest_per_key

SCHEMA = (
    "id bigint, note string, _freshet_kind tinyint, _freshet_version string, _freshet_shard string, "
    "_freshet_sequence string, _freshet_reason string, _freshet_column string, _freshet_marker string"
)


def change(key: int, note: str, version: int, sequence: str) -> tuple[object, ...]:
    return (key, note, 0, f"{version:032}", "shard-0", sequence, None, None, None)


OLD, NEW, OTHER = change(7, "old", 5, "900"), change(7, "new", 6, "100"), change(8, "other", 1, "101")
AGAIN = change(7, "new", 6, "1000")
MARKER = (None, None, 2, None, "shard-0", None, None, None, "{}")


@pytest.mark.parametrize("arrived", list(permutations([OLD, NEW, OTHER, AGAIN, MARKER]))[::29])
@pytest.mark.parametrize("tasks", [1, 2])
def test_arrival_order_and_copies_are_irrelevant(
    spark: SparkSession, arrived: tuple[tuple[object, ...], ...], tasks: int
) -> None:
    """A replayed, doubled or shuffled batch keeps the same rows; a re-sent change does not look newer than a later one."""
    newest = newest_per_key(spark.createDataFrame(list(arrived), SCHEMA), ["id"], tasks)
    kept = sorted(
        (row["id"], row["note"], row["_freshet_sequence"], row["_freshet_records"]) for row in newest.collect()
    )
    assert [(7, "new", "1000", 3), (8, "other", "101", 1)] == kept
