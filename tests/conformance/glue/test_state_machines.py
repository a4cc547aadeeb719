"""What the sandbox corrects in moto's Step Functions, as the Step Functions developer guide describes it."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from freshet.cli.context import Place
from tests.patience import HANGS_S

ROLE = "arn:aws:iam::123456789012:role/any"
TASK = {
    "Type": "Task", "Resource": "arn:aws:states:::glue:startJobRun.sync", "Parameters": {"JobName": "JOB"},
    "ResultSelector": {"JobRunState.$": "$.JobRunState", "JobName.$": "$.JobName"}, "End": True,
}  # fmt: skip


class Machines:
    """State machines over one Glue job."""

    def __init__(self, place: Place) -> None:
        self.sfn, self.glue = place.client("stepfunctions"), place.client("glue")
        self.s3, self.bucket = place.client("s3"), place.endpoints["staging_bucket"]

    def job(self, code: str) -> str:
        """Make a job; give its name."""
        name = f"job-{uuid.uuid4().hex[:8]}"
        self.s3.put_object(Bucket=self.bucket, Key=f"scripts/{name}.py", Body=code.encode())
        command = {"Name": "pythonshell", "ScriptLocation": f"s3://{self.bucket}/scripts/{name}.py"}
        self.glue.create_job(Name=name, Role=ROLE, Command=command)
        return name

    def starts(self, job: str, *, within_a_map: bool = False) -> str:
        """Start an execution of a machine that runs the job; give its ARN."""
        states: dict[str, Any] = {"Run": json.loads(json.dumps(TASK).replace("JOB", job))}
        if within_a_map:
            inner = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Run", "States": states}
            states = {"Each": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": inner, "End": True}}
        definition = json.dumps({"StartAt": next(iter(states)), "States": states})
        name = f"m-{uuid.uuid4().hex[:8]}"
        machine = self.sfn.create_state_machine(name=name, definition=definition, roleArn=ROLE)["stateMachineArn"]
        started = self.sfn.start_execution(stateMachineArn=machine, name=name, input='{"items": [1]}')
        return str(started["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        """Read an execution once it has ended."""

        def found() -> Any:
            told = self.sfn.describe_execution(executionArn=execution)
            return told if told["status"] != "RUNNING" else None

        return dict(wait_for(found))


@pytest.fixture
def machines(place: Place) -> Machines:
    """The sandbox of this test run."""
    return Machines(place)


def wait_for(condition: Callable[[], Any]) -> Any:
    """Wait until something is so, three minutes at most."""
    end = time.monotonic() + HANGS_S
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_a_task_waits_for_its_run(machines: Machines) -> None:
    """'Run AWS Glue jobs with Step Functions': .sync gives the run when it has ended."""
    told = machines.ended(machines.starts(machines.job("print('done')")))
    assert "SUCCEEDED" == told["status"]
    assert "SUCCEEDED" == json.loads(told["output"])["JobRunState"]
    assert json.loads(told["output"])["JobName"].startswith("job-")


def test_a_run_that_fails_fails_the_task(machines: Machines) -> None:
    """The same page: States.TaskFailed, whose cause is the run as JSON."""
    told = machines.ended(machines.starts(machines.job("import sys; sys.exit('the cause')")))
    assert ("FAILED", "States.TaskFailed") == (told["status"], told["error"])
    assert "the cause" == json.loads(told["cause"])["ErrorMessage"]


@pytest.mark.parametrize("within_a_map", [False, True])
@pytest.mark.parametrize("why", [{}, {"error": "Mine", "cause": "because"}])
def test_a_stopped_execution_stops_its_run(machines: Machines, within_a_map: bool, why: dict[str, str]) -> None:
    """'StopExecution': ABORTED, within a Map too; 'Integration patterns': the job of a .sync task is cancelled."""
    job = machines.job("import time; time.sleep(600)")
    execution = machines.starts(job, within_a_map=within_a_map)
    wait_for(lambda: machines.glue.get_job_runs(JobName=job)["JobRuns"])
    machines.sfn.stop_execution(executionArn=execution, **why)
    assert "ABORTED" == machines.ended(execution)["status"]
    wait_for(lambda: {"STOPPED"} == {run["JobRunState"] for run in machines.glue.get_job_runs(JobName=job)["JobRuns"]})
    events = machines.sfn.get_execution_history(executionArn=execution)["events"]
    assert "ExecutionAborted" == events[-1]["type"]
