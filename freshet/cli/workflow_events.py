"""What an execution of the workflows' state machine has done, read from its history.

The history is the same on AWS and on the sandbox; the names of states are those of `cloudformation/workflow.asl.json`.

Source: Step Functions API, "GetExecutionHistory", "HistoryEvent".
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

STAGES: Final = {"Load": "load", "Transform": "transform", "Unload": "unload"}
TASKS: Final = {"LoadFiles": "load", "RunTransform": "transform", "RunUnload": "unload"}
DONE: Final = {f"{stage}Done" for stage in STAGES}
FAILS: Final = {f"{stage}Fails" for stage in STAGES}
TELLS: Final = {f"{stage}Notify" for stage in STAGES}


@dataclass
class Step:
    """One item of a workflow: which, how it stands, since when, in which run of which job.

    `outcome` is running, done, failed or stopped; `waits` counts the attempts that found the job busy.
    """

    stage: str
    item: str
    file: str
    began: datetime
    outcome: str = "running"
    ended: datetime | None = None
    run: str = ""
    waits: int = 0

    @property
    def seconds(self) -> float:
        """How long it took, in seconds; 0 while it runs."""
        return (self.ended - self.began).total_seconds() if self.ended else 0.0


@dataclass
class Progress:
    """All that an execution has done so far; `told` is whether a failure was published."""

    steps: list[Step] = field(default_factory=list)
    told: bool = False

    def read(self, events: Iterable[Mapping[str, Any]]) -> "Progress":
        """Take in events, in their order; gives itself."""
        for event in events:
            self._take(event)
        return self

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, at = event["type"], event["timestamp"]
        entered = event.get("stateEnteredEventDetails", {}).get("name", "")
        exited = event.get("stateExitedEventDetails", {}).get("name", "")
        if entered in TASKS:
            item = json.loads(event["stateEnteredEventDetails"]["input"])["item"]
            self.steps.append(Step(TASKS[entered], item["name"], item.get("file") or item.get("load", ""), at))
        elif entered in DONE:
            self._end("done", at)
        elif entered in FAILS:
            self._end("failed", at)
        elif exited in TELLS:
            self.told = True
        elif kind in {"ExecutionAborted", "ExecutionTimedOut"}:
            self._end("stopped", at)
        elif kind == "TaskSubmitted" and event["taskSubmittedEventDetails"]["resourceType"] == "glue":
            self._run(event["taskSubmittedEventDetails"].get("output", "{}"))
        elif kind in {"TaskFailed", "TaskSubmitFailed"}:
            details = event.get("taskFailedEventDetails") or event.get("taskSubmitFailedEventDetails") or {}
            if self.steps and "ConcurrentRunsExceeded" in details.get("error", ""):
                self.steps[-1].waits += 1

    def _run(self, output: str) -> None:
        if self.steps:
            self.steps[-1].run = str(json.loads(output).get("JobRunId", ""))

    def _end(self, outcome: str, at: datetime) -> None:
        if self.steps and self.steps[-1].outcome == "running":
            self.steps[-1].outcome, self.steps[-1].ended = outcome, at


def history(stepfunctions: Any, execution: str, after: int) -> list[Any]:
    """Read the events of an execution behind one id."""
    pages = stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution)
    return [event for page in pages for event in page["events"] if event["id"] > after]
