"""What AWS Glue does to a job's arguments: it adds its own, and what is empty may lose its value or its place."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from batch_jobs.export_dynamodb import arguments as export
from batch_jobs.load import __main__ as load
from batch_jobs.run_sql import __main__ as run_sql
from freshet.cli.context import ROOT
from freshet.glue_arguments import read
from streaming_job import arguments as streaming
from tests.cloudformation.templates import resources
from tests.deploy.resolve import resolve

# Source: Glue developer guide, "Using job parameters in AWS Glue jobs", "Python shell jobs"; the last two are of a later Glue.
GLUES = [
    "--JOB_NAME", "job", "--JOB_ID", "j_1", "--JOB_RUN_ID", "jr_1", "--SECURITY_CONFIGURATION", "encrypted", "--TempDir=s3://b/t/",
    "--additional-python-modules", "s3://b/one.whl", "--python-modules-installer-option", "--no-index --no-deps",
    "--auto-scale-within-microbatch", "false", "--class", "GlueApp", "--conf", "spark.x=y", "--continuous-log-logGroup", "g",
    "--custom-logGroup-prefix", "/p", "--customer-driver-env-vars", "A=b", "--datalake-formats", "delta",
    "--disable-proxy", "true", "--enable-auto-scaling", "true", "--enable-continuous-cloudwatch-log", "true",
    "--enable-glue-datacatalog",
    "--enable-job-insights", "true", "--enable-metrics", "--enable-observability-metrics", "true", "--enable-spark-ui", "true",
    "--encryption-type", "sse-s3", "--executor-cores", "2", "--extra-files", "s3://b/f", "--extra-jars", "s3://b/j.jar",
    "--extra-py-files", "s3://b/p.zip", "--job-bookmark-option", "job-bookmark-disable", "--job-bookmark-from", "1",
    "--job-language", "python", "--library-set", "analytics", "--number-of-worker", "2", "--python-virtual-env", "s3://b/e.tar.gz",
    "--scriptLocation", "s3://b/s.py", "--spark-event-logs-path", "s3://b/", "--user-jars-first", "true", "--region", "us-east-1",
    "--use-postgres-driver", "true", "--write-shuffle-files-to-s3", "true", "--write-shuffle-spills-to-s3", "true",
    "--something-new", "1", "--something_else_new", "1",
]  # fmt: skip


def module(path: str) -> ModuleType:
    """Import a script."""
    spec = importlib.util.spec_from_file_location(path.rpartition("/")[2].removesuffix(".py"), ROOT / path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def simulator(argv: Sequence[str]) -> Any:
    """Read the arguments as a simulator does."""
    sys.path.insert(0, str(ROOT / "simulators"))
    try:
        program = importlib.import_module("shop.program")
    finally:
        sys.path.pop(0)
    return program.read(program.options("Simulate.", "x.py"), argv)


BOOTSTRAP = ["admin_secret", "source_database", "source_ca", "replication_secret", "reader_secret", "workgroup",
             "warehouse_database", "warehouse_secret", "job_role", "token_secret"]  # fmt: skip
SPARKS = ["staging_bucket", "workgroup", "warehouse_database", "copy_role"]
# Program: how it reads its arguments, those that it needs, one of its own with a letter missing.
PROGRAMS: dict[str, tuple[Callable[[Sequence[str]], Any], list[str], str]] = {
    "bootstrap": (module("cloudformation/bootstrap.py").parse, BOOTSTRAP, "--target_shema"),
    "streaming_job": (
        streaming.parse, ["pipeline_folders", "source_database", "source_secret", "token_secret", "stream", *SPARKS],
        "--untl_idle",
    ),
    "export_dynamodb": (export.parse, ["export_folder", *SPARKS], "--dryrun"),
    "run_sql": (run_sql.parse, ["db", "bucket", "file"], "--paramters"),
    "load": (
        lambda argv: read(load._parser(), argv), ["definition", "workgroup", "database", "copy_role", "staging"], "--re_try"
    ),
    "simulator": (simulator, ["secret"], "--databse"),
}  # fmt: skip


def needed(program: str) -> list[str]:
    """Give what a program needs."""
    return [word for name in PROGRAMS[program][1] for word in (f"--{name}", f"some_{name}")]


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_glue_adds_is_passed_over(program: str) -> None:
    """Wherever it stands, of whatever version."""
    parse, words = PROGRAMS[program][0], needed(program)
    assert parse(words) == parse([*GLUES, *words]) == parse([*words[:2], *GLUES, *words[2:]]) == parse([*words, *GLUES])


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_almost_an_argument_is_refused(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It would otherwise be taken for one of Glue's, and be ignored."""
    parse, _, wrong = PROGRAMS[program]
    with pytest.raises(SystemExit) as ended:
        parse([*needed(program), wrong, "true"])
    assert 2 == ended.value.code
    assert f"{wrong} is no argument: is --" in capsys.readouterr().err


@pytest.mark.parametrize(("program", "names"), [
    ("bootstrap", ["readers", "operators", "workflow_roles", "pull_role", "export_role"]), ("run_sql", ["db_creds"]),
])  # fmt: skip
def test_an_empty_value_may_be_left_out(program: str, names: list[str]) -> None:
    """The name, the name without a value, and the name with an empty one are the same."""
    parse, words = PROGRAMS[program][0], needed(program)
    bare = [f"--{name}" for name in names]
    assert parse(words) == parse([*bare, *words]) == parse([*words, *(word for name in bare for word in (name, ""))])


def test_no_job_is_given_an_empty_value() -> None:
    """Whatever may be empty among the stack's parameters is."""
    base = "s3://some-bucket/freshet/demo"
    stacks = resolve(
        ROOT / "cloudformation/freshet.yaml",
        {
            "S3BucketName": "some-bucket", "SubnetAzA": "us-east-1a", "SubnetAzB": "us-east-1b", "PipelineName": "sales",
            "DmsCertificateArn": "arn:aws:dms:us-east-1:123456789012:cert:ABC", "PipelineUrl": f"{base}/pipelines/0/sales",
            "StreamingScriptUrl": f"{base}/s.py", "StreamingModules": f"{base}/m.whl", "ShellScriptUrl": f"{base}/h.py",
            "ShellBundleUrl": f"{base}/z.zip", "CertificatesUrl": f"{base}/c.pem", "SqlPrefix": "freshet/demo/sql/0",
            "WorkflowDefinitionKey": "freshet/demo/k", "ExportScriptUrl": f"{base}/e.py", "PullCodeKey": "freshet/demo/u.zip",
            "ExportTableArns": "arn:aws:dynamodb:us-east-1:123456789012:table/t",
        },
    )  # fmt: skip
    told = {
        logical: made["Properties"]["DefaultArguments"]
        for part in stacks.values()
        for logical, made in part["Resources"].items()
        if made["Type"] == "AWS::Glue::Job"
    }
    assert {logical for _, logical, _ in resources("AWS::Glue::Job")} == told.keys()
    assert "--readers" not in told["BootstrapJob"]
    assert [] == [(job, name) for job, arguments in told.items() for name, value in arguments.items() if value == ""]
