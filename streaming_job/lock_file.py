"""One job a pipeline on this machine: a lock that the kernel takes back when its holder dies, even by kill -9."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freshet.errors import TerminalError


@contextmanager
def held(path: Path | None, take_over: bool) -> Iterator[bool]:
    """Hold the file while the job runs.

    Args:
        path: The file; None holds nothing (on Glue, `MaxConcurrentRuns: 1` does it).
        take_over: Go on although another process holds it: the ledger ends that one at its next commit.

    Yields:
        True when the file is held by this process.

    Raises:
        TerminalError: Another process holds it.
    """
    if path is None:
        yield False
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        alone = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not take_over:
                file.seek(0)
                raise TerminalError(
                    f"a job of this pipeline is running (process {file.read().strip() or 'unknown'}); nothing was started. "
                    "Stop it, or start with --take-over: then it ends by itself and writes nothing more"
                ) from None
            alone = False
        else:
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield alone
