"""`freshet run`: start the streaming job of some pipelines or of all, and tell in words what it says in JSON."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from freshet.cli.capture import refuse_stopped, told_when_it_stops, wait_for_dms
from freshet.cli.context import JSON_OPTION, Place, announce, err, last_line, out, running_place, seconds
from freshet.cli.job_process import JobProcess, jobs_folder, passing_signals, start_process
from freshet.errors import InputError
from freshet.pipeline.definition import PIPELINES, find_pipeline
from freshet.pipeline.problems import YAML_FILE
from freshet.pipeline.source_file import read_source_caps

SANDBOX_RHYTHM_S = 1.0
EVERY_MIN_S = 0.4  # Kinesis allows five reads of a shard a second


def run(
    pipelines: list[str] = typer.Argument(
        None, metavar="[PIPELINE...]", help="Names under sql/pipelines/, or paths of folders; all when left out."
    ),
    until_idle: bool = typer.Option(
        False, "--until-idle", help="End when all that is committed now has arrived and nothing is pending."
    ),
    every: str = typer.Option(None, "--every", help="Time between rounds, such as 2s; default in the sandbox: 1s."),
    from_start: bool = typer.Option(False, "--from-start", help="Read the stream again from its oldest record."),
    take_over: bool = typer.Option(False, "--take-over", help="Start although another job lives; that one ends."),
    rebuild: bool = typer.Option(False, "--rebuild", help="Make and fill a target again that is gone."),
    accept_gap: bool = typer.Option(
        False, "--accept-gap", help="Go on although records expired unread; a sweep compares every row."
    ),
    json_output: bool = JSON_OPTION,
) -> int:
    """Keep the tables of pipelines current until Ctrl-C, in one job; tables that are missing are made.

    Example: freshet run orders_wide --until-idle
    """
    folders = [find_pipeline(name) for name in pipelines] if pipelines else every_pipeline()
    every_s = SANDBOX_RHYTHM_S if every is None else seconds(every)
    if every_s < EVERY_MIN_S:
        raise InputError(f"--every {every} is too often: {EVERY_MIN_S:g}s at least, for Kinesis allows no more reads")
    place = running_place()
    announce(place, json_output)
    if until_idle:
        wait_for_dms(place)
    given = {
        "--until_idle": until_idle,
        "--from_start": from_start,
        "--take_over": take_over,
        "--rebuild": rebuild,
        "--accept_gap": accept_gap,
    }
    flags = [flag for flag, is_given in given.items() if is_given]
    ended: set[str] = set()

    def hear(line: dict[str, Any]) -> None:
        if line["level"] == "error" and "pipeline" in line:
            ended.add(line["pipeline"])
        (tell_error if json_output else tell)(line)

    job = start_job(place, folders, [*flags, "--every_s", str(every_s)], hear)
    with told_when_it_stops(place), passing_signals([job], "stopping: the running round may finish, 30 s at most"):
        code = job.wait()
    if not code:
        refuse_stopped(place)
    if json_output:
        names = [folder.resolve().name for folder in folders]
        codes = {name: code if name in ended or not ended else 0 for name in names}
        last_line({"jobs": [{"pipeline": name, "exit_code": codes[name]} for name in names]})
    return code


def every_pipeline() -> list[Path]:
    """Give the folder of every pipeline.

    Raises:
        InputError: There is none.
    """
    folders = sorted(file.parent for file in PIPELINES.glob(f"*/{YAML_FILE}"))
    if not folders:
        raise InputError(f"{PIPELINES} holds no pipeline: name one, or make one")
    return folders


def start_job(
    place: Place,
    folders: Sequence[Path],
    options: list[str],
    on_line: Callable[[dict[str, Any]], None] | None = None,
    module: str = "streaming_job",
) -> JobProcess:
    """Start the job of some pipelines as a process group of its own.

    Args:
        place: The sandbox.
        folders: The pipelines' folders.
        options: More arguments of `python -m streaming_job`.
        on_line: Is called with each JSON line of the job's log.
        module: What `python -m` runs.
    """
    endpoints, name = place.endpoints, "+".join(folder.resolve().name for folder in folders)[:100]
    state, caps = jobs_folder(place), read_source_caps()
    arguments = {
        "pipeline_folders": ",".join(map(str, folders)),
        "source_database": place.source_database,
        "source_secret": endpoints["mysql_secret"],
        "token_secret": endpoints["token_secret"],
        "stream": endpoints["stream"],
        "staging_bucket": endpoints["staging_bucket"],
        "workgroup": endpoints["redshift"]["workgroup"],
        "warehouse_database": endpoints["redshift"]["database"],
        "copy_role": endpoints["copy_role_arn"],
        "rows_per_s": caps.rows_per_s,
        "connections": caps.connections,
        "lock_folder": state,
        "work_folder": state / f"{name}.spark",
    }
    return start_process(place, module, name, options, arguments, on_line)


def tell_error(line: dict[str, Any]) -> None:
    """Say only what ended a job."""
    if line["level"] in {"error", "critical"}:
        err.print(f"[bold red]error[/bold red] {escape(line['event'])}", soft_wrap=True)


def tell(line: dict[str, Any]) -> None:
    """Say a line of the job's log in words."""
    at, name = str(line.get("at", ""))[11:19], line.get("pipeline", "")
    if line["event"] == "round":
        out.print(f"[dim]{at}[/dim] {name}  {counts_of(line)}")
    elif line["level"] in {"error", "critical"}:
        tell_error(line)
    else:
        rest = "  ".join(f"{k}={v}" for k, v in line.items() if k not in {"at", "level", "event", "pipeline"})
        out.print(f"[dim]{at}[/dim] {name}  {line['event']}  [dim]{rest}[/dim]")


def counts_of(line: dict[str, Any]) -> str:
    """Say what a round did; what was quarantined is red wherever rows are counted."""
    parts = [f"{line['received']:>6,} received  {line['written']:>6,} written"]
    parts += [f"{line[name]:,} {name}" for name in ("removed", "pending") if line[name]]
    if line["quarantined"]:
        parts.append(f"[bold red]{line['quarantined']:,} quarantined[/bold red]")
    parts.append(f"{line['behind_ms'] / 1000:.1f} s behind  {sum(line['seconds'].values()):.1f} s")
    return "  ".join(parts)
