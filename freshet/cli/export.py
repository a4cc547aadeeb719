"""`freshet export dynamodb`: start the job that hands a table out as items, and tell in words what it says in JSON."""

from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from batch_jobs.export_dynamodb.definition import PARTS_MAX, find_export, load_definition
from freshet.cli.context import (
    AWS_OPTION,
    JSON_OPTION,
    STACK_OPTION,
    AwsPlace,
    Place,
    announce,
    aws_place,
    err,
    last_line,
    out,
    running_place,
    wants_aws,
)
from freshet.cli.export_aws import export_on_aws
from freshet.cli.job_process import JobProcess, jobs_folder, passing_signals, start_process
from freshet.deploy.account import aws_errors
from freshet.errors import InputError
from freshet.words import counted

export = typer.Typer(no_args_is_help=True, help="Hand a table out to other stores.")


@export.callback()
def kinds() -> None:
    """Hand a table out to other stores.

    Example: freshet export dynamodb my_export --dry-run
    """


@export.command()
def dynamodb(
    name: str = typer.Argument(metavar="NAME", help="A name under sql/exports/, or the path of a folder."),
    incremental: bool = typer.Option(
        False, "--incremental", help="Write only keys whose rows changed since the last run."
    ),
    rate: int = typer.Option(
        None, "--rate", min=1, max=1_000_000, metavar="UNITS", help="Write capacity units a second, at most.",
        show_default="of the export",
    ),
    parts: int = typer.Option(
        None, "--parts", min=1, max=PARTS_MAX, metavar="N", help="Into how many parts the keys are split.",
        show_default="of the export",
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Build and judge every item, and write none."),
    aws: bool = AWS_OPTION,
    stack: str | None = STACK_OPTION,
    json_output: bool = JSON_OPTION,
) -> int:  # fmt: skip
    """Write the rows of each key of a Redshift table or query as one item of a DynamoDB table.

    With --aws the Glue job of the stack runs what was deployed, and is followed to its end; Ctrl-C stops it.

    Example: freshet export dynamodb my_export --incremental --rate 500
    """
    if wants_aws(aws):
        return _on_aws(aws_place(stack), name, incremental, rate, parts, dry_run, json_output)
    if stack is not None:
        raise InputError(f"--stack {stack} is for AWS: say --aws too")
    folder = find_export(name)
    load_definition(folder)  # what is wrong with it is told before anything is started
    place = running_place()
    announce(place, json_output)
    options = [flag for flag, given in (("--incremental", incremental), ("--dry_run", dry_run)) if given]
    options += [f"{flag}={value}" for flag, value in (("--rate", rate), ("--parts", parts)) if value is not None]
    lines: list[dict[str, Any]] = []

    def on_line(line: dict[str, Any]) -> None:
        lines.append(line)
        if not json_output:
            tell(line)

    job = start_export(place, folder, options, on_line)
    with passing_signals([job], "stopping"):
        code = job.wait()
    if json_output:
        last_line(summary(lines))
    elif code != 0 and not any(line["level"] == "error" for line in lines):
        err.print(f"[bold red]error[/bold red] the job ended with {code} and said nothing: see {job.log.name}")
    return code


def _on_aws(
    place: AwsPlace, name: str, incremental: bool, rate: int | None, parts: int | None, dry_run: bool, json_output: bool
) -> int:
    announce(place, json_output)
    arguments = {flag: "true" for flag, given in (("--incremental", incremental), ("--dry_run", dry_run)) if given}
    arguments |= {flag: str(value) for flag, value in (("--rate", rate), ("--parts", parts)) if value is not None}
    try:
        with aws_errors():
            return export_on_aws(place, name, arguments, json_output)
    finally:
        place.close()


def start_export(place: Place, folder: Path, options: list[str], on_line: Any = None) -> JobProcess:
    """Start an export's job as a process group of its own.

    Args:
        place: The sandbox.
        folder: The export's folder.
        options: More arguments of `python -m batch_jobs.export_dynamodb`.
        on_line: Is called with each JSON line of the job's log.
    """
    endpoints, name = place.endpoints, folder.resolve().name
    arguments = {
        "export_folder": folder.resolve(),
        "staging_bucket": endpoints["staging_bucket"],
        "workgroup": endpoints["redshift"]["workgroup"],
        "warehouse_database": endpoints["redshift"]["database"],
        "copy_role": endpoints["copy_role_arn"],
        "work_folder": jobs_folder(place) / f"export-{name}.spark",
    }
    return start_process(place, "batch_jobs.export_dynamodb", f"export-{name}", options, arguments, on_line)


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Give what `--json` tells: the result; or the error, with the plan as far as there was one."""
    told: dict[str, Any] = {}
    for line in lines:
        fields = {key: value for key, value in line.items() if key not in {"at", "level", "event"}}
        if line["event"] in {"planned", "exported"}:
            told |= fields
        elif line["level"] in {"error", "critical"}:
            told |= {"error": line["event"], "kind": fields.get("error", "")}
    return told


def tell(line: dict[str, Any]) -> None:
    """Say a line of the job's log in words."""
    if line["event"] == "planned":
        out.print(
            f"{counted(line['rows'], 'row')} of {counted(line['keys'], 'key')}; {counted(line['to_put'], 'item')} to write, "
            f"{line['to_delete']:,} to delete; at least {line['writing_takes_s_at_least']:,} s of writing"
        )
    elif line["event"] == "writing":
        out.print(f"  {line['put']:,} of {line['to_put']:,} written")
    elif line["event"] == "exported":
        out.print(render(line))
    elif line["level"] in {"error", "critical"}:
        err.print(f"[bold red]error[/bold red] {escape(line['event'])}", soft_wrap=True)
    elif line["level"] == "info":
        out.print(escape(line["event"]), soft_wrap=True)
    elif line["level"] == "warning":
        err.print(f"[yellow]warning[/yellow] {escape(line['event'])}", soft_wrap=True)


def render(line: dict[str, Any]) -> Table:
    """Draw what a run did."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    there = "not counted" if line["items_there"] is None else f"{line['items_there']:,}"
    skew = f"{line['rows_per_part_max']:,} in the fullest part, {line['rows_per_part_median']:,.0f} in the median one"
    rows = {
        "rows": f"{line['rows']:,}: {skew}",
        "keys": f"{line['keys']:,}",
        f"items in {line['table']}": there,
        "written": f"{line['put']:,}" + (" (dry run)" if line["dry_run"] else f" of {line['to_put']:,}"),
        "deleted": f"{line['deleted']:,}",
        "bytes of all items": f"{line['item_bytes']:,}, the heaviest {line['heaviest_item_bytes']:,}",
        "write units": f"{line['write_units']:,.0f}",
        "seconds": "  ".join(f"{step} {spent:g}" for step, spent in line["seconds"].items()),
    }
    for name, value in rows.items():
        table.add_row(f"[dim]{escape(name)}[/dim]", value)
    return table
