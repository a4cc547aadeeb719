"""`freshet run`: start the streaming job of one or several pipelines, and tell in words what it says in JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from freshet.cli.capture import refuse_stopped, told_when_it_stops, wait_for_dms
from freshet.cli.context import JSON_OPTION, Place, announce, err, last_line, out, running_place, seconds
from freshet.cli.job_process import JobProcess, jobs_folder, passing_signals, start_process
from freshet.errors import InputError
from freshet.pipeline.definition import find_pipeline

SANDBOX_RHYTHM_S = 1.0
EVERY_MIN_S = 0.4  # Kinesis allows five reads of a shard a second


def run(
    pipelines: list[str] = typer.Argument(
        metavar="PIPELINE...", help="Names under sql/pipelines/, or paths of folders."
    ),
    until_idle: bool = typer.Option(False, "--until-idle", help="End when all that is committed now has arrived."),
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
    if until_idle:
        wait_for_dms(place)
    flags = [
        flag
        for flag, given in (("--until_idle", until_idle), ("--from_start", from_start), ("--take_over", take_over))
        if given
    ]
    jobs = [
        start_job(place, folder, [*flags, "--every_s", str(every_s)], tell_error if json_output else tell)
        for folder in folders
    ]
    with told_when_it_stops(place):
        codes = wait(jobs)
    if not any(codes):
        refuse_stopped(place)
    if json_output:
        last_line(
            {
                "jobs": [
                    {"pipeline": folder.name, "exit_code": code} for folder, code in zip(folders, codes, strict=True)
                ]
            }
        )
    return max(codes)


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
    state = jobs_folder(place)
    arguments = {
        "pipeline_folders": folder,
        "source_database": place.source_database,
        "source_secret": endpoints["mysql_secret"],
        "token_secret": endpoints["token_secret"],
        "stream": endpoints["stream"],
        "staging_bucket": endpoints["staging_bucket"],
        "workgroup": endpoints["redshift"]["workgroup"],
        "warehouse_database": endpoints["redshift"]["database"],
        "copy_role": endpoints["copy_role_arn"],
        "lock_folder": state,
        "work_folder": state / f"{name}.spark",
    }
    return start_process(place, "streaming_job", name, options, arguments, on_line)


def wait(jobs: list[JobProcess]) -> list[int]:
    """Wait for all jobs; Ctrl-C and SIGTERM ask them to stop cleanly."""
    with passing_signals(jobs, "stopping: the running batch may finish, 30 s at most"):
        return [job.wait() for job in jobs]


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
