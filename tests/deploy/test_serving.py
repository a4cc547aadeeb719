"""Exports and pulls on AWS, as a person sees them: what lies below sql/exports/ and sql/pulls/ is deployed, and runs there."""

import io
import json
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
from moto.glue.models import FakeJobRun

from freshet.cli.context import ROOT as PROJECT
from freshet.cli.context import Place
from tests.deploy.cloud import keys
from tests.deploy.conftest import Person
from tests.deploy.resolve import ACCOUNT, REGION
from tests.deploy.test_deploy import BUCKET, client, stacks


@pytest.fixture
def serving(person: Person, place: Place, tmp_path: Path) -> Person:
    """Somebody whose clone has exports and pulls, deployed."""
    person.cloud.warehouse = place.warehouse
    for room in ("exports", "pulls"):
        shutil.copytree(PROJECT / "sql" / room, tmp_path / "sql" / room)
    person.deploys("--yes")
    return person


def outputs() -> dict[str, str]:
    """What the stack tells."""
    return {o["OutputKey"]: o["OutputValue"] for o in stacks()["demo"]["Outputs"]}


def test_a_deployed_export_runs(serving: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets what was deployed and the options; a failed run is told with the job's own error and its exit code."""
    prefix, job = outputs()["SqlPrefix"], "export-dynamodb-demo"
    name = "activity_by_customer"
    assert {f"{prefix}/exports/{name}/{file}" for file in ("export.yaml", "select.sql")} <= set(keys(BUCKET))
    (tmp_path / f"sql/exports/{name}/export.yaml").write_text("not deployed")
    command = ("export", "dynamodb", name, "--aws", "--stack", "demo")
    said = serving.runs(*command, "--incremental", "--rate", "50")
    assert "done: activity_by_customer" in said
    (run,) = client("glue").get_job_runs(JobName=job)["JobRuns"]
    told = {"--export_folder": f"s3://{BUCKET}/{prefix}/exports/{name}", "--incremental": "true", "--rate": "50"}
    assert told.items() <= run["Arguments"].items()
    told = json.loads(serving.runs(*command, "--dry-run", "--json").splitlines()[-1])
    assert (name, "SUCCEEDED", None) == (told["export"], told["state"], told["error"])
    assert "is not deployed" in serving.runs("export", "dynamodb", "nowhere", "--aws", "--stack", "demo", code=2)
    assert "say --aws too" in serving.runs("export", "dynamodb", name, "--stack", "demo", code=2)
    monkeypatch.setattr("freshet.cli.export_aws.pause", lambda _: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(
        FakeJobRun, "status", property(lambda run: "STOPPED" if getattr(run, "stopped", False) else "RUNNING")
    )
    assert "stopping" in serving.runs(*command, code=130)
    monkeypatch.setattr(FakeJobRun, "status", property(lambda _: "FAILED"))
    plain = FakeJobRun.as_dict
    error = {"ErrorMessage": "SystemExit: there is no table (exit code 2)"}
    monkeypatch.setattr(FakeJobRun, "as_dict", lambda run: {**plain(run), **error})
    assert "there is no table" in serving.runs(*command, code=2)


def test_the_exports_role_knows_the_tables(serving: Person) -> None:
    """Those that the definitions name, and no other."""
    given = {each["ParameterKey"]: each["ParameterValue"] for each in stacks()["demo"]["Parameters"]}
    assert f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/activity-by-customer" == given["ExportTableArns"]


def test_a_deployed_function_is_what_pull_calls(serving: Person, tmp_path: Path) -> None:
    """Its code holds the definitions, and the stack says its name."""
    assert "demo-pull" == outputs()["PullFunctionName"]
    function = client("lambda").get_function(FunctionName="demo-pull")["Configuration"]
    assert ("python3.13", "batch_jobs.pull.handler.handler") == (function["Runtime"], function["Handler"])
    (key,) = [key for key in keys(BUCKET) if key.endswith("/pull.zip")]
    content = client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as code:
        assert ["sport_event_activity"] == list(json.loads(code.read("batch_jobs/pull/pulls.json")))
    (tmp_path / "sql/pulls/more.yaml").write_text("tables: {public.t: {cursor: c, keys: [k]}}\n")
    serving.deploys("--yes")
    assert 2 == len([key for key in keys(BUCKET) if key.endswith("/pull.zip")])


def test_what_is_no_longer_there_is_taken_away(serving: Person, tmp_path: Path) -> None:
    """Without pulls there is no function; without exports no job."""
    shutil.rmtree(tmp_path / "sql")
    serving.deploys("--yes")
    assert ("", "") == (outputs().get("PullFunctionName", ""), outputs().get("ExportJobName", ""))
    assert "has no job for exports" in serving.runs("export", "dynamodb", "x", "--aws", "--stack", "demo", code=3)
    assert "has no function to pull with" in _pulls(serving)


def _pulls(person: Person) -> str:
    shutil.copytree(PROJECT / "sql/pulls", "sql/pulls")
    return person.runs("pull", "sport_event_activity", "--test", "--aws", "--stack", "demo", code=3)


def test_an_export_or_a_pull_that_is_wrong_is_not_deployed(person: Person, tmp_path: Path) -> None:
    """It says which, and nothing is made."""
    (tmp_path / "sql/pulls").mkdir(parents=True)
    (tmp_path / "sql/pulls/x.yaml").write_text("tables: {t: {}}\n")
    assert "write t as schema.table" in person.deploys("--yes", code=2)
    (tmp_path / "sql/pulls/x.yaml").unlink()
    (tmp_path / "sql/exports/x").mkdir(parents=True)
    (tmp_path / "sql/exports/x/export.yaml").write_text("table: items\n")
    assert "the entry key is missing" in person.deploys("--yes", code=2)
    assert {} == stacks()
