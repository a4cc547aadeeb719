"""Run a pipeline's SELECT over rows that are already joined, and protect what leaves.

The expressions are the pipeline's own, which the job runs too. Neither the job's row statement nor its hash is used.

Reads:  an Arrow table with the columns `alias.column` of every used source column.
Gives:  an Arrow table with the outputs, protected, and which rows inner joins and `where` admit.
"""

from typing import Final

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from freshet.errors import TerminalError
from freshet.pipeline.model import ADMITTED, ROWS, Pipeline
from freshet.pipeline.protection import TokenKey, protected

ORDINAL: Final = "_freshet_ordinal"


def evaluate(spark: SparkSession, pipeline: Pipeline, tokens: TokenKey, rows: pa.Table) -> pa.Table:
    """Give the outputs of some rows, in their order.

    Args:
        spark: A session in which `freshet.pipeline.spark.register_functions` was called.
        pipeline: The pipeline.
        tokens: Which key makes tokens.
        rows: Columns `alias.column`, see `row_column`.

    Returns:
        The outputs and `ADMITTED`, one row for each of `rows`.

    Raises:
        TerminalError: Spark failed; its message is left out, since it may quote a value.
    """
    numbered = rows.append_column(ORDINAL, pa.array(range(rows.num_rows), pa.int64()))
    try:
        spark.createDataFrame(numbered).createOrReplaceTempView(ROWS)
        table = spark.sql(pipeline.select_sql([ORDINAL])).toArrow().sort_by(ORDINAL)
    except PySparkException as error:
        raise TerminalError(
            f"pipeline {pipeline.name}: Spark could not compute the SELECT ({type(error).__name__})"
        ) from None
    return protected(table, pipeline.outputs, tokens)


def admitted(table: pa.Table) -> list[bool]:
    """Tell of each row whether inner joins and `where` let it through."""
    return [bool(each) for each in table[ADMITTED].to_pylist()]
