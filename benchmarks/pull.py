"""Pull a table: how many rows a second the puller keeps, beside the same SELECT through the Data API that keeps nothing.

    .venv/bin/python -m benchmarks.pull --rows 200000

Redshift is the sandbox's and shares the machine's cores with the puller. The named limit, measured in the same run on the same
table: one SELECT of all its columns through the Data API, its pages fetched and thrown away.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from batch_jobs.pull.copy_folder import CopyFolder, open_folder
from batch_jobs.pull.definition import read_definition
from batch_jobs.pull.files import Format
from batch_jobs.pull.puller import in_process, pull
from benchmarks.shop import own_sandbox
from freshet.redshift.data_api import STATEMENTS_MAX, Warehouse

TABLE = "public.orders"
ROWS_PER_INSERT = 500
console = Console(stderr=True)


def main() -> None:
    """Fill a table, measure the limit, pull it whole and then an increment, print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the table")
    arguments = parser.parse_args()
    with own_sandbox("pull") as (place, folder), closing(place):
        fill(place.warehouse, arguments.rows)
        limit = plain_select(place.warehouse)
        result = measure(place.warehouse, folder / "copy", arguments.rows)
    result |= {"limit_rows_per_s": round(limit), "ratio_to_limit": round(result["rows_per_s"] / limit, 3)}
    result |= {"cores": os.cpu_count(), "machine": platform.processor() or platform.machine()}
    show(result)
    print(json.dumps(result))


def fill(warehouse: Warehouse, rows: int) -> None:
    """Make a table of nine columns, fifty rows a cursor value."""
    columns = (
        "id bigint not null, at timestamp not null, customer bigint, amount decimal(12,2), rate double precision, "
        "status varchar(20), note varchar(200), paid boolean, day date"
    )
    warehouse.run([f"create table {TABLE} ({columns})"])
    for start in range(0, rows, ROWS_PER_INSERT * STATEMENTS_MAX):
        firsts = range(start, min(rows, start + ROWS_PER_INSERT * STATEMENTS_MAX), ROWS_PER_INSERT)
        warehouse.run(
            [f"insert into {TABLE} values {_rows(first, min(rows, first + ROWS_PER_INSERT))}" for first in firsts]
        )
    console.print(f"{rows:,} rows are there")


def _rows(first: int, end: int) -> str:
    return ", ".join(map(_row, range(first, end)))


def _row(number: int) -> str:
    at = f"2026-01-{1 + number // 4_320_000:02} {number // 180_000 % 24:02}:{number // 3000 % 60:02}:{number // 50 % 60:02}"
    note = f"a note of some length about order {number}"
    return f"({number}, '{at}', {number % 5000}, {number}.25, {number}.5, 'shipped', '{note}', true, '2026-01-01')"


def plain_select(warehouse: Warehouse) -> float:
    """Give the rows a second of one SELECT whose pages are thrown away."""
    began, rows = time.monotonic(), 0
    for page in warehouse.pages(f"select * from {TABLE}"):
        rows += len(page)
    return rows / (time.monotonic() - began)


def measure(warehouse: Warehouse, folder: Path, rows: int) -> dict[str, Any]:
    """Pull everything, then change a hundredth and pull that."""
    definition = read_definition("orders", {"tables": {TABLE: {"cursor": "at", "keys": ["id"]}}})
    spent: dict[str, float] = {}
    reading = timed(spent, "read", Warehouse, "_ask")
    writing = timed(spent, "write", CopyFolder, "keep")
    merging = timed(spent, "merge", CopyFolder, "merge")
    call = in_process(warehouse, {"orders": definition})
    with open_folder(folder, "orders", Format("parquet")) as copy:
        began = time.monotonic()
        pulled = pull(call, copy, lambda *_: None)
        seconds = time.monotonic() - began
        if pulled.tables != {"orders": rows}:
            raise SystemExit(f"{pulled.tables} of {rows} rows arrived")
        steps = {step: round(spent[step], 2) for step in spent}
        steps["shape and count"] = round(seconds - sum(spent.values()), 2)
        warehouse.run([f"update {TABLE} set at = sysdate where id < {rows // 100}"])
        began = time.monotonic()
        more = pull(call, copy, lambda *_: None)
        increment_s = time.monotonic() - began
    for undo in (reading, writing, merging):
        undo()
    return {
        "rows": rows,
        "seconds": round(seconds, 2),
        "rows_per_s": round(rows / seconds),
        "answers": pulled.answers,
        "file_mb": round((folder / "orders.parquet").stat().st_size / 1e6, 1),
        "seconds_by_step": steps,
        "increment_rows": more.rows,
        "increment_s": round(increment_s, 2),
    }


def timed(spent: dict[str, float], step: str, owner: Any, name: str) -> Callable[[], None]:
    """Add the seconds of a method to a step; give what undoes it."""
    method = getattr(owner, name)

    def wrapped(*arguments: Any, **more: Any) -> Any:
        began = time.monotonic()
        try:
            return method(*arguments, **more)
        finally:
            spent[step] = spent.get(step, 0.0) + time.monotonic() - began

    setattr(owner, name, wrapped)
    return lambda: setattr(owner, name, method)


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("pull", "", title=None)
    for name, value in result.items():
        if name == "seconds_by_step":
            for step, seconds in value.items():
                table.add_row(f"  {step}", f"{seconds:.2f} s")
        else:
            table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)


if __name__ == "__main__":
    main()
