"""`freshet verify`: is the target what the SELECT over the source says, row for row?"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer
from pyspark.sql import SparkSession
from rich.markup import escape
from rich.progress import Progress

from freshet.cli.capture import problem_of
from freshet.cli.context import JSON_OPTION, Place, announce, err, last_line, out, running_place, seconds
from freshet.errors import EnvironmentFault
from freshet.pipeline.build import load_pipeline
from freshet.pipeline.connection import connect
from freshet.pipeline.definition import find_pipeline
from freshet.pipeline.protection import read_token_key
from freshet.redshift.data_api import StatementFailed
from freshet.verify.compare import LAG_S, SHOWN_MAX, Comparison, Verifier
from freshet.verify.rows import Difference, Key
from freshet.words import counted
from streaming_job.session import open_session

STAGING_PREFIX: Final = "freshet"
SAYS: Final = {
    "missing": "is in MySQL, not in the target",
    "extra": "is in the target, and should not be",
    "unmarked": "is deleted in MySQL, not marked so in the target",
    "marked": "is in MySQL, marked deleted in the target",
    "doubled": "is in the target more than once",
    "different": "differs in",
    "unfit": "cannot be computed, because of",
}
STALE: Final = "stale: a change was lost"
STALE_OR_WRONG: Final = "stale or wrong: --repair tells which"
VERDICTS: Final = {
    "stale": STALE,
    "wrong": "wrong: the computation or the load is at fault",
    "in_flight": "in flight",
    "quarantined": "quarantined",
}


def verify(
    pipelines: list[str] = typer.Argument(
        metavar="PIPELINE...", help="Names under sql/pipelines/, or paths of folders."
    ),
    repair: bool = typer.Option(False, "--repair", help="Have the job write what is stale, and compare again."),
    lag: str = typer.Option(
        f"{LAG_S:g}s", "--lag", help="Time that a committed change may need into the stream, such as 2s."
    ),
    json_output: bool = JSON_OPTION,
) -> int:
    """Compare targets with their SELECT over the source, row for row; exit 0 only when they agree.

    Example: freshet verify orders_wide --repair
    """
    folders = [find_pipeline(pipeline) for pipeline in pipelines]
    lag_s = seconds(lag)
    place = running_place()
    announce(place, json_output)
    results: list[dict[str, Any]] = []
    with Progress(console=err, disable=json_output or not err.is_terminal) as progress:
        task = progress.add_task("starting Spark", total=None)
        with _spark(place, place.state / "verify") as spark:
            for folder in folders:
                name = folder.resolve().name
                progress.update(task, description=f"{name}: reading the target")
                verifier = _verifier(place, folder, spark, lag_s)
                found = _compared(verifier, progress, task, repair)
                results.append(as_json(name, found))
                if not json_output:
                    tell(name, found, len(folders) > 1)
        progress.stop_task(task)
    verified = all(result["verified"] for result in results)
    if json_output:
        last_line(results[0] if len(results) == 1 else {"verified": verified, "pipelines": results})
    return 0 if verified else 1


def _compared(verifier: Verifier, progress: Progress, task: Any, repair: bool) -> Comparison:
    name = verifier.pipeline.name

    def show(rows: int) -> None:
        progress.update(task, description=f"{name}: {counted(rows, 'row')} compared")

    try:
        return verifier.compare(show, repair=repair)
    except StatementFailed as failed:
        raise EnvironmentFault(
            f"pipeline {name}: its target or its control tables cannot be read: {failed.reason}. Has the pipeline run here?"
        ) from None


@contextmanager
def open_verifiers(
    place: Place, folders: Sequence[Path], work_folder: Path, lag_s: float = LAG_S
) -> Iterator[list[Verifier]]:
    """Start Spark and check some pipelines; end Spark afterwards."""
    with _spark(place, work_folder) as spark:
        yield [_verifier(place, folder, spark, lag_s) for folder in folders]


@contextmanager
def _spark(place: Place, work_folder: Path) -> Iterator[SparkSession]:
    os.environ.update(place.environment)
    with _stderr_into(place.state / "logs" / "verify.log"):
        spark = open_session(f"local[{os.cpu_count() or 2}]", work_folder)
    try:
        yield spark
    finally:
        spark.stop()


def _verifier(place: Place, folder: Path, spark: SparkSession, lag_s: float) -> Verifier:
    endpoints = place.endpoints
    tokens = read_token_key(place.client("secretsmanager"), endpoints["token_secret"])
    with connect(place.mysql, place.source_database) as connection:
        checked = load_pipeline(folder, connection, place.source_database, spark)
    return Verifier(
        spark,
        checked,
        place.mysql,
        place.warehouse,
        tokens,
        place.client("s3"),
        endpoints["staging_bucket"],
        STAGING_PREFIX,
        endpoints["copy_role_arn"],
        lag_s,
        capture=SandboxCapture(place),
    )


@dataclass(frozen=True)
class SandboxCapture:
    """How far the sandbox's DMS is."""

    place: Place

    def position(self) -> tuple[str, int]:
        """Give where MySQL's binlog ends now.

        Raises:
            EnvironmentFault: MySQL does not answer.
        """
        from sandbox import control  # noqa: PLC0415 - not in the wheel
        from sandbox.errors import SandboxError  # noqa: PLC0415

        try:
            return control.binlog_position(self.place.state)
        except SandboxError as error:
            raise EnvironmentFault(str(error)) from None

    def has_reached(self, position: tuple[str, int]) -> bool:
        """Tell whether DMS has delivered all up to a position; a task that has stopped never will."""
        from sandbox import control  # noqa: PLC0415 - not in the wheel

        return problem_of(self.place) is None and control.dms_position(self.place.state) >= position


@contextmanager
def _stderr_into(log: Path) -> Iterator[None]:
    """Send what the JVM that is started here will say to a file: its warnings are not the user's."""
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def as_json(pipeline: str, found: Comparison) -> dict[str, Any]:
    """Give the result for scripts; of each list the first keys are named."""
    return {
        "pipeline": pipeline,
        "verified": found.verified,
        "rows": found.rows,
        "source_rows": found.source_rows,
        "differing": len(found.differences),
        "differences": [
            {"key": list(d.key), "kind": d.kind, "columns": list(d.columns), "verdict": d.verdict}
            for d in found.differences[:SHOWN_MAX]
        ],
        "stale": found.count("stale"),
        "wrong": found.count("wrong"),
        "in_flight": found.count("in_flight"),
        "dms_is_behind": found.capture_is_behind,
        "quarantined": found.quarantined,
        "repaired": len(found.repaired),
        "repaired_keys": _shown(found.repaired),
        "too_hot": len(found.too_hot),
        "too_hot_keys": _shown(found.too_hot),
        "kept_after_delete": len(found.kept_after_delete),
        "kept_keys": _shown(found.kept_after_delete),
        "unanswered": found.unanswered,
    }


def _shown(keys: Sequence[Key]) -> list[list[Any]]:
    return [list(key) for key in keys[:SHOWN_MAX]]


def tell(pipeline: str, found: Comparison, of_several: bool = False) -> None:
    """Say the result in words."""
    if of_several:
        out.print(f"[bold]{pipeline}[/bold]")
    verdicts = VERDICTS if found.asked_to_repair else {**VERDICTS, "stale": STALE_OR_WRONG}
    for difference in found.differences[:SHOWN_MAX]:
        out.print(_line(difference, verdicts), soft_wrap=True)
    if len(found.differences) > SHOWN_MAX:
        out.print(f"[red]... and {len(found.differences) - SHOWN_MAX:,} more[/red]")
    for line in _remarks(found):
        out.print(line, soft_wrap=True)
    rows = f"[dim]{counted(found.rows, 'row')} of {counted(found.source_rows, 'fact')}[/dim]"
    if found.verified:
        out.print(f"[green]verified[/green]  {rows}")
        return
    counts = {verdict.replace("_", " "): found.count(verdict) for verdict in VERDICTS if found.count(verdict)}
    if not found.asked_to_repair and "stale" in counts:
        counts = {("stale or wrong" if name == "stale" else name): count for name, count in counts.items()}
    what = ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "the quarantine is not empty"
    out.print(f"[red]not verified[/red]: {what}  {rows}", soft_wrap=True)


def _line(difference: Difference, verdicts: Mapping[str, str]) -> str:
    what = f"{SAYS[difference.kind]} {', '.join(difference.columns)}".rstrip()
    color = "yellow" if difference.verdict == "in_flight" else "red"
    return f"[{color}]{_key(difference.key)}[/{color}] {what}  [dim]{verdicts[difference.verdict]}[/dim]"


def _remarks(found: Comparison) -> Iterator[str]:
    if found.quarantined:
        entries = "1 entry" if found.quarantined == 1 else f"{found.quarantined:,} entries"
        yield f"[red]{entries} in quarantine: their rows may be missing or old[/red]"
    if found.count("in_flight"):
        why = "DMS is behind" if found.capture_is_behind else "the job is behind or not running"
        yield f"[yellow]{counted(found.count('in_flight'), 'row')} in flight: {why}[/yellow]"
    if found.unanswered:
        yield "[yellow]the job has not taken the request to repair: it is not running, and will when it runs[/yellow]"
    if found.repaired:
        yield f"[yellow]repaired: {counted(len(found.repaired), 'change')} had been lost[/yellow]{_first(found.repaired)}"
    if found.too_hot:
        hot = counted(len(found.too_hot), "row")
        yield f"[yellow]{hot} too hot to compare: changed each time they were read[/yellow]{_first(found.too_hot)}"
    if found.kept_after_delete:
        kept = counted(len(found.kept_after_delete), "row")
        yield f"[dim]{kept} kept after delete: their facts are gone from MySQL[/dim]{_first(found.kept_after_delete)}"


def _first(keys: Sequence[Key]) -> str:
    more = ", ..." if len(keys) > SHOWN_MAX else ""
    return f" [dim]({'; '.join(map(_key, keys[:SHOWN_MAX]))}{more})[/dim]"


def _key(key: Key) -> str:
    return escape(", ".join(map(str, key)))
