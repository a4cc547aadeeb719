"""Workflows that fail, are killed, stopped or wrong: it is told, nothing half is left, and they run again."""

import json
import os
import signal
import urllib.request
from pathlib import Path

import psutil
import psycopg
import pytest

from freshet.cli import run_command
from freshet.redshift import runs
from tests.batch_jobs.analyst import Analyst, wait_for
from tests.patience import HANGS_S

STAGES = "transform: [{file: a.sql}]\nunload: [{file: b.sql}]"


def test_a_failure_ends_the_workflow_and_is_told(analyst: Analyst) -> None:
    """Exit code 1 with Redshift's words, line and file; the message names workflow, state, item, cause; nothing after it ran."""
    flow = analyst.writes(
        STAGES, a="insert into SCHEMA.t values (1);\nselect * from SCHEMA.nowhere;", b="insert into SCHEMA.t values (2)"
    )
    told = analyst.runs(flow, code=1)
    assert [("transform", "a.sql", "failed")] == [
        (each["state"], each["item"], each["outcome"]) for each in told["items"]
    ]
    assert ("FAILED", "Freshet.TransformFailed") == (told["status"], told["error"])
    (message,) = analyst.hears()
    assert (flow.name, "Transform", "a.sql") == (message["workflow"], message["state"], message["item"])
    assert "a.sql:2: statement 2 of 2" in message["cause"]
    assert "nowhere" in message["cause"]
    assert told["execution"] == message["execution"]
    assert message["run"].startswith("jr_")
    assert message["cause"] in told["cause"]
    assert [] == analyst.query("select n from SCHEMA.t")


def test_what_is_printed(analyst: Analyst) -> None:
    """A line an item, with rows and seconds; at the end what failed, and that it was told."""
    flow = analyst.writes(STAGES, a="insert into SCHEMA.t values (1), (2);", b="select 1 / 0 as no;")
    assert 1 == run_command(["workflow", "run", str(flow)])
    said = analyst.capsys.readouterr()
    assert "transform a.sql: done, 2 rows, " in said.out
    assert "unload    b.sql: failed, " in said.out
    assert "failed b.sql: " in said.err
    assert "(told to sandbox-workflows)" in said.err


def test_what_runs_is_told_the_ledger(analyst: Analyst) -> None:
    """Each file is a run of its own in the one ledger."""
    flow = analyst.writes(STAGES, a="insert into SCHEMA.t values (1), (2);", b="select 1 / 0 as no;")
    analyst.runs(flow, code=1)
    mine = [row for row in runs.recent(analyst.place.warehouse) if row["name"].startswith(f"{flow.name}/")]
    assert [("done", 2), ("failed", 0)] == sorted((row["outcome"], row["rows"]) for row in mine)
    assert {"sql"} == {row["kind"] for row in mine}


def job_processes(analyst: Analyst, flow: Path) -> list[psutil.Process]:
    """Find the processes of the jobs that run a workflow's files."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(f"/{flow.name}/" in word for word in process.info["cmdline"] or ())
    ]


SLOW = "insert into SCHEMA.t values (1); select count(*) from SCHEMA.big a, SCHEMA.big b, SCHEMA.big c, SCHEMA.big d;"


@pytest.fixture
def slow(analyst: Analyst) -> Path:
    """A workflow whose first file takes as long as one likes."""
    digits = " union all ".join(f"select {number} as n" for number in range(400))
    analyst.place.warehouse.run([f"create table {analyst.schema}.big as {digits}"])
    return analyst.writes(STAGES, a=SLOW, b="insert into SCHEMA.t values (2)")


def test_a_killed_job_is_told_and_runs_again(analyst: Analyst, slow: Path) -> None:
    """Killed in the middle: somebody is told, nothing half is left, and the next run gives the right result."""
    process = analyst.process(slow)
    (job,) = wait_for(lambda: statement_runs(analyst) and job_processes(analyst, slow))
    job.kill()
    out, err = process.communicate(timeout=HANGS_S)
    assert 1 == process.returncode, err
    told = json.loads(out.splitlines()[-1])
    assert "SIGKILL" in told["cause"]
    (message,) = analyst.hears()
    assert (slow.name, "Transform", "a.sql") == (message["workflow"], message["state"], message["item"])
    end_statements(analyst)
    assert [] == analyst.query("select n from SCHEMA.t")
    (slow / "a.sql").write_text(f"insert into {analyst.schema}.t values (1);")
    analyst.runs(slow)
    assert [1, 2] == sorted(row["n"] for row in analyst.query("select n from SCHEMA.t"))


def statement_runs(analyst: Analyst) -> bool:
    """Tell whether the slow statement is at work."""
    with psycopg.connect(analyst.place.endpoints["redshift"]["postgres_uri"]) as postgres:
        found = postgres.execute(
            "select pid from pg_stat_activity where pid <> pg_backend_pid() and state = 'active' and query like %s",
            [f"%{analyst.schema}.big%{analyst.schema}.big%"],
        ).fetchall()
    return bool(found)


def end_statements(analyst: Analyst) -> None:
    """End the slow statement, which its killed job cannot."""
    with psycopg.connect(analyst.place.endpoints["redshift"]["postgres_uri"]) as postgres:
        postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query like %s",
            [f"%{analyst.schema}.big%"],
        )
    wait_for(lambda: not statement_runs(analyst))


def test_ctrl_c_stops_the_execution_and_its_job(analyst: Analyst, slow: Path) -> None:
    """Exit code 130; the execution is aborted, the run stopped, its process gone, the statement cancelled."""
    process = analyst.process(slow)
    wait_for(lambda: statement_runs(analyst) and job_processes(analyst, slow))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANGS_S)
    assert 130 == process.returncode, err
    assert "Traceback" not in err
    told = json.loads(out.splitlines()[-1])
    assert ("ABORTED", ["stopped"]) == (told["status"], [item["outcome"] for item in told["items"]])
    wait_for(lambda: not job_processes(analyst, slow))
    wait_for(lambda: not statement_runs(analyst))
    glue = analyst.place.client("glue")
    stopped = {"JobName": "run-sql-sandbox", "RunId": told["items"][0]["run"]}
    wait_for(lambda: "STOPPED" == glue.get_job_run(**stopped)["JobRun"]["JobRunState"])
    assert [] == analyst.query("select n from SCHEMA.t")


def test_a_job_that_is_stopped_by_hand_has_not_done_its_work(analyst: Analyst, slow: Path) -> None:
    """Someone stops the run in Glue: the workflow fails, and says so, instead of going on with the next file."""
    process = analyst.process(slow)
    wait_for(lambda: statement_runs(analyst))
    glue = analyst.place.client("glue")
    newest = glue.get_job_runs(JobName="run-sql-sandbox")["JobRuns"][0]["Id"]
    glue.batch_stop_job_run(JobName="run-sql-sandbox", JobRunIds=[newest])
    out, err = process.communicate(timeout=HANGS_S)
    assert 1 == process.returncode, err
    assert "ended with STOPPED" in json.loads(out.splitlines()[-1])["cause"]
    (message,) = analyst.hears()
    assert ("Freshet.Stopped", newest) == (message["error"], message["run"])
    assert [] == analyst.query("select n from SCHEMA.t")


def test_glue_that_is_busy_is_asked_again(analyst: Analyst) -> None:
    """A throttled start is no failure."""
    url = analyst.place.endpoints["aws"]["endpoint_url"]
    plan = json.dumps({"operation": "StartJobRun", "fault": "throttle", "times": 1})
    urllib.request.urlopen(urllib.request.Request(f"{url}/_sandbox/faults", plan.encode(), method="POST")).close()
    flow = analyst.writes("transform: [{file: a.sql}]", a="insert into SCHEMA.t values (1)")
    analyst.runs(flow)
    assert [{"n": 1}] == analyst.query("select n from SCHEMA.t")
    assert [] == analyst.hears()


@pytest.mark.parametrize(
    ("yaml", "files", "options", "why"),
    [
        ("transform: [{file: a.sql}]", {}, (), "names the file a.sql"),
        ("transform: [{file: a.sql}", {"a": "select 1"}, (), "this is not YAML"),
        ("transform: [{file: a.sql}]", {"a": "select :x"}, (), "no value is given for :x of a.sql"),
        ("parameters: {x: }\ntransform: [{file: a.sql}]", {"a": "select :x"}, (), "--parameter x="),
        ("transform: [{file: a.sql}]", {"a": "select 1"}, ("-p", "x=1"), "has no parameter x"),
        ("transform: [{file: a.sql}]", {"a": "select 1"}, ("-p", "x"), "name=value"),
        ("load: [{load: nowhere}]", {}, (), "there is no load nowhere"),
        ("transform: [{file: a.sql}]", {"a": "select 'x"}, (), "a.sql:1: "),
    ],
)  # fmt: skip
def test_bad_input(analyst: Analyst, yaml: str, files: dict[str, str], options: tuple[str, ...], why: str) -> None:
    """Exit code 2 before anything runs, with what is wrong."""
    flow = analyst.writes(yaml, **files)
    assert why in analyst.runs(flow, *options, code=2)["error"]
    assert [] == analyst.hears()


def test_an_unknown_workflow(analyst: Analyst) -> None:
    """The message names those that there are."""
    told = analyst.runs("nowhere", code=2)["error"]
    assert "daily_sales" in told
    assert "reviews" in told


def test_the_list_names_them(analyst: Analyst) -> None:
    """With what each is for."""
    assert 0 == run_command(["workflow", "list"])
    said = analyst.capsys.readouterr().out
    assert "daily_sales  What was sold" in said
    assert os.environ["FRESHET_HOME"] not in said
