"""Drain a backlog: how many changes a second the job takes from a stream that is already full.

    .venv/bin/python -m benchmarks.backlog --changes 100000

MySQL, DMS, Kinesis, S3 and Redshift are the sandbox's and share the machine's cores with the job. The named limit, measured in
the same run on the same stream: one plain process that calls GetRecords and json.loads and keeps nothing.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from freshet.cli.context import ROOT, Place
from freshet.cli.run import start_job
from freshet.cli.simulate import start_simulator
from sandbox import control

PIPELINE = ROOT / "sql" / "pipelines" / "sport_event_activity"
TICK_S = 0.2
console = Console(stderr=True)


def main() -> None:
    """Fill a stream, measure the limit, drain it with the job, print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=100_000, help="changes of the fact in the backlog")
    parser.add_argument("--shards", type=int, default=16, help="a shard gives 2 MB/s, about 3,000 of these records")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="freshet-backlog-") as folder:
        state = Path(folder) / "sandbox"
        try:
            place = Place(state, control.start(state, tied=True, shards=arguments.shards))
            fill(place, arguments.changes)
            limit = plain_reader(place)
            result = drain(place, arguments.changes)
        finally:
            control.stop(state)
    result |= {"limit_changes_per_s": round(limit), "ratio_to_limit": round(result["changes_per_s"] / limit, 3)}
    result |= {
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "shards": arguments.shards,
    }
    show(result)
    print(json.dumps(result))


def fill(place: Place, changes: int) -> None:
    """Put the backlog into the stream, the real way: MySQL, binlog, DMS."""
    started = time.monotonic()
    sizes = ["--events", "100", "--tickets_per_event", "500", "--customers", "5000"]
    for kind, options in (("initial", sizes), ("burst", ["--changes", str(changes)])):
        console.print(f"simulator {kind} ...")
        if start_simulator(place, kind, options, stdout=subprocess.DEVNULL).wait() != 0:
            raise SystemExit(f"simulator {kind} failed")
        until = control.binlog_position(place.state)
        while control.dms_position(place.state) < until:
            time.sleep(0.2)
        if kind == "initial":
            forget(place)
    console.print(f"the stream holds the backlog after {time.monotonic() - started:.0f} s")


def forget(place: Place) -> None:
    """Let the stream forget the dimensions' rows: a task that captures the fact alone would not have sent them."""
    body = json.dumps({"stream": place.endpoints["stream"], "older_than_s": 0}).encode()
    request = urllib.request.Request(place.endpoints["aws"]["endpoint_url"] + "/_sandbox/trim", body, method="POST")
    with urllib.request.urlopen(request) as answer:
        answer.read()


def plain_reader(place: Place) -> float:
    """Give the changes of the fact a second that one process reads and parses, doing nothing with them."""
    kinesis, stream = place.client("kinesis"), place.endpoints["stream"]
    shards = [shard["ShardId"] for shard in kinesis.list_shards(StreamName=stream)["Shards"]]
    iterators = {
        shard: kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        for shard in shards
    }
    facts, spent = 0, 0.0
    while iterators:
        for shard, iterator in list(iterators.items()):
            began = time.process_time()
            try:
                page = kinesis.get_records(ShardIterator=iterator, Limit=10_000)
            except kinesis.exceptions.ProvisionedThroughputExceededException:
                time.sleep(0.1)
                continue
            for record in page["Records"]:
                facts += json.loads(record["Data"])["metadata"].get("table-name") == "ticket_activity"
            spent += time.process_time() - began
            iterators[shard] = page["NextShardIterator"]
            if page["MillisBehindLatest"] == 0:
                del iterators[shard]
    return facts / spent  # per second of its own CPU: its waiting for quotas is no limit of reading


def drain(place: Place, changes: int) -> dict[str, Any]:
    """Run the job until idle, and measure it from its first read to its last commit."""
    lines: list[dict[str, Any]] = []
    started_at = time.monotonic()
    job = start_job(
        place,
        [PIPELINE],
        ["--until_idle", "--every_s", "0.4"],
        lambda line: lines.append({**line, "t": time.monotonic()}),
    )
    watch = Watch(job.process.pid)
    watch.start()
    code = job.wait(1200)
    watch.done.set()
    watch.join()
    if code != 0:
        raise SystemExit(f"the job failed: {[line['event'] for line in lines if line['level'] == 'error']}")
    begun = next(line["t"] for line in lines if line["event"] == "started")
    batches = [line for line in lines if line["event"] == "round"]
    seconds = batches[-1]["t"] - begun
    steps = {
        step: round(sum(b["seconds"].get(step, 0) for b in batches), 2)
        for step in ("read", "look", "probe", "pending", "rows", "commit")
    }
    for batch in batches:
        console.print(f"  batch of {batch['received']:,}: {batch['seconds']}")
    received = sum(b["received"] - b["ignored"] for b in batches)
    if received < changes:
        raise SystemExit(f"only {received} of {changes} changes arrived")
    return {
        "changes": received,
        "seconds": round(seconds, 2),
        "changes_per_s": round(received / seconds),
        "start_s": round(begun - started_at, 1),
        "batches": len(batches),
        "rows_looked_at": sum(b["looked_at"] for b in batches),
        "seconds_by_step": steps,
        "job_cpu_s": round(watch.cpu_s, 1),
        "job_peak_mb": round(watch.peak_mb),
    }


class Watch(threading.Thread):
    """Samples the job's session: CPU seconds of all its processes, and the peak of their resident memory together."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.session, self.done = session, threading.Event()
        self.peak_mb = 0.0
        self._cpu: dict[int, float] = {}

    @property
    def cpu_s(self) -> float:
        """CPU seconds, user and system, of all processes seen."""
        return sum(self._cpu.values())

    def run(self) -> None:
        """Sample until told to stop."""
        ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        while not self.done.wait(TICK_S):
            resident = 0.0
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if int(fields[3]) == self.session:
                    self._cpu[int(entry.name)] = (int(fields[11]) + int(fields[12])) / ticks
                    resident += int(fields[21]) * page / 1e6
            self.peak_mb = max(self.peak_mb, resident)


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("backlog", "", title=None)
    for name, value in result.items():
        if name == "seconds_by_step":
            for step, seconds in value.items():
                table.add_row(f"  {step}", f"{seconds:.2f} s")
        else:
            table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)


if __name__ == "__main__":
    main()
