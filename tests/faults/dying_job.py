"""`python -m tests.faults.dying_job POINT ...`: the job, which ends itself with kill -9 at a named point of a batch.

The product has no hook for this: its functions are wrapped here, in a process of its own.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from freshet.redshift.data_api import Warehouse
from streaming_job import job
from streaming_job.__main__ import main


def die() -> None:
    """As when the process is killed; with TEST_KILL_GROUP as when the machine goes, Spark's JVM included."""
    if "TEST_KILL_GROUP" in os.environ:
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def after(function: Callable[..., Any], when: Callable[[Any], bool]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if when(result):
            die()
        return result

    return wrapped


def arm(point: str) -> None:
    if point == "after_reading":
        job.read_batch = after(job.read_batch, lambda read: any(marker.records for marker in read[1]))
    elif point == "after_staging":
        job.stage = after(job.stage, lambda staged: staged is not None)
    elif point == "after_submitting":
        commit = job.commit

        def armed(*args: Any) -> None:
            Warehouse._wait = lambda *_: die()  # type: ignore[method-assign]
            commit(*args)

        job.commit = armed
    elif point == "after_committing":
        job.commit = after(job.commit, lambda _: True)
    else:
        raise SystemExit(f"no such point: {point}")


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
