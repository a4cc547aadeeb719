"""Jobs that the commands start on this machine: a process group each, whose log is read while it works."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from batch_jobs.stopping import handled
from freshet.cli.context import Place, err

LOST_PARENT = 1  # PR_SET_PDEATHSIG
OnLine = Callable[[dict[str, Any]], None]


class JobProcess:
    """A running job and the thread that reads what it says."""

    def __init__(self, process: subprocess.Popen[str], log: Path, on_line: OnLine | None) -> None:
        self.process, self.log = process, log
        self._thread = threading.Thread(target=self._read, args=(process.stderr, on_line), daemon=True)
        self._thread.start()

    def _read(self, stderr: IO[str], on_line: OnLine | None) -> None:
        with self.log.open("a") as log, stderr:
            for line in stderr:
                log.write(line)
                log.flush()
                if on_line and line.startswith("{"):
                    with contextlib.suppress(json.JSONDecodeError):
                        on_line(json.loads(line))

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; give its exit code, 1 if a signal ended it."""
        code = self.process.wait(timeout_s)
        self._thread.join(5)
        return code if code >= 0 else 1

    def kill(self) -> None:
        """End it and all that it started at once, as a crash would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def stop(self, grace_s: float = 45.0) -> int:
        """Ask it to stop cleanly, and wait; after the grace it is killed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return 1


def jobs_folder(place: Place) -> Path:
    """Make the folder where jobs keep what they need while they run."""
    folder = place.state / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def start_process(
    place: Place,
    module: str,
    name: str,
    options: Sequence[str],
    arguments: Mapping[str, object],
    on_line: OnLine | None = None,
) -> JobProcess:
    """Start a job of Spark as a process group of its own, on all cores of this machine.

    Args:
        place: The sandbox.
        module: What `python -m` runs.
        name: Of the job; its log is named after it.
        options: More arguments.
        arguments: Values of the job's arguments, by name.
        on_line: Is called with each JSON line of the job's log.
    """
    logs = place.state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, *options]
    for key, value in {**arguments, "spark_master": f"local[{os.cpu_count() or 2}]"}.items():
        command += [f"--{key}", str(value)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **place.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_stop_with_parent,  # noqa: PLW1509 - one prctl call, nothing that could deadlock
    )
    return JobProcess(process, logs / f"{name}.log", on_line)


def _stop_with_parent() -> None:
    """Let the kernel end this process, gently, once its parent is gone; for `preexec_fn`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(LOST_PARENT, signal.SIGTERM)


@contextlib.contextmanager
def passing_signals(jobs: Sequence[JobProcess], told: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM ask the jobs to stop cleanly; `told` is what the user reads then."""

    def ask(_signal: int, _frame: object) -> None:
        err.print(told)
        for job in jobs:
            if job.process.poll() is None:
                job.process.terminate()

    with handled(ask):
        yield
