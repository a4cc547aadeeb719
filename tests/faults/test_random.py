"""Random changes of all tables while the job is killed, the stream resharded and DMS restarted: the target is the SELECT."""

import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import ROOT, Place
from sandbox import control
from tests.faults.points import Killed, Points, kill
from tests.faults.shop import FREE, check, statements
from tests.patience import HANGS_S
from tests.river import River, deletes, inner, where

ADMITTED = "c.customer_id is not null and t.ticket_price > 40"
NARROW = {"deletes": "apply", "inner": ["customer"], "where": "`ticket.ticket_price` > 40"}
SEEDS = (7,)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_changes_and_a_job_that_dies_again_and_again(river: River, seed: int) -> None:
    """Killed at any statement, mostly in the midst of a round; two pipelines, one with an inner join and a condition."""
    rng = random.Random(seed)
    river.change(deletes("apply"))
    narrow = river.second(deletes("apply"), inner("customer"), where(NARROW["where"]))  # type: ignore[arg-type]
    river.run_sql(*FREE)
    river.sell_in_source(range(1, 61), 5)
    river.drain()
    changes, kills = statements(rng), 0
    for _ in range(8):
        river.run_sql(*itertools.islice(changes, rng.randint(5, 60)))
        points = Points(rng.randint(5, 60), kill)
        try:
            with points.armed():
                river.drain()
        except Killed:
            kills += 1
    assert kills >= 3
    river.wait_for_dms()
    river.drain()
    check(river, admitted=ADMITTED, narrow=narrow)


@pytest.fixture
def alone(spark: SparkSession, tmp_path: Path) -> Iterator[River]:
    """A river in a sandbox of its own, whose stream may be resharded and whose DMS may be restarted."""
    state = tmp_path / "box"
    place = Place(state, control.start(state, tied=True))
    river = River(place, spark, tmp_path)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    yield river
    place.close()
    control.stop(state)


@pytest.mark.slow
def test_three_minutes_at_fifty_a_second(alone: River) -> None:
    """Ten times kill -9; a split, a merge; DMS is restarted, once with SIGKILL. At the end both tables are the SELECT."""
    rng = random.Random(11)
    narrow = alone.second()
    alone.run_sql(*FREE)
    environment = {
        **os.environ,
        **alone.place.environment,
        "TEST_CHANGES": json.dumps({alone.name: {"deletes": "apply"}, narrow: NARROW}),
    }
    command = alone.command(("-m", "tests.faults.changed_job"), until_idle=False)

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)

    changes, job = statements(rng), start()
    begun, made, done = time.monotonic(), 0, dict.fromkeys(("kill", "split", "merge", "dms"), 0)
    try:
        while (passed := time.monotonic() - begun) < 180:
            alone.run_sql(*itertools.islice(changes, 25))
            made += 25
            if passed > 16 * (done["kill"] + 1) and done["kill"] < 10:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()
                job, done["kill"] = start(), done["kill"] + 1
            if passed > 45 and not done["split"]:
                alone.split(0)
                done["split"] = 1
            if passed > 90 and not done["merge"]:
                alone.merge(1)
                done["merge"] = 1
            if passed > 60 * (done["dms"] + 1):
                control.stop_service(alone.place.state, "dms", kill=done["dms"] == 1)
                control.start_service(alone.place.state, "dms")
                done["dms"] += 1
            time.sleep(max(0.0, begun + made / 50 - time.monotonic()))
        assert {"kill": 10, "split": 1, "merge": 1, "dms": 2} == done
        assert job.poll() is None
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    alone.wait_for_dms()
    last = alone.command(("-m", "tests.faults.changed_job"))  # this process knows another sandbox
    subprocess.run(last, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, timeout=HANGS_S, check=True)
    check(alone, admitted=ADMITTED, narrow=narrow)
