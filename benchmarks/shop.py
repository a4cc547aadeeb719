"""What several benchmarks need: a sandbox for the length of one, the example's shop in it, and its job."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from freshet.cli.context import ROOT, Place
from freshet.cli.run import start_job
from freshet.cli.simulate import start_simulator
from sandbox import control

PIPELINE = ROOT / "sql" / "pipelines" / "sport_event_activity"
STEPS = ("read", "look", "probe", "pending", "rows", "commit")
NO_CAP = ["--rows_per_s", "10000000"]  # a first start sweeps the table; that is not what is measured
UNTIL_IDLE = ["--until_idle", "--every_s", "0.4"]
console = Console(stderr=True)


@contextmanager
def own_sandbox(name: str, **options: Any) -> Iterator[tuple[Place, Path]]:
    """Give a sandbox that ends with the block, and a folder of its own; `options` are those of `control.start`."""
    with tempfile.TemporaryDirectory(prefix=f"freshet-{name}-") as folder:
        state = Path(folder) / "sandbox"
        try:
            yield Place(state, control.start(state, tied=True, **options)), Path(folder)
        finally:
            control.stop(state)


def small_shop(place: Place, changes: int) -> None:
    """Fill the shop's tables, make changes, and let the job bring its table up to them."""
    simulate(place, "initial", ["--events", "20", "--tickets_per_event", "500", "--customers", "1000"])
    simulate(place, "burst", ["--changes", str(changes)])
    run_job(place, PIPELINE, [*NO_CAP, *UNTIL_IDLE])


def simulate(place: Place, kind: str, options: list[str]) -> None:
    """Run a simulator, and wait until DMS has delivered what it changed."""
    console.print(f"simulator {kind} ...")
    if start_simulator(place, kind, options, stdout=subprocess.DEVNULL).wait() != 0:
        raise SystemExit(f"simulator {kind} failed")
    until = control.binlog_position(place.state)
    while control.dms_position(place.state) < until:
        time.sleep(0.2)


def run_job(place: Place, pipeline: Path, options: list[str]) -> None:
    """Run the job until idle."""
    code = start_job(place, [pipeline], options).wait(1200)
    if code:
        raise SystemExit(f"the job failed with {code}")


def note_rounds(found: list[dict[str, Any]], line: dict[str, Any]) -> None:
    """Keep a line of the job's log that says what a round did."""
    if line["event"] == "round":
        found.append(line)
