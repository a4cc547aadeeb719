"""`freshet verify`: is the target what the SELECT over the source says, row for row?"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.progress import Progress

from freshet.cli.context import JSON_OPTION, Place, announce, err, last_line, out, running_place
from freshet.errors import EnvironmentFault
from freshet.pipeline.build import load_pipeline
from freshet.pipeline.connection import connect
from freshet.pipeline.definition import find_pipeline
from freshet.pipeline.protection import read_token_key
from freshet.pipeline.spark import register_functions
from freshet.redshift.data_api import StatementFailed
from freshet.verify.compare import SHOWN_MAX, Comparison, Verifier
from streaming_job.session import open_session

SAYS = {
    "missing": "is in MySQL, not in the target",
    "extra": "is in the target, not in MySQL",
    "doubled": "is in the target more than once",
    "different": "differs in",
    "unfit": "cannot be computed, because of",
}


def verify(
    pipeline: str = typer.Argument(help="A name under sql/pipelines/, or the path of a folder."),
    json_output: bool = JSON_OPTION,
) -> int:
    """Compare the target with the SELECT over the source, row for row; exit 0 only when they agree.

    Example: freshet verify orders_wide
    """
    folder = find_pipeline(pipeline)
    place = running_place()
    announce(place, json_output)
    with Progress(console=err, disable=json_output or not err.is_terminal) as progress:
        task = progress.add_task("starting Spark", total=None)
        with open_verifier(place, folder, place.state / "verify") as verifier:
            try:
                found = verifier.compare(lambda rows: progress.update(task, description=f"{rows:,} rows compared"))
            except StatementFailed as failed:
                raise EnvironmentFault(
                    f"the target cannot be read: {failed.reason}. Has the pipeline run here?"
                ) from None
        progress.stop_task(task)
    if json_output:
        last_line(as_json(folder.resolve().name, found))
    else:
        tell(found)
    return 0 if found.verified else 1


@contextmanager
def open_verifier(place: Place, folder: Path, work_folder: Path) -> Iterator[Verifier]:
    """Start Spark and check the pipeline; end Spark afterwards."""
    os.environ.update(place.environment)
    tokens = read_token_key(place.client("secretsmanager"), place.endpoints["token_secret"])
    with _stderr_into(place.state / "logs" / "verify.log"):
        spark = open_session(f"local[{os.cpu_count() or 2}]", work_folder)
    try:
        with connect(place.mysql, place.source_database) as connection:
            checked = load_pipeline(folder, connection, place.source_database, spark)
        register_functions(spark, tokens)
        yield Verifier(spark, checked, place.mysql, place.warehouse)
    finally:
        spark.stop()


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
    """Give the result for scripts; of the differences the first ones are named."""
    return {
        "pipeline": pipeline,
        "verified": found.verified,
        "rows": found.rows,
        "rounds": found.rounds,
        "left_by_deletes": found.left_by_deletes,
        "quarantined": found.quarantined,
        "differing": len(found.differences),
        "differences": [
            {"key": list(d.key), "kind": d.kind, "columns": list(d.columns)} for d in found.differences[:SHOWN_MAX]
        ],
    }


def tell(found: Comparison) -> None:
    """Say the result in words."""
    for difference in found.differences[:SHOWN_MAX]:
        key = ", ".join(map(str, difference.key))
        out.print(f"[red]{key}[/red] {SAYS[difference.kind]} {', '.join(difference.columns)}".rstrip())
    if len(found.differences) > SHOWN_MAX:
        out.print(f"[red]... and {len(found.differences) - SHOWN_MAX:,} more[/red]")
    if found.left_by_deletes:
        out.print(f"[dim]{found.left_by_deletes:,} rows belong to facts deleted since (deletes: ignore)[/dim]")
    if found.quarantined:
        out.print(f"[yellow]{found.quarantined:,} records are in quarantine: their rows may be missing or old[/yellow]")
    rounds = "" if found.rounds == 1 else f", compared {found.rounds} times"
    verdict = (
        "[green]verified[/green]"
        if found.verified
        else f"[red]not verified[/red]: {len(found.differences):,} rows differ"
    )
    out.print(f"{verdict}  [dim]{found.rows:,} rows{rounds}[/dim]")
