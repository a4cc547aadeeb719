"""`freshet query`: one SELECT, the way an analyst's tool would send it."""

from pathlib import Path

import typer
from rich.table import Table
from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from freshet.cli.context import JSON_OPTION, announce, last_line, out, running_place
from freshet.errors import InputError
from freshet.redshift.data_api import StatementFailed


def query(
    sql: str = typer.Argument(help="A SELECT, or @FILE with one in it."),
    json_output: bool = JSON_OPTION,
) -> None:
    """Run one SELECT through the Redshift Data API.

    Example: freshet query "select sport_type, count(*) from public.my_table group by 1"
    """
    text = one_select(sql)
    place = running_place()
    announce(place, json_output)
    try:
        names, rows = place.warehouse.query_with_columns(text)
    except StatementFailed as failed:
        raise InputError(f"Redshift refused the query: {failed.reason}") from None
    if json_output:
        last_line({"columns": names, "rows": [list(row.values()) for row in rows]})
        return
    table = Table(*names)
    for row in rows:
        table.add_row(*["[dim]null[/dim]" if value is None else str(value) for value in row.values()])
    out.print(table)
    out.print(f"[dim]{len(rows)} row{'' if len(rows) == 1 else 's'}[/dim]")


def one_select(sql: str) -> str:
    """Give the statement's text, read from a file if it begins with @.

    Raises:
        InputError: There is no such file, or it is not exactly one SELECT.
    """
    text = sql
    if sql.startswith("@"):
        try:
            text = Path(sql[1:]).read_text()
        except OSError as error:
            raise InputError(f"{sql[1:]} cannot be read ({error.strerror})") from None
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
