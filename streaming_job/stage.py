"""Step 6: check what Redshift would refuse, write Parquet to S3, and say exactly what was written.

One value that COPY refuses would fail the batch, again and again; so every output row is checked first, and one that does
not fit is set aside with column and reason, its values left out. The manifest names the files that tasks returned, never
what a listing found: a listing also finds the debris of failed attempts.

Reads:  the denormalized rows and the records set aside before.
Gives:  files in S3, their manifest, and how many rows and bytes it names.

Source: Redshift Developer Guide, "COPY from columnar data formats", "Using a manifest to specify data files".
"""

import functools
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's own abbreviation

from freshet.pipeline.model import Output, Pipeline
from freshet.pipeline.rows import UNFIT
from freshet.pipeline.tasks import Batches, aws_client, guarded
from freshet.redshift.merge_sql import columns_staged
from streaming_job.kinesis import QUARANTINE

ROWS_PER_FILE_MAX: Final = 100_000
FIRST_AND_LAST_DAY: Final = (-719_162, 2_932_896)  # 0001-01-01 and 9999-12-31, in days since 1970
DAY_US: Final = 86_400_000_000
_OURS: Final[dict[str, pa.DataType]] = {
    "_freshet_op": pa.string(),
    "_freshet_version": pa.string(),
    "_freshet_records": pa.int32(),
    "_freshet_shard": pa.string(),
    "_freshet_sequence": pa.string(),
    "_freshet_reason": pa.string(),
    "_freshet_column": pa.string(),
}
OURS: Final = pa.schema(_OURS)


@dataclass(frozen=True)
class Place:
    """Where a step's files go: bucket, and the prefix that only this step uses."""

    bucket: str
    prefix: str


@dataclass(frozen=True)
class Staged:
    """What was staged: the manifest's URL, the keys of all objects, and the totals that it names."""

    manifest: str
    objects: tuple[str, ...]
    rows: int
    bytes: int


def stage(pipeline: Pipeline, rows: DataFrame | None, aside: DataFrame | None, place: Place, s3: Any) -> Staged | None:
    """Write a batch's rows for COPY.

    Args:
        pipeline: The pipeline.
        rows: From `denormalize`; None when no record became a row.
        aside: The pinned batch, when records were set aside as they were read.
        place: Where to write.
        s3: The driver's boto3 client, for the manifest.

    Returns:
        What was staged; None when there is nothing to stage.
    """
    outputs = pipeline.outputs
    staged = pa.unify_schemas([pa.schema([pa.field(output.name, output.arrow) for output in outputs]), OURS])
    keys = pipeline.keys

    def work(batches: Batches) -> Batches:
        s3_client = aws_client("s3")
        for table in _files(batches):
            checked = check_rows(table, outputs, keys).select(list(columns_staged(pipeline))).cast(staged)
            url, size = _write(s3_client, checked, place)
            yield pa.RecordBatch.from_pydict({"object": [url], "bytes": [size], "rows": [checked.num_rows]})

    parts = [part for part in (rows, _set_aside(pipeline, aside) if aside is not None else None) if part is not None]
    if not parts:
        return None
    every = functools.reduce(DataFrame.unionByName, parts)
    written = every.mapInArrow(guarded("stage", work), "object string, bytes long, rows long").collect()
    if not written:
        return None
    manifest = {
        "entries": [
            {"url": f"s3://{place.bucket}/{row['object']}", "mandatory": True, "meta": {"content_length": row["bytes"]}}
            for row in written
        ]
    }
    key = f"{place.prefix}/manifest.json"
    s3.put_object(Bucket=place.bucket, Key=key, Body=json.dumps(manifest).encode(), ContentType="application/json")
    objects = (key, *[row["object"] for row in written])
    rows_written, bytes_written = sum(row["rows"] for row in written), sum(row["bytes"] for row in written)
    return Staged(f"s3://{place.bucket}/{key}", objects, rows_written, bytes_written)


def _set_aside(pipeline: Pipeline, batch: DataFrame) -> DataFrame:
    return batch.where(f"_freshet_kind = {QUARANTINE}").select(
        *[F.lit(None).cast(output.spark).alias(output.name) for output in pipeline.outputs],
        F.lit(None).cast("string").alias("_freshet_version"),
        F.lit(1).alias("_freshet_records"),
        "_freshet_shard",
        "_freshet_sequence",
        F.concat_ws(":", F.coalesce("_freshet_column", F.lit("")), "_freshet_reason").alias(UNFIT),
    )


def drop(s3: Any, bucket: str, staged: Staged) -> None:
    """Delete a committed step's files."""
    for start in range(0, len(staged.objects), 1000):
        wanted = [{"Key": key} for key in staged.objects[start : start + 1000]]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})


def _files(batches: Batches) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= ROWS_PER_FILE_MAX:
            yield pa.Table.from_batches(held)
            held = []
    if sum(part.num_rows for part in held):
        yield pa.Table.from_batches(held)


def _write(s3: Any, table: pa.Table, place: Place) -> tuple[str, int]:
    buffer = io.BytesIO()
    # Redshift reads an INT64 timestamp without a converted type as the year 161065; INT96 is what it expects.
    pq.write_table(table, buffer, compression="snappy", use_deprecated_int96_timestamps=True)
    key = f"{place.prefix}/{uuid.uuid4()}.parquet"
    body = buffer.getvalue()
    s3.put_object(Bucket=place.bucket, Key=key, Body=body)
    return key, len(body)


def check_rows(table: pa.Table, outputs: tuple[Output, ...], keys: tuple[str, ...]) -> pa.Table:
    """Mark the rows that Redshift would refuse, and empty them.

    Args:
        table: The outputs, `_freshet_version`, `_freshet_records`, `_freshet_shard`, `_freshet_sequence` and `UNFIT`.
        outputs: Their types in Redshift.
        keys: Outputs that must not be NULL.

    Returns:
        The same rows with `_freshet_op` u or q, `_freshet_reason`, `_freshet_column`; a row with q has no values.
    """
    unfit = table[UNFIT].combine_chunks()
    for output in outputs:
        for reason, bad in _refusals(table[output.name].combine_chunks(), output, output.name in keys):
            if pc.any(bad).as_py():
                verdict = pa.scalar(f"{output.name}:{reason}")
                unfit = pc.if_else(pc.and_(bad, pc.is_null(unfit)), verdict, unfit)
    refused = pc.is_valid(unfit)
    if pc.any(refused).as_py():
        for output in outputs:
            place = table.schema.get_field_index(output.name)
            column = table[output.name].combine_chunks()
            table = table.set_column(place, output.name, pc.if_else(refused, pa.scalar(None, column.type), column))
    said = [text.rsplit(":", 1) if text else (None, None) for text in unfit.to_pylist()]
    return (
        table.append_column("_freshet_op", pc.if_else(refused, "q", "u"))
        .append_column("_freshet_reason", pa.array([reason for _, reason in said], pa.string()))
        .append_column("_freshet_column", pa.array([column or None for column, _ in said], pa.string()))
    )


def _refusals(column: Any, output: Output, is_key: bool) -> Iterator[tuple[str, Any]]:
    if is_key:
        yield "key_is_null", pc.is_null(column)
    if output.redshift.startswith("varchar"):
        bytes_max = int(output.redshift.removeprefix("varchar(").removesuffix(")"))
        yield "too_many_bytes", _true(pc.greater(pc.binary_length(column), pa.scalar(bytes_max)))
        yield "has_nul_character", _true(pc.match_substring(column, "\x00"))
    elif output.redshift == "double precision":
        yield "not_a_finite_number", _true(pc.invert(pc.is_finite(column)))
    elif output.redshift == "date":
        yield "date_out_of_range", _outside(column.cast(pa.int32()), *FIRST_AND_LAST_DAY)
    elif output.redshift == "timestamp":
        first, last = FIRST_AND_LAST_DAY
        yield "date_out_of_range", _outside(column.cast(pa.int64()), first * DAY_US, (last + 1) * DAY_US - 1)


def _outside(column: Any, first: int, last: int) -> Any:
    return _true(
        pc.or_(pc.less(column, pa.scalar(first, column.type)), pc.greater(column, pa.scalar(last, column.type)))
    )


def _true(condition: Any) -> Any:
    return pc.fill_null(condition, False)
