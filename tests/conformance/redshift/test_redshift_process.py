"""The stand-in as a program: how it starts, ends, and starts again over the same folder."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.redshift.errors import Refused
from sandbox.redshift.statements import plan
from tests.patience import HANGS_S

ROOT = Path(__file__).parents[3]


class Program:
    """One run of `python -m sandbox.redshift`."""

    def __init__(self, state: Path) -> None:
        self.file = state / "redshift.json"
        command = [
            sys.executable,
            "-m",
            "sandbox.redshift",
            "--state",
            str(state),
            "--s3-endpoint",
            "http://127.0.0.1:1",
        ]
        self.process = subprocess.Popen(command, cwd=ROOT)
        while not (self.file.exists() and self._is_mine()):
            assert self.process.poll() is None
            time.sleep(0.02)
        self.endpoints = json.loads(self.file.read_text())

    def _is_mine(self) -> bool:
        return json.loads(self.file.read_text())["pid"] == self.process.pid

    def sql(self, sql):
        with psycopg.connect(self.endpoints["postgres_uri"]) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(HANGS_S)


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def start(tmp_path):
    programs = []

    def start():
        programs.append(Program(tmp_path))
        return programs[-1]

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.end(signal.SIGKILL)


def test_everything_is_kept_over_ends_of_every_kind(start):
    """A sandbox that goes down, or is killed, comes up with its rows; PostgreSQL never stays behind."""
    first = start()
    assert ["database", "endpoint_url", "pid", "postgres_pid", "postgres_uri", "workgroup"] == sorted(first.endpoints)
    first.sql("create table kept (id int)")
    assert 0 == first.end(signal.SIGTERM)
    assert not first.file.exists()
    assert not lives(first.endpoints["postgres_pid"])

    second = start()
    second.sql("insert into kept values (1)")
    second.end(signal.SIGKILL)
    third = start()
    assert not lives(second.endpoints["postgres_pid"])
    assert [(1,)] == third.sql("select id from kept")
    assert 0 == third.end(signal.SIGINT)
    assert not lives(third.endpoints["postgres_pid"])


def test_without_its_database_it_ends(start):
    """A stand-in whose PostgreSQL was killed ends with an error; what was committed is there at the next start."""
    first = start()
    first.sql("create table kept (id int)")
    os.kill(first.endpoints["postgres_pid"], signal.SIGKILL)
    assert 1 == first.process.wait(HANGS_S)
    second = start()
    assert [] == second.sql("select id from kept")


@pytest.mark.skipif(shutil.which("aws") is None, reason="no aws command on this machine")
def test_the_aws_command_works(warehouse):
    """AWS CLI, `aws redshift-data`: submits, describes, fetches."""
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_REDSHIFT_DATA": warehouse.redshift.endpoint_url,
    }

    def aws(*words):
        done = subprocess.run(
            ["aws", "redshift-data", *words], env=environment, capture_output=True, check=True, text=True
        )
        return json.loads(done.stdout)

    statement = aws("execute-statement", "--workgroup-name", "freshet", "--database", "dev", "--sql", "select 7")["Id"]
    assert "FINISHED" == warehouse.describe(statement)["Status"]
    assert [[{"longValue": 7}]] == aws("get-statement-result", "--id", statement)["Records"]


WORDS = st.sampled_from(
    re.findall(
        r"\S+",
        """select from where insert into update delete create table copy grant lock comment on is not null values set
        using t a 1 'x' "Q" ( ) , . ; :: : * = < || varchar ( 5 ) primary key default distkey listagg within group order
        by decode array [ ] case when then end with as over extract year cast""",
    )
)


@given(st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_text_is_planned_or_refused(text):
    """Whatever is submitted gets an answer: a plan or a refusal, never a fault of the stand-in."""
    with suppress(Refused):
        plan(text, {})
