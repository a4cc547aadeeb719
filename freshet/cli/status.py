"""`freshet status`: what each pipeline has done, and how fresh its table is."""

import time
from datetime import UTC, datetime
from typing import Any

import typer
from rich import box
from rich.live import Live
from rich.table import Table

from freshet.cli.context import JSON_OPTION, Place, announce, last_line, out, running_place
from freshet.errors import InputError
from freshet.redshift.positions import utc
from freshet.redshift.status import pipelines, shards, summary


def status(
    pipeline: str = typer.Argument(None, help="One pipeline, with its shards; all when left out."),
    watch: bool = typer.Option(False, "--watch", help="Refresh until Ctrl-C."),
    json_output: bool = JSON_OPTION,
) -> None:
    """Show what each pipeline has done, and how fresh its table is.

    Example: freshet status --watch
    """
    place = running_place()
    if json_output:
        last_line({"pipelines": collect(place, pipeline)})
        return
    announce(place, json_output)
    if not watch:
        out.print(render(collect(place, pipeline)))
        return
    with Live(render(collect(place, pipeline)), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(1)
            live.update(render(collect(place, pipeline)), refresh=True)


def collect(place: Place, pipeline: str | None) -> list[dict[str, Any]]:
    """Read the ledgers.

    Raises:
        InputError: There is no ledger of that pipeline.
    """
    known = pipelines(place.warehouse)
    if pipeline is not None and pipeline not in known:
        raise InputError(f"no pipeline {pipeline} has run here yet; known: {', '.join(known) or 'none'}")
    found = []
    for name in known if pipeline is None else [pipeline]:
        one = summary(place.warehouse, name)
        as_of = utc(one["data_as_of"])
        one["age_s"] = round((datetime.now(UTC) - as_of).total_seconds(), 1) if as_of else None
        if pipeline is not None:
            one["shards"] = shards(place.warehouse, name)
        found.append(one)
    return found


def render(found: list[dict[str, Any]]) -> Table | str:
    """Draw the table."""
    if not found:
        return "no pipeline has run here yet: freshet run PIPELINE"
    table = Table("pipeline", "target", "data as of (UTC)", "age", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("batches", "received", "merged", "superseded", "ignored", "quarantined"):
        table.add_column(name, justify="right")
    for one in found:
        age = "-" if one["age_s"] is None else f"{one['age_s']:.0f} s"
        counts = [
            f"{one[name]:,}" for name in ("batches", "received", "merged", "superseded", "ignored", "quarantined")
        ]
        table.add_row(one["pipeline"], one["target"], str(one["data_as_of"] or "-")[:19], age, *counts)
        for shard in one.get("shards", ()):
            table.add_row(
                "", f"[dim]{shard['shard']}[/dim]", f"[dim]{shard['kind']} {(shard['sequence'] or '')[-12:]}[/dim]"
            )
    return table
