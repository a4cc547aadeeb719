"""The Python shell jobs as AWS Glue runs them: Python 3.9, boto3, one script and one bundle; the rest is the sandbox."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from freshet.cli.context import ROOT, Place
from freshet.deploy.wheels import pins
from freshet.pipeline.connection import connect
from tests.launchers.conftest import Shell


@pytest.fixture
def database(place: Place) -> str:
    """An empty database of this test's own."""
    name = f"shell_{uuid.uuid4().hex[:8]}"
    with connect(place.mysql) as mysql, mysql.cursor() as cursor:
        cursor.execute(f"create database {name}")
    return name


def number(place: Place, database: str, query: str) -> int:
    """Ask for one number."""
    with connect(place.mysql, database) as mysql, mysql.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchall()[0][0])


def test_the_simulators_run_there(shell: Shell, place: Place, database: str) -> None:
    """Tables are made and filled, tickets are sold, one changes hands: with the arguments of the deployed jobs."""
    common = ["--secret", place.endpoints["mysql_secret"], "--database", database, "--ssl_ca", shell.authorities]
    sizes = ["--events", "2", "--tickets_per_event", "10", "--customers", "5"]
    assert "20 tickets" in shell.run("initial", *common, *sizes)
    assert "1 sold" in shell.run("incremental", *common, "--rate", "0.0167", "--for", "1")
    sold = number(place, database, "select ticket_id from ticket_activity")
    owner = number(place, database, "select purchased_by from ticket_activity")
    shell.run("upsert", *common, "--ticket_id_to_be_updated", str(sold))
    assert owner != number(place, database, "select purchased_by from ticket_activity")


def test_wrong_words_end_the_job(shell: Shell) -> None:
    """Glue shows the run as failed; the log names the argument."""
    assert "--program" in shell.run("everything", code=2)
    assert "is --database meant?" in shell.run("initial", "--databse", "1", code=2)
    assert "cannot be read" in shell.run("initial", "--secret", "no/such/secret", code=3)


def test_sql_runs_there(shell: Shell, place: Place) -> None:
    """The job of workflows, from the bundle alone: its file from S3, its rows in Redshift."""
    table, bucket = f"public.shell_{uuid.uuid4().hex[:8]}", place.endpoints["staging_bucket"]
    text = f"create table {table} (day date); insert into {table} values (:day::date);"
    place.client("s3").put_object(Bucket=bucket, Key="freshet/test/sql/day.sql", Body=text.encode())
    redshift = place.endpoints["redshift"]
    common = ["--workgroup", redshift["workgroup"], "--db", redshift["database"], "--bucket", bucket]
    common += ["--file", "freshet/test/sql/day.sql", "--commit", "transaction"]
    assert "statement 2/2" in shell.run("run_sql", *common, "--parameters", '{"day": "2026-05-01"}')
    assert [{"day": "2026-05-01"}] == place.warehouse.query(f"select * from {table}")
    said = shell.run("run_sql", *common, "--parameters", '{"day": "2026-05-01"}', code=1)
    assert "already exists" in said.splitlines()[-1]
    assert "no value is given for :day" in shell.run("run_sql", *common, code=2).splitlines()[-1]
    place.warehouse.run([f"drop table {table}"])


def test_nothing_is_left(shell: Shell, tmp_path: Path) -> None:
    """The unpacked bundle is gone when the program ends."""
    shell.run("initial", "--secret", "no/such/secret", code=3, temporary=tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_which_python_it_was(shell: Shell) -> None:
    """Where a CPython 3.9 can be found, it is Glue's own version; else the tests' Python stands in."""
    version = subprocess.run([str(shell.python), "-V"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("Python 3.9") == shell.is_glues_own


def test_the_bundles_boto3_wins(shell: Shell, place: Place, tmp_path: Path) -> None:
    """Glue's, which is imported already and knows no Redshift Serverless, fetches the bundle and nothing else."""
    table, bucket = f"public.shell_{uuid.uuid4().hex[:8]}", place.endpoints["staging_bucket"]
    place.client("s3").put_object(
        Bucket=bucket, Key="freshet/test/sql/one.sql", Body=f"create table {table} (n int)".encode()
    )
    redshift, calls = place.endpoints["redshift"], tmp_path / "calls"
    words = [
        "--workgroup",
        redshift["workgroup"],
        "--db",
        redshift["database"],
        "--bucket",
        bucket,
        "--file",
        "freshet/test/sql/one.sql",
    ]
    shell.run("run_sql", *words, FRESHET_TEST_CALLS=str(calls))
    place.warehouse.run([f"drop table {table}"])
    made = [call for call in map(json.loads, calls.read_text().splitlines()) if "operation" in call]
    olds = pins(shell.requirements)
    assert [("s3", "GetObject", "freshet/test/code/shell/bundle.zip")] == [
        (call["service"], call["operation"], call["Key"]) for call in made if f"botocore=={call['botocore']}" in olds
    ]
    news = {call["botocore"] for call in made[1:]}
    assert {
        pin.partition("==")[2] for pin in pins(ROOT / "simulators/constraints.txt") if pin.startswith("botocore")
    } == news
