"""`freshet workflow`: SQL files chained into a state machine, run and followed to the end."""

import json
import time
import uuid
from typing import Any

import typer
from rich.markup import escape
from rich.status import Status

from batch_jobs.run_sql.script import parameters_of
from batch_jobs.run_sql.statements import WrongFile
from batch_jobs.stopping import signals
from batch_jobs.workflow.execution import execution_input
from freshet.__main__ import INTERRUPTED
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
from freshet.cli.workflow_events import Progress, Step, history
from freshet.cli.workflow_place import (
    WORKFLOWS,
    Site,
    aws_site,
    count_items,
    find_workflow,
    names,
    read_local,
    sandbox_site,
)
from freshet.deploy.account import aws_errors
from freshet.errors import EnvironmentFault, InputError
from freshet.redshift.data_api import StatementFailed
from freshet.redshift.literals import quote
from freshet.redshift.runs import TABLE
from freshet.words import counted

workflow = typer.Typer(help="Run SQL files that are chained into a state machine.", no_args_is_help=True)
AWS_POLL_S, SANDBOX_POLL_S = 2.0, 0.2


@workflow.callback()
def _group() -> None:
    """Run SQL files that are chained into a state machine."""


@workflow.command("list")
def list_workflows(json_output: bool = JSON_OPTION) -> None:
    """Show the workflows below sql/workflows.

    Example: freshet workflow list
    """
    found = [read_local(find_workflow(name)) for name in names()]
    if json_output:
        last_line({"workflows": [{"name": each.name, "description": each.description} for each in found]})
        return
    for each in found:
        needed = [name for name, value in each.parameters.items() if value is None]
        asks = f" [dim]needs {', '.join(needed)}[/dim]" if needed else ""
        out.print(f"[bold]{each.name}[/bold]  {escape(each.description)}{asks}", soft_wrap=True)
    if not found:
        out.print(f"{WORKFLOWS}/ has none")


@workflow.command("run")
def run_workflow(
    name: str = typer.Argument(help="A name under sql/workflows/, or a path to a folder.", show_default=False),
    parameter: list[str] = typer.Option(
        [], "--parameter", "-p", metavar="NAME=VALUE", help="Value of a parameter of workflow.yaml; may be repeated."
    ),
    aws: bool = AWS_OPTION,
    stack: str = STACK_OPTION,
    json_output: bool = JSON_OPTION,
) -> int:
    """Run a workflow: loads, then SQL files, then unloads, each a Glue job that the deployed state machine starts and awaits.

    On the sandbox the state machine and its jobs are put in place first, from the same templates; on AWS what was deployed runs.
    The first failure ends it, and is told to the topic of the workflows. Ctrl-C stops what runs.

    Example: freshet workflow run daily_sales --parameter day=2026-05-01
    """
    given = _given(parameter)
    place = find_place(aws, stack)
    if isinstance(place, Place):
        folder = find_workflow(name)
        read_local(folder)
        announce(place, json_output)
        site, name = sandbox_site(place, folder), folder.resolve().name
    else:
        announce(place, json_output)
        site = aws_site(place)
    with aws_errors():
        run = _Run(site, name, given, json_output, SANDBOX_POLL_S if isinstance(place, Place) else AWS_POLL_S)
        code = run.to_the_end()
    if isinstance(place, AwsPlace):
        place.close()
    return code


def _given(written: list[str]) -> dict[str, str]:
    try:
        return parameters_of(written)
    except WrongFile as error:
        raise InputError(f"--parameter: {error}") from None


class _Run:
    """One execution, followed to its end."""

    def __init__(self, site: Site, name: str, given: dict[str, str], silent: bool, poll_s: float) -> None:
        self.site, self.name, self.silent, self.poll_s = site, name, silent, poll_s
        self.definition = site.read(name)
        self.input = execution_input(self.definition, given, site.deployed)
        self.progress = Progress()
        self.told: list[dict[str, Any]] = []
        self.status = Status("", console=out) if out.is_terminal and not silent else None

    def to_the_end(self) -> int:
        """Start it, follow it; gives the exit code."""
        began = time.monotonic()
        self.execution = self.site.stepfunctions.start_execution(
            stateMachineArn=self.site.state_machine,
            name=f"{self.name}-{uuid.uuid4()}"[:80],
            input=json.dumps(self.input),
        )["executionArn"]
        self._say(f"[dim]{count_items(self.definition)} items, execution {self.execution.rpartition(':')[2]}[/dim]")
        with signals() as stopping:
            ended = self._follow(stopping)
        seconds = time.monotonic() - began
        return self._tell_end(ended, seconds)

    def _follow(self, stopping: Any) -> dict[str, Any]:
        last, asked = 0, False
        if self.status:
            self.status.start()
        try:
            while True:
                if stopping() and not asked:
                    asked = True
                    self._say("stopping")
                    self.site.stepfunctions.stop_execution(
                        executionArn=self.execution, error="Freshet.Stopped", cause="stopped by Ctrl-C"
                    )
                found = self.site.stepfunctions.describe_execution(executionArn=self.execution)
                events = history(self.site.stepfunctions, self.execution, last)
                last = max([last, *(int(event["id"]) for event in events)])
                self.progress.read(events)
                self._show()
                if found["status"] != "RUNNING" and not events:
                    return dict(found)
                time.sleep(self.poll_s if found["status"] == "RUNNING" else 0)
        finally:
            if self.status:
                self.status.stop()

    def _show(self) -> None:
        for step in self.progress.steps[len(self.told) :]:
            if step.outcome == "running":
                if self.status:
                    self.status.update(f"{step.stage}: {escape(step.item)}")
                return
            self._tell(step)

    def _tell(self, step: Step) -> None:
        rows = self._rows(step) if step.outcome == "done" else None
        self.told.append(
            {
                "state": step.stage, "item": step.item, "outcome": step.outcome, "seconds": round(step.seconds, 3),
                "rows": rows, "run": step.run,
            }
        )  # fmt: skip
        color = {"done": "green", "failed": "red", "stopped": "yellow"}[step.outcome]
        moved = "" if rows is None else f"{counted(rows, 'row')}, "
        waited = f", {step.waits} times the job was busy" if step.waits else ""
        self._say(
            f"{step.stage:<9} {escape(step.item)}: [{color}]{step.outcome}[/{color}], {moved}{step.seconds:.1f} s{waited}"
        )

    def _rows(self, step: Step) -> int | None:
        """Ask the ledger how many rows an item moved; None when it does not say, or may not be read."""
        kind, name = ("load", step.item) if step.stage == "load" else ("sql", f"{self.name}/{step.item}")
        asked = f"select rows from {TABLE} where kind = {quote(kind)} and name = {quote(name)} order by started_at desc limit 1"
        try:
            found = self.site.warehouse.query(asked)
        except (StatementFailed, EnvironmentFault):
            return None
        return int(found[0]["rows"]) if found else None

    def _tell_end(self, ended: dict[str, Any], seconds: float) -> int:
        status, cause = ended["status"], ended.get("cause", "")
        if self.silent:
            last_line(
                {
                    "workflow": self.name, "execution": self.execution, "status": status, "seconds": round(seconds, 3),
                    "items": self.told, "error": ended.get("error"), "cause": cause or None,
                }
            )  # fmt: skip
        if status == "SUCCEEDED":
            self._say(f"[green]done[/green]: {self.name}, {seconds:.1f} s")
            return 0
        if status == "ABORTED":
            err.print("stopped; what its files had committed stays, and it may be run again")
            return INTERRUPTED
        told = f"told to {self.site.topic.rpartition(':')[2]}" if self.progress.told else "nobody was told"
        err.print(f"[bold red]failed[/bold red] {escape(cause or ended.get('error', status))} ({told})", soft_wrap=True)
        return 1

    def _say(self, text: str) -> None:
        if not self.silent:
            out.print(text, soft_wrap=True)
