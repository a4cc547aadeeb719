"""Whatever ends the streaming job, it is started again; and what is looked at tells of it."""

import json
from typing import Any

import pytest

from freshet.cli.context import Place
from freshet.deploy.start import where_to_look
from tests.cloudformation.templates import resources, template
from tests.deploy.cloud import Cloud
from tests.deploy.conftest import Person

JOB, SCHEDULE = "streaming-cdc-kinesis2redshift-demo", "restart-streaming-demo"


def schedule(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("scheduler").get_schedule(Name=SCHEDULE)
    return found


@pytest.mark.parametrize("kind", ["gluestreaming", "glueetl"])
def test_a_deployed_job_is_started_again_by_a_schedule(person: Person, kind: str) -> None:
    """Of both types: by a call that is refused while a run lives, for a trigger of Glue's would leave a failed run each time."""
    person.deploys("--yes", "--set", f"StreamingJobType={kind}")
    made = schedule(person.cloud)
    assert ("ENABLED", "rate(5 minutes)") == (made["State"], made["ScheduleExpression"])
    assert made["Target"]["Arn"].endswith(":scheduler:::aws-sdk:glue:startJobRun")
    assert {"JobName": JOB} == json.loads(made["Target"]["Input"])
    assert 0 == made["Target"]["RetryPolicy"]["MaximumRetryAttempts"]


def test_nothing_is_started_before_the_stack_is(person: Person) -> None:
    """With --no-start the schedule rests."""
    person.deploys("--yes", "--no-start")
    assert "DISABLED" == schedule(person.cloud)["State"]


def test_no_run_is_started_while_one_is_being_stopped(person: Person) -> None:
    """An update and a destruction disable the schedule first; the update enables it again, and loses nothing of it."""
    person.deploys("--yes")
    before = schedule(person.cloud)
    person.deploys("--yes", "--set", "MaxWorkers=3")
    calls = [call for call in person.cloud.calls if call in {"scheduler.update_schedule", "glue.batch_stop_job_run"}]
    assert ["scheduler.update_schedule", "glue.batch_stop_job_run", "scheduler.update_schedule"] == calls
    after = schedule(person.cloud)
    kept = ("State", "Target", "ScheduleExpression", "FlexibleTimeWindow", "Description")
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}
    person.runs("destroy", "--stack", "demo", "--yes")
    calls = person.cloud.calls
    assert calls.index("scheduler.update_schedule") < calls.index("glue.batch_stop_job_run")


def test_runs_end_before_glue_would_end_them() -> None:
    """An explicit time below seven days, for both types; no worker comes or goes meanwhile."""
    (job,) = [job for _, logical, job in resources("AWS::Glue::Job") if logical == "StreamingJob"]
    assert 10079 == job["Timeout"]
    assert "false" == job["DefaultArguments"]["--enable-auto-scaling"]
    assert ({"Ref": "WorkerType"}, {"Ref": "MaxWorkers"}) == (job["WorkerType"], job["NumberOfWorkers"])
    told = job["DefaultArguments"]
    assert (job["WorkerType"], job["NumberOfWorkers"]) == (told["--worker_type"], told["--workers"])


def test_status_names_the_tables_that_dms_gave_up(person: Person, place: Place) -> None:
    """`Table error`, on whatever page of the answer."""
    person.cloud.warehouse = place.warehouse
    person.deploys("--yes")
    person.cloud.tables = [
        {"SchemaName": "shop", "TableName": name, "TableState": state}
        for name, state in (("orders", "Table completed"), ("items", "Table error"), ("users", "Table error"))
    ]
    assert "no longer replicates shop.items, shop.users" in " ".join(
        person.runs("status", "--aws", "--stack", "demo").split()
    )
    told = json.loads(person.runs("status", "--aws", "--stack", "demo", "--json").splitlines()[-1])
    assert ["shop.items", "shop.users"] == told["capture"]["tables_in_error"]


def test_every_log_that_is_pointed_to_is_the_one_that_python_writes(person: Person) -> None:
    """Since Glue 5.0 a program's stdout and stderr go to the output group ("Logging for AWS Glue jobs")."""
    groups = {logical: group["LogGroupName"]["Fn::Sub"] for _, logical, group in resources("AWS::Logs::LogGroup")}
    told = [output["Value"]["Ref"] for name in ("jobs", "serving") for output in template(name)["Outputs"].values()
            if output["Value"].get("Ref") in groups]  # fmt: skip
    assert ["OutputLog"] == told
    assert groups["OutputLog"].endswith("/output")
    filters = [logical for _, logical, _ in resources("AWS::Logs::MetricFilter")]
    assert [] == filters, "a filter must read the output group"
    person.deploys("--yes")
    (stack,) = person.cloud.client("cloudformation").describe_stacks(StackName="demo")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    account: Any = type("Account", (), {"region": "us-east-1", "partition": "aws"})
    assert where_to_look(account, outputs)["log"].endswith("streaming$252Foutput")
