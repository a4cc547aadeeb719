"""A file of SQL runs as a job: all of it or, statement by statement, up to the first error."""

import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from batch_jobs.run_sql.__main__ import main
from freshet.cli.context import Place
from freshet.redshift import runs
from tests.faults.control import inject, injected
from tests.patience import HANGS_S

ROWS = 5000


class Shop:
    """A schema of a test's own, a place for its files, and the job."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder, self.schema = place, folder, f"shop_{uuid.uuid4().hex[:8]}"
        self.processes: list[subprocess.Popen[str]] = []

    @property
    def redshift(self) -> str:
        return str(self.place.endpoints["redshift"]["endpoint_url"])

    def file(self, sql: str) -> Path:
        path = self.folder / f"{uuid.uuid4().hex[:8]}.sql"
        path.write_text(sql.replace("SHOP", self.schema))
        return path

    def arguments(self, sql: str, *more: str, **values: str) -> list[str]:
        fixed = ["--db", self.place.endpoints["redshift"]["database"], "--db_creds", "", "--bucket", ""]
        return [*fixed, "--file", str(self.file(sql)), "--parameters", json.dumps(values), *more]

    def run(self, sql: str, *more: str, **values: str) -> int:
        return main(self.arguments(sql, *more, **values))

    def process(self, sql: str, *more: str, **values: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "batch_jobs.run_sql", *self.arguments(sql, *more, **values)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def numbers(self, query: str) -> list[Any]:
        return [next(iter(row.values())) for row in self.place.warehouse.query(query.replace("SHOP", self.schema))]

    def count(self) -> int:
        return int(self.numbers("select count(*) as n from SHOP.sales")[0])

    def last_run(self) -> tuple[str, int, str]:
        found = next(row for row in runs.recent(self.place.warehouse) if str(self.folder) in row["name"])
        return found["outcome"], found["rows"], found["message"]


@pytest.fixture
def shop(place: Place, tmp_path: Path) -> Iterator[Shop]:
    """A schema with an empty table of sales and a full one of numbers."""
    shop = Shop(place, tmp_path)
    digits = " cross join ".join(
        f"(select 0 as {d} union all " + " union all ".join(f"select {n}" for n in range(1, 10)) + f") as t{d}"
        for d in "abcd"
    )
    place.warehouse.run(
        [
            f"create schema {shop.schema}",
            f"create table {shop.schema}.sales (id integer, day date, price decimal(10,2))",
            f"create table {shop.schema}.numbers as select a + 10 * b + 100 * c + 1000 * d as n from {digits}",
        ]
    )
    yield shop
    for process in shop.processes:
        process.kill()
        process.communicate()
    with psycopg.connect(place.endpoints["redshift"]["postgres_uri"]) as postgres:
        postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query like %s",
            [f"%{shop.schema}%"],
        )
    place.warehouse.run([f"drop schema {shop.schema} cascade"])


DAY = f"""
-- one day anew; that's all
delete from SHOP.sales where day = :day::date;
insert into SHOP.sales select n, :day::date, n * 0.01 from SHOP.numbers where n < {ROWS};
"""


def test_a_file_runs_and_tells_each_statement(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Line, words, rows and seconds of each; run twice, it is the same; the ledger has rows and outcome."""
    assert 0 == shop.run(DAY, day="2026-05-01")
    assert 0 == shop.run(DAY, day="2026-05-01")
    told = capsys.readouterr().out.splitlines()
    assert [f"statement 1/2, line 3: delete from {shop.schema}.sales where day: {ROWS:,} rows,"] == [
        told[2].rpartition(" rows,")[0] + " rows,"
    ]
    assert ROWS == shop.count()
    assert ("done", 2 * ROWS, "") == shop.last_run()


def test_a_file_in_s3(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """As the job on AWS reads it: bucket and key; what Glue adds to the arguments is left aside."""
    bucket = shop.place.endpoints["staging_bucket"]
    shop.place.client("s3").put_object(Bucket=bucket, Key="sql/day.sql", Body=DAY.replace("SHOP", shop.schema).encode())
    fixed = ["--db", "dev", "--db_creds", "", "--bucket", bucket, "--library-set", "analytics", "--TempDir", "s3://b/"]
    assert 0 == main([*fixed, "--file", "sql/day.sql", "--parameters", '{"day": "2026-05-01"}'])
    assert ROWS == shop.count()
    wrong = ["--file", "sql/day.sql", "--parameters", "{}", "--name", "daily/day.sql"]
    assert 2 == main([*fixed, *wrong])
    assert "error: daily/day.sql:3: no value is given for :day" in capsys.readouterr().err
    assert 2 == main([*fixed, "--file", "sql/none.sql"])
    assert f"s3://{bucket}/sql/none.sql is not there (NoSuchKey)" in capsys.readouterr().err


THREE = """insert into SHOP.sales select n, '2026-05-01', 1 from SHOP.numbers where n < 10;
insert into SHOP.sales values (11, '2026-05-01', 'jane@example.com; 1');
insert into SHOP.sales values (12, '2026-05-01', 1);
"""


@pytest.mark.parametrize(
    ("mode", "rows", "left"),
    [
        ("transaction", 0, "Nothing was written, the transaction was rolled back"),
        ("each", 10, "1 statement before it is committed"),
    ],
)
def test_the_first_error_ends_it(
    shop: Shop, capsys: pytest.CaptureFixture[str], mode: str, rows: int, left: str
) -> None:
    """File, line, number and Redshift's message, without a value; and what is now written."""
    assert 1 == shop.run(THREE, "--commit", mode)
    said = capsys.readouterr().err
    assert f".sql:2: statement 2 of 3 (insert into {shop.schema}.sales values): Redshift refused it: ERROR: " in said
    assert left in said
    assert "jane" not in said
    assert rows == shop.count()
    outcome, _, message = shop.last_run()
    assert ("failed", said.removeprefix("error: ").strip()) == (outcome, message)


@pytest.mark.parametrize(
    ("said", "sql", "more"),
    [
        (":1: the string that begins here is not closed", "select 'open", ()),
        (":2: no value is given for :day", "select 1;\nselect :day;", ()),
        (":2: statement 2 (vacuum", "select 1;\nvacuum SHOP.sales;", ()),
        (": there is no statement in it", "-- nothing\n", ()),
        (":1: statement 1 (begin) cannot be sent", "begin; select 1; commit;", ()),
        ("41 statements do not fit", "select 1;" * 41, ()),
        ("would be forgotten at once", "create temp table t (a int); insert into t values (1);", ("--commit", "each")),
        (f"has {100_009} bytes", f"select '{'x' * 100_000}' ", ()),
        ("--parameters is a JSON object of texts", "select 1", ("--parameters", "[1]")),
        ("no statement uses the parameter hour", "select 1", ("--parameters", '{"hour": "1"}')),
    ],
)
def test_wrong_input_sends_nothing(
    shop: Shop, capsys: pytest.CaptureFixture[str], said: str, sql: str, more: tuple[str, ...]
) -> None:
    """It is told before Redshift sees any of it, with exit code 2."""
    before = len(runs.recent(shop.place.warehouse, 1000))
    assert 2 == shop.run(sql, *more)
    assert said in capsys.readouterr().err
    assert before == len(runs.recent(shop.place.warehouse, 1000))


def test_what_is_missing_around_it_ends_with_3(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """No such workgroup."""
    assert 3 == shop.run("select 1", "--workgroup", "nowhere")
    assert "workgroup nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["lose_response", "throttle"])
@pytest.mark.parametrize("mode", ["transaction", "each"])
def test_a_lost_answer_runs_nothing_twice(shop: Shop, fault: str, mode: str) -> None:
    """The same token asks for the same statement."""
    operation = {"transaction": "BatchExecuteStatement", "each": "ExecuteStatement"}[mode]
    add = f"insert into SHOP.sales select n, '2026-05-01', 1 from SHOP.numbers where n < {ROWS};"
    shop.run("select 1")  # the ledger of runs is there: what follows is the file's own
    arguments = shop.arguments(add, "--commit", mode)
    before = injected(shop.redshift)
    with Interrupted(shop, operation, fault):
        assert 0 == main(arguments)
    assert injected(shop.redshift) - before >= 1
    assert ROWS == shop.count()


class Interrupted:
    """Plans faults for the file's own statements: those of the ledger of runs come before."""

    def __init__(self, shop: Shop, operation: str, fault: str) -> None:
        self.shop, self.operation, self.fault = shop, operation, fault

    def __enter__(self) -> None:
        import batch_jobs.run_sql.__main__ as job

        self.real = job.execute

        def execute(*arguments: Any) -> Any:
            inject(self.shop.redshift, operation=self.operation, fault=self.fault, times=6)
            return self.real(*arguments)

        job.execute = execute

    def __exit__(self, *_: object) -> None:
        import batch_jobs.run_sql.__main__ as job

        job.execute = self.real


def test_two_at_once(shop: Shop) -> None:
    """The same day twice at the same time: each replaces it whole, and it is there once."""
    lock = "lock SHOP.sales;" + DAY
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(shop.run(lock, day="2026-05-01"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [0, 0, 0] == codes
    assert ROWS == shop.count()


def test_two_at_once_that_collide(shop: Shop) -> None:
    """Without a lock one of them may be rolled back by Redshift; it is sent again, nobody has to."""
    codes: list[int] = []
    update = "update SHOP.sales set price = price + 1;"
    shop.place.warehouse.run([f"insert into {shop.schema}.sales values (1, '2026-05-01', 0)"])
    threads = [threading.Thread(target=lambda: codes.append(shop.run(update))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [0, 0, 0, 0] == codes
    assert ["4.00"] == shop.numbers("select price from SHOP.sales")


SLOW = """insert into SHOP.sales select n, '2026-05-01', 1 from SHOP.numbers where n < 10;
insert into SHOP.sales select a.n, '2026-05-02', sum(b.n + c.n) from SHOP.numbers a, SHOP.numbers b, SHOP.numbers c group by 1;
"""


@pytest.mark.parametrize(("mode", "rows"), [("transaction", 0), ("each", 10)])
def test_ctrl_c_cancels_what_runs(shop: Shop, mode: str, rows: int) -> None:
    """Redshift stops working on it; the exit code is 130, and what is written is told."""
    process = shop.process(SLOW, "--commit", mode)
    wait_for(lambda: is_running(shop))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=HANGS_S)
    assert 130 == process.returncode, said
    assert "stopped; " in said
    assert "Traceback" not in said
    wait_for(lambda: not is_running(shop))
    assert rows == shop.count()
    assert "stopped" == shop.last_run()[0]


def test_a_killed_run_is_run_again(shop: Shop) -> None:
    """Killed in the middle of a transaction: nothing is there or all is, and a second run makes it right."""
    process = shop.process(DAY + "select count(*) from SHOP.numbers a, SHOP.numbers b;", day="2026-05-01")
    wait_for(lambda: is_running(shop))
    process.kill()
    process.communicate()
    assert "running" == shop.last_run()[0]
    assert 0 == shop.run("lock SHOP.sales;" + DAY, day="2026-05-01")
    assert ROWS == shop.count()


def is_running(shop: Shop) -> bool:
    """Whether the endless statement over this schema is at work."""
    with psycopg.connect(shop.place.endpoints["redshift"]["postgres_uri"]) as postgres:
        found = postgres.execute(
            "select pid from pg_stat_activity where pid <> pg_backend_pid() and state = 'active' and query like %s",
            [f"%{shop.schema}.numbers%{shop.schema}.numbers%"],
        ).fetchall()
    return bool(found)


def wait_for(condition: Any) -> None:
    """Wait until something is so, three minutes at most."""
    end = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
