"""Load files: how many rows a second `freshet load` takes from Avro and from Parquet, and how soon 100,000 files are compared.

    .venv/bin/python -m benchmarks.load --megabytes 100 --files 50

S3 and Redshift are the sandbox's: PostgreSQL below a reader in Python, on the cores of this machine. So the figures tell what the
load costs beside its COPY, not how fast Redshift is. The named limits, measured in the same run on the same rows: PostgreSQL's
own COPY of them as text, already made; and one process that reads the files with fastavro or pyarrow and keeps nothing.
"""

import argparse
import io
import json
import os
import platform
import random
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from batch_jobs.load.compare import LOADED, NEW, compare, survey
from batch_jobs.load.definition import read_definition
from batch_jobs.load.files_table import FilesTable
from batch_jobs.load.job import Job
from batch_jobs.load.listing import File, files_below
from batch_jobs.load.specification import Load
from batch_jobs.load.staging import Staging
from freshet.cli.context import ROOT, Place
from freshet.redshift.runs import create
from sandbox import control

LOAD = ROOT / "sql" / "loads" / "news_feed_impression"
COLUMNS = ("id", "user_id", "external_user_id", "app_id", "time", "platform", "os_version", "device_model")
AVRO = fastavro.parse_schema(
    {
        "type": "record",
        "name": "impression",
        "fields": [{"name": name, "type": "long" if name == "time" else ["null", "string"]} for name in COLUMNS],
    }
)
ROWS_PER_SAMPLE = 5000
console = Console(stderr=True)


def main() -> None:
    """Make files, load them, measure the limits; print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100, help="of files, of each format")
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--listed", type=int, default=100_000, help="files to compare, half of them loaded")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"cores": os.cpu_count(), "machine": platform.processor() or platform.machine()}
    with tempfile.TemporaryDirectory(prefix="freshet-load-") as folder:
        state = Path(folder) / "sandbox"
        try:
            place = Place(state, control.start(state, tied=True))
            create(place.warehouse)
            for kind in ("avro", "parquet"):
                for marker in ("", "_freshet_batch"):
                    name = f"{kind}{'_replaceable' if marker else ''}"
                    result[name] = measure(place, name, kind, marker, arguments.megabytes * 1_000_000, arguments.files)
            result["compare"] = comparing(place, arguments.listed)
        finally:
            control.stop(state)
    show(result)
    print(json.dumps(result))


def measure(place: Place, name: str, kind: str, marker: str, size: int, files: int) -> dict[str, Any]:
    """Load so many bytes of one format, and measure the limits on the same rows."""
    console.print(f"{name}: making {size // 1_000_000} MB in {files} files ...")
    load = definition(place, name, kind, marker)
    chance = random.Random(7)
    total = rows = 0
    texts: list[bytes] = []
    s3 = place.client("s3")
    for number in range(files):
        body, table = one_file(kind, size // files, chance)
        s3.put_object(Bucket=load.bucket, Key=f"{load.prefix}part-{number:05}.{kind}", Body=body)
        total, rows = total + len(body), rows + table.num_rows
        text = io.BytesIO()
        pa_csv.write_csv(table, text, pa_csv.WriteOptions(include_header=False))
        texts.append(text.getvalue())
    staging = Staging(s3, place.endpoints["staging_bucket"], "freshet")
    job = Job(load, place.warehouse, s3, staging, place.endpoints["copy_role_arn"])
    began = time.perf_counter()
    done = job.run()
    seconds = time.perf_counter() - began
    if (done["files"], done["rows"]) != (files, rows):
        raise SystemExit(f"{done['rows']} of {rows} rows were loaded")
    limit, reading = postgres_copy(place, load, texts), plain_reading(place, load)
    return {
        "files": files,
        "megabytes": round(total / 1e6, 1),
        "rows": rows,
        "transactions": done["batches"],
        "seconds": round(seconds, 2),
        "rows_per_s": round(rows / seconds),
        "megabytes_per_s": round(total / 1e6 / seconds, 1),
        "postgres_copy_rows_per_s": round(rows / limit),
        "ratio_to_postgres_copy": round(limit / seconds, 3),
        "reading_rows_per_s": round(rows / reading),
        "ratio_to_reading": round(reading / seconds, 3),
        "seconds_by_step": steps(place, load, seconds),
    }


def definition(place: Place, name: str, kind: str, marker: str) -> Load:
    """Make the shipped load one of this format, with or without the column of the batch."""
    shipped = read_definition(LOAD)
    target = f"public.{name}"
    table = shipped.table.replace(shipped.target, target)
    if not marker:
        table = table.replace(",\n    _freshet_batch   varchar(36)", "")
    return replace(
        shipped,
        name=name,
        bucket=place.endpoints["staging_bucket"],
        prefix=f"bench/{name}/",
        suffix="",
        format=kind,
        target=target,
        table=table,
        time_format="epochsecs" if kind == "avro" else "",
        replace=marker,
    )


def one_file(kind: str, size: int, chance: random.Random) -> tuple[bytes, pa.Table]:
    """Make a file of about so many bytes; give it, and its rows as text that COPY takes."""
    sample = [impression(chance) for _ in range(ROWS_PER_SAMPLE)]
    count = max(1, round(ROWS_PER_SAMPLE * size / len(written(kind, sample))))
    rows = sample + [impression(chance) for _ in range(count - len(sample))] if count > len(sample) else sample[:count]
    table = columns(rows, pa.timestamp("us"))
    return written(kind, rows), table


def impression(chance: random.Random) -> dict[str, Any]:
    """Make up a row."""
    return {
        "id": str(uuid.UUID(int=chance.getrandbits(128))),
        "user_id": f"{chance.getrandbits(96):024x}",
        "external_user_id": f"customer-{chance.randrange(100_000)}" if chance.random() < 0.9 else None,
        "app_id": "7e0b2a54-shop",
        "time": 1_700_000_000 + chance.randrange(10_000_000),
        "platform": chance.choice(("ios", "android", "web")),
        "os_version": chance.choice(("iOS 17.4", "14", None)),
        "device_model": chance.choice(("iPhone15,2", "Pixel 8", None)),
    }


def columns(rows: list[dict[str, Any]], moment: pa.DataType) -> pa.Table:
    """Turn rows into columns, the time a timestamp."""
    arrays = {name: pa.array([row[name] for row in rows]) for name in COLUMNS}
    arrays["time"] = pa.array([row["time"] * 1_000_000 for row in rows], pa.int64()).cast(moment)
    return pa.table(arrays)


def written(kind: str, rows: list[dict[str, Any]]) -> bytes:
    """Write a file; Avro without a codec, so that its bytes are what is read."""
    body = io.BytesIO()
    if kind == "avro":
        fastavro.writer(body, AVRO, rows)
    else:
        pq.write_table(columns(rows, pa.timestamp("us")), body, use_deprecated_int96_timestamps=True)
    return body.getvalue()


def postgres_copy(place: Place, load: Load, texts: list[bytes]) -> float:
    """Give the seconds that PostgreSQL takes to COPY the same rows, as text that is ready, into the same table."""
    with psycopg.connect(place.endpoints["redshift"]["postgres_uri"]) as connection, connection.cursor() as cursor:
        cursor.execute(f"create table bench_limit (like {load.target} including all)".encode())
        began = time.perf_counter()
        with cursor.copy(f"copy bench_limit ({', '.join(COLUMNS)}) from stdin (format csv)".encode()) as copy:
            for text in texts:
                copy.write(text)
        seconds = time.perf_counter() - began
        connection.rollback()
    return seconds


def plain_reading(place: Place, load: Load) -> float:
    """Give the seconds that one process takes to fetch the files and to read them, doing nothing with the rows."""
    s3 = place.client("s3")
    began = time.perf_counter()
    for file in files_below(s3, load.bucket, load.prefix):
        key = file.url.partition(f"{load.bucket}/")[2]
        body = s3.get_object(Bucket=load.bucket, Key=key)["Body"].read()
        if load.format == "avro":
            for _ in fastavro.reader(io.BytesIO(body)):
                pass
        else:
            pq.read_table(io.BytesIO(body))
    return time.perf_counter() - began


def steps(place: Place, load: Load, seconds: float) -> dict[str, float]:
    """Tell where the time went: the statements as the stand-in's history has them, and what is left."""
    kinds = {
        "copy the files": f"copy {'freshet_stage' if load.replace else load.target}%from%/{load.name}/%",
        "insert from the stage": f"insert into {load.target} %",
        "copy the names": f"copy freshet_listed%/{load.name}/%",
        "remember the names": f"insert into freshet.{load.name}_files %",
    }
    found = {}
    for kind, like in kinds.items():
        rows = place.warehouse.query(
            f"select sum(elapsed_time) as spent from sys_query_history where query_text like '{like}' and status = 'success'"
        )
        found[kind] = round(int(rows[0]["spent"] or 0) / 1e6, 2)
    found = {kind: spent for kind, spent in found.items() if spent}
    return {**found, "list, compare, ask, commit": round(seconds - sum(found.values()), 2)}


class Listing:
    """An S3 client that lists, for the comparison alone: moto's own listing is no measure of S3's."""

    def __init__(self, load: Load, count: int) -> None:
        self.load, self.count = load, count

    def get_paginator(self, _name: str) -> "Listing":
        """Stand for the paginator too."""
        return self

    def paginate(self, **_where: str) -> Iterator[dict[str, Any]]:
        """Give pages of 1,000."""
        for first in range(0, self.count, 1000):
            yield {"Contents": [self.item(number) for number in range(first, min(first + 1000, self.count))]}

    def item(self, number: int) -> dict[str, Any]:
        """Give one object as S3 lists it."""
        folder = f"date=2026-{number // 30000 + 1:02}-{number // 1000 % 30 + 1:02}"
        key = f"{self.load.prefix}{folder}/part-{number:08}.avro"
        return {"Key": key, "Size": 1000 + number, "ETag": f'"{number:032x}"'}

    def file(self, number: int) -> File:
        """Give it as a file."""
        item = self.item(number)
        return File(f"s3://{self.load.bucket}/{item['Key']}", item["Size"], item["ETag"].strip('"'))


def comparing(place: Place, count: int) -> dict[str, Any]:
    """Compare so many files with a files table that knows every second one."""
    console.print(f"comparing {count:,} files ...")
    load = definition(place, "compared", "avro", "")
    table = FilesTable(place.warehouse, load)
    table.create()
    listing = Listing(load, count)
    with psycopg.connect(place.endpoints["redshift"]["postgres_uri"]) as connection, connection.cursor() as cursor:
        columns_ = "(file_hex, file, size, etag, outcome, loaded_at, batch, run)"
        with cursor.copy(f"copy {table.files} {columns_} from stdin".encode()) as copy:
            for number in range(0, count, 2):
                file = listing.file(number)
                copy.write_row((file.hex, file.url, file.size, file.etag, "loaded", "2026-01-01", "b", "r"))
    began = time.perf_counter()
    seen = survey(compare(files_below(listing, load.bucket, load.prefix), table.known()))
    seconds = time.perf_counter() - began
    if seen.count(NEW) + seen.count(LOADED) != count or seen.count(LOADED) != (count + 1) // 2:
        raise SystemExit(f"wrong comparison: {seen.files}")
    tracemalloc.start()
    survey(compare(files_below(listing, load.bucket, load.prefix), table.known()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"files": count, "loaded": seen.count(LOADED), "seconds": round(seconds, 2), "peak_mb": round(peak / 1e6, 1)}


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    for name, part in result.items():
        if isinstance(part, dict):
            table = Table(name, "")
            for entry, value in part.items():
                if isinstance(value, dict):
                    for step, seconds in value.items():
                        table.add_row(f"  {step}", f"{seconds:.2f} s")
                else:
                    table.add_row(entry, f"{value:,}" if isinstance(value, int) else str(value))
            console.print(table)


if __name__ == "__main__":
    main()
