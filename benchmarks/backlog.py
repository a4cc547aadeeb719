"""Drain a backlog: how many changes a second the job takes from a stream that is already full.

    .venv/bin/python -m benchmarks.backlog --changes 400000

MySQL, DMS, Kinesis, S3 and Redshift are the sandbox's and share the machine's cores with the job. The changes are of the fact
alone: sales, and sold tickets that change hands. The first rounds after a start are cold (Java compiles), so the figures are
those of the rounds after the second one. Arms, on the same changes:

    emulators   through the emulators
    canned      pages of the stream from memory, all else the same
    no probe    canned, and no key is probed
    no hash     canned, and no row is hashed
    no counts   canned, and the commit counts nothing
    thin        canned, and nothing of all that: keys, rows, commit

The named limit, measured in the same run on the same stream: one plain process that calls GetRecords and json.loads and keeps
nothing.
"""

import argparse
import base64
import json
import os
import pickle
import platform
import shutil
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.canned import can
from benchmarks.cpu import OF_JOB, PARTS, Watch
from benchmarks.shop import NO_CAP, PIPELINE, STEPS, UNTIL_IDLE, own_sandbox, run_job, simulate
from freshet.cli.context import Place
from freshet.cli.run import start_job

TICKETS_PER_EVENT = 500
COLD_ROUNDS = 2
CANNED = "benchmarks.canned"
ARMS = {
    "emulators": ("streaming_job", ""), "canned": (CANNED, ""), "no probe": (CANNED, "probe"), "no hash": (CANNED, "hash"),
    "no counts": (CANNED, "counts"), "thin": (CANNED, "probe hash counts"),
}  # fmt: skip
console = Console(stderr=True)


def main() -> None:
    """Fill a stream, measure the limit, drain it once an arm, print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=400_000, help="changes of the fact in the backlog")
    parser.add_argument("--shards", type=int, default=16, help="a shard gives 2 MB/s, about 3,000 of these records")
    parser.add_argument("--arms", default=",".join(ARMS), help="which arms, in order; default: %(default)s")
    chosen = parser.parse_args()
    arms = chosen.arms.split(",")
    with own_sandbox("backlog", shards=chosen.shards) as (place, folder):
        pages = folder / "pages"
        os.environ["BENCHMARK_PAGES"] = str(pages)
        pipelines = {arm: copy_of_pipeline(arm, folder) for arm in arms}
        stock_up(place, chosen.changes)
        for pipeline in pipelines.values():
            run_job(place, pipeline, [*NO_CAP, *UNTIL_IDLE])
        simulate(place, "burst", ["--changes", str(chosen.changes)])
        limit, records = plain_reader(place)
        pages.write_bytes(pickle.dumps(can(records)))
        del records
        results = {arm: drain(place, pipelines[arm], arm, chosen.changes) for arm in arms}
    machine = {"cores": os.cpu_count(), "machine": platform.processor() or platform.machine(), "shards": chosen.shards}
    show(results, limit)
    print(json.dumps({"arms": results, "limit_changes_per_s": round(limit), **machine}))


def copy_of_pipeline(arm: str, folder: Path) -> Path:
    """Give an arm a pipeline of its own, with a target of its own."""
    name = f"backlog_{arm.replace(' ', '_')}"
    copied = Path(shutil.copytree(PIPELINE, folder / name))
    text = (copied / "pipeline.yaml").read_text()
    (copied / "pipeline.yaml").write_text(text.replace("sport_event_activity", name))
    return copied


def stock_up(place: Place, changes: int) -> None:
    """Make tickets and customers enough; the stream forgets them, as a task that captures the fact alone would not send them."""
    events = -(-changes // 2 // TICKETS_PER_EVENT) + 1
    sizes = {"events": events, "tickets_per_event": TICKETS_PER_EVENT, "customers": 5_000}
    simulate(place, "initial", [word for name, size in sizes.items() for word in (f"--{name}", str(size))])
    body = json.dumps({"stream": place.endpoints["stream"], "older_than_s": 0}).encode()
    request = urllib.request.Request(place.endpoints["aws"]["endpoint_url"] + "/_sandbox/trim", body, method="POST")
    with urllib.request.urlopen(request) as answer:
        answer.read()


def shards_of(place: Place) -> list[str]:
    """Name the stream's shards."""
    answer = place.client("kinesis").list_shards(StreamName=place.endpoints["stream"])
    return [shard["ShardId"] for shard in answer["Shards"]]


def plain_reader(place: Place) -> tuple[float, Mapping[str, list[dict[str, Any]]]]:
    """Give the changes of the fact a second that one process reads and parses, and the records, for the canned arms."""
    kinesis, stream = place.client("kinesis"), place.endpoints["stream"]
    found: dict[str, list[dict[str, Any]]] = {shard: [] for shard in shards_of(place)}
    facts, spent = 0, 0.0
    for shard, records in found.items():
        start = {"StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = kinesis.get_shard_iterator(**start)["ShardIterator"]
        while True:
            began = time.process_time()
            try:
                page = kinesis.get_records(ShardIterator=iterator, Limit=10_000)
            except kinesis.exceptions.ProvisionedThroughputExceededException:
                time.sleep(0.1)
                continue
            for record in page["Records"]:
                facts += json.loads(record["Data"])["metadata"].get("table-name") == "ticket_activity"
            spent += time.process_time() - began
            for record in page["Records"]:
                arrived = record["ApproximateArrivalTimestamp"].timestamp()
                body = base64.b64encode(record["Data"]).decode()
                records.append({**record, "Data": body, "ApproximateArrivalTimestamp": arrived})
            iterator = page["NextShardIterator"]
            if page["MillisBehindLatest"] == 0:
                break
    return facts / spent, found  # per second of its own CPU: its waiting for quotas is no limit of reading


def drain(place: Place, pipeline: Path, arm: str, changes: int) -> dict[str, Any]:
    """Run the job until idle, and measure the rounds that are warm."""
    module, without = ARMS[arm]
    os.environ["BENCHMARK_WITHOUT"] = without
    lines: list[dict[str, Any]] = []
    spent: list[dict[str, float]] = []
    watching: list[Watch] = []

    def hear(line: dict[str, Any]) -> None:
        lines.append({**line, "t": time.monotonic()})
        if line["event"] == "round":
            spent.append(watching[0].cpu_s())

    started_at = time.monotonic()
    job = start_job(place, [pipeline], [*NO_CAP, *UNTIL_IDLE], hear, module)
    watching.append(watch := Watch(place, job.process.pid))
    watch.start()
    code = job.wait(1200)
    watch.done.set()
    watch.join()
    if code != 0:
        raise SystemExit(f"the job failed: {[line['event'] for line in lines if line['level'] == 'error']}")
    begun = next(line["t"] for line in lines if line["event"] == "started")
    rounds = [line for line in lines if line["event"] == "round" and line["received"]]
    received = sum(one["received"] - one["ignored"] for one in rounds)
    if received < changes:
        raise SystemExit(f"only {received} of {changes} changes arrived")
    for one in rounds:
        console.print(
            f"  {arm}: round of {one['received']:,} at {one['t'] - begun:.1f} s: {one['seconds']}", soft_wrap=True
        )
    warm, last = rounds[COLD_ROUNDS:], len(rounds) - 1
    if not warm:
        raise SystemExit(f"{len(rounds)} rounds only: none is warm, ask for more changes")
    count = sum(one["received"] for one in warm)
    cpu = {part: (spent[last][part] - spent[COLD_ROUNDS - 1][part]) / count * 1e6 for part in PARTS}
    seconds = warm[-1]["t"] - rounds[COLD_ROUNDS - 1]["t"]
    return {
        "changes_per_s": round(count / seconds),
        "cold_changes_per_s": round(received / (rounds[-1]["t"] - begun)),
        "start_s": round(begun - started_at, 1),
        "warm_rounds": len(warm),
        "us_a_change": round(sum(cpu.values()), 1),
        "us_a_change_job": round(sum(cpu[part] for part in OF_JOB), 1),
        "us_by_part": {part: round(value, 1) for part, value in cpu.items()},
        "wall_us_by_step": {step: round(sum(one["seconds"].get(step, 0.0) for one in warm) / count * 1e6, 1) for step in STEPS},
        "peak_mb": round(watch.peak_mb),
    }  # fmt: skip


def show(results: Mapping[str, Mapping[str, Any]], limit: float) -> None:
    """Print the table: an arm a column."""
    table = Table("warm rounds", *results)
    names = [name for name in next(iter(results.values())) if not name.endswith(("by_part", "by_step"))]
    for name in names:
        table.add_row(name, *(f"{result[name]:,}" for result in results.values()))
    table.add_row("of the limit", *(f"{result['changes_per_s'] / limit:.2f}" for result in results.values()))
    for part in PARTS:
        table.add_row(f"CPU us: {part}", *(str(result["us_by_part"][part]) for result in results.values()))
    for step in STEPS:
        table.add_row(f"wall us: {step}", *(str(result["wall_us_by_step"][step]) for result in results.values()))
    console.print(table)
    console.print(f"limit: {limit:,.0f} changes a second of one core, by one plain reader")


if __name__ == "__main__":
    main()
