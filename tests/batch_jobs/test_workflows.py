"""Workflows run as the deployed state machine, their SQL for real; failures are heard of, and what was killed runs again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from freshet.cli import run_command
from freshet.cli.context import ROOT, Place
from freshet.redshift import runs

DAY = date(2026, 5, 1)
ROWS = 6000


class Analyst:
    """Somebody with workflows of their own, who listens to the topic."""

    def __init__(self, place: Place, folder: Path, capsys: pytest.CaptureFixture[str], queue: str) -> None:
        self.place, self.folder, self.capsys, self.queue = place, folder, capsys, queue
        self.schema = f"w_{uuid.uuid4().hex[:8]}"
        self.bucket = place.endpoints["staging_bucket"]

    def writes(self, yaml: str, **files: str) -> Path:
        """Make a workflow; SCHEMA stands for one of its own."""
        folder = self.folder / f"flow_{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        (folder / "workflow.yaml").write_text(f"description: A test\n{yaml}")
        for name, sql in files.items():
            (folder / f"{name}.sql").write_text(sql.replace("SCHEMA", self.schema))
        return folder

    def runs(self, workflow: str | Path, *options: str, code: int = 0) -> dict[str, Any]:
        """Run it; give what --json says."""
        got = run_command(["workflow", "run", str(workflow), *options, "--json"])
        said = self.capsys.readouterr()
        assert got == code, said.err
        return dict(json.loads(said.out.splitlines()[-1]))

    def process(self, workflow: str | Path, *options: str) -> "subprocess.Popen[str]":
        """Run it as a process of its own."""
        command = [sys.executable, "-m", "freshet", "workflow", "run", str(workflow), *options, "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def hears(self) -> list[dict[str, Any]]:
        """Give the messages that came from the topic."""
        sqs, found = self.place.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                found.append(json.loads(json.loads(message["Body"])["Message"]))
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask the warehouse."""
        return list(self.place.warehouse.query(sql.replace("SCHEMA", self.schema)))

    def parquet(self, prefix: str) -> list[dict[str, Any]]:
        """Read what was unloaded below a prefix, partitions too."""
        endpoint = self.place.endpoints["aws"]["endpoint_url"].removeprefix("http://")
        s3 = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", access_key="sandbox", secret_key="sandbox")
        table = pq.read_table(f"{self.bucket}/freshet/sandbox/data/{prefix}", filesystem=s3)
        return list(table.to_pylist())


@pytest.fixture
def analyst(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Analyst]:
    """The command finds the sandbox of this test run; a queue hears the topic."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "sandbox").symlink_to(place.state)
    monkeypatch.setenv("FRESHET_HOME", str(home))
    monkeypatch.chdir(ROOT)
    sns, sqs = place.client("sns"), place.client("sqs")
    topic = sns.create_topic(Name="sandbox-workflows")["TopicArn"]
    queue = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    analyst = Analyst(place, tmp_path, capsys, queue)
    place.warehouse.run([f"create schema {analyst.schema}", f"create table {analyst.schema}.t (n integer)"])
    yield analyst
    sns.unsubscribe(SubscriptionArn=subscription)
    with psycopg.connect(place.endpoints["redshift"]["postgres_uri"]) as postgres:
        postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query like %s",
            [f"%{analyst.schema}%"],
        )
    place.warehouse.run([f"drop schema {analyst.schema} cascade"])


def utc(*parts: int) -> datetime:
    """Give a time as Redshift's TIMESTAMP has it, without a zone."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[arg-type, misc]


def wait_for(condition: Callable[[], Any]) -> Any:
    """Wait until something is so, a minute at most."""
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


# ---- daily_sales


@pytest.fixture(scope="module")
def sold(place: Place) -> Iterator[list[tuple[Any, ...]]]:
    """Thousands of tickets sold on four days, in the table that the pipeline keeps."""
    choice = random.Random(11)
    sports = ["baseball", "football", "soccer", "", None]
    rows = []
    for ticket in range(ROWS):
        at = datetime.combine(DAY, datetime.min.time()) + timedelta(seconds=choice.randrange(-86400, 3 * 86400))
        price = Decimal(choice.randrange(500, 30000)) / 100 if choice.random() < 0.98 else None
        rows.append((ticket, choice.randrange(20), choice.choice(sports), price, choice.randrange(500), at))
    # On the edges of the day.
    rows[0] = (0, 1, "edge", Decimal(1), 1, utc(2026, 5, 1, 0, 0, 0))
    rows[1] = (1, 1, "edge", Decimal(2), 1, utc(2026, 5, 1, 23, 59, 59))
    rows[2] = (2, 1, "edge", Decimal(4), 1, utc(2026, 5, 2, 0, 0, 0))
    ddl = (ROOT / "tests/golden/pipeline/sport_event_activity.target.sql").read_text().partition(";\n")[0]
    place.warehouse.run(["drop table if exists public.sport_event_activity", ddl])
    bucket, key = place.endpoints["staging_bucket"], f"sold-{uuid.uuid4().hex}.csv"
    lines = ["|".join("\\N" if value is None else str(value) for value in (*row, "0", "s")) for row in rows]
    place.client("s3").put_object(Bucket=bucket, Key=key, Body="\n".join(lines).encode())
    columns = "ticket_id, event_id, sport_type, ticket_price, purchased_by, created_at, _freshet_version, _freshet_step"
    place.warehouse.run(
        [
            f"copy public.sport_event_activity ({columns}) from 's3://{bucket}/{key}' "
            f"iam_role '{place.endpoints['copy_role_arn']}' delimiter '|' null '\\\\N'"
        ]
    )
    yield rows
    place.warehouse.run(["drop table public.sport_event_activity"])


def by_sport(rows: list[tuple[Any, ...]], day: date) -> dict[str, tuple[Any, ...]]:
    """Compute the summary of a day in plain Python."""
    groups = defaultdict(list)
    for row in rows:
        if row[5].date() == day:
            groups["unknown" if row[2] is None else row[2]].append(row)
    return {
        sport: (
            len(group), len({row[4] for row in group}), len({row[1] for row in group}),
            sum((row[3] for row in group if row[3] is not None), Decimal(0)),
        )
        for sport, group in groups.items()
    }  # fmt: skip


def unloaded_sales(analyst: Analyst, day: date) -> dict[str, tuple[Any, ...]]:
    """Read a day's summary back from S3."""
    found = analyst.parquet(f"daily_sales/day={day}")
    empty = "__HIVE_DEFAULT_PARTITION__"
    return {
        "" if row["sport_type"] in {None, empty} else row["sport_type"]:
        (row["tickets"], row["buyers"], row["events"], row["revenue"])
        for row in found
    }  # fmt: skip


def summary(analyst: Analyst, day: date) -> dict[str, tuple[Any, ...]]:
    """Read a day's summary from its table."""
    found = analyst.query(f"select * from public.daily_sales where day = '{day}'")
    return {row["sport_type"]: (row["tickets"], row["buyers"], row["events"], Decimal(row["revenue"])) for row in found}


def test_daily_sales(analyst: Analyst, sold: list[tuple[Any, ...]]) -> None:
    """Thousands of rows become the summary that plain Python computes, in the table and in S3; run again, it is the same."""
    expected = by_sport(sold, DAY)
    assert len(expected) == 6
    assert sum(row[0] for row in expected.values()) > 1000
    for _ in range(2):
        told = analyst.runs("daily_sales", "-p", f"day={DAY}")
        assert ("SUCCEEDED", ["transform", "unload"]) == (told["status"], [item["state"] for item in told["items"]])
        assert {"done"} == {item["outcome"] for item in told["items"]}
        assert expected == summary(analyst, DAY)
        assert expected == unloaded_sales(analyst, DAY)
    assert len(expected) == told["items"][-1]["rows"]
    assert [] == analyst.hears()


def test_a_day_that_changed_is_computed_anew(analyst: Analyst, sold: list[tuple[Any, ...]]) -> None:
    """A ticket that came late is in the second run's summary, and other days stay as they were."""
    next_day = DAY + timedelta(days=1)
    analyst.runs("daily_sales", "-p", f"day={next_day}")
    before = summary(analyst, next_day)
    analyst.runs("daily_sales", "-p", f"day={DAY}")
    late = (ROWS + 7, 1, "edge", Decimal(8), 9, utc(2026, 5, 1, 12))
    analyst.place.warehouse.run(
        [
            "insert into public.sport_event_activity (ticket_id, event_id, sport_type, ticket_price, purchased_by, created_at, "
            f"_freshet_version, _freshet_step) values ({late[0]}, 1, 'edge', 8, 9, '2026-05-01 12:00:00', '0', 's')"
        ]
    )
    analyst.runs("daily_sales", "-p", f"day={DAY}")
    assert by_sport([*sold, late], DAY) == summary(analyst, DAY) == unloaded_sales(analyst, DAY)
    assert before == summary(analyst, next_day)
    analyst.place.warehouse.run([f"delete from public.sport_event_activity where ticket_id = {late[0]}"])


def test_two_runs_at_once(analyst: Analyst, sold: list[tuple[Any, ...]]) -> None:
    """Both end well, and the summary holds each ticket once."""
    with ThreadPoolExecutor(2) as pool:
        processes = [analyst.process("daily_sales", "-p", f"day={DAY}") for _ in range(2)]
        said = list(pool.map(lambda process: process.communicate(timeout=120), processes))
    assert [0, 0] == [process.returncode for process in processes], said
    assert by_sport(sold, DAY) == summary(analyst, DAY) == unloaded_sales(analyst, DAY)


# ---- reviews


def simulated_reviews(analyst: Analyst, rows: int, seed: int) -> list[dict[str, Any]]:
    """Write the sample with the simulator; give all rows as they lie in S3."""
    assert 0 == run_command(["simulate", "reviews", "--rows", str(rows), "--seed", str(seed)])
    return analyst.parquet("reviews")


def test_reviews(analyst: Analyst) -> None:
    """From Parquet in S3 to a table with its keys, and each category's most helpful reviews; the second run follows new files."""
    for rows, seed in ((5000, 3), (3000, 4)):
        lake = simulated_reviews(analyst, rows, seed)
        assert rows == len(lake)
        told = analyst.runs("reviews", "-p", "most=7")
        assert ["external.sql", "reviews.sql", "most_helpful.sql"] == [item["item"] for item in told["items"]]
        columns = (
            "review_id",
            "product_id",
            "product_category",
            "star_rating",
            "helpful_votes",
            "review_headline",
            "review_date",
        )
        inside = analyst.query(f"select {', '.join(columns)} from public.reviews")
        assert sorted(tuple(str(row[name]) for name in columns) for row in lake) == sorted(
            tuple(str(row[name]) for name in columns) for row in inside
        )
        expected = {}
        for category in {row["product_category"] for row in lake}:
            own = [row for row in lake if row["product_category"] == category]
            ranked = sorted(own, key=lambda row: (-row["helpful_votes"], row["total_votes"], row["review_id"]))
            expected |= {(category, place): row["review_id"] for place, row in enumerate(ranked[:7], 1)}
        unloaded = {
            (row["product_category"], row["place"]): row["review_id"] for row in analyst.parquet("most_helpful_reviews")
        }
        assert expected == unloaded
    (keys,) = analyst.query("select diststyle, sortkey1 from svv_table_info where \"table\" = 'reviews'")
    assert ("KEY(product_id)", "product_category") == (keys["diststyle"], keys["sortkey1"])


def test_no_files_lose_no_table(analyst: Analyst) -> None:
    """Where no review is found the table stays as it was, and somebody is told."""
    simulated_reviews(analyst, 100, 5)
    analyst.runs("reviews")
    told = analyst.runs("reviews", "-p", f"from=s3://{analyst.bucket}/nothing/{uuid.uuid4().hex}", code=1)
    assert "reviews.sql" in told["cause"]
    assert [{"count": 100}] == analyst.query("select count(*) as count from public.reviews")
    (message,) = analyst.hears()
    assert ("reviews", "Transform", "reviews.sql") == (message["workflow"], message["state"], message["item"])


# ---- all three states


def test_load_transform_unload(analyst: Analyst) -> None:
    """Files are loaded once, summed up and unloaded; the second run finds nothing new to load, and gives the same."""
    prefix = "currents/news_feed_impression/"
    earlier = analyst.place.client("s3").list_objects_v2(Bucket=analyst.bucket, Prefix=prefix).get("Contents", [])
    for one in earlier:
        analyst.place.client("s3").delete_object(Bucket=analyst.bucket, Key=one["Key"])
    assert 0 == run_command(["simulate", "currents", "--files", "6", "--rows", "500", "--seed", "5"])
    flow = analyst.writes(
        """
parameters: {to: "{data}/impressions/"}
load: [{load: news_feed_impression}]
transform: [{file: a.sql}]
unload: [{file: b.sql}]
""",
        a="create table if not exists SCHEMA.sums (platform varchar(20), n bigint); delete from SCHEMA.sums; "
        "insert into SCHEMA.sums select platform, count(*) from public.news_feed_impression group by 1;",
        b="unload ('select * from SCHEMA.sums') to :to iam_role :role format parquet cleanpath;",
    )
    first, second = analyst.runs(flow), analyst.runs(flow)
    assert [("load", 3000), ("load", 0)] == [
        (told["items"][0]["state"], told["items"][0]["rows"]) for told in (first, second)
    ]
    unloaded = {row["platform"]: row["n"] for row in analyst.parquet("impressions")}
    inside = analyst.query("select platform, count(*) as n from public.news_feed_impression group by 1")
    assert {row["platform"]: row["n"] for row in inside} == unloaded
    assert 3000 <= sum(unloaded.values())


def test_a_load_that_fails_is_told(analyst: Analyst) -> None:
    """The cause is the load's own, and nothing after it ran."""
    key = f"currents/news_feed_impression/bad-{uuid.uuid4().hex}.avro"
    analyst.place.client("s3").put_object(Bucket=analyst.bucket, Key=key, Body=b"this is no Avro")
    flow = analyst.writes(
        "load: [{load: news_feed_impression}]\ntransform: [{file: a.sql}]", a="insert into SCHEMA.t values (1)"
    )
    try:
        told = analyst.runs(flow, code=1)
    finally:
        analyst.place.client("s3").delete_object(Bucket=analyst.bucket, Key=key)
    assert "Freshet.LoadFailed" == told["error"]
    assert "set aside" in told["cause"]
    (message,) = analyst.hears()
    assert ("Load", "news_feed_impression") == (message["state"], message["item"])
    assert [] == analyst.query("select n from SCHEMA.t")


# ---- what goes wrong


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
    mine = [row for row in runs.recent(analyst.place.warehouse) if f"/{flow.name}/" in row["name"]]
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
    out, err = process.communicate(timeout=60)
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
    out, err = process.communicate(timeout=60)
    assert 130 == process.returncode, err
    assert "Traceback" not in err
    told = json.loads(out.splitlines()[-1])
    assert ("ABORTED", ["stopped"]) == (told["status"], [item["outcome"] for item in told["items"]])
    wait_for(lambda: not job_processes(analyst, slow))
    wait_for(lambda: not statement_runs(analyst))
    glue = analyst.place.client("glue")
    (found,) = [
        run for run in glue.get_job_runs(JobName="run-sql-sandbox")["JobRuns"] if run["Id"] == told["items"][0]["run"]
    ]
    assert "STOPPED" == found["JobRunState"]
    assert [] == analyst.query("select n from SCHEMA.t")


def test_a_job_that_is_stopped_by_hand_has_not_done_its_work(analyst: Analyst, slow: Path) -> None:
    """Someone stops the run in Glue: the workflow fails, and says so, instead of going on with the next file."""
    process = analyst.process(slow)
    wait_for(lambda: statement_runs(analyst))
    glue = analyst.place.client("glue")
    newest = glue.get_job_runs(JobName="run-sql-sandbox")["JobRuns"][0]["Id"]
    glue.batch_stop_job_run(JobName="run-sql-sandbox", JobRunIds=[newest])
    out, err = process.communicate(timeout=60)
    assert 1 == process.returncode, err
    assert "ended with STOPPED" in json.loads(out.splitlines()[-1])["cause"]
    (message,) = analyst.hears()
    assert ("Freshet.Stopped", newest) == (message["error"], message["run"])
    assert [] == analyst.query("select n from SCHEMA.t")


def test_glue_that_is_busy_is_asked_again(analyst: Analyst) -> None:
    """A throttled start is no failure."""
    url = analyst.place.endpoints["aws"]["endpoint_url"]
    plan = json.dumps({"operation": "StartJobRun", "fault": "throttle", "times": 1})
    subprocess.run(["curl", "-sf", "-X", "POST", f"{url}/_sandbox/faults", "-d", plan], check=True, capture_output=True)
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
