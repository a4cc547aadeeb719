"""`freshet pull`: what Fivetran would take, into files of your own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import typer
from botocore.config import Config
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from batch_jobs.pull.copy_folder import open_folder
from batch_jobs.pull.definition import Definition
from batch_jobs.pull.files import Format
from batch_jobs.pull.puller import Call, Pulled, in_process, on_lambda, pull, request
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
from freshet.cli.serving_place import PULLS, read_pull
from freshet.deploy.account import aws_errors
from freshet.errors import EnvironmentFault, InputError
from freshet.redshift import runs
from freshet.words import counted

FUNCTION_OUTPUT: Final = "PullFunctionName"
LAMBDA_MAX_S: Final = 900
TOLD_EVERY_BYTES: Final = 8 * 1024 * 1024


def pull_command(
    definition: str | None = typer.Argument(
        None, help="A name under sql/pulls/, or a path; may be left out when there is one.", show_default=False
    ),
    to: Path | None = typer.Option(
        None, "--to", metavar="FOLDER", help="The copy's folder; pulling again goes on from it.", show_default=False
    ),
    form: Literal["parquet", "csv"] = typer.Option("parquet", "--format", help="How the copy's files are written."),
    test: bool = typer.Option(False, "--test", help="Only try whether everything can be pulled; writes nothing."),
    function: str = typer.Option(
        None,
        "--function",
        metavar="NAME",
        help="With --aws: the Lambda function, when it is not the stack's.",
        show_default=False,
    ),
    aws: bool = AWS_OPTION,
    stack: str = STACK_OPTION,
    json_output: bool = JSON_OPTION,
) -> None:
    """Pull what changed in Redshift into Parquet or CSV files, as Fivetran would: by the function, answer by answer.

    Example: freshet pull sport_event_activity --to copy
    """
    pulls, _ = read_pull(find_definition(definition))
    if to is None and not test:
        raise InputError("say where the copy goes: --to FOLDER")
    place = find_place(aws, stack)
    if function and not isinstance(place, AwsPlace):
        raise InputError(f"--function {function} is for AWS: say --aws too")
    announce(place, json_output)
    with caller(place, pulls, function) as call:
        if to is None or test:
            _tell_test(call({**request(pulls.name), "setup_test": True}), json_output)
            return
        with (
            open_folder(to, pulls.name, Format(form)) as folder,
            runs.recorded(place.warehouse, "pull", pulls.name) as run,
            _progress(json_output) as show,
            signals(_interrupt) as stopping,
        ):
            waiting = [0, 0]

            def told(pulled: Pulled, rows: int, size: int) -> None:
                if stopping():
                    _interrupt()
                show(pulled)
                waiting[0], waiting[1] = waiting[0] + rows, waiting[1] + size
                if waiting[1] >= TOLD_EVERY_BYTES:
                    run.progress(*waiting)
                    waiting[:] = [0, 0]

            pulled = pull(call, folder, told)
            run.progress(*waiting)
    _tell(pulls.name, to, form, pulled, json_output)


def _interrupt() -> None:
    """End at Ctrl-C and SIGTERM; asked for once more after each answer, as Python drops what is raised in a destructor."""
    raise KeyboardInterrupt


def find_definition(name: str | None, root: Path = PULLS) -> Path:
    """Find a definition by a path, by its name below `root`, or because it is the only one there.

    Raises:
        InputError: There is none, or several and none is named.
    """
    known = sorted(root.glob("*.yaml"))
    names = ", ".join(path.stem for path in known) or "none"
    if name is None:
        if len(known) == 1:
            return known[0]
        raise InputError(f"say which pull: under {root}/ there are {names}")
    for path in (Path(name), root / f"{name}.yaml"):
        if path.is_file():
            return path
    raise InputError(f"there is no pull {name}: under {root}/ there are {names}")


@contextmanager
def caller(place: Place | AwsPlace, pulls: Definition, function: str | None) -> Iterator[Call]:
    """Give the way to call the function: in this process on the sandbox, on AWS the Lambda."""
    if isinstance(place, Place):
        yield in_process(place.warehouse, {pulls.name: pulls})
        return
    name = function or place.outputs.get(FUNCTION_OUTPUT)
    if not name:
        raise EnvironmentFault(
            f"stack {place.account.stack} has no function to pull with (output {FUNCTION_OUTPUT}): "
            "deploy it, or name one with --function"
        )
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, read_timeout=LAMBDA_MAX_S)
    client: Any = place.account.session.client("lambda", region_name=place.account.region, config=config)
    try:
        with aws_errors():
            yield on_lambda(client, name)
    finally:
        client.close()


@contextmanager
def _progress(json_output: bool) -> Iterator[Callable[[Pulled], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=json_output or not err.is_terminal, transient=True) as progress:
        task = progress.add_task("asking for the first rows", total=None)
        yield lambda pulled: progress.update(
            task, description=f"{pulled.rows:,} rows in {pulled.answers} answers, {pulled.bytes / 1e6:,.1f} MB"
        )


def _tell_test(answer: dict[str, Any], json_output: bool) -> None:
    if json_output:
        last_line({name: answer[name] for name in ("success", "message", "tests")})
        return
    for test in answer["tests"]:
        out.print(f"[green]ok[/green] {test['table']}: cursor {test['cursor']}, key {', '.join(test['keys'])}")
    out.print(answer["message"])


def _tell(name: str, to: Path, form: str, pulled: Pulled, json_output: bool) -> None:
    if json_output:
        told = {"rows": pulled.rows, "deleted": pulled.deleted, "bytes": pulled.bytes, "answers": pulled.answers}
        last_line({"pull": name, "folder": str(to), **told, "tables": pulled.tables})
        return
    gone = f", {pulled.deleted:,} deletes" if pulled.deleted else ""
    out.print(f"pulled {pulled.rows:,} rows{gone} in {counted(pulled.answers, 'answer')}")
    for table, rows in pulled.tables.items():
        out.print(f"  {to / table}.{form}: {rows:,} rows")
