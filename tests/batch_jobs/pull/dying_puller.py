"""`python -m tests.batch_jobs.pull.dying_puller POINT pull ...`: freshet, which ends itself with kill -9 at a named point.

POINT is NAME or NAME:N, the N-th time it is passed. The product has no hook for this: its functions are wrapped here.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batch_jobs.pull import copy_folder
from batch_jobs.pull.copy_folder import CopyFolder
from batch_jobs.pull.files import Format
from freshet.cli import run_command

left = 1


def die() -> None:
    global left  # noqa: PLW0603 - one process, one death
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def before(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        die()
        return function(*args, **kwargs)

    return wrapped


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        die()
        return result

    return wrapped


def arm(point: str) -> None:
    if point == "answer_in_hand":
        CopyFolder.keep = before(CopyFolder.keep)  # type: ignore[method-assign]
    elif point == "half_a_file":
        write = Format.write

        def cut(self: Format, table: Any, path: Path) -> None:
            write(self, table, path)
            if left == 1:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            die()

        Format.write = cut  # type: ignore[method-assign]
    elif point == "rows_written":
        CopyFolder._write = after(CopyFolder._write)  # type: ignore[method-assign]
    elif point == "state_half_written":
        replaced = copy_folder._into_place
        copy_folder._into_place = lambda half, path: (  # type: ignore[assignment]
            die() if path.name == copy_folder.STATE_FILE else None, replaced(half, path)
        )  # fmt: skip
    elif point == "state_written":
        CopyFolder._write_state = after(CopyFolder._write_state)  # type: ignore[method-assign]
    elif point == "before_merging":
        CopyFolder.merge = before(CopyFolder.merge)  # type: ignore[method-assign]
    elif point == "merged_not_told":
        merge = CopyFolder.merge

        def armed(self: CopyFolder) -> dict[str, int]:
            CopyFolder._write_state = before(CopyFolder._write_state)  # type: ignore[method-assign]
            return merge(self)

        CopyFolder.merge = armed  # type: ignore[method-assign]
    elif point == "merged_not_swept":
        merge_all = CopyFolder.merge

        def armed_late(self: CopyFolder) -> dict[str, int]:
            CopyFolder._sweep = before(CopyFolder._sweep)  # type: ignore[method-assign]
            return merge_all(self)

        CopyFolder.merge = armed_late  # type: ignore[method-assign]
    else:
        raise SystemExit(f"no such point: {point}")


if __name__ == "__main__":
    name, _, times = sys.argv[1].partition(":")
    left = int(times or 1)
    arm(name)
    sys.exit(run_command(sys.argv[2:]))
