"""`freshet plan`: what a pipeline will read, join, protect, show and create, before anything runs.

Mistakes in the folder are told first and at once; only then MySQL is asked for the tables, and Spark for the types.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import typer
from mysql.connector.abstracts import MySQLConnectionAbstract
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from freshet.cli.context import JSON_OPTION, announce, last_line, out, running_place
from freshet.errors import DefinitionError, EnvironmentFault
from freshet.pipeline.build import build_pipeline
from freshet.pipeline.connection import connect
from freshet.pipeline.definition import find_pipeline, load_definition
from freshet.pipeline.describe import describe, describe_error
from freshet.pipeline.fit import fit
from freshet.pipeline.source import read_source
from freshet.pipeline.source_checks import check_source

Source = AbstractContextManager[tuple[MySQLConnectionAbstract, str]]
Spark = AbstractContextManager[SparkSession]

WRONG_INPUT, WRONG_ENVIRONMENT = 2, 3
_DELETES = {
    "ignore": "a deleted row stays, as it was last read",
    "apply": "a deleted row is deleted",
    "mark": "a deleted row stays and is marked in _freshet_deleted_at",
}


def plan(
    pipeline: str = typer.Argument(help="A name under sql/pipelines/, or the path of a folder."),
    json_output: bool = JSON_OPTION,
) -> int:
    """Show what a pipeline will read, join, protect, show in the clear and create; tell what is wrong.

    Example: freshet plan orders_wide
    """
    return run_plan(find_pipeline(pipeline), lambda: _source(json_output), _spark, out, json_output)


def run_plan(
    folder: Path,
    connection_factory: Callable[[], Source],
    spark_factory: Callable[[], Spark],
    console: Console,
    json_output: bool,
) -> int:
    """Plan one folder and print it.

    Args:
        folder: The pipeline's.
        connection_factory: Opens MySQL; gives the connection and the name of the database.
        spark_factory: Starts Spark; asked only when everything else is right.
        console: Where to print.
        json_output: End with one JSON object on the last line instead.

    Returns:
        0, 2 when the folder is wrong, 3 when the source's server is set up wrong.
    """
    began = time.monotonic()
    try:
        definition = load_definition(folder)
        with connection_factory() as (connection, database):
            source = read_source(connection, database, definition.tables)
            fit(definition, source)
            findings = check_source(connection, definition, source)
        with spark_factory() as spark:
            pipeline = build_pipeline(definition, source, spark)
    except DefinitionError as error:
        errors = list(getattr(error, "errors", (error,)))
        if json_output:
            last_line({"name": folder.resolve().name, "ok": False, "errors": [describe_error(each) for each in errors]})
        else:
            console.print(render_errors(folder, errors))
        return WRONG_INPUT
    described = describe(pipeline, definition, source, findings)
    ok = not described["errors"]
    if json_output:
        last_line({**described, "ok": ok})
    else:
        console.print(render(described, time.monotonic() - began))
    return 0 if ok else WRONG_ENVIRONMENT


@contextlib.contextmanager
def _source(json_output: bool) -> Iterator[tuple[MySQLConnectionAbstract, str]]:
    place = running_place()
    announce(place, json_output)
    connection = connect(place.mysql)
    try:
        yield connection, place.source_database
    finally:
        connection.close()


@contextlib.contextmanager
def _spark() -> Iterator[SparkSession]:
    from streaming_job.session import open_session  # noqa: PLC0415 - a second of imports, not needed for a mistake

    with tempfile.TemporaryDirectory() as work, _quiet_start(Path(work) / "stderr"):
        try:
            spark = open_session("local[1]", Path(work))
        except PySparkRuntimeError as error:
            raise EnvironmentFault(
                f"Spark did not start ({error.getCondition()}): is Java 17 or 21 installed?"
            ) from None
        try:
            yield spark
        finally:
            spark.stop()


@contextlib.contextmanager
def _quiet_start(log: Path) -> Iterator[None]:
    # The JVM greets on stderr before any of its settings are read.
    kept = os.dup(2)
    try:
        with log.open("w") as quiet:
            os.dup2(quiet.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def render_errors(folder: Path, errors: list[DefinitionError]) -> RenderableType:
    """Show each mistake below the line that it is in."""
    parts: list[RenderableType] = []
    for error in errors:
        place = ":".join(str(part) for part in (error.file, error.line, error.column) if part is not None)
        parts.append(Text.assemble(("error ", "bold red"), (place, "bold")))
        parts += _excerpt(folder / error.file, error.line, error.column)
        parts.append(Padding(Text(error.message), (0, 0, 1, 6)))
    count = f"{len(errors)} mistake{'s' if len(errors) > 1 else ''}"
    return Group(*parts, Text(f"{count} in {folder.resolve().name}; nothing was read, nothing was made", "dim"))


def _excerpt(file: Path, line: int | None, column: int | None) -> Iterator[Text]:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    if line is None or not 0 < line <= len(lines):
        return
    written = lines[line - 1].expandtabs(1)
    yield Text.assemble((f"{line:>4} ", "dim"), ("│ ", "dim"), written)
    if column is not None:
        yield Text.assemble(("     │ ", "dim"), " " * (column - 1), ("^", "bold red"))


def render(described: dict[str, Any], seconds: float) -> RenderableType:
    """Show a plan."""
    title = Text.assemble((described["name"], "bold"), " keeps ", (described["target"], "bold cyan"), " current\n")
    parts: list[RenderableType] = [title, _section(_reads(described)), _columns(described)]
    parts.append(_section(_creates(described)))
    parts += [Text.assemble(("! ", "bold yellow"), advice) for advice in described["advice"]]
    parts += [Text.assemble(("error ", "bold red"), error["message"]) for error in described["errors"]]
    end = "the source is not ready" if described["errors"] else f"ready: freshet run {described['name']}"
    parts.append(
        Text.assemble("\n", (end, "bold red" if described["errors"] else "bold green"), (f"  {seconds:.1f} s", "dim"))
    )
    return Group(*parts)


def _section(rows: list[tuple[str, Text]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    above = ""
    for label, text in rows:
        table.add_row("" if label == above else label, text)
        above = label
    return Padding(table, (0, 0, 1, 0))


def _reads(described: dict[str, Any]) -> list[tuple[str, Text]]:
    fact = described["fact"]
    each = f" of {described['database']}: a row each, by its key {', '.join(fact['key'])}"
    rows = [("reads", Text.assemble(_named(fact), each))]
    rows += [
        ("joins", Text.assemble(f"{join['kind']} ", _named(join), " on ", " and ".join(join["on"])))
        for join in described["joins"]
    ]
    if described["where"]:
        rows.append(("where", Text(described["where"])))
    for walk in described["walks"]:
        way = f"by index {walk['index']}" if walk["index"] else f"without an index on {', '.join(walk['by'])}"
        rows.append(("follows", Text.assemble((walk["changed"], "bold"), f", back to {walk['finds']} {way}")))
    return rows


def _named(table: dict[str, Any]) -> Text:
    alias = f" as {table['alias']}" if table["alias"] != table["table"] else ""
    return Text.assemble((table["table"], "bold"), alias)


def _columns(described: dict[str, Any]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("column", "type", "from", "leaves"):
        table.add_column(name, overflow="fold")
    for column in described["columns"]:
        table.add_row(
            Text(column["name"], "bold" if column["key"] else ""),
            Text(column["type"]),
            Text(", ".join(column["uses"]) or "a constant"),
            _leaves(column),
        )
    return Padding(table, (0, 0, 1, 0))


def _leaves(column: dict[str, Any]) -> Text:
    protection = column["protection"]
    if column["looks_personal"]:
        return Text("clear, looks personal", "bold yellow")
    if protection and column["in_the_clear"]:
        return Text(f"{protection}, a part clear", "green")
    if protection:
        return Text(protection, "bold green")
    return Text.assemble(("clear", "dim"), (", key" if column["key"] else "", "bold"))


def _creates(described: dict[str, Any]) -> list[tuple[str, Text]]:
    protects = [f"{name} by {protection}" for name, protection in described["protects"].items()]
    count = len(described["columns"]) + len(described["own_columns"])
    layout = [f"distkey {described['distkey']}"] if described["distkey"] else []
    layout += [f"sortkey {', '.join(described['sortkey'])}"] if described["sortkey"] else []
    made = f", {count} columns, {len(described['own_columns'])} of them Freshet's" + "".join(
        f", {part}" for part in layout
    )
    return [
        ("protects", Text(", ".join(protects) or "nothing: no personal column is declared under pii")),
        ("creates", Text.assemble((described["target"], "bold"), made)),
        (
            "lets read",
            Text(", ".join(f"role {name}" for name in described["readers"]) or "nobody: no readers are named"),
        ),
        ("then", Text(f"at most one batch in {described['freshness_s']:g} s")),
        ("deletes", Text(f"{described['deletes']}: {_DELETES[described['deletes']]}")),
    ]
