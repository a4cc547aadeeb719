"""The streaming job as AWS Glue runs it: its Python, its packages, its arguments, the uploaded files; the rest is the sandbox."""

import os
import subprocess
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import ROOT, Place
from tests.launchers.conftest import Glue
from tests.patience import HANGS_S
from tests.river import River

SCRIPT = ROOT / "cloudformation/launchers/streaming_cdc_kinesis2redshift.py"
# What Glue adds for this job. Source: Glue developer guide, "Using job parameters in AWS Glue jobs".
GLUES = [
    "--job-language", "python", "--TempDir", "s3://somewhere/temporary/", "--enable-metrics", "true",
    "--additional-python-modules", "s3://b/one.whl,s3://b/two.whl", "--enable-auto-scaling", "true",
    "--python-modules-installer-option", "--no-index --no-deps", "--custom-logGroup-prefix", "/freshet/test/streaming",
    "--job-bookmark-option", "job-bookmark-disable", "--JOB_NAME", "streaming-cdc-kinesis2redshift-test",
    "--JOB_ID", "j_1", "--JOB_RUN_ID", "jr_1", "--SECURITY_CONFIGURATION", "encrypted",
]  # fmt: skip


@pytest.fixture
def river(place: Place, spark: SparkSession, tmp_path: Path) -> River:
    """A pipeline whose folder and authorities lie in S3, as on AWS."""
    river = River(place, spark, tmp_path)
    river.make_tables()
    s3, bucket = place.client("s3"), place.endpoints["staging_bucket"]
    for name in ("select.sql", "pipeline.yaml"):
        s3.upload_file(str(river.folder / name), bucket, f"freshet/test/pipelines/abc/{river.name}/{name}")
    s3.upload_file(place.endpoints["mysql"]["tls_ca"], bucket, "freshet/test/code/abc/authorities.pem")
    return river


def test_it_keeps_the_table_current_there(river: River, glue: Glue, tmp_path: Path) -> None:
    """From the wheel alone, under the script's name, with Glue's arguments beside ours, the target becomes the source."""
    river.simulate("initial", "--events", "2", "--tickets_per_event", "50", "--customers", "20")
    river.simulate("incremental", "--rate", "200", "--for", "0.3")
    river.wait_for_dms()
    bucket = river.place.endpoints["staging_bucket"]
    arguments = [
        "--pipeline_folders", f"s3://{bucket}/freshet/test/pipelines/abc/{river.name}",
        "--source_ca", f"s3://{bucket}/freshet/test/code/abc/authorities.pem",
        "--source_database", river.database, "--source_secret", river.place.endpoints["mysql_secret"],
        "--token_secret", river.place.endpoints["token_secret"], "--stream", river.stream, "--staging_bucket", bucket,
        "--staging_prefix", "freshet/test/staging", "--workgroup", river.place.endpoints["redshift"]["workgroup"],
        "--warehouse_database", river.place.endpoints["redshift"]["database"],
        "--copy_role", river.place.endpoints["copy_role_arn"],
        "--metrics_namespace", "Freshet/test", "--every_s", "0.4", "--until_idle", "true",
    ]  # fmt: skip
    home = tmp_path / "elsewhere"
    home.mkdir()
    run = subprocess.run(
        [str(glue.python), str(SCRIPT), *GLUES, *arguments],
        cwd=home, capture_output=True, text=True, timeout=HANGS_S, check=False,
        env=glue.environment(PYSPARK_SUBMIT_ARGS="--master local[2] pyspark-shell", HOME=str(home)),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    expected = river.expected()
    assert len(expected) > 20
    assert expected == river.actual()
    sent = river.place.client("cloudwatch").list_metrics(Namespace="Freshet/test")["Metrics"]
    assert {"FreshnessSeconds", "JobAlive", "RowsWritten", "PendingSeconds", "BatchSeconds"} <= {
        metric["MetricName"] for metric in sent
    }


def test_nothing_of_the_clone_is_there(glue: Glue, tmp_path: Path) -> None:
    """The packages come from the wheel; the sandbox, the tests and the simulators do not exist."""
    code = "import freshet, streaming_job; print(freshet.__file__); import sandbox"
    run = subprocess.run(
        [str(glue.python), "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=glue.environment(),
    )
    assert "No module named 'sandbox'" in run.stderr
    assert run.stdout.strip().startswith(str(glue.python.parents[1]))
    assert str(ROOT / "freshet") not in run.stdout


def test_wrong_arguments_end_with_2(glue: Glue, tmp_path: Path) -> None:
    """Glue shows the run as failed, and the log says which argument was wrong."""
    run = subprocess.run(
        [str(glue.python), str(SCRIPT), *GLUES, "--source-secret", "x"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=glue.environment(),
    )  # fmt: skip
    assert run.returncode == 2
    assert "--source-secret" in run.stderr or "source_secret" in run.stderr


def test_which_python_it_was(glue: Glue) -> None:
    """Where a CPython 3.13 can be found, it is Glue's own version; else the tests' Python stands in."""
    version = subprocess.run(
        [str(glue.python), "-V"], capture_output=True, text=True, check=True, env=os.environ
    ).stdout
    assert version.startswith("Python 3.13") == glue.is_glues_own
