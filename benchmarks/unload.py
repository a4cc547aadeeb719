"""Unload a table with a SQL file: how many rows a second come out, as Parquet, CSV and JSON.

    .venv/bin/python -m benchmarks.unload --rows 1000000

Redshift and S3 are the sandbox's: this tells what the laptop does, not what Redshift does. The named limit, measured in the
same run on the same rows: PostgreSQL's own COPY TO of the same SELECT, read by one process that keeps nothing.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from batch_jobs.run_sql.execute import execute
from batch_jobs.run_sql.modes import TRANSACTION
from batch_jobs.run_sql.script import read_script
from benchmarks.shop import own_sandbox
from freshet.cli.context import Place

TABLE = "public.unloaded"
SELECT = f"select id, sold_at, sport, seat, price from {TABLE}"
FORMATS = {
    "parquet": "format as parquet",
    "csv": "format as csv",
    "csv, gzip": "format as csv gzip",
    "json": "format as json",
    "parquet, partitioned": "format as parquet partition by (sport)",
}
console = Console(stderr=True)


def main() -> None:
    """Fill a table, measure the limit, unload it in each format, print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (%(default)s)")
    arguments = parser.parse_args()
    with own_sandbox("unload") as (place, folder):
        fill(place, arguments.rows)
        limit = arguments.rows / plain_copy(place)
        found = {name: unload(place, folder, name, arguments.rows) for name in FORMATS}
    show(limit, found)
    told = {name: one | {"ratio_to_limit": round(one["rows_per_s"] / limit, 3)} for name, one in found.items()}
    machine = {"cores": os.cpu_count(), "machine": platform.processor() or platform.machine()}
    print(json.dumps({"rows": arguments.rows, "limit_rows_per_s": round(limit), **told, **machine}))


def postgres(place: Place) -> "psycopg.Connection[Any]":
    """Connect to the database below the stand-in."""
    return psycopg.connect(place.endpoints["redshift"]["postgres_uri"], autocommit=True)


def fill(place: Place, rows: int) -> None:
    """Make the table: a number, a time, two words, a price."""
    place.warehouse.run(
        [
            f"create table {TABLE} (id bigint, sold_at timestamp, sport varchar(20), seat varchar(40), price decimal(12,2))"
        ]
    )
    with postgres(place) as connection:
        connection.execute(
            f"insert into {TABLE} select n, timestamp '2026-01-01' + n * interval '1 second', "
            "(array['baseball', 'football', 'hockey', 'tennis'])[1 + n % 4], "
            "'row ' || n % 977 || ', seat ' || n, n % 30011 / 100.0 "
            f"from generate_series(1, {int(rows)}) as n"
        )
        connection.execute(f"analyze {TABLE}")


def plain_copy(place: Place) -> float:
    """Give the seconds in which one process reads all rows from PostgreSQL and keeps nothing."""
    began = time.perf_counter()
    with postgres(place) as connection, connection.cursor().copy(f"copy ({SELECT}) to stdout") as copy:
        for _ in copy:
            pass
    return time.perf_counter() - began


def unload(place: Place, folder: Path, name: str, rows: int) -> dict[str, Any]:
    """Unload the table in a format, as `freshet sql run` does it."""
    prefix = f"unloaded/{name.replace(', ', '_')}/"
    file = folder / "unload.sql"
    target = f"s3://{place.endpoints['staging_bucket']}/{prefix}"
    file.write_text(f"unload ('{SELECT}') to '{target}' iam_role '{place.endpoints['copy_role_arn']}' {FORMATS[name]};")
    script = read_script(str(file), {}, TRANSACTION, lambda: None)
    console.print(f"unload as {name} ...")
    began = time.perf_counter()
    (part,) = execute(place.warehouse, script, lambda _statement, _part: None)
    seconds = time.perf_counter() - began
    pages = place.client("s3").get_paginator("list_objects_v2")
    listed = pages.paginate(Bucket=place.endpoints["staging_bucket"], Prefix=prefix)
    sizes = [entry["Size"] for page in listed for entry in page.get("Contents", ())]
    return {
        "seconds": round(seconds, 2),
        "of_these_in_the_statement": round(part.seconds, 2),
        "rows_per_s": round(rows / seconds),
        "files": len(sizes),
        "megabytes": round(sum(sizes) / 1e6, 1),
    }


def show(limit: float, found: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    table = Table("unload as", "rows/s", "of the limit", "seconds", "files", "MB")
    for name, one in found.items():
        ratio = f"{one['rows_per_s'] / limit:.2f}"
        table.add_row(
            name, f"{one['rows_per_s']:,}", ratio, str(one["seconds"]), str(one["files"]), str(one["megabytes"])
        )
    table.add_row("(limit: COPY TO of PostgreSQL)", f"{limit:,.0f}", "1")
    console.print(table)


if __name__ == "__main__":
    main()
