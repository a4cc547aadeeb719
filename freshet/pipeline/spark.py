"""What a pipeline needs of Spark: the settings that decide what its SELECT means, and two functions.

Whoever runs the SELECT - the job, `verify`, `plan` - takes both from here, so that one text has one meaning.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.functions import arrow_udf

from freshet.pipeline.functions import MASK_DIGITS, TOKENIZE
from freshet.pipeline.protection import TokenKey, key_of, mask_digits_text, tokenize_text

SESSION_SETTINGS: dict[str, str] = {
    "spark.sql.ansi.enabled": "true",  # types that do not fit are refused by `plan`, not turned into NULL
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.variable.substitute": "false",  # '${env:X}' in a text would be the job's environment
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.parser.escapedStringLiterals": "false",  # what the writer of literals relies on
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.caseSensitive": "false",
}


def register_functions(spark: SparkSession, tokens: TokenKey) -> None:
    """Make tokenize and mask_digits known to the session's SQL.

    Args:
        spark: The session that runs the SELECT.
        tokens: Which key makes the tokens; workers fetch it themselves, through boto3 and their environment.
    """

    def tokenize(texts: pa.Array) -> pa.Array:  # type: ignore[type-arg] # Spark reads the hints, and knows this one only
        key = key_of(tokens)
        return pa.array([tokenize_text(key, tokens.key_id, text) for text in texts.to_pylist()], pa.string())

    _register(spark, TOKENIZE, tokenize)
    _register(spark, MASK_DIGITS, _mask_digits)


def register_names(spark: SparkSession) -> None:
    """Make the two names known for analysis only: no secret is needed, and no row ever passes."""
    _register(spark, TOKENIZE, _mask_digits)
    _register(spark, MASK_DIGITS, _mask_digits)


def _mask_digits(texts: pa.Array) -> pa.Array:  # type: ignore[type-arg] # as above
    return pa.array([mask_digits_text(text) for text in texts.to_pylist()], pa.string())


def _register(spark: SparkSession, name: str, function: Callable[..., Any]) -> None:
    spark.udf.register(name, arrow_udf(function, "string"))  # type: ignore[call-overload] # its stub asks for what warns
