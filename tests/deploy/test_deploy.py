"""`freshet deploy`, as a person sees it: against moto's CloudFormation, with the types that moto lacks put beside it."""

import json
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

from freshet.cli.context import ROOT as PROJECT
from freshet.cli.context import Place
from freshet.deploy.account import Account
from tests.deploy.cloud import keys
from tests.deploy.conftest import PIPELINE, Person
from tests.deploy.resolve import ACCOUNT, REGION, resolve
from tests.deploy.stand_ins import UNKNOWN, UNUSABLE
from tests.deploy.test_resolve import FILLED, ROOT

BUCKET = f"freshet-demo-{ACCOUNT}-{REGION}"
JOB = "streaming-cdc-kinesis2redshift-demo"


def client(service: str) -> Any:
    """A client of the account, past the command's own."""
    return boto3.client(service, region_name=REGION)


def stacks() -> dict[str, Any]:
    """The stacks that there are, by name; nested ones too."""
    found = client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"]: stack for stack in found if stack["StackStatus"] != "DELETE_COMPLETE"}


def resources(stack: str, place: str = "") -> set[tuple[str, str]]:
    """(logical path of the stack, logical id) of all that a stack and those nested in it hold."""
    found = set()
    for each in client("cloudformation").list_stack_resources(StackName=stack)["StackResourceSummaries"]:
        if not each["LogicalResourceId"]:
            continue  # moto lists what a condition leaves out, without its name
        found.add((place, each["LogicalResourceId"]))
        if each["ResourceType"] == "AWS::CloudFormation::Stack":
            found |= resources(each["PhysicalResourceId"], each["LogicalResourceId"])
    return found


def runs_of(job: str) -> list[str]:
    """The states of a job's runs."""
    return [run["JobRunState"] for run in client("glue").get_job_runs(JobName=job)["JobRuns"]]


def test_what_moto_does_not_know() -> None:
    """These types are played by `tests.deploy.stand_ins`; the others are moto's own."""
    assert [
        "AWS::CloudWatch::Alarm", "AWS::DMS::Endpoint", "AWS::DMS::EventSubscription", "AWS::DMS::ReplicationInstance",
        "AWS::DMS::ReplicationSubnetGroup", "AWS::DMS::ReplicationTask", "AWS::EC2::SecurityGroupEgress",
        "AWS::Glue::Connection", "AWS::Glue::Job", "AWS::Glue::Trigger",
        "AWS::RedshiftServerless::Namespace", "AWS::RedshiftServerless::Workgroup", "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy", "AWS::Scheduler::Schedule", "AWS::SecretsManager::Secret",
        "AWS::SecretsManager::SecretTargetAttachment",
    ] == UNKNOWN  # fmt: skip
    assert {"AWS::RDS::DBParameterGroup"} == set(UNUSABLE)


def test_the_whole_story(person: Person) -> None:
    """Plan, resources as they come, everything started in its order, where to look."""
    said = person.deploys("--yes")
    in_order = [
        f"AWS account {ACCOUNT}, region {REGION}, stack demo", "files,", "9 to create", "Source/Database", "demo is up to date",
        "databases: users, rights and tables", "example: the source's tables", "capture: DMS tries", "capture: started",
        "job: started", "job: the first batch is in the table", "example: one sale a minute", "dashboard", "freshet query --aws",
    ]  # fmt: skip
    places = [said.find(text) for text in in_order]
    assert -1 not in places, [text for text, place in zip(in_order, places, strict=True) if place == -1]
    assert sorted(places) == places
    assert {"SUCCEEDED"} == {*runs_of("bootstrap-demo"), *runs_of("rds-ingest-data-initial-demo")}
    assert ["RUNNING"] == runs_of(JOB)
    (task,) = client("dms").describe_replication_tasks()["ReplicationTasks"]
    assert ("rds-to-kinesis-demo", "running") == (task["ReplicationTaskIdentifier"], task["Status"])
    assert "ACTIVATED" == client("glue").get_trigger(Name="periodical-trigger-demo")["Trigger"]["State"]


def test_it_makes_what_the_templates_say(person: Person) -> None:
    """Each resource whose condition holds, in each nested stack, and no other; the outputs are those of the templates."""
    person.deploys("--yes")
    zones = {"SubnetAzA": "us-east-1a", "SubnetAzB": "us-east-1b", "SubnetAzC": "us-east-1c"}
    wanted = resolve(ROOT, FILLED | zones | {"PipelineName": "sport_event_activity"})
    assert {(place, logical) for place, stack in wanted.items() for logical in stack["Resources"]} == resources("demo")
    told = {output["OutputKey"]: output.get("OutputValue", "") for output in stacks()["demo"]["Outputs"]}
    assert set(wanted[""]["Outputs"]) == set(told)
    named = {name for name in told if name.endswith("Name") and "Log" not in name}
    assert {name: wanted[""]["Outputs"][name] for name in named} == {name: told[name] for name in named}


def test_a_second_run_changes_nothing(person: Person) -> None:
    """Nothing is uploaded, no change set is made, nothing is started."""
    person.deploys("--yes")
    said = person.deploys("--yes")
    assert "nothing to change" in said
    assert "job: runs on this code already" in said
    changing = ("create_", "update_", "delete_", "put_", "start_", "stop_", "execute_", "import_", "modify_", "test_")
    assert [] == [call for call in person.cloud.calls if call.partition(".")[2].startswith(changing)]


def test_an_update_restarts_the_streaming_job_only(person: Person) -> None:
    """The run on the old code is stopped, one on the new is started; what did not change runs on."""
    person.deploys("--yes")
    said = person.deploys("--yes", "--set", "MaxWorkers=5")
    assert "1 to update" in said
    assert "job: the run on older code is being stopped" in said
    assert "job: it goes on from its positions" in said
    assert ["RUNNING", "STOPPED"] == sorted(runs_of(JOB))
    assert "databases: prepared before" in said
    assert "capture: runs" in said
    assert 0 == person.cloud.uploads
    assert "nothing to change" in person.deploys("--yes")  # the value stays without being said again


def test_another_number_of_shards_is_deployed(person: Person) -> None:
    """The job follows a stream that is split or merged, while it runs."""
    person.deploys("--yes", "--set", "ShardCount=3")
    assert "1 to update" in person.deploys("--dry-run", "--set", "ShardCount=4")
    assert "nothing to change" in person.deploys("--yes", "--set", "ShardCount=3")


def test_new_code_is_uploaded_under_a_new_name(person: Person, built: Path) -> None:
    """Another wheel is another key; the job points to it, and the old one stays for a way back."""
    person.deploys("--yes")
    before = {key for key in keys(BUCKET) if key.endswith(".whl")}
    with built.open("ab") as wheel:
        wheel.write(b"\0")
    try:
        person.deploys("--yes")
    finally:
        built.write_bytes(built.read_bytes()[:-1])
    (new,) = {key for key in keys(BUCKET) if key.endswith(".whl")} - before
    arguments = client("glue").get_job(JobName=JOB)["Job"]["DefaultArguments"]
    assert f"s3://{BUCKET}/{new}" in arguments["--additional-python-modules"]


def test_a_dry_run_leaves_nothing(person: Person) -> None:
    """The plan is shown; no bucket, no stack, no certificate is there afterwards."""
    said = person.deploys("--dry-run")
    assert "9 to create" in said
    assert "dry run: nothing was changed" in said
    assert {} == stacks()
    assert [] == client("s3").list_buckets()["Buckets"]
    assert {} == person.cloud.certificates


def test_a_dry_run_over_a_stack_changes_nothing(person: Person) -> None:
    """The stack, its bucket and what runs are as before."""
    person.deploys("--yes")
    before = keys(BUCKET)
    assert "1 to update" in person.deploys("--dry-run", "--set", "MaxWorkers=7")
    assert set(before) <= set(keys(BUCKET))
    assert ["RUNNING"] == runs_of(JOB)


def test_a_no_leaves_nothing(person: Person) -> None:
    """What had to be made for the plan is removed again."""
    person.answers(False)
    assert "nothing was changed" in person.deploys(code=1)
    assert {} == stacks()
    assert [] == client("s3").list_buckets()["Buckets"]
    assert {} == person.cloud.certificates


def test_a_failure_names_the_resource_and_the_cause(person: Person) -> None:
    """And the next run clears away what is left of it, and gets through."""
    person.cloud.broken["Database"] = (
        "Cannot exceed quota: the maximum number of instances has been reached (InstanceQuotaExceeded)"
    )
    said = person.deploys("--yes", code=1)
    assert "error Source/Database (AWS::RDS::DBInstance) failed first: Cannot exceed quota" in said
    assert "Likely cause: a quota of the account is used up" in said
    assert "ROLLBACK_COMPLETE: what had been made was deleted again" in said
    person.cloud.broken.clear()
    assert "demo is in ROLLBACK_COMPLETE" in person.deploys("--dry-run", code=2)
    assert "demo is up to date" in person.deploys("--yes")


def test_ctrl_c_says_what_goes_on(person: Person) -> None:
    """CloudFormation does; the next run goes on where this one was left."""
    person.cloud.interrupts.add("cloudformation.execute_change_set")
    said = person.deploys("--yes", code=130)
    assert "CloudFormation goes on without this command; run it again" in said
    assert "Traceback" not in said
    said = person.deploys("--yes")
    assert "nothing to change" in said
    assert "job: the first batch is in the table" in said


@pytest.mark.parametrize("call", ["glue.start_job_run", "dms.import_certificate", "s3.put_object", "dms.test_connection",
                                  "dms.start_replication_task", "cloudformation.create_change_set"])  # fmt: skip
def test_an_interrupted_run_is_gone_on_with(person: Person, call: str) -> None:
    """Wherever it was, the next one ends with everything running, and nothing twice."""
    person.cloud.interrupts.add(call)
    person.deploys("--yes", code=130)
    person.deploys("--yes")
    assert ["RUNNING"] == runs_of(JOB)
    assert ["SUCCEEDED"] == runs_of("bootstrap-demo")
    assert 1 == len(person.cloud.certificates)


def test_a_failed_job_is_told_with_its_error(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the bootstrap job said is what the person reads."""
    from moto.glue.models import FakeJobRun

    monkeypatch.setattr(FakeJobRun, "status", property(lambda _: "FAILED"))
    monkeypatch.setattr(FakeJobRun, "error_message", "the source has binlog_format STATEMENT", raising=False)
    said = person.deploys("--yes", code=1)
    assert "job bootstrap-demo ended with FAILED" in said
    assert "started" not in said.partition("ended with")[2]


def test_nobody_is_asked_without_a_terminal(person: Person) -> None:
    """In a pipe it wants --yes, before it asks AWS anything."""
    assert "say --yes to deploy, or --dry-run" in person.deploys(code=2)
    assert [] == person.cloud.calls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "MaxWorkrs=3"), "the stack has no parameter MaxWorkrs"),
        (("--set", "MaxWorkers=1"), "parameter MaxWorkers: 1 is less than 2"),
        (("--set", "MaxWorkers"), "write Name=Value"),
        (("--set", "PipelineUrl=s3://x"), "parameter PipelineUrl is filled by `freshet deploy` itself"),
        (("--set", "StreamingJobType=flink"), "'flink' is not one of gluestreaming, glueetl"),
        (("--set", "S3BucketName=not-there"), "there is no bucket not-there"),
        (("--stack", "Demo"), "'Demo' cannot be the name of a stack here"),
        (("--rds-ca", "nowhere.pem"), "there is no PEM file of that name"),
    ],
)
def test_wrong_input_is_named(person: Person, options: tuple[str, ...], message: str) -> None:
    """Before anything is made."""
    assert message in person.deploys("--yes", *options, code=2)
    assert {} == stacks()


def test_without_credentials_it_says_how_to_get_some(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    said = person.deploys("--yes", code=3)
    assert "no AWS credentials were found" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arn", "user"),
    [
        ("arn:aws:iam::1:user/people/Alice", "IAM:Alice"),
        ("arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_1a/alice@example.com", "IAMR:AWSReservedSSO_Admin_1a"),
        ("arn:aws:iam::1:root", None),
    ],
)
def test_who_deploys_is_a_user_of_redshift(arn: str, user: str | None) -> None:
    """As the Data API will call them; the account's root is nobody."""
    assert user == Account(boto3.Session(), "1", REGION, "demo", arn).redshift_user


def test_one_json_object_for_scripts(person: Person) -> None:
    """On the last line, with the outputs."""
    told = json.loads(person.deploys("--yes", "--json").splitlines()[-1])
    assert told["ok"]
    assert JOB == told["outputs"]["StreamingJobName"]


def test_the_file_says_what_the_options_would(person: Person) -> None:
    """`freshet.yaml` in the current folder."""
    Path("freshet.yaml").write_text(f"aws: {{stack: shop, region: {REGION}, parameters: {{MaxWorkers: 4}}}}\n")
    person.runs("deploy", PIPELINE, "--rds-ca", str(person.authorities), "--yes")
    assert "shop" in stacks()
    given = {each["ParameterKey"]: each["ParameterValue"] for each in stacks()["shop"]["Parameters"]}
    assert "4" == given["MaxWorkers"]


def test_the_bucket_may_be_ones_own(person: Person) -> None:
    """Then it is neither made nor deleted, and only what lies below the stack's folder goes."""
    client("s3").create_bucket(Bucket="mine")
    client("s3").put_object(Bucket="mine", Key="freshet/demography.csv", Body=b"1")
    person.deploys("--yes", "--set", "S3BucketName=mine")
    assert "demo-artifacts" not in stacks()
    assert len(keys("mine")) > 20
    said = person.runs("destroy", "--stack", "demo", "--yes")
    assert "it is yours" in said
    assert ["freshet/demography.csv"] == keys("mine")


def test_destroy_leaves_only_what_it_names(person: Person) -> None:
    """Everything stops in its order; the keys and the roles of DMS stay, and it says so first."""
    person.deploys("--yes")
    said = person.runs("destroy", "--stack", "demo", "--yes")
    assert {} == stacks()
    assert [] == client("s3").list_buckets()["Buckets"]
    assert {} == person.cloud.certificates
    stopping = (
        "glue.stop_trigger",
        "glue.batch_stop_job_run",
        "dms.stop_replication_task",
        "cloudformation.delete_stack",
    )
    assert [*stopping, stopping[-1]] == [call for call in person.cloud.calls if call in stopping]
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip() and line[0] == " "}
    assert "stays" in lines["Key"]
    assert "stays" in lines["Jobs/TokenSecret"]
    assert "stays" in lines["Network/DmsVpcRole"]
    assert "goes; a last snapshot stays" in lines["Source/Database"]
    assert "goes; a last snapshot stays" in lines["Warehouse/Namespace"]
    assert "goes, with all versions" in lines["bucket"]
    assert "there is nothing to destroy" in person.runs("destroy", "--stack", "demo", "--yes")


def test_destroy_wants_the_name_typed(person: Person) -> None:
    """Anything else changes nothing."""
    person.deploys("--yes")
    person.answers("yes")
    assert "nothing was changed" in person.runs("destroy", "--stack", "demo", code=1)
    assert ["RUNNING"] == runs_of(JOB)
    assert "say --yes to destroy" in _without_a_terminal(person)
    person.answers("demo")
    person.runs("destroy", "--stack", "demo")
    assert {} == stacks()


def _without_a_terminal(person: Person) -> str:
    person.is_in_a_pipe()
    return person.runs("destroy", "--stack", "demo", code=2)


def test_destroy_goes_on_after_an_interruption(person: Person) -> None:
    """Also when only the bucket is left."""
    person.deploys("--yes")
    person.cloud.interrupts.add("dms.stop_replication_task")
    said = person.runs("destroy", "--stack", "demo", "--yes", code=130)
    assert "run it again to go on" in said
    person.cloud.interrupts.add("s3.list_object_versions")
    person.runs("destroy", "--stack", "demo", "--yes", code=130)
    assert {"demo-artifacts"} == set(stacks())
    person.runs("destroy", "--stack", "demo", "--yes")
    assert {} == stacks()
    assert [] == client("s3").list_buckets()["Buckets"]


def test_a_protected_database_is_told_before_anything_stops(person: Person) -> None:
    """CloudFormation would end in the middle."""
    person.deploys("--yes", "--set", "DatabaseDeletionProtection=true")
    assert "--set DatabaseDeletionProtection=false" in person.runs("destroy", "--stack", "demo", "--yes", code=2)
    assert ["RUNNING"] == runs_of(JOB)


def test_a_deployed_workflow_runs(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workflows and loads are uploaded with the deployment; what runs is what was deployed, until the next deployment."""
    from freshet.cli.workflow import _Run

    shutil.copytree(PROJECT / "sql/workflows", tmp_path / "sql/workflows")
    shutil.copytree(PROJECT / "sql/loads", tmp_path / "sql/loads")
    person.deploys("--yes")
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stacks()["demo"]["Outputs"]}
    prefix = outputs["SqlPrefix"]
    assert {
        f"{prefix}/workflows/daily_sales/summary.sql", f"{prefix}/workflows/reviews/workflow.yaml",
        f"{prefix}/loads/news_feed_impression.json",
    } <= set(keys(BUCKET))  # fmt: skip
    (machine,) = client("stepfunctions").list_state_machines()["stateMachines"]
    assert outputs["WorkflowStateMachineArn"] == machine["stateMachineArn"]
    (tmp_path / "sql/workflows/daily_sales/summary.sql").write_text("select 'not deployed'")
    monkeypatch.setattr(_Run, "_follow", lambda *_: {"status": "SUCCEEDED"})
    person.runs("workflow", "run", "daily_sales", "--aws", "--stack", "demo", "-p", "day=2026-05-01")
    (execution,) = client("stepfunctions").list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    told = json.loads(client("stepfunctions").describe_execution(executionArn=execution["executionArn"])["input"])
    assert ("daily_sales", []) == (told["workflow"], told["load"])
    (unload,) = told["unload"]
    assert f"{prefix}/workflows/daily_sales/by_sport.sql" == unload["file"]
    assert f"s3://{BUCKET}/data/daily_sales/day=2026-05-01/" == unload["parameters"]["to"]
    assert outputs["FilesRoleArn"] == unload["parameters"]["role"]
    assert "is not deployed" in person.runs("workflow", "run", "nowhere", "--aws", "--stack", "demo", code=2)
    person.runs("destroy", "--stack", "demo", "--yes")
    assert "stepfunctions.stop_execution" in person.cloud


def test_a_workflow_that_is_wrong_is_not_deployed(person: Person, tmp_path: Path) -> None:
    """It says which file, and nothing is made."""
    (tmp_path / "sql/workflows/sums").mkdir(parents=True)
    (tmp_path / "sql/workflows/sums/workflow.yaml").write_text("description: x\ntransform: [{file: a.sql}]\n")
    assert "names the file a.sql" in person.deploys("--yes", code=2)
    assert {} == stacks()


def test_status_shows_all_parts_in_one_table(person: Person, place: Place) -> None:
    """DMS, stream, job, ledger, alarms; an alarm that rings says what it means."""
    person.cloud.warehouse = place.warehouse
    person.deploys("--yes")
    client("cloudwatch").set_alarm_state(AlarmName="demo-freshness", StateValue="ALARM", StateReason="late")
    said = person.runs("status", "--aws", "--stack", "demo")
    for text in (
        "capture",
        "running",
        "stream",
        "2 shards, keeps 72 h",
        "job",
        "RUNNING",
        "2 x G.1X",
        "demo-freshness",
        "are quiet",
    ):
        assert text in said, said
    told = json.loads(person.runs("status", "--aws", "--stack", "demo", "--json").splitlines()[-1])
    assert {"stack", "capture", "stream", "job", "alarms", "pipelines", "runs"} == set(told)
    assert "ALARM" == told["alarms"][0]["state"]


def test_the_commands_of_aws_name_a_stack_that_is_not_there(person: Person) -> None:
    """With what to do."""
    assert "stack demo is not there" in person.runs("status", "--aws", "--stack", "demo", code=3)
    assert "freshet deploy PIPELINE" in person.runs("query", "--aws", "--stack", "demo", "select 1", code=3)


def test_query_reads_the_warehouse_of_the_stack(person: Person, place: Place) -> None:
    """The same command as on the sandbox."""
    person.cloud.warehouse = place.warehouse
    person.deploys("--yes")
    assert "41" in person.runs("query", "--aws", "--stack", "demo", "select 41 as n")
