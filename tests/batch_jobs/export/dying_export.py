"""`python -m tests.batch_jobs.export.dying_export POINT ...`: the job, which ends itself with kill -9 at a named point.

The product has no hook for this: its functions are wrapped here, in a process of its own.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from batch_jobs.export_dynamodb import job
from batch_jobs.export_dynamodb.__main__ import main
from batch_jobs.export_dynamodb.memory import Memory


def then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        function(*args, **kwargs)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    return wrapped


POINTS: dict[str, tuple[Any, str]] = {
    "after_unload": (job, "unload"),
    "after_noting": (Memory, "note_begun"),
    "after_writing": (job, "write"),
    "after_sweep": (job, "sweep"),
    "after_done": (Memory, "note_done"),
}

if __name__ == "__main__":
    where, name = POINTS[sys.argv[1]]
    setattr(where, name, then_die(getattr(where, name)))
    sys.exit(main(sys.argv[2:]))
