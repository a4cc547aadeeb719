"""A crash at any point loses nothing, doubles nothing, and needs no hands but a start."""

import os
import signal
import subprocess
import time

import pytest

from freshet.cli.context import ROOT
from tests.faults.dying_job import POINTS
from tests.patience import HANGS_S
from tests.river import River


@pytest.mark.parametrize("point", POINTS)
def test_a_job_killed_with_minus_nine_loses_and_doubles_nothing(own_stream: River, point: str) -> None:
    """The next start goes on from the ledger, whatever the dead job had done or not done."""
    own_stream.sell(range(1, 41), 5)
    own_stream.drain()
    own_stream.sell(range(1, 11), 6)
    own_stream.run_sql("update customer set name = 'Kim' where customer_id = 5")
    own_stream.put(own_stream.record({"customer_id": 5}, table="customer", old={}), b"rubbish")
    own_stream.request_keys((40,))
    command = own_stream.command(("-m", "tests.faults.dying_job", point))
    died = subprocess.run(command, cwd=ROOT, capture_output=True, start_new_session=True, timeout=HANGS_S, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    own_stream.sell(range(41, 51), 7)
    own_stream.drain()
    customers = {ticket: 6 if ticket < 11 else 5 if ticket < 41 else 7 for ticket in range(1, 51)}
    assert list(customers.items()) == [(row[0], row[8]) for row in own_stream.actual()]
    assert own_stream.expected() == own_stream.actual()
    ledger = own_stream.ledger()
    assert (62, 1, 0) == (ledger["received"], ledger["quarantined"], ledger["pending"])
    assert [] == [name for name in own_stream.objects() if "/requests/" in name]


@pytest.mark.slow
def test_a_job_killed_with_minus_nine_twice_before_any_statement(own_stream: River) -> None:
    """The twin of `test_every_point` with real processes."""
    own_stream.sell(range(1, 21), 5)
    own_stream.drain()
    received, at, code = 20, 0, -signal.SIGKILL
    while code:
        at += 1
        own_stream.sell([at % 40 + 1, 50], at % 40 + 1)
        own_stream.run_sql(f"update customer set name = 'customer {at}' where customer_id = 5")
        own_stream.put(own_stream.record({"customer_id": 5}, table="customer", old={}), b"rubbish")
        received += 4
        for _ in range(2):
            command = own_stream.command(("-m", "tests.faults.dying_job", str(at)))
            ended = subprocess.run(
                command, cwd=ROOT, capture_output=True, start_new_session=True, timeout=HANGS_S, check=False
            )
            code = ended.returncode
            assert code in (0, -signal.SIGKILL), ended.stderr.decode()[-2000:]
        own_stream.drain()
        assert own_stream.expected() == own_stream.actual(), at
        ledger = own_stream.ledger()
        assert (received, at, 0) == (ledger["received"], ledger["quarantined"], ledger["pending"])
    assert at > 15


def test_a_killed_job_leaves_no_process_behind(own_stream: River) -> None:
    """Spark's JVM and workers notice that the driver is gone."""
    own_stream.sell([1], 5)
    command = own_stream.command(("-m", "tests.faults.dying_job", "after_staging"))
    died = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    assert died.wait(HANGS_S) == -signal.SIGKILL
    deadline = time.monotonic() + HANGS_S
    while time.monotonic() < deadline and _alive(died.pid):
        time.sleep(0.1)
    assert not _alive(died.pid)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
