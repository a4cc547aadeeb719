"""`freshet sandbox`: stand-ins for MySQL, DMS, Kinesis, S3, Secrets Manager and Redshift on this machine."""

from enum import StrEnum
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from freshet.cli.context import JSON_OPTION, last_line, out, sandbox_folder, start_sandbox


class Server(StrEnum):
    """What stands for RDS MySQL."""

    MYSQL = "mysql"
    MARIADB = "mariadb"


SERVERS = {Server.MYSQL: "MySQL", Server.MARIADB: "MariaDB"}
sandbox = typer.Typer(
    help="Run stand-ins for AWS and MySQL on this machine; state lives under .freshet/.\n\nExample: freshet sandbox up",
    no_args_is_help=True,
)


@sandbox.command()
def up(
    database: str = typer.Option("sports", help="MySQL database that pipelines read."),
    mysql: Server | None = typer.Option(
        None, help="Server that stands for RDS MySQL; else MySQL where this machine has it (`make mysql`), and MariaDB."
    ),
    json_output: bool = JSON_OPTION,
) -> None:
    """Start it; what it held before is kept.

    Example: freshet sandbox up
    """
    place = start_sandbox(
        sandbox_folder(),
        database=database,
        mysql=mysql and mysql.value,
        on_progress=None if json_output else out.print,
    )
    show({"running": True, **place.endpoints}, json_output)


@sandbox.command()
def down(json_output: bool = JSON_OPTION) -> None:
    """Stop it; its state is kept.

    Example: freshet sandbox down
    """
    from sandbox import control  # noqa: PLC0415

    control.stop(sandbox_folder())
    show(control.status(sandbox_folder()), json_output)


@sandbox.command()
def status(json_output: bool = JSON_OPTION) -> None:
    """Show every endpoint, and what DMS delivered and left out.

    Example: freshet sandbox status --json
    """
    from sandbox import control  # noqa: PLC0415

    show(control.status(sandbox_folder()), json_output)


@sandbox.command()
def reset(json_output: bool = JSON_OPTION) -> None:
    """Stop it and delete what it held.

    Example: freshet sandbox reset
    """
    from sandbox import control  # noqa: PLC0415

    control.reset(sandbox_folder())
    show(control.status(sandbox_folder()), json_output)


def show(endpoints: dict[str, Any], json_output: bool) -> None:
    """Print the endpoints; the password only as JSON, where a script asked for it."""
    if json_output:
        last_line(endpoints)
        return
    if not endpoints.get("running"):
        out.print("the sandbox is not running")
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    mysql, redshift = endpoints["mysql"], endpoints["redshift"]
    where = f"{mysql['host']}:{mysql['port']}, database {mysql['database']}, user {mysql['user']}"
    table.add_row("MySQL", f"{SERVERS[Server(mysql['server'])]} {mysql['version']} at {where}")
    table.add_row("Kinesis, S3, secrets", f"{endpoints['aws']['endpoint_url']} ({endpoints['aws']['region']})")
    table.add_row(
        "Redshift Data API",
        f"{redshift['endpoint_url']}, workgroup {redshift['workgroup']}, database {redshift['database']}",
    )
    table.add_row("stream", endpoints["stream"])
    table.add_row("staging bucket", endpoints["staging_bucket"])
    if dms := endpoints.get("dms"):
        table.add_row("DMS", describe_dms(dms))
    out.print(table)
    out.print("[dim]passwords: freshet sandbox status --json[/dim]")


def describe_dms(dms: dict[str, Any]) -> Text:
    """Say in a line what DMS has done, and in red what it has not."""
    told = Text(f"delivered {dms['delivered'] or 0:,} records")
    if dms["skipped"]:
        told.append(f", left out {dms['skipped']:,}", "bold red")
    if dms["suspended"]:
        names = ", ".join(f"{schema}.{table}" for schema, table in dms["suspended"])
        told.append(f", no longer replicates {names}", "bold red")
    if dms["problem"]:
        told.append(f"\n{dms['problem']}", "bold red")
    return told
