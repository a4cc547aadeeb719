"""Step 3: keep the newest change of every key, before Redshift sees the batch.

Redshift enforces no key: two staged rows of one new key would both be inserted.

Reads:  the pinned batch, in any order, with copies.
Gives:  one row a key, with the number of records that it stands for.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the field's own abbreviation

from streaming_job.kinesis import ROW

SEQUENCE_DIGITS_MAX = 129


def newest_per_key(batch: DataFrame, keys: Sequence[str], tasks: int) -> DataFrame:
    """Keep the newest change of every key.

    Args:
        batch: The fact's columns, `_freshet_version` (fixed width, sorts as text), `_freshet_shard`, `_freshet_sequence`.
        keys: The fact's primary-key columns; at least one.
        tasks: In how many parts to work; one needs no shuffle, which is quicker for a small batch.

    Returns:
        The same columns and `_freshet_records`: how many records of this key were in the batch. Copies of one change have one
        version; the later in the stream wins, which only settles the position that is reported.

    Source: Redshift Developer Guide, "MERGE", usage notes ("multiple matches").
    """
    changes = batch.where(f"_freshet_kind = {ROW}")
    changes = changes.coalesce(1) if tasks == 1 else changes.repartition(tasks, *keys)
    by_key = Window.partitionBy(*keys)
    in_stream = F.lpad("_freshet_sequence", SEQUENCE_DIGITS_MAX, "0")
    return (
        changes.withColumn("_freshet_records", F.count(F.lit(1)).over(by_key).cast("int"))
        .withColumn("_freshet_rank", F.row_number().over(by_key.orderBy(F.desc("_freshet_version"), F.desc(in_stream))))
        .where("_freshet_rank = 1")
        .drop("_freshet_rank", "_freshet_kind", "_freshet_reason", "_freshet_column", "_freshet_marker")
    )
