"""Two jobs of one pipeline: the second refuses to start; with --take-over the first ends and writes nothing more."""

import json
import subprocess
import time
from pathlib import Path

from freshet.cli.context import ROOT
from tests.patience import HANGS_S
from tests.river import River


def start(river: River, lock: Path, **arguments: object) -> "subprocess.Popen[str]":
    command = river.command(lock_folder=lock, until_idle=False, **arguments)
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)


def heard(job: "subprocess.Popen[str]", event: str) -> bool:
    assert job.stderr
    return any(line.startswith("{") and json.loads(line)["event"] == event for line in job.stderr)


def test_a_second_job_refuses_and_one_that_takes_over_ends_the_first(own_stream: River, tmp_path: Path) -> None:
    """The lock file keeps accidents out; the ledger decides when it is meant."""
    lock = tmp_path / "locks"
    first = start(own_stream, lock)
    assert heard(first, "started")
    second = start(own_stream, lock)
    _, said = second.communicate(timeout=HANGS_S)
    assert second.returncode == 1
    assert "--take-over" in said
    third = start(own_stream, lock, take_over=True)
    assert heard(third, "started")
    own_stream.sell(range(1, 21), 5)
    _, last_words = first.communicate(timeout=HANGS_S)
    assert first.returncode == 1
    assert "StaleBatch" in last_words
    deadline = time.monotonic() + HANGS_S
    while len(own_stream.actual()) < 20 and time.monotonic() < deadline:
        time.sleep(0.2)
    third.terminate()
    _, last_words = third.communicate(timeout=HANGS_S)
    assert third.returncode == 0, last_words
    assert "Traceback" not in last_words
    assert own_stream.expected() == own_stream.actual()
    assert 20 == own_stream.ledger()["received"]
    commits = own_stream.warehouse_rows(
        f"select run, received from freshet.{own_stream.name}_commits where received > 0 order by committed_at"
    )
    assert 1 == len({row["run"] for row in commits})
