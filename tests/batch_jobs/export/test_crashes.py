"""Runs that are killed, runs that meet, runs that were thought dead."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest

from batch_jobs.export_dynamodb.memory import Busy
from tests.batch_jobs.export.dying_export import POINTS
from tests.batch_jobs.export.mart import HOLD_S, Mart, some_rows
from tests.patience import HANGS_S

AT = datetime(2025, 1, 1)  # noqa: DTZ001
DYING = "tests.batch_jobs.export.dying_export"


@contextmanager
def started(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End a process group, whatever became of it."""
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not true():
        assert process.poll() is None, "the job ended too early"
        time.sleep(0.1)


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_is_completed_by_the_next(mart: Mart, point: str) -> None:
    """Wherever it ends: the next run leaves the right items, and nothing of the dead one."""
    mart.make(some_rows(300, 120))
    mart.export()
    mart.add([(f"new-{n}", n, None, None, AT, None, None) for n in range(20)])
    gone = sorted({str(row[0]) for row in mart.rows})[5]
    mart.remove(gone)
    with started(mart.process(point, "--incremental", module=(DYING,))) as process:
        assert -signal.SIGKILL == process.wait(HANGS_S)
    assert mart.leftovers() != (0, set())
    # What was new when the run was killed may be gone by now: its items must not stay.
    mart.remove("new-0")
    mart.add([("new-1", 77, None, None, AT, None, None)])
    mart.export(incremental=True)
    assert mart.expected() == mart.items()
    assert (0, set()) == mart.leftovers()


def test_a_run_that_is_killed_while_it_writes(mart: Mart) -> None:
    """Some items are there, others are not: the next run writes all, deletes what went meanwhile, and leaves no file."""
    mart.make(some_rows(900, 400))
    with started(mart.process("--rate=30")) as process:
        until(lambda: mart.count() > 40, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    written = mart.items()
    assert 40 < len(written) < len(mart.expected())
    mart.remove(next(iter(written)))
    mart.export(incremental=True)
    assert mart.expected() == mart.items()
    assert (0, set()) == mart.leftovers()


def test_two_runs_at_once(mart: Mart) -> None:
    """The second one refuses and touches nothing; the first one is not disturbed; SIGTERM ends it cleanly."""
    mart.make(some_rows(300, 250))
    with started(mart.process("--rate=20")) as process:
        until(lambda: mart.count() > 20, process)
        with pytest.raises(Busy, match="is alive and holds it; nothing was done"):
            mart.export()
        assert mart.leftovers()[0] > 0  # the first one's files
        process.terminate()
        said = process.communicate(timeout=HANGS_S)[1]
    assert 130 == process.returncode, said
    assert '"event": "stopped; ' in said
    assert (0, set()) == mart.leftovers()
    mart.export(incremental=True)
    assert mart.expected() == mart.items()


def test_a_run_that_was_thought_dead_writes_no_older_items(mart: Mart) -> None:
    """A frozen run wakes after another one took over: it stops by itself, and the newer items stay."""
    mart.make(some_rows(300, 250))
    with started(mart.process("--rate=20")) as process:
        until(lambda: mart.count() > 20, process)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(HOLD_S)
        for user in sorted({str(row[0]) for row in mart.rows}):
            mart.add([(user, 5000, None, None, AT, True, "newer")])
        mart.export()
        newer = mart.items()
        assert mart.expected() == newer
        os.killpg(process.pid, signal.SIGCONT)
        said = process.communicate(timeout=HANGS_S)[1]
    assert 1 == process.returncode, said
    assert "HoldLost" in said
    assert newer == mart.items()
