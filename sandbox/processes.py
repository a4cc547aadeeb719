"""Start and end processes so that none stays behind.

On Linux a child gets SIGTERM when its parent dies, even by kill -9; elsewhere the next `up` ends what was left.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no types

REPOSITORY = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1
STOP_S = 10.0


def environment() -> dict[str, str]:
    """Give the environment in which `python -m sandbox...` finds this folder from anywhere."""
    known = os.environ.get("PYTHONPATH")
    paths = [str(REPOSITORY), *([known] if known else [])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def spawn(arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start `python -m ...` that dies with this process; its output goes to the end of a log."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(),
            preexec_fn=_die_with_parent(),  # noqa: PLW1509  # the supervisor has one thread
        )


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def stop(processes: Sequence[subprocess.Popen[bytes]], patience_s: float = STOP_S) -> None:
    """End processes: SIGTERM to all, SIGKILL to those that do not end."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + patience_s
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def identity(pid: int) -> dict[str, Any] | None:
    """Name a process so that a later one with the same pid is not taken for it; None when there is none."""
    try:
        return {"pid": pid, "created": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return None


def end(known: dict[str, Any], patience_s: float = STOP_S) -> None:
    """End a process that `identity` named, whoever started it, if it still runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(known["pid"])
        if process.create_time() != known["created"] or process.status() == psutil.STATUS_ZOMBIE:
            return
        process.terminate()
        try:
            process.wait(patience_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(patience_s)


def last_line(log: Path) -> str:
    """Give the last line of a log: what a process that died said."""
    try:
        lines = log.read_text(errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
