"""`python -m tests.batch_jobs.load.dying_load POINT ...`: the job, which ends itself with kill -9 at a named point.

The product has no hook for this: its functions are wrapped here, in a process of its own.
"""

import os
import signal
import sys
from typing import Any

from batch_jobs.load import commit
from batch_jobs.load.__main__ import main
from batch_jobs.load.staging import Staging
from freshet.redshift.data_api import Warehouse


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """A point is NAME:N, the N-th batch."""
    name, _, wanted = point.partition(":")
    run, write, copy, seen = Warehouse.run, Staging.write, commit.Committer.copy, [0]

    def counted() -> bool:
        seen[0] += 1
        return seen[0] == int(wanted)

    def running(self: Warehouse, statements: Any, **how: Any) -> str:
        is_batch = any(statement.startswith("copy ") for statement in statements)
        if is_batch and counted():
            if name == "before_submitting":
                die()
            Warehouse._wait = lambda *_: die()  # type: ignore[method-assign]
        return run(self, statements, **how)

    def writing(self: Staging, *arguments: Any) -> Any:
        urls = write(self, *arguments)
        if counted():
            die()
        return urls

    def copying(self: commit.Committer, *arguments: Any) -> Any:
        outcome = copy(self, *arguments)
        if counted():
            die()
        return outcome

    if name in {"before_submitting", "after_submitting"}:
        Warehouse.run = running  # type: ignore[method-assign]
    elif name == "after_staging":
        Staging.write = writing  # type: ignore[method-assign]
    elif name == "after_committing":
        commit.Committer.copy = copying  # type: ignore[method-assign]
    else:
        raise SystemExit(f"no such point: {point}")


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
