"""`freshet query`: one SELECT, the way an analyst's tool would send it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from freshet.cli.context import AWS_OPTION, JSON_OPTION, STACK_OPTION, announce, find_place, last_line, out
from freshet.errors import InputError
from freshet.redshift.data_api import StatementFailed
from freshet.words import counted

WIDTH_MAX = 10_000  # wider than any table; what is not a terminal has no edge


def query(
    sql: str = typer.Argument(help="A SELECT, or @FILE with one in it."),
    aws: bool = AWS_OPTION,
    stack: str = STACK_OPTION,
    json_output: bool = JSON_OPTION,
) -> None:
    """Run one SELECT through the Redshift Data API.

    Example: freshet query "select sport_type, count(*) from public.my_table group by 1"
    """
    text = one_select(sql)
    place = find_place(aws, stack)
    announce(place, json_output)
    try:
        names, rows = place.warehouse.query_with_columns(text)
    except StatementFailed as failed:
        raise InputError(f"Redshift refused the query: {failed.reason}") from None
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two columns of the result are named {twice}: name one of them otherwise with `as`")
    values = [list(row.values()) for row in rows]
    if json_output:
        last_line({"columns": names, "rows": values})
        return
    drawn = render(names, values)
    if out.is_terminal and out.measure(drawn, options=out.options.update(max_width=WIDTH_MAX)).maximum > out.width:
        out.print(render_records(names, values))
    else:
        out.print(drawn, width=None if out.is_terminal else WIDTH_MAX, crop=False)
    out.print(f"[dim]{counted(len(rows), 'row')}[/dim]")


def render(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> RenderableType:
    """Draw a result as a table."""
    table = Table(*[escape(name) for name in names])
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def render_records(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> RenderableType:
    """Draw a result that is too wide for the terminal: a line a value, an empty line between rows."""
    parts = []
    for row in rows:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in zip(names, row, strict=True):
            grid.add_row(Text(name), _cell(value))
        grid.add_row("", "")
        parts.append(grid)
    return Group(*parts)


def _cell(value: object) -> Text:
    return Text("null", "dim") if value is None else Text(str(value))


def one_select(sql: str) -> str:
    """Give the statement's text, read from a file if it begins with @.

    Raises:
        InputError: There is no such file, or it is not exactly one SELECT.
    """
    text = sql
    if sql.startswith("@"):
        try:
            text = Path(sql[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"{sql[1:]} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise InputError(f"{sql[1:]} is not UTF-8") from None
    text = text.strip().rstrip(";").strip()
    try:
        tokens = Redshift().tokenize(text)
    except SqlglotError:
        raise InputError("the query cannot be read: is a quote left open?") from None
    if not tokens or tokens[0].token_type not in {TokenType.SELECT, TokenType.WITH}:
        raise InputError("query runs one SELECT; it begins with SELECT or WITH")
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise InputError("query runs one SELECT; this text holds several statements")
    return text
