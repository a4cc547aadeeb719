"""`python -m tests.faults.dying_job POINT ...`: the job, which ends itself with kill -9 at a named point of a round with changes,
or before its n-th statement.

The product has no hook for this: its functions are wrapped here, in a process of its own.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from freshet.redshift.data_api import Warehouse
from streaming_job import answers, evaluate, running
from streaming_job.__main__ import main
from streaming_job.evaluate import Evaluation
from streaming_job.job import Job
from streaming_job.questions import SkipLocked
from streaming_job.requests import Requests
from streaming_job.running import Running
from tests.faults.points import Points


def die(*_: Any) -> None:
    """As when the process is killed; with TEST_KILL_GROUP as when the machine goes, Spark's JVM included."""
    if "TEST_KILL_GROUP" in os.environ:
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def after(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    """Die once a function has done its work, if `when` says so of its result and arguments."""
    function = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        if when(result, *arguments):
            die()
        return result

    setattr(owner, name, wrapped)


def after_submitting() -> None:
    """Redshift has the commit, and its answer is not waited for."""
    commit = Running._commit

    def armed(*arguments: Any) -> Any:
        Warehouse._wait = die  # type: ignore[method-assign]
        return commit(*arguments)

    Running._commit = armed  # type: ignore[method-assign]


POINTS: dict[str, Callable[[], None]] = {
    "after_reading": lambda: after(Job, "_read_pages", lambda records, *_: records > 0),
    "after_the_probe": lambda: after(
        answers.Answers, "answer", lambda _, _answers, question: isinstance(question, SkipLocked)
    ),
    "after_staging": lambda: after(Evaluation, "run"),
    "after_submitting": after_submitting,
    "before_staged_files_are_deleted": lambda: setattr(running, "delete_staged", die),
    "before_a_request_is_deleted": lambda: setattr(Requests, "delete", lambda _, objects: die() if objects else None),
}
NEVER = "never"


if __name__ == "__main__":
    if "TEST_SMALL_ROUND" in os.environ:
        evaluate.SMALL_ROUND = int(os.environ["TEST_SMALL_ROUND"])  # type: ignore[misc]
    point, arguments = sys.argv[1], sys.argv[2:]
    if point.isdigit():
        with Points(int(point), die).armed():
            sys.exit(main(arguments))
    if point != NEVER:
        POINTS[point]()
    sys.exit(main(arguments))
