"""One run of a Python shell job: its script fetched from S3 and run as a process, its end told as Glue tells it.

A run's own thread starts the process and waits for it: on Linux the process dies with that thread.

Source: Glue developer guide, "Python shell jobs in AWS Glue", "Job run statuses on the console"; Glue API, "JobRun".
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Fetch = Callable[[str], bytes]
LIVE = frozenset({"STARTING", "RUNNING", "STOPPING"})
GUARD = Path(__file__).with_name("guard.py")
ERROR_MAX = 10_000
GRACE_S = 30.0


class Run:
    """One run, from its start to its end.

    Args:
        job: Name of the job.
        script: s3:// URL of what is run.
        arguments: As the process gets them, `--name value`.
        told: What the caller said of the run itself: Arguments, Timeout, MaxCapacity.
        timeout_s: The run is ended after it.
        fetch: Reads an s3:// URL; raises OSError.
        environment: Variables of the process, read when it starts.
        logs: A folder for what the process says.
    """

    def __init__(
        self, job: str, script: str, arguments: Mapping[str, str], told: Json, timeout_s: float, fetch: Fetch,
        environment: Callable[[], dict[str, str]], logs: Path,
    ) -> None:  # fmt: skip
        self.id = f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}"
        self.job, self.script, self.told, self.timeout_s = job, script, told, timeout_s
        self.state, self.error = "STARTING", ""
        self.started = self.changed = datetime.now(UTC)
        self.completed: datetime | None = None
        self._words = [word for name, value in arguments.items() for word in (name, value)]
        self._fetch, self._environment, self._logs = fetch, environment, logs
        self._process: subprocess.Popen[bytes] | None = None
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._live, name=self.id, daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Ask it to stop; gives whether it was going on."""
        with self._lock:
            if self.state not in LIVE:
                return False
            self._enter("STOPPING")
            self._stop.set()
            return True

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended."""
        self._thread.join(timeout_s)

    def report(self) -> Json:
        """Give it as GetJobRun does."""
        with self._lock:
            end = self.completed or datetime.now(UTC)
            return {
                "Id": self.id,
                "Attempt": 0,
                "JobName": self.job,
                "StartedOn": self.started.timestamp(),
                "LastModifiedOn": self.changed.timestamp(),
                "JobRunState": self.state,
                "PredecessorRuns": [],
                "AllocatedCapacity": 0,
                "ExecutionTime": int((end - self.started).total_seconds()),
                "LogGroupName": "/aws-glue/python-jobs",
                **self.told,
                **({"CompletedOn": self.completed.timestamp()} if self.completed else {}),
                **({"ErrorMessage": self.error} if self.error else {}),
            }

    def _enter(self, state: str, error: str = "") -> None:
        self.state, self.error, self.changed = state, error[:ERROR_MAX], datetime.now(UTC)
        if state not in LIVE:
            self.completed = self.changed

    def _live(self) -> None:
        with tempfile.TemporaryDirectory(prefix="glue") as folder:
            state, error = self._play(Path(folder))
        with self._lock:
            self._enter(state, error)

    def _play(self, folder: Path) -> tuple[str, str]:
        """Run the script to its end; gives the last state, and what went wrong."""
        try:
            script = folder / Path(self.script).name
            script.write_bytes(self._fetch(self.script))
        except OSError as error:
            return "FAILED", f"the script {self.script} cannot be read: {error}"
        files = [self._logs / f"{self.id}.{name}" for name in ("out", "err")]
        with files[0].open("wb") as out, files[1].open("wb") as err:
            command = [
                sys.executable,
                "-I",
                "-S",
                str(GUARD),
                str(os.getpid()),
                sys.executable,
                str(script),
                *self._words,
            ]
            home = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": os.environ.get("PATH", os.defpath)}
            process = subprocess.Popen(
                command, cwd=folder, env={**home, **self._environment()}, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )  # fmt: skip
        with self._lock:
            if self.state == "STARTING":
                self._enter("RUNNING")
        return self._wait(process, files[1])

    def _wait(self, process: "subprocess.Popen[bytes]", said: Path) -> tuple[str, str]:
        until = time.monotonic() + self.timeout_s
        while process.poll() is None:
            if self._stop.wait(0.02):
                _end(process)
                return "STOPPED", ""
            if time.monotonic() > until:
                _end(process)
                return "TIMEOUT", f"Job run exceeded its timeout of {self.timeout_s / 60:g} minutes"
        code = process.returncode
        if code == 0:
            return "SUCCEEDED", ""
        if code < 0:
            return "FAILED", f"the process was ended by {signal.Signals(-code).name}"
        return "FAILED", last_line(said) or f"the script ended with exit code {code}"


def last_line(said: Path) -> str:
    """Give the last line of a file that is not empty."""
    lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
