"""A crash at any point, a second run, a lost answer: no file is loaded twice, and none is left out."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch_jobs.load.__main__ import main
from batch_jobs.load.staging import Staging
from freshet.cli.context import ROOT
from freshet.redshift.data_api import Cancelled
from tests.batch_jobs.load.conftest import Box
from tests.environments import environment, find_python
from tests.faults.control import inject, injected
from tests.patience import HANGS_S

Boxes = Callable[..., Box]
POINTS = [
    "after_staging:1", "before_submitting:2", "after_submitting:1", "after_submitting:3", "after_committing:1",
    "after_committing:3",
]  # fmt: skip


def redshift(box: Box) -> str:
    return str(box.place.endpoints["redshift"]["endpoint_url"])


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_loses_and_doubles_nothing(box: Boxes, tmp_path: Path, point: str) -> None:
    """kill -9, then the next run at once, with what the dead one had submitted perhaps still going on."""
    mine = box(format="avro", files_max=8)
    mine.fill(24, 100)
    command = [sys.executable, "-m", "tests.batch_jobs.load.dying_load", point, *mine.arguments(tmp_path / "load.json")]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=HANGS_S, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    mine.fill(1, 100)
    mine.run()
    assert mine.expected() == mine.target()
    assert {"loaded"} == {outcome for outcome, *_ in mine.remembered().values()}
    assert ["lost", "done"] == [outcome for outcome, *_ in mine.ledger()]


@pytest.mark.parametrize("replaced_by", ["", "_freshet_batch"])
def test_a_late_commit_of_a_dead_run_is_waited_for(box: Boxes, tmp_path: Path, replaced_by: str) -> None:
    """Its statement holds the lock when the next run begins: the second does not load the same files."""
    mine = box(replace=replaced_by)
    mine.fill(6, 50)
    mine.table_made()
    before = injected(redshift(mine))
    command = [sys.executable, "-m", "tests.batch_jobs.load.dying_load", "after_submitting:1"]
    # The run's own line in the ledger is the first of its transactions, the batch the second.
    inject(redshift(mine), operation="BatchExecuteStatement", fault="delay_s", value=0, times=1)
    inject(redshift(mine), operation="BatchExecuteStatement", fault="delay_s", value=12, times=1)
    died = subprocess.run(
        [*command, *mine.arguments(tmp_path / "load.json")], cwd=ROOT, capture_output=True, timeout=HANGS_S, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    assert injected(redshift(mine)) - before == 2
    done = mine.run()
    assert (0, 6) == (done["files"], done["loaded_by_others"])
    assert mine.expected() == mine.target()


@pytest.mark.parametrize("operation", ["BatchExecuteStatement", "DescribeStatement"])
def test_a_lost_answer_is_decided_by_the_files_table(box: Boxes, operation: str) -> None:
    """The transaction ran, its answer never came: its files are found remembered, and count once."""
    mine = box(files_max=4)
    mine.fill(8, 50)
    before, lost = injected(redshift(mine)), 3 if operation == "BatchExecuteStatement" else 15

    def lose(event: dict[str, Any]) -> None:
        if event["event"] == "compared":
            inject(redshift(mine), operation=operation, fault="lose_response", times=lost)

    done = mine.job(lose).run()
    assert injected(redshift(mine)) - before == lost
    assert (8, 400, 2) == (done["files"], done["rows"], done["batches"])
    assert mine.expected() == mine.target()


def test_a_lost_answer_of_a_slow_statement(box: Boxes) -> None:
    """It still runs when it is asked about: the question waits behind its lock, and nothing is sent twice."""
    mine = box()
    mine.fill(4, 50)

    def slow_and_lost(event: dict[str, Any]) -> None:
        if event["event"] == "compared":
            inject(redshift(mine), operation="BatchExecuteStatement", fault="delay_s", value=2, times=1)
            inject(redshift(mine), operation="DescribeStatement", fault="lose_response", times=15)

    done = mine.job(slow_and_lost).run()
    assert (4, 200) == (done["files"], done["rows"])
    assert mine.expected() == mine.target()


def test_throttling_is_waited_out(box: Boxes) -> None:
    """ThrottlingException delays and loses nothing."""
    mine = box()
    mine.fill(3, 10)
    inject(redshift(mine), operation="BatchExecuteStatement", fault="throttle", times=4)
    mine.run()
    assert mine.expected() == mine.target()


def at_the_first_batches(monkeypatch: pytest.MonkeyPatch, times: int, do: Callable[[], Any]) -> None:
    """Do something when a batch is fixed and not yet submitted, the first so many times."""
    write, left = Staging.write, [times]

    def writing(self: Staging, *arguments: Any) -> tuple[str, str]:
        left[0] -= 1
        if left[0] >= 0:
            do()
        return write(self, *arguments)

    monkeypatch.setattr(Staging, "write", writing)


def test_two_runs_at_once(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is loaded by one of them; both end well, and together they loaded all."""
    mine = box(format="avro", files_max=3)
    mine.fill(30, 60)
    mine.table_made()
    results: list[dict[str, Any]] = []
    both = threading.Barrier(2)
    at_the_first_batches(monkeypatch, 2, lambda: both.wait(HANGS_S))
    threads = [threading.Thread(target=lambda: results.append(mine.run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert mine.expected() == mine.target()
    assert (30, 1800) == (sum(result["files"] for result in results), sum(result["rows"] for result in results))
    assert any(result["loaded_by_others"] for result in results)


def test_a_second_run_with_other_batches(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of which some files are loaded meanwhile is compared anew, and its others go on."""
    mine = box(files_max=10)
    mine.fill(10, 10)
    at_the_first_batches(monkeypatch, 1, lambda: mine.run(reload=["d=0/part-0000", "d=1/part-0004"]))
    done = mine.run()
    assert (8, 2) == (done["files"], done["loaded_by_others"])
    assert mine.expected() == mine.target()


def test_two_reloads_at_once(box: Boxes) -> None:
    """The rows are replaced, once; the second says that it came too late, or finds nothing to do but the same."""
    mine = box(replace="_freshet_batch")
    mine.fill(2, 10)
    mine.run()
    mine.put("d=0/part-0000", [(1000, "new", 1)])
    outcomes: list[str] = []

    def reload() -> None:
        try:
            mine.run(reload=["d=0/part-0000"])
            outcomes.append("done")
        except Exception as error:  # noqa: BLE001 - told below
            outcomes.append(str(error))

    threads = [threading.Thread(target=reload) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert "done" in outcomes
    assert all(outcome == "done" or "no longer as it was" in outcome for outcome in outcomes), outcomes
    assert mine.expected() == mine.target()


def test_stopping_cancels_and_leaves_nothing_half(box: Boxes) -> None:
    """The batch that runs is rolled back; the next run goes on."""
    mine = box(files_max=2)
    mine.fill(4, 10)
    stop = threading.Event()

    def slow(event: dict[str, Any]) -> None:
        if event["event"] == "compared":
            inject(redshift(mine), operation="BatchExecuteStatement", fault="delay_s", value=30, times=1)
            threading.Timer(0.5, stop.set).start()

    with pytest.raises(Cancelled):
        mine.job(slow, stopping=stop.is_set).run()
    assert [] == mine.target()
    assert "stopped" == mine.ledger()[0][0]
    mine.run()
    assert mine.expected() == mine.target()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_job_ends_with_130_when_it_is_told_to_stop(box: Boxes, tmp_path: Path, number: signal.Signals) -> None:
    """`python -m batch_jobs.load`, a real process, in the middle of a batch."""
    mine = box(files_max=1)
    mine.fill(3, 10)
    mine.table_made()
    arguments = mine.arguments(tmp_path / "load.json")
    inject(redshift(mine), operation="BatchExecuteStatement", fault="delay_s", value=0, times=1)
    inject(redshift(mine), operation="BatchExecuteStatement", fault="delay_s", value=30, times=1)
    with subprocess.Popen(
        [sys.executable, "-m", "batch_jobs.load", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    ) as process:
        assert process.stdout is not None
        assert "compared" == json.loads(process.stdout.readline())["event"]
        time.sleep(0.3)
        process.send_signal(number)
        assert "stopped" == json.loads(process.stdout.readlines()[-1])["event"]
        assert 130 == process.wait(HANGS_S)
    assert [] == mine.target()
    assert 3 == mine.run()["files"]


def test_the_job_as_glue_runs_it(box: Boxes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a definition in S3, with the arguments that Glue adds; each step is a line of JSON."""
    mine = box()
    mine.fill(3, 10)
    arguments = mine.arguments(tmp_path / "load.json")
    mine.s3.put_object(Bucket=mine.load.bucket, Key="code/load.json", Body=mine.load.to_json().encode())
    arguments[1] = f"s3://{mine.load.bucket}/code/load.json"
    added = ["--library-set", "analytics", "--job-language", "python", "--TempDir", "s3://b/t/"]
    assert 0 == main([*arguments, "--dry_run", *added])
    assert 0 == main([*arguments, "--batch_size", "2", *added])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["would do", "compared", "batch", "batch", "done"] == [line["event"] for line in lines]
    assert mine.expected() == mine.target()
    assert 2 == main(["--definition", "nowhere.json", *arguments[2:]])
    assert 2 == main([*arguments, "--batch_size", "many"])
    assert 3 == main([*arguments, "--workgroup", "nobody"])


def test_the_job_runs_on_python_3_9(box: Boxes, tmp_path: Path) -> None:
    """With the standard library and boto3, as Glue's Python shell has them; without a 3.9 the tests' own stands in."""
    mine = box(format="avro")
    mine.fill(4, 10)
    python = environment("job", ROOT / "tests/launchers/lambda.txt", find_python("3.9") or sys.executable)
    kept = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    run = subprocess.run(
        [str(python), "-m", "batch_jobs.load", *mine.arguments(tmp_path / "load.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=HANGS_S, check=False, env={"PATH": "/usr/bin:/bin", **kept},
    )  # fmt: skip
    assert 0 == run.returncode, run.stdout + run.stderr
    assert mine.expected() == mine.target()
