"""One job a pipeline on this machine: a lock that the kernel takes back when its holder dies, even by kill -9."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from freshet.errors import TerminalError
from streaming_job.arguments import Arguments


def lock_files(arguments: Arguments) -> list[Path]:
    """Name the lock file of each pipeline; none on Glue, where `MaxConcurrentRuns: 1` does it."""
    if arguments.lock_folder is None:
        return []
    return [arguments.lock_folder / f"{Path(folder).resolve().name}.lock" for folder in arguments.folders]


@contextmanager
def held(paths: Sequence[Path], take_over: bool) -> Iterator[bool]:
    """Hold files while the job runs.

    Args:
        paths: The files.
        take_over: Go on although another process holds one: the ledger ends that job at its next commit.

    Yields:
        True when there are files and all are held by this process.

    Raises:
        TerminalError: Another process holds one.
    """
    with ExitStack() as stack:
        alone = [stack.enter_context(_held(path, take_over)) for path in paths]
        yield bool(alone) and all(alone)


@contextmanager
def _held(path: Path, take_over: bool) -> Iterator[bool]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        alone = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not take_over:
                file.seek(0)
                raise TerminalError(
                    f"a job of pipeline {path.stem} is running (process {file.read().strip() or 'unknown'}); nothing was "
                    "started. "
                    "Stop it, or start with --take-over: then it ends by itself and writes nothing more"
                ) from None
            alone = False
        else:
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield alone
