"""The last pass, in Spark's tasks: read the table's keys, delete those that are gone from the source, count the rest.

The warehouse keeps hashes of the keys, not the keys: only the table itself tells which item is meant. An item that this export
never wrote is not deleted; it makes the counts differ.

Source: Amazon DynamoDB API Reference, "Scan" (Segment, TotalSegments, ConsistentRead, Select); a scan costs by the size of the
items, whatever of them is asked for.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from botocore.exceptions import ClientError
from pyspark.sql import SparkSession

from batch_jobs.export_dynamodb.items import key_hash
from batch_jobs.export_dynamodb.write import (
    Request,
    Stopped,
    Where,
    Writer,
    Written,
    batches,
    guarded_writer,
    keys_in,
    range_of,
)
from freshet.pipeline.tasks import Batches, aws_client, guarded


def sweep(spark: SparkSession, segments: int, gone: str, units_per_s: float, where: Where) -> list[Written]:
    """Delete what is gone, and count what stays.

    Args:
        spark: The session.
        segments: How many tasks read the table side by side.
        gone: URL that the files with the hashes of the keys to delete begin with; empty for none.
        units_per_s: Write capacity units a second that deleting may cost.
        where: The table.
    """

    def work(tasks: Batches) -> Batches:
        for batch in tasks:
            for segment in range_of(batch):
                one = functools.partial(_sweep_segment, segment, segments, gone)
                done = guarded_writer(where, units_per_s / segments, one)
                yield pa.RecordBatch.from_pydict({"report": [json.dumps(asdict(done))]})

    frame = spark.range(0, segments, 1, segments).mapInArrow(guarded("sweep", work), "report string")
    return [Written(**json.loads(row["report"])) for row in frame.collect()]


def _sweep_segment(segment: int, segments: int, gone: str, made: Writer) -> None:
    wanted = keys_in(aws_client("s3"), gone) if gone else set()

    def requests() -> Iterator[tuple[Request, int, int]]:
        for key in _keys(segment, segments, bool(wanted), made):
            if key_hash(next(iter(key[made.where.key].values()))) in wanted:
                yield {"DeleteRequest": {"Key": key}}, 1, 2048
            else:
                made.done.counted += 1

    for batch in batches(requests(), made.pace.units_per_s):
        made.send(batch)
        made.done.deletes += len(batch)


def _keys(segment: int, segments: int, keys: bool, made: Writer) -> Iterator[dict[str, Any]]:
    """Give the keys of one segment; without `keys` only count them."""
    asked: dict[str, Any] = {"Select": "COUNT"}
    if keys:
        asked = {"ProjectionExpression": "#key", "ExpressionAttributeNames": {"#key": made.where.key}}
    scan = aws_client("dynamodb", 10).get_paginator("scan")
    pages = scan.paginate(
        TableName=made.where.table, Segment=segment, TotalSegments=segments, ConsistentRead=True, **asked
    )
    try:
        for page in pages:
            if keys:
                yield from page["Items"]
            else:
                made.done.counted += int(page["Count"])
    except ClientError as error:
        raise Stopped(f"refused:{error.response['Error']['Code']}") from None
