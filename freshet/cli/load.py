"""`freshet load`: files from S3 into Redshift, each exactly once, from this machine through the Data API."""

from typing import Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from batch_jobs.load.__main__ import complete
from batch_jobs.load.definition import find_load, read_definition
from batch_jobs.load.job import FilesRefused, Job
from batch_jobs.load.specification import Load
from batch_jobs.load.staging import Staging
from batch_jobs.stopping import signals
from freshet.cli.context import (
    AWS_OPTION,
    JSON_OPTION,
    STACK_OPTION,
    AwsPlace,
    Place,
    announce,
    err,
    find_place,
    last_line,
    out,
)
from freshet.errors import InputError
from freshet.redshift.data_api import Cancelled
from freshet.words import counted

SHOWN_MAX = 20


def load(
    name: str = typer.Argument(metavar="NAME", help="A load under sql/loads/, or the path of its folder."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be loaded; write nothing."),
    batch_size: str = typer.Option(
        None, "--batch-size", metavar="SIZE", help="Files or bytes a transaction: 500, 200MB; else as load.yaml says."
    ),
    retry: bool = typer.Option(False, "--retry", help="Try files once more that were set aside and are unchanged."),
    reload: list[str] = typer.Option(
        [], "--reload", metavar="KEY", help="Load this file again, replacing its rows; several times for several."
    ),
    bucket: str = typer.Option(
        None,
        "--bucket",
        metavar="NAME",
        help="Where the files are, when load.yaml names no bucket; else the staging bucket.",
    ),
    aws: bool = AWS_OPTION,
    stack: str = STACK_OPTION,
    json_output: bool = JSON_OPTION,
) -> int:
    """Load the new files of an S3 prefix into a Redshift table, each exactly once.

    Run it again whenever you like, after a kill too: freshet.NAME_files remembers what is loaded, in the rows' own transaction.

    Example: freshet simulate currents && freshet load news_feed_impression
    """
    if retry and reload:
        raise InputError(
            "--retry tries all files again that were set aside, --reload those that it names: say one of them"
        )
    definition = read_definition(find_load(name))
    place = find_place(aws, stack)
    staging_bucket, staging_prefix, copy_role, s3 = _surroundings(place)
    definition = complete(definition, bucket or (None if definition.bucket else staging_bucket), batch_size)
    announce(place, json_output)
    screen = Screen(definition, quiet=json_output)
    with signals(_say_stopping) as stopping, screen:
        job = Job(
            definition,
            place.warehouse,
            s3,
            Staging(s3, staging_bucket, staging_prefix),
            copy_role,
            tell=screen.tell,
            stopping=stopping,
        )
        try:
            error = ""
            result = job.dry_run(retry) if dry_run else job.run(retry, reload)
        except FilesRefused as refused:
            result, error = refused.summary, str(refused)
        except Cancelled:
            raise KeyboardInterrupt from None
    if json_output:
        last_line({**result, **({"error": error} if error else {})})
    elif dry_run:
        tell_plan(definition, result)
    else:
        tell_result(definition, result)
    return 1 if error else 0


def _say_stopping() -> None:
    err.print("stopping: what runs is cancelled (once more to leave at once) ...")


def _surroundings(place: Place | AwsPlace) -> tuple[str, str, str, Any]:
    """Give the staging bucket and prefix, the role of COPY, and a client of S3."""
    if isinstance(place, AwsPlace):
        told = place.outputs
        return told["StagingBucket"], told["StagingPrefix"], told["CopyRoleArn"], place.account.client("s3")
    return place.endpoints["staging_bucket"], "freshet", place.endpoints["copy_role_arn"], place.client("s3")


class Screen:
    """Shows how far a run is: a bar on a terminal, else a line a batch."""

    def __init__(self, definition: Load, quiet: bool) -> None:
        self.definition, self.quiet = definition, quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=quiet or not err.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "Screen":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, event: dict[str, Any]) -> None:
        """Show one step."""
        if self.quiet:
            return
        if event["event"] == "compared":
            out.print(
                f"{self.definition.url}: [bold]{counted(event['files'], 'file')}[/bold] to load ({size(event['bytes'])}), "
                f"{event['known']:,} loaded already",
                soft_wrap=True,
            )
            self._task = self._bar.add_task(self.definition.target, total=event["files"])
        elif event["event"] == "batch" and self._task is not None:
            self._bar.advance(self._task, event["files"])
            if not err.is_terminal:
                out.print(
                    f"  {counted(event['files'], 'file')}, {counted(event['rows'], 'row')} in {event['seconds']:.1f} s"
                )
        elif event["event"] == "set_aside":
            if self._task is not None:
                self._bar.advance(self._task)
            out.print(f"  [red]set aside[/red] {escape(event['file'])}: {escape(words(event))}", soft_wrap=True)


def words(refused: dict[str, Any]) -> str:
    """Tell why a file was set aside."""
    place = [f"{name} {refused[name]}" for name in ("line", "column") if refused[name]]
    code = f" (code {refused['code']})" if refused["code"] else ""
    return f"{', '.join(place)}{': ' if place else ''}{refused['reason']}{code}"


def size(count: float) -> str:
    """Write bytes with a unit."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def tell_plan(definition: Load, result: dict[str, Any]) -> None:
    """Say what a run would do."""
    out.print(
        f"{definition.url}: would load [bold]{counted(result['files'], 'file')}[/bold] ({size(result['bytes'])}) into "
        f"{definition.target}; {result['known']:,} are loaded already",
        soft_wrap=True,
    )
    _names(result["would_load"], result["files"])
    _warnings(definition, result)


def tell_result(definition: Load, result: dict[str, Any]) -> None:
    """Say what was done, and what somebody must look at."""
    color = "yellow" if result["set_aside"] else "green"
    if result["batches"] or result["set_aside"]:
        out.print(
            f"[{color}]loaded[/{color}] {counted(result['files'], 'file')}, {counted(result['rows'], 'row')}, "
            f"{size(result['bytes'])} into {definition.target} in {counted(result['batches'], 'transaction')}",
            soft_wrap=True,
        )
    else:
        out.print(f"[{color}]nothing to load[/{color}]: {definition.target} is as it was")
    if result["loaded_by_others"]:
        out.print(f"  {counted(result['loaded_by_others'], 'file')} loaded by another run meanwhile")
    if result["vanished"]:
        out.print(f"  {counted(result['vanished'], 'file')} deleted before they could be loaded")
    if result["arrived_meanwhile"]:
        out.print(f"  {counted(result['arrived_meanwhile'], 'file')} arrived meanwhile: the next run loads them")
    if result["set_aside"]:
        out.print(
            f"[red]{counted(len(result['set_aside']), 'file')} set aside[/red]: a mended file is loaded by itself, an unchanged "
            f"one with freshet load {definition.name} --retry",
            soft_wrap=True,
        )
    for url in result["unsteady"]:
        out.print(f"  [yellow]{escape(url)} keeps changing[/yellow]: the next run tries it", soft_wrap=True)
    _warnings(definition, result)


def _warnings(definition: Load, result: dict[str, Any]) -> None:
    if result["set_aside_before_files"]:
        out.print(
            f"[yellow]{counted(result['set_aside_before_files'], 'file')} set aside in earlier runs[/yellow]: mend them, or "
            f"freshet load {definition.name} --retry",
            soft_wrap=True,
        )
        _names(result["set_aside_before"], result["set_aside_before_files"])
    if result["changed_files"]:
        way = (
            f"freshet load {definition.name} --reload KEY replaces its rows"
            if definition.replace
            else "their rows cannot be told from others (replace: COLUMN in load.yaml): correct them by hand"
        )
        out.print(
            f"[yellow]{counted(result['changed_files'], 'file')} changed since loaded[/yellow], the "
            f"old rows stand in {definition.target}: {way}",
            soft_wrap=True,
        )
        _names(result["changed"], result["changed_files"])


def _names(urls: list[str], count: int) -> None:
    for url in urls[:SHOWN_MAX]:
        out.print(f"  {escape(url)}", soft_wrap=True)
    if count > SHOWN_MAX:
        out.print(f"  ... and {count - min(len(urls), SHOWN_MAX):,} more")
