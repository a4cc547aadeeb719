"""Pipelines over a database of their own and, if wanted, a stream of their own; the job runs in the test's process.

A record only names a key. A test that puts records by hand therefore changes the source too: `sell` does both.
"""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from pyspark.sql import SparkSession

import sandbox.mysql
import streaming_job.connect
from freshet.cli.context import ROOT, Place
from freshet.ledger.keys import Key, encoded
from freshet.ledger.status import summary
from freshet.pipeline import fit
from freshet.pipeline.build import build_pipeline
from freshet.pipeline.connection import connect
from freshet.pipeline.model import Pipeline
from freshet.verify.compare import Comparison, Verifier
from sandbox import control
from streaming_job.arguments import Arguments
from streaming_job.connect import connect_job
from streaming_job.job import Job
from streaming_job.stopping import Stopping
from tests import oracle
from tests.patience import HANGS_S

EXAMPLE = ROOT / "sql" / "pipelines" / "sport_event_activity"
SOURCE = ROOT / "sql" / "source" / "sport_events.sql"
AT = "2024-07-29 12:00:00.000"


Change = Callable[[Pipeline], Pipeline]


class Asked(Stopping):
    """Is asked to stop by a test, not by a signal."""

    def ask(self) -> None:
        self._asked.set()
        self._deadline = float("inf")


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + HANGS_S
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def _admit_every_key(patch: pytest.MonkeyPatch) -> None:
    """Let keys and links of every collation, width and sign through, as the job reads them."""

    def check_joins(definition: Any, source: Any, _: Any, problems: Any) -> None:
        for join in definition.select.joins:
            fit._check_join_key(join, source.tables[join.table], problems)

    patch.setattr(fit, "_check_exact", lambda *_: None, raising=False)
    patch.setattr(fit, "_check_joins", check_joins)


def deletes(mode: str) -> Change:
    """A pipeline whose `deletes` is `ignore`, `apply` or `mark`."""
    return lambda pipeline: replace(pipeline, deletes=mode)


def inner(*aliases: str) -> Change:
    """A pipeline that joins some dimensions with an inner join."""

    def change(pipeline: Pipeline) -> Pipeline:
        joined = (replace(one, inner=one.alias in aliases) for one in pipeline.dimensions)
        return replace(pipeline, dimensions=tuple(joined))

    return change


def where(sql: str) -> Change:
    """A pipeline with a condition: Spark SQL over columns that are called `alias.column` in backquotes."""
    return lambda pipeline: replace(pipeline, where=sql)


class River:
    """Pipelines under test; the first has the example's SELECT unless another is given."""

    def __init__(
        self, place: Place, spark: SparkSession, folder: Path, own_stream: bool = False, shards: int = 2
    ) -> None:
        self.place, self.spark, self.root = place, spark, folder
        self.name = f"t_{uuid.uuid4().hex[:10]}"
        self.database = self.name
        self.folder = folder / self.name
        self.folders: dict[str, Path] = {}
        self.changes: dict[str, tuple[Change, ...]] = {}
        self.admits_every_key = False
        self.stream = self.name if own_stream else place.endpoints["stream"]
        self.kinesis = place.client("kinesis")
        if own_stream:
            self.kinesis.create_stream(StreamName=self.stream, ShardCount=shards)
            self.kinesis.get_waiter("stream_exists").wait(StreamName=self.stream, WaiterConfig={"Delay": 1})
        self.run_sql(f"create database {self.database}", database=None)
        self.define((EXAMPLE / "select.sql").read_text(), yaml.safe_load((EXAMPLE / "pipeline.yaml").read_text()))

    def define(self, select: str, definition: dict[str, Any], *changes: Change, name: str | None = None) -> str:
        """Write a pipeline's folder; its target is always this test's own.

        Args:
            select: The SELECT.
            definition: Of pipeline.yaml.
            changes: What the files cannot say; a job of another process does not know of them.
            name: The pipeline's; by default the first one's.
        """
        name = name or self.name
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "select.sql").write_text(select)
        (folder / "pipeline.yaml").write_text(yaml.safe_dump({**definition, "target": f"public.{name}"}))
        self.folders[name], self.changes[name] = folder, changes
        return name

    def second(self, *changes: Change) -> str:
        """Add one more pipeline of the example's SELECT."""
        definition = yaml.safe_load((EXAMPLE / "pipeline.yaml").read_text())
        return self.define(
            (EXAMPLE / "select.sql").read_text(), definition, *changes, name=f"{self.name}_{len(self.folders)}"
        )

    def change(self, *changes: Change) -> None:
        """Change the first pipeline in what the files cannot say."""
        self.changes[self.name] = changes

    def _built(self, definition: Any, source: Any, spark: SparkSession) -> Pipeline:
        pipeline = build_pipeline(definition, source, spark)
        for change in self.changes.get(definition.name, ()):
            pipeline = change(pipeline)
        return pipeline

    # the source

    @contextmanager
    def mysql(self) -> Iterator[Any]:
        with connect(self.place.mysql, self.database) as connection:
            yield connection

    def run_sql(self, *statements: str, database: str | None = "") -> None:
        with connect(self.place.mysql, self.database if database == "" else database) as connection:
            for statement in statements:
                with connection.cursor() as cursor:
                    cursor.execute(statement)

    def make_tables(self) -> None:
        self.run_sql(*[part for part in SOURCE.read_text().split(";") if part.strip()])

    def simulate(self, kind: str, *options: str) -> None:
        mysql = self.place.mysql
        command = [
            sys.executable,
            str(ROOT / "simulators" / f"{kind}.py"),
            "--host",
            mysql.host,
            "--port",
            str(mysql.port),
        ]
        command += ["--user", mysql.username, "--database", self.database, "--password_env", "TEST_MYSQL_PASSWORD"]
        environment = {**os.environ, "TEST_MYSQL_PASSWORD": mysql.password.get_secret_value()}
        subprocess.run([*command, *options], env=environment, check=True, capture_output=True, timeout=HANGS_S)

    def wait_for_dms(self, timeout_s: float = HANGS_S) -> None:
        """Wait until DMS has delivered all that is committed now."""
        until, deadline = control.binlog_position(self.place.state), time.monotonic() + timeout_s
        while control.dms_position(self.place.state) < until:
            assert time.monotonic() < deadline, f"DMS did not reach {until}"
            time.sleep(0.05)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self.mysql() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def run_as_administrator(self, *statements: str) -> None:
        """Run what the source's user may not."""
        link = sandbox.mysql.connect(
            self.place.endpoints["mysql"], as_administrator=True, database=self.database, autocommit=True
        )
        with closing(link), link.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    # the stream

    def shards(self) -> list[dict[str, Any]]:
        """The open shards, in the order of their hash keys."""
        listed = self.kinesis.list_shards(StreamName=self.stream)["Shards"]
        still = [shard for shard in listed if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        return sorted(still, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def split(self, number: int = 0) -> None:
        """Split an open shard in its middle."""
        shard = self.shards()[number]
        start, end = (int(shard["HashKeyRange"][f"{side}HashKey"]) for side in ("Starting", "Ending"))
        self.kinesis.split_shard(
            StreamName=self.stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((start + end) // 2)
        )
        self.kinesis.get_waiter("stream_exists").wait(StreamName=self.stream, WaiterConfig={"Delay": 1})

    def merge(self, number: int = 0) -> None:
        """Merge an open shard with its neighbor."""
        one, other = self.shards()[number : number + 2]
        self.kinesis.merge_shards(
            StreamName=self.stream, ShardToMerge=one["ShardId"], AdjacentShardToMerge=other["ShardId"]
        )
        self.kinesis.get_waiter("stream_exists").wait(StreamName=self.stream, WaiterConfig={"Delay": 1})

    def put(self, *bodies: bytes, key: str = "1") -> None:
        for start in range(0, len(bodies), 500):
            records = [{"Data": body, "PartitionKey": key} for body in bodies[start : start + 500]]
            assert self.kinesis.put_records(StreamName=self.stream, Records=records)["FailedRecordCount"] == 0

    def record(
        self, data: dict[str, Any], table: str = "ticket_activity", old: dict[str, Any] | None = None, **metadata: Any
    ) -> bytes:
        """A change as DMS writes it; an update of a row says with `old` what its key was. None leaves a field out."""
        fields = {
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "record-type": "data",
            "operation": "insert" if old is None else "update",
            "partition-key-type": "primary-key",
            "schema-name": self.database,
            "table-name": table,
            **{name.replace("_", "-"): value for name, value in metadata.items()},
        }
        document = {"data": data, "metadata": {k: v for k, v in fields.items() if v is not None}}
        return json.dumps(document if old is None else {**document, "before-image": old}).encode()

    def sale(self, ticket: int, customer: int | None, at: str = AT, **metadata: Any) -> bytes:
        data = {"ticket_id": ticket, "purchased_by": customer, "created_at": at, "updated_at": at}
        return self.record(data, **metadata)

    def sell(self, tickets: Sequence[int], customer: int, keys_apart: bool = False) -> None:
        """Sell tickets, or pass them on: in the source, and with a record each; in any shard if the keys shall be apart."""
        self.sell_in_source(tickets, customer)
        if not keys_apart:
            self.put(*[self.sale(ticket, customer) for ticket in tickets])
        for ticket in tickets if keys_apart else ():
            self.put(self.sale(ticket, customer), key=str(ticket))

    def sell_in_source(self, tickets: Sequence[int], customer: int) -> None:
        """Sell tickets, or pass them on; what the stream says of it is DMS's affair."""
        for start in range(0, len(tickets), 1000):
            rows = ", ".join(f"({ticket}, {customer}, '{AT}', '{AT}')" for ticket in tickets[start : start + 1000])
            self.run_sql(f"insert into ticket_activity values {rows} on duplicate key update purchased_by = {customer}")

    # the job

    @contextmanager
    def job(self, **arguments: Any) -> Iterator[Job]:
        """A job that is ready to work, and that ends when idle."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(streaming_job.connect, "build_pipeline", self._built)
            if self.admits_every_key:
                _admit_every_key(patch)
            job = connect_job(self.arguments(**arguments), lambda: self.spark, Asked())
        with closing(job):
            yield job

    @contextmanager
    def running(self, **arguments: Any) -> Iterator[Job]:
        """A job that works beside the test, and ends with the block; what ends it before is raised there."""
        ended_with: list[BaseException] = []

        def work(job: Job) -> None:
            try:
                job.work()
            except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
                ended_with.append(error)

        with self.job(**{"until_idle": False, **arguments}) as job:
            thread = threading.Thread(target=work, args=(job,))
            thread.start()
            try:
                yield job
            finally:
                job.stopping.ask()
                thread.join(HANGS_S)
                assert not thread.is_alive()
        if ended_with:
            raise ended_with[0]

    def arguments(self, **arguments: Any) -> Arguments:
        endpoints = self.place.endpoints
        return Arguments(
            pipeline_folders=",".join(str(folder) for folder in self.folders.values()),
            source_database=self.database,
            source_secret=endpoints["mysql_secret"],
            token_secret=endpoints["token_secret"],
            stream=self.stream,
            staging_bucket=endpoints["staging_bucket"],
            workgroup=endpoints["redshift"]["workgroup"],
            warehouse_database=endpoints["redshift"]["database"],
            copy_role=endpoints["copy_role_arn"],
            **{"every_s": 0.4, "until_idle": True, **arguments},
        )

    def command(self, module: Sequence[str] = ("-m", "streaming_job"), **arguments: Any) -> list[str]:
        """The job's command line, for a process of its own."""
        command = [sys.executable, *module]
        given = self.arguments(**{"spark_master": "local[2]", **arguments})
        for name, value in given.model_dump(exclude_none=True).items():
            if value is True:
                command.append(f"--{name}")
            elif value is not False:
                command += [f"--{name}", str(value)]
        return command

    def drain(self, **arguments: Any) -> None:
        """Run a job until the stream has nothing more."""
        with self.job(**arguments) as job:
            job.work()

    # requests

    def request_keys(self, *keys: Key, name: str | None = None) -> str:
        """Ask for keys of the fact, as `freshet verify --repair` does."""
        return self._request({"what": "keys", "keys": [encoded(key) for key in keys]}, name)

    def request_sweep(self, name: str | None = None) -> str:
        """Ask for a two-sided sweep, as `freshet backfill` does."""
        return self._request({"what": "sweep"}, name)

    def _request(self, request: dict[str, Any], name: str | None) -> str:
        arguments = self.arguments()
        key = f"{arguments.staging_prefix}/{name or self.name}/requests/{uuid.uuid4()}.json"
        self.place.client("s3").put_object(Bucket=arguments.staging_bucket, Key=key, Body=json.dumps(request).encode())
        return key

    def objects(self) -> list[str]:
        """The objects that the pipelines of this test left in the staging bucket."""
        arguments = self.arguments()
        answer = self.place.client("s3").list_objects_v2(
            Bucket=arguments.staging_bucket, Prefix=f"{arguments.staging_prefix}/{self.name}"
        )
        return [each["Key"] for each in answer.get("Contents", ())]

    # the target

    def target(self, name: str | None = None) -> list[dict[str, Any]]:
        """Every column of every row, Freshet's own included, from the bare database."""
        return self.warehouse_rows(f"select * from public.{name or self.name} order by 1")

    def warehouse_rows(self, sql: str) -> list[dict[str, Any]]:
        uri = self.place.endpoints["redshift"]["postgres_uri"]
        with psycopg.connect(uri, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(sql).fetchall()  # type: ignore[arg-type]  # a test's own text

    def warehouse_run(self, sql: str) -> None:
        with psycopg.connect(self.place.endpoints["redshift"]["postgres_uri"]) as connection:
            connection.execute(sql)  # type: ignore[arg-type]

    def expected(self, where: str = "true") -> list[oracle.Row]:
        with self.mysql() as mysql:
            secrets, secret = self.place.client("secretsmanager"), self.place.endpoints["token_secret"]
            return oracle.expected(mysql, secrets, secret, where)

    def actual(self, name: str | None = None) -> list[oracle.Row]:
        with psycopg.connect(self.place.endpoints["redshift"]["postgres_uri"]) as postgres:
            return oracle.actual(postgres, f"public.{name or self.name}")

    def ledger(self, name: str | None = None) -> dict[str, Any]:
        return summary(self.place.warehouse, name or self.name)

    def quarantine(self, name: str | None = None) -> list[dict[str, Any]]:
        return self.warehouse_rows(f"select * from freshet.{name or self.name}_quarantine order by sequence, key")

    def verify(self, rows_per_range: int = 20_000, *, repair: bool = False) -> Comparison:
        endpoints = self.place.endpoints
        with self.job() as job:
            (running,) = job.pipelines.values()
            verifier = Verifier(
                self.spark,
                running.followed.pipeline,
                self.place.mysql,
                self.place.warehouse,
                running.around.tokens,
                self.place.client("s3"),
                endpoints["staging_bucket"],
                "freshet",
                endpoints["copy_role_arn"],
                lag_s=0.1,
                rows_per_range=rows_per_range,
                without_news_s=2.0,
            )
            return verifier.compare(repair=repair)

    def pending(self, name: str | None = None) -> list[dict[str, Any]]:
        """The entries of pending work, as the warehouse has them."""
        rows = self.warehouse_rows(f"select entry from freshet.{name or self.name}_pending order by id")
        return [json.loads(row["entry"]) for row in rows]
