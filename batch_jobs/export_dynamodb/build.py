"""The first pass, in Spark's tasks: build every item of every part, judge it, and lay it down in S3 ready to be written.

Nothing is in DynamoDB yet. An item that DynamoDB would refuse is found here, and counted by its reason.

Reads:  the unloaded rows of a part.
Gives:  files of finished items, a file of (key_hash, digest, part) for the warehouse, and a report a part.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import SparkSession

from batch_jobs.export_dynamodb import files
from batch_jobs.export_dynamodb.items import Item, Shape, items_of
from batch_jobs.export_dynamodb.write import range_of
from freshet.errors import InputError
from freshet.pipeline.tasks import Batches, aws_client, guarded

PART_BYTES_MAX: Final = 1 << 30  # a task holds its part in memory
FILE_BYTES: Final = 32 << 20
SAMPLES_MAX: Final = 3
REPORT: Final = "report string"
ITEMS: Final = pa.schema(
    {"key_hash": pa.string(), "json": pa.large_string(), "bytes": pa.int32(), "rows": pa.int32()}  # type: ignore[arg-type]
)
BUILT: Final = pa.schema({"key_hash": pa.string(), "digest": pa.string(), "part": pa.int32()})  # type: ignore[arg-type]


@dataclass
class Report:
    """What became of one part; `problems` counts items by reason, `samples` holds hashes of a few of their keys."""

    part: int
    rows: int = 0
    items: int = 0
    bytes: int = 0
    heaviest: int = 0
    problems: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)
    item_files: list[str] = field(default_factory=list)
    built_files: list[tuple[str, int]] = field(default_factory=list)
    too_many_bytes: int = 0


def build(spark: SparkSession, parts: Sequence[str], shape: Shape, folder: str) -> list[Report]:
    """Build the items of all parts.

    Args:
        spark: The session.
        parts: For each part the URL that its files of rows begin with.
        shape: Of the items.
        folder: `s3://` URL below which the finished items are laid down, with a slash at its end.

    Raises:
        InputError: A part does not fit into a task's memory.
    """

    def work(batches: Batches) -> Batches:
        s3 = aws_client("s3")
        for batch in batches:
            for part in range_of(batch):
                report = build_part(s3, part, parts[part], shape, folder)
                yield pa.RecordBatch.from_pydict({"report": [json.dumps(asdict(report))]})

    frame = spark.range(0, len(parts), 1, len(parts)).mapInArrow(guarded("build", work), REPORT)
    reports = sorted((Report(**json.loads(row["report"])) for row in frame.collect()), key=lambda report: report.part)
    most = max(report.too_many_bytes for report in reports)
    if most:
        raise InputError(
            f"a part of the rows takes {most / 2**30:.1f} GB of memory, and a task holds 1 GB: write more than "
            f"{len(parts)} parts (--parts, or parts in export.yaml). Nothing was written"
        )
    return reports


def build_part(s3: Any, part: int, rows_url: str, shape: Shape, folder: str) -> Report:
    """Build the items of one part."""
    report = Report(part)
    tables, held = [], 0
    for url in files.listed(s3, rows_url):
        tables.append(files.read(s3, url).read())
        held += tables[-1].nbytes
        if held > PART_BYTES_MAX:
            report.too_many_bytes = held
            return report
    if not tables:
        return report
    rows = pa.concat_tables(tables)
    report.rows = rows.num_rows
    problems: Counter[str] = Counter()
    for number, items in enumerate(_file_by_file(items_of(rows, shape))):
        for item in items:
            report.items += 1
            report.bytes += item.bytes
            report.heaviest = max(report.heaviest, item.bytes)
            if item.problem:
                problems[item.problem] += 1
                samples = report.samples.setdefault(item.problem, [])
                if len(samples) < SAMPLES_MAX:
                    samples.append(item.key_hash)
        if not problems:
            _lay_down(s3, report, number, items, folder)
    report.problems = dict(problems)
    return report


def _file_by_file(items: Iterator[Item]) -> Iterator[list[Item]]:
    held: list[Item] = []
    size = 0
    for item in items:
        held.append(item)
        size += len(item.json)
        if size >= FILE_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _lay_down(s3: Any, report: Report, number: int, items: list[Item], folder: str) -> None:
    name = f"part={report.part}/{number:05}.parquet"
    url = f"{folder}items/{name}"
    columns = [[item.key_hash for item in items], [item.json for item in items], [item.bytes for item in items]]
    files.write(s3, url, pa.table([*columns, [item.rows for item in items]], schema=ITEMS))
    report.item_files.append(url)
    url = f"{folder}built/{name}"
    digests = [item.digest for item in items]
    size = files.write(s3, url, pa.table([columns[0], digests, [report.part] * len(items)], schema=BUILT))
    report.built_files.append((url, size))
