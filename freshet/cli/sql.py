"""`freshet sql run`: a file of SQL in Redshift, each statement told as it ends."""

from typing import Any

import typer
from rich.markup import escape
from rich.status import Status

from batch_jobs.run_sql.execute import execute, line_of, rows_moved
from batch_jobs.run_sql.modes import EACH, TRANSACTION
from batch_jobs.run_sql.script import Script, parameters_of, read_script
from batch_jobs.run_sql.statements import Statement
from batch_jobs.stopping import signals
from freshet.__main__ import INTERRUPTED
from freshet.cli.context import (
    AWS_OPTION,
    JSON_OPTION,
    STACK_OPTION,
    Place,
    announce,
    err,
    find_place,
    last_line,
    out,
)
from freshet.redshift.data_api import Cancelled, Part
from freshet.redshift.runs import recorded

sql = typer.Typer(help="Run SQL files in Redshift.", no_args_is_help=True)


@sql.callback()
def _group() -> None:
    """Run SQL files in Redshift."""


@sql.command("run")
def run_file(
    file: str = typer.Argument(help="A .sql file: a path, or s3://BUCKET/KEY.", show_default=False),
    parameter: list[str] = typer.Option(
        [], "--parameter", "-p", metavar="NAME=VALUE", help="Value of the file's :NAME, a text; may be repeated."
    ),
    transaction: bool = typer.Option(
        True,
        "--transaction/--statement-by-statement",
        help="All statements as one transaction (at most 40), or each alone, as VACUUM and CREATE EXTERNAL TABLE need it.",
    ),
    aws: bool = AWS_OPTION,
    stack: str = STACK_OPTION,
    json_output: bool = JSON_OPTION,
) -> int:
    """Run a file of SQL statements; the first error ends it, and says what is written.

    A :name outside of strings and comments becomes the text given by --parameter, quoted: write :day::date, :most::integer.

    Example: freshet sql run sql/queries/revenue_by_sport.sql
    """
    place = find_place(aws, stack)
    mode = TRANSACTION if transaction else EACH
    script = read_script(file, parameters_of(parameter), mode, lambda: client(place, "s3"))
    announce(place, json_output)
    parts: list[Part] = []
    with signals() as stopping, _Progress(script, json_output) as progress:
        try:
            with recorded(place.warehouse, "sql", file) as run:
                parts = execute(place.warehouse, script, progress.report, stopping)
                run.rows = rows_moved(parts)
        except Cancelled as cancelled:
            err.print(str(cancelled), soft_wrap=True, markup=False)
            if json_output:
                last_line({"error": str(cancelled), "kind": "Cancelled"})
            return INTERRUPTED
    if json_output:
        last_line({"file": file, "mode": mode, "statements": progress.told})
    else:
        total = sum(part.seconds for part in parts)
        written = "committed together" if transaction else "each committed"
        out.print(f"[green]done[/green]: {len(parts)} statements, {written}, {total:.1f} s in Redshift")
    return 0


def client(place: Any, service: str) -> Any:
    """Give a boto3 client of the sandbox or of the account."""
    return place.client(service) if isinstance(place, Place) else place.account.client(service)


class _Progress:
    """What is told while a file runs: a line a statement, and on a terminal which one runs now."""

    def __init__(self, script: Script, json_output: bool) -> None:
        self.script, self.silent = script, json_output
        self.told: list[dict[str, Any]] = []
        self.status = Status("", console=out) if out.is_terminal and not json_output else None

    def __enter__(self) -> "_Progress":
        if self.status:
            self.status.start()
        self._show(1)
        return self

    def __exit__(self, *_: object) -> None:
        if self.status:
            self.status.stop()

    def report(self, statement: Statement, part: Part) -> None:
        """Tell one statement that has ended."""
        self.told.append(
            {
                "statement": part.number, "line": statement.line, "title": statement.title,
                "rows": part.rows, "seconds": round(part.seconds, 3),
            }
        )  # fmt: skip
        if not self.silent:
            out.print(line_of(self.script, statement, part), soft_wrap=True, markup=False)
        self._show(part.number + 1)

    def _show(self, number: int) -> None:
        if self.status and number <= len(self.script.statements):
            statement = self.script.statements[number - 1]
            self.status.update(f"statement {number}/{len(self.script.statements)}: {escape(statement.title)}")
