"""Export a table into DynamoDB: how many rows a second, and where the time goes.

    .venv/bin/python -m benchmarks.export --rows 200000 --users 20000

Redshift, S3 and DynamoDB are the sandbox's and share the machine's cores with the job. The named limit, measured in the same run
against the same endpoint: one plain process that sends the same items, built beforehand, by boto3's BatchWriteItem, 25 a call.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from freshet.cli.context import Place
from freshet.cli.export import start_export
from sandbox import control

console = Console(stderr=True)
SOURCE, TABLE, PLAIN = "public.bench_export", "bench-export", "bench-plain"


def main() -> None:
    """Fill a table, export it, send the same items plainly, print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=20_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as folder:
        place = Place(Path(folder), control.start(Path(folder), tied=True))
        try:
            result = measure(place, Path(folder), chosen.rows, chosen.users)
        finally:
            place.close()
            control.stop(Path(folder))
    show(result)
    print(json.dumps(result))


def measure(place: Place, folder: Path, rows: int, users: int) -> dict[str, Any]:
    """Run everything on a sandbox of its own."""
    fill(place, rows, users)
    for table in (TABLE, PLAIN):
        place.client("dynamodb").create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    export = folder / "bench_export"
    export.mkdir()
    entries = {"source": SOURCE, "table": TABLE, "key": "user_id", "order": ["at desc"], "write_units_per_s": 1_000_000}
    (export / "export.yaml").write_text(json.dumps(entries))
    whole = run(place, export, [])
    again = run(place, export, ["--incremental"])
    plain = send_plainly(place)
    steps = whole["seconds"]
    spent = sum(steps.values())
    return {
        "rows": whole["rows"], "items": whole["keys"], "item_bytes": whole["item_bytes"],
        "rows_per_s": round(whole["rows"] / spent), "items_per_s": round(whole["keys"] / spent),
        "seconds": steps, "process_s": whole["process_s"],
        "written_items_per_s": round(whole["put"] / steps["write"]),
        "plain_items_per_s": round(plain),
        "written_of_plain": round(whole["put"] / steps["write"] / plain, 2),
        "whole_of_plain": round(whole["keys"] / spent / plain, 2),
        "nothing_changed_s": round(sum(again["seconds"].values()), 2), "put_again": again["put"],
        "rows_per_part_max": whole["rows_per_part_max"], "rows_per_part_median": whole["rows_per_part_median"],
        "heaviest_item_bytes": whole["heaviest_item_bytes"], "python": platform.python_version(),
    }  # fmt: skip


def fill(place: Place, rows: int, users: int) -> None:
    """Make the source: few users have many rows."""
    run_sql = place.warehouse.run
    run_sql(
        [
            f"create table {SOURCE} (user_id varchar(32), n bigint, price decimal(12,2), at timestamp, place varchar(64), "
            "seat varchar(16), ok boolean)",
            f"insert into {SOURCE} values ('user-0', 0, 1.25, timestamp '2024-01-01 00:00:00', 'a place somewhere', 'box', true)",
        ]
    )
    there = 1
    while there < rows:
        more = min(there, rows - there)
        run_sql(
            [
                f"insert into {SOURCE} "
                f"select 'user-' || cast(cast(floor({users} * power(random(), 2)) as integer) as varchar(12)), "
                f"n + {there}, price + cast(mod(n, 97) as decimal(12,2)), dateadd(second, n, at), place, seat, not ok "
                f"from {SOURCE} where n < {more}"
            ]
        )
        there += more
    console.print(f"{there:,} rows")


def run(place: Place, export: Path, options: list[str]) -> dict[str, Any]:
    """Run the job; give what it told."""
    lines: list[dict[str, Any]] = []
    began = time.monotonic()
    code = start_export(place, export, options, lines.append).wait(3600)
    if code != 0:
        raise SystemExit(f"the job failed: {[line['event'] for line in lines if line['level'] == 'error']}")
    told = next(line for line in lines if line["event"] == "exported")
    return {**told, "process_s": round(time.monotonic() - began, 1)}


def send_plainly(place: Place) -> float:
    """Give the items a second of one process that does nothing but to send them."""
    client = place.client("dynamodb")
    pages = client.get_paginator("scan").paginate(TableName=TABLE)
    puts = [{"PutRequest": {"Item": item}} for page in pages for item in page["Items"]]
    began = time.monotonic()
    for start in range(0, len(puts), 25):
        answer = client.batch_write_item(RequestItems={PLAIN: puts[start : start + 25]})
        if answer["UnprocessedItems"]:
            raise SystemExit("the sandbox left items undone, although nobody asked for it")
    return len(puts) / (time.monotonic() - began)


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("export", "")
    for name, value in result.items():
        if isinstance(value, dict):
            for step, seconds in value.items():
                table.add_row(f"  {step}", f"{seconds:.2f} s")
        else:
            table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)


if __name__ == "__main__":
    main()
