"""`freshet run`: start the streaming job of one or several pipelines, and tell in words what it says in JSON."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import typer
from rich.markup import escape

from freshet.cli.context import JSON_OPTION, Place, announce, err, last_line, out, running_place, seconds
from freshet.errors import InputError
from freshet.pipeline.definition import find_pipeline

SANDBOX_RHYTHM_S = 1.0
EVERY_MIN_S = 0.4  # Kinesis allows five reads of a shard a second
LOST_PARENT = 1  # PR_SET_PDEATHSIG


def run(
    pipelines: list[str] = typer.Argument(
        metavar="PIPELINE...", help="Names under sql/pipelines/, or paths of folders."
    ),
    until_idle: bool = typer.Option(False, "--until-idle", help="End when the stream has nothing more."),
    every: str = typer.Option(None, "--every", help="Time between batches, such as 2s; default in the sandbox: 1s."),
    from_start: bool = typer.Option(False, "--from-start", help="Read the stream again from its oldest record."),
    take_over: bool = typer.Option(False, "--take-over", help="Start although another job lives; that one ends."),
    json_output: bool = JSON_OPTION,
) -> int:
    """Keep the tables of pipelines current until Ctrl-C; tables that are missing are made.

    Example: freshet run orders_wide --until-idle
    """
    folders = [find_pipeline(name) for name in pipelines]
    every_s = SANDBOX_RHYTHM_S if every is None else seconds(every)
    if every_s < EVERY_MIN_S:
        raise InputError(f"--every {every} is too often: {EVERY_MIN_S:g}s at least, for Kinesis allows no more reads")
    place = running_place()
    announce(place, json_output)
    flags = [
        flag
        for flag, given in (("--until_idle", until_idle), ("--from_start", from_start), ("--take_over", take_over))
        if given
    ]
    jobs = [
        start_job(place, folder, [*flags, "--every_s", str(every_s)], tell_error if json_output else tell)
        for folder in folders
    ]
    codes = wait(jobs)
    if json_output:
        last_line(
            {
                "jobs": [
                    {"pipeline": folder.name, "exit_code": code} for folder, code in zip(folders, codes, strict=True)
                ]
            }
        )
    return max(codes)


class JobProcess:
    """A running job and the thread that reads what it says."""

    def __init__(
        self, process: subprocess.Popen[str], log: Path, on_line: Callable[[dict[str, Any]], None] | None
    ) -> None:
        self.process, self.log = process, log
        self._thread = threading.Thread(target=self._read, args=(process.stderr, on_line), daemon=True)
        self._thread.start()

    def _read(self, stderr: IO[str], on_line: Callable[[dict[str, Any]], None] | None) -> None:
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


def start_job(
    place: Place, folder: Path, options: list[str], on_line: Callable[[dict[str, Any]], None] | None = None
) -> JobProcess:
    """Start a pipeline's job as a process group of its own.

    Args:
        place: The sandbox.
        folder: The pipeline's folder.
        options: More arguments of `python -m streaming_job`.
        on_line: Is called with each JSON line of the job's log.
    """
    endpoints, name = place.endpoints, folder.resolve().name
    state = place.state / "jobs"
    logs = place.state / "logs"
    for made in (state, logs):
        made.mkdir(parents=True, exist_ok=True)
    arguments = {
        "pipeline_folder": folder,
        "source_database": place.source_database,
        "source_secret": endpoints["mysql_secret"],
        "token_secret": endpoints["token_secret"],
        "stream": endpoints["stream"],
        "staging_bucket": endpoints["staging_bucket"],
        "workgroup": endpoints["redshift"]["workgroup"],
        "warehouse_database": endpoints["redshift"]["database"],
        "copy_role": endpoints["copy_role_arn"],
        "lock_file": state / f"{name}.lock",
        "work_folder": state / f"{name}.spark",
        "spark_master": f"local[{os.cpu_count() or 2}]",
    }
    command = [sys.executable, "-m", "streaming_job", *options]
    for key, value in arguments.items():
        command += [f"--{key}", str(value)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **place.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=stop_with_parent,  # noqa: PLW1509 - one prctl call, nothing that could deadlock
    )
    return JobProcess(process, logs / f"{name}.log", on_line)


def stop_with_parent() -> None:
    """Let the kernel end this process, gently, once its parent is gone; for `preexec_fn`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(LOST_PARENT, signal.SIGTERM)


def wait(jobs: list[JobProcess]) -> list[int]:
    """Wait for all jobs; Ctrl-C and SIGTERM ask them to stop cleanly."""
    with _passing_signals(jobs):
        return [job.wait() for job in jobs]


@contextlib.contextmanager
def _passing_signals(jobs: list[JobProcess]) -> Iterator[None]:
    def ask(_signal: int, _frame: object) -> None:
        err.print("stopping: the running batch may finish, 30 s at most")
        for job in jobs:
            if job.process.poll() is None:
                job.process.terminate()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell_error(line: dict[str, Any]) -> None:
    """Say only what ended a job."""
    if line["level"] in {"error", "critical"}:
        err.print(f"[bold red]error[/bold red] {escape(line['event'])}", soft_wrap=True)


def tell(line: dict[str, Any]) -> None:
    """Say a line of the job's log in words."""
    at, name = str(line.get("at", ""))[11:19], line.get("pipeline", "")
    if line["event"] == "batch":
        took = sum(line["seconds"].values())
        counts = f"{line['received']:>7,} received  {line['staged']:>7,} rows"
        out.print(f"[dim]{at}[/dim] {name}  {counts}  {line['behind_ms'] / 1000:>5.1f} s behind  {took:4.1f} s")
    elif line["level"] in {"error", "critical"}:
        tell_error(line)
    else:
        rest = "  ".join(f"{k}={v}" for k, v in line.items() if k not in {"at", "level", "event", "pipeline"})
        out.print(f"[dim]{at}[/dim] {name}  {line['event']}  [dim]{rest}[/dim]")
