"""Start the job and let it make small rounds: how soon the first commit comes, and what a near-empty round costs.

    .venv/bin/python -m benchmarks.rounds

The named limit of a start, measured in the same run: Java and Spark alone, until the first row came out of a query.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cpu import OF_JOB, Watch
from benchmarks.shop import PIPELINE, STEPS, note_rounds, own_sandbox, simulate, small_shop
from freshet.cli.context import Place
from freshet.cli.run import start_job
from freshet.pipeline.connection import connect

ONLY_SPARK = (
    "from streaming_job.session import open_session; s = open_session('local[2]', None); s.range(1).collect(); s.stop()"
)
console = Console(stderr=True)


def main() -> None:
    """Start the job some times, then let it make rounds; print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--changes", type=int, default=20, help="changes a round; default: %(default)s")
    chosen = parser.parse_args()
    with own_sandbox("rounds") as (place, _):
        small_shop(place, 4_000)
        result = {"spark_alone_s": spark_alone(chosen.starts), **starts(place, chosen.starts, chosen.changes)}
        result |= rounds(place, chosen.rounds, chosen.changes)
    show(result)
    print(json.dumps({**result, "cores": os.cpu_count()}))


def spark_alone(times: int) -> float:
    """Give the seconds of a process that opens Spark and asks one query; the median."""
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", ONLY_SPARK], check=True, capture_output=True)
        seconds.append(time.monotonic() - began)
    return round(statistics.median(seconds), 2)


def starts(place: Place, times: int, changes: int) -> dict[str, Any]:
    """Start the job with some changes waiting, and end it as a crash would."""
    begun, committed = [], []
    for _ in range(times):
        simulate(place, "burst", ["--changes", str(changes)])
        heard: dict[str, float] = {}
        began = time.monotonic()
        job = start_job(place, [PIPELINE], ["--every_s", "1"], partial(_first_times, heard))
        while "round" not in heard:
            time.sleep(0.01)
        job.kill()
        begun.append(heard["started"] - began)
        committed.append(heard["round"] - began)
    return {"started_s": round(statistics.median(begun), 2), "first_commit_s": round(statistics.median(committed), 2)}


def rounds(place: Place, times: int, changes: int) -> dict[str, Any]:
    """Let a running job see some changes at a time; give what one round took, by step, and its CPU."""
    found: list[dict[str, Any]] = []
    job = start_job(place, [PIPELINE], ["--every_s", "0.5"], partial(note_rounds, found))
    watch = Watch(place, job.process.pid)
    warm, spent = times // 4, 0.0
    for number in range(times + warm):
        if number == warm:
            found.clear()
            spent = -sum(watch.cpu_s()[part] for part in OF_JOB)
        before = len(found)
        touch(place, changes)
        while len(found) == before:
            time.sleep(0.05)
    spent += sum(watch.cpu_s()[part] for part in OF_JOB)
    job.stop()
    steps = {step: round(statistics.median(one["seconds"].get(step, 0.0) for one in found), 3) for step in STEPS}
    every = [sum(seconds for step, seconds in one["seconds"].items() if step != "read") for one in found]
    return {
        "round_s": round(statistics.median(every), 3),
        "round_s_by_step": steps,
        "round_cpu_ms": round(spent / len(found) * 1000),
    }


def _first_times(heard: dict[str, float], line: dict[str, Any]) -> None:
    heard.setdefault(line["event"], time.monotonic())


def touch(place: Place, changes: int) -> None:
    """Change rows, without a simulator's own start."""
    with connect(place.mysql, place.source_database) as connection, connection.cursor() as cursor:
        cursor.execute(f"update ticket_activity set updated_at = now(6) order by rand() limit {changes}")
        connection.commit()


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("start and rounds", "")
    for name, value in result.items():
        for step, seconds in value.items() if isinstance(value, dict) else [(name, value)]:
            table.add_row(f"  {step}" if isinstance(value, dict) else step, str(seconds))
    console.print(table)


if __name__ == "__main__":
    main()
