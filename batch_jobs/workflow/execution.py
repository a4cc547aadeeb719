"""Turn a workflow into the input of an execution of the state machine.

Reads:  a Workflow, the values that this run is given, where the deployment lies.
Gives:  {"workflow", "load": [...], "transform": [...], "unload": [...]}, as `cloudformation/workflow.asl.json` takes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from batch_jobs.workflow.definition import REFERENCE, STAGES, Item, Workflow
from freshet.errors import InputError


@dataclass(frozen=True)
class Deployed:
    """Where the files of a deployment lie, and what values may name.

    Attributes:
        bucket: Where the files of the deployment lie.
        prefix: Key of the folder that holds workflows/ and loads/, without a slash at its end.
        data: s3:// URL of the data, without a slash at its end: {data}.
        role: ARN with which Redshift reads and writes there: {role}.
    """

    bucket: str
    prefix: str
    data: str
    role: str

    def workflow(self, name: str) -> str:
        """Key of a workflow's folder."""
        return f"{self.prefix}/workflows/{name}"

    def load(self, name: str) -> str:
        """s3:// URL of a load's definition."""
        return f"s3://{self.bucket}/{self.prefix}/loads/{name}.json"


def execution_input(
    workflow: Workflow, given: Mapping[str, str], deployed: Deployed, now: datetime | None = None
) -> dict[str, Any]:
    """Write the input of an execution.

    Args:
        workflow: What runs.
        given: Values of its parameters for this run.
        deployed: Where its files lie.
        now: Whose day is {today}, in UTC.

    Raises:
        InputError: A parameter is unknown, or has no value.
    """
    values = parameter_values(workflow, given, deployed, now or datetime.now(UTC))

    def told(item: Item) -> dict[str, Any]:
        if item.load is not None:
            return {"name": item.load, "load": deployed.load(item.load)}
        own = {name: _filled(value, values) for name, value in item.parameters.items()}
        return {
            "name": item.name,
            "file": f"{deployed.workflow(workflow.name)}/{item.name}",
            "parameters": {name: own.get(name, values.get(name, "")) for name in workflow.uses[item.name]},
            "mode": item.mode,
        }

    return {"workflow": workflow.name, **{stage: [told(item) for item in workflow.stages[stage]] for stage in STAGES}}


def parameter_values(workflow: Workflow, given: Mapping[str, str], deployed: Deployed, now: datetime) -> dict[str, str]:
    """Give every parameter of a workflow its value for this run.

    Raises:
        InputError: A given one is unknown, or one that must be given is not.
    """
    for name in given:
        if name not in workflow.parameters:
            known = ", ".join(workflow.parameters) or "none"
            raise InputError(f"the workflow {workflow.name} has no parameter {name}; it has: {known}")
    day = now.astimezone(UTC).date()
    values = {
        "data": deployed.data,
        "role": deployed.role,
        "today": day.isoformat(),
        "yesterday": (day - timedelta(days=1)).isoformat(),
    }
    for name, default in workflow.parameters.items():
        if name in given:
            values[name] = given[name]
        elif default is None:
            raise InputError(f"the workflow {workflow.name} must be told its {name}: --parameter {name}=...")
        else:
            values[name] = _filled(default, values)
    return values


def _filled(text: str, values: Mapping[str, str]) -> str:
    return REFERENCE.sub(lambda found: values[found[1]], text)
