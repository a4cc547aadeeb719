"""The command `freshet`: one module a command, one place where errors become exit codes.

0 done, 1 failed, 2 your input is wrong, 3 the environment is.
"""

import typer
from rich.markup import escape
from typer._click.exceptions import ClickException  # typer carries its own copy of click, and raises its errors

from freshet.__main__ import INTERRUPTED
from freshet.cli.context import err, last_line
from freshet.cli.demo import demo
from freshet.cli.deploy import deploy
from freshet.cli.destroy import destroy
from freshet.cli.export import export
from freshet.cli.load import load
from freshet.cli.plan import plan
from freshet.cli.pull import pull_command
from freshet.cli.query import query
from freshet.cli.run import run
from freshet.cli.sandbox import sandbox
from freshet.cli.simulate import simulate
from freshet.cli.sql import sql
from freshet.cli.status import status
from freshet.cli.verify import verify
from freshet.cli.workflow import workflow
from freshet.errors import FreshetError

app = typer.Typer(
    name="freshet",
    help="Keep a Redshift table current from a live MySQL database.\n\nStart with: freshet demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(demo)
app.add_typer(sandbox, name="sandbox")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
    simulate
)
app.command()(plan)
app.command()(run)
app.command()(status)
app.command()(query)
app.add_typer(sql, name="sql")
app.add_typer(workflow, name="workflow")
app.command()(verify)
app.command(name="pull")(pull_command)
app.add_typer(export, name="export")
app.command()(load)
app.command()(deploy)
app.command()(destroy)


def run_command(argv: list[str]) -> int:
    """Run one command; give its exit code."""
    try:
        result = app(argv, prog_name="freshet", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except FreshetError as error:
        err.print(f"[bold red]error[/bold red] {escape(str(error))}", soft_wrap=True)
        if "--json" in argv:
            last_line({"error": str(error), "kind": type(error).__name__})
        return error.exit_code
    except ClickException as error:
        error.show()
        if "--json" in argv:
            last_line({"error": error.format_message(), "kind": "UsageError"})
        return 2
    except (typer.Abort, KeyboardInterrupt):
        err.print("interrupted")
        return INTERRUPTED
