"""`freshet status`: how fresh each table is, and what ran; on AWS, what every part of the stack does."""

import time
from datetime import UTC, datetime
from typing import Any

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from freshet.cli.capture import problem_of
from freshet.cli.context import (
    AWS_OPTION,
    JSON_OPTION,
    STACK_OPTION,
    AwsPlace,
    Place,
    announce,
    find_place,
    last_line,
    out,
)
from freshet.deploy.state import read_state
from freshet.errors import FreshetError, InputError
from freshet.ledger.positions import utc
from freshet.ledger.status import pipelines, recent_runs, shards, summary

SHOWN = ("batches", "received", "written", "removed", "pending", "quarantined")


def status(
    pipeline: str = typer.Argument(None, help="One pipeline, with its shards; all when left out."),
    watch: bool = typer.Option(False, "--watch", help="Refresh until Ctrl-C."),
    aws: bool = AWS_OPTION,
    stack: str = STACK_OPTION,
    json_output: bool = JSON_OPTION,
) -> None:
    """Show how fresh each table is, and the newest runs: streaming, loads, SQL files, exports.

    Example: freshet status --watch
    """
    place = find_place(aws, stack)
    if json_output:
        last_line(read(place, pipeline))
        return
    announce(place, json_output)
    if not watch:
        out.print(draw(read(place, pipeline)))
        return
    pause_s = 1 if isinstance(place, Place) else 10
    with Live(draw(read(place, pipeline)), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(pause_s)
            live.update(draw(read(place, pipeline)), refresh=True)


def read(place: Place | AwsPlace, pipeline: str | None) -> dict[str, Any]:
    """Read all that there is to show: the ledgers, and on AWS the parts of the stack; on the sandbox whether DMS works.

    Raises:
        InputError: There is no ledger of that pipeline.
    """
    if isinstance(place, Place):
        problem = problem_of(place)
        capture = {"status": "stopped" if problem else "running", "reason": problem}
        return {"capture": capture, **_ledgers(place, pipeline)}
    try:
        found: Any = _ledgers(place, pipeline)
    except InputError:
        raise
    except FreshetError as error:
        found = {"pipelines": {"problem": str(error)}, "runs": []}
    return {"stack": place.account.stack, **read_state(place.account, place.outputs), **found}


def _ledgers(place: Place | AwsPlace, pipeline: str | None) -> dict[str, Any]:
    found = collect(place, pipeline)
    return {"pipelines": found, "runs": recent_runs(place.warehouse, [one["pipeline"] for one in found])}


def draw(found: dict[str, Any]) -> RenderableType:
    """Draw what `read` found."""
    ledgers = found["pipelines"]
    drawn: list[RenderableType] = [render_parts(found)] if "stack" in found else []
    if "stack" not in found and found["capture"]["reason"]:
        drawn.append(Text(found["capture"]["reason"], "bold red"))
    drawn.append(Text(ledgers["problem"], "yellow") if "problem" in ledgers else render(ledgers))
    return Group(*drawn, *([render_runs(found["runs"])] if found["runs"] else []))


def collect(place: Place | AwsPlace, pipeline: str | None) -> list[dict[str, Any]]:
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
    for name in SHOWN:
        table.add_column(name, justify="right")
    for one in found:
        age = "-" if one["age_s"] is None else f"{one['age_s']:.0f} s"
        counts = [f"{one[name]:,}" for name in SHOWN]
        if one["quarantined"]:
            counts[-1] = f"[bold red]{counts[-1]}[/bold red]"
        table.add_row(one["pipeline"], one["target"] or "-", str(one["data_as_of"] or "-")[:19], age, *counts)
        if one["pending_since"]:
            table.add_row("", f"[dim]oldest pending work: {str(one['pending_since'])[:19]}[/dim]")
        for shard in one.get("shards", ()):
            table.add_row(
                "", f"[dim]{shard['shard']}[/dim]", f"[dim]{shard['kind']} {(shard['sequence'] or '')[-12:]}[/dim]"
            )
    return table


def render_runs(found: list[dict[str, Any]]) -> RenderableType:
    """Draw the newest runs, a line each; below, why those that failed did."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    table.add_column("started (UTC)", no_wrap=True)
    for name in ("seconds", "rows", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    colors = {"done": "green", "current": "green", "failed": "bold red", "lost": "bold red", "stopped": "yellow"}
    reasons = []
    for one in found:
        numbers = [f"{one[name]:,}" if one[name] or name == "seconds" else "-" for name in ("seconds", "rows", "bytes")]
        outcome = Text(one["outcome"], colors.get(one["outcome"], ""))
        table.add_row(Text(f"{one['kind']} {one['name']}"), str(one["started_at"])[:19], *numbers, outcome)
        if one["outcome"] == "failed":
            reasons.append(Text(f"{str(one['started_at'])[11:19]} {one['message']}", "dim"))
    return Group(table, *reasons)


def render_parts(found: dict[str, Any]) -> Table:
    """Draw capture, stream, job, ledger and alarms of a stack, a line each."""
    table = Table("part", "state", "", box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
    for name, tell in (("capture", _capture), ("stream", _stream), ("job", _job)):
        part = found[name]
        state, rest = ("?", part["problem"]) if "problem" in part else tell(part)
        table.add_row(Text(name, "bold"), Text(state, _color(state)), Text(rest))
    alarms = found["alarms"]
    if isinstance(alarms, dict):
        table.add_row(Text("alarms", "bold"), Text("?", "yellow"), Text(alarms["problem"]))
        return table
    ringing = [alarm for alarm in alarms if alarm["state"] == "ALARM"]
    silent = [alarm for alarm in alarms if alarm["state"] == "INSUFFICIENT_DATA"]
    for number, alarm in enumerate(ringing):
        table.add_row(
            Text("" if number else "alarms", "bold"),
            Text("ALARM", "bold red"),
            Text(f"{alarm['alarm']}: {alarm['means']}"),
        )
    quiet = f"{len(alarms) - len(ringing) - len(silent)} of {len(alarms)} are quiet"
    without = f"; no data yet: {', '.join(alarm['alarm'] for alarm in silent)}" if silent else ""
    table.add_row(
        Text("" if ringing else "alarms", "bold"), Text("" if ringing else "OK", "green"), Text(quiet + without)
    )
    return table


def _color(state: str) -> str:
    good = {"running", "ACTIVE", "RUNNING", "SUCCEEDED"}
    bad = {"failed", "FAILED", "ERROR", "TIMEOUT", "stopped", "STOPPED", "EXPIRED", "never started"}
    return "green" if state in good else "bold red" if state in bad else "yellow"


def _capture(part: dict[str, Any]) -> tuple[str, str]:
    told = [f"first load {part['full_load_percent']} %"] if part["full_load_percent"] is not None else []
    if part["tables_in_error"]:
        told.append(f"no longer replicates {', '.join(part['tables_in_error'])}")
    elif part["tables_errored"]:
        told.append(f"{part['tables_errored']} tables with errors")
    for name, label in (("latency_source_s", "reads"), ("latency_target_s", "writes")):
        if part[name] is not None:
            told.append(f"{label} {part[name]:.0f} s late")
    if part["status"] != "running" and part["reason"]:
        told.append(part["reason"])
    return part["status"], ", ".join(told)


def _stream(part: dict[str, Any]) -> tuple[str, str]:
    age = "" if part["iterator_age_s"] is None else f", read {part['iterator_age_s']:.0f} s after it was written"
    return part["status"], f"{part['shards']} shards, keeps {part['retention_h']} h{age}"


def _job(part: dict[str, Any]) -> tuple[str, str]:
    told = [f"since {part['started'][:19].replace('T', ' ')}"] if part["started"] else []
    if part["worker_type"]:
        told.append(f"{part['workers']} x {part['worker_type']}")
    if part["old_code"]:
        told.append("on older code: freshet deploy restarts it")
    if part["error"]:
        told.append(part["error"])
    return part["status"], ", ".join(told)
