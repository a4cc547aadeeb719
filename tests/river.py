"""A pipeline with a database, a target and, if wanted, a stream of its own; the job runs in the test's process."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import yaml
from pyspark.sql import SparkSession

from freshet.cli.context import ROOT, Place
from freshet.ledger.status import summary
from freshet.pipeline.connection import connect
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


class River:
    """One pipeline under test; the example's SELECT unless another is given."""

    def __init__(self, place: Place, spark: SparkSession, folder: Path, own_stream: bool = False) -> None:
        self.place, self.spark = place, spark
        self.name = f"t_{uuid.uuid4().hex[:10]}"
        self.database = self.name
        self.folder = folder / self.name
        self.stream = self.name if own_stream else place.endpoints["stream"]
        self.kinesis = place.client("kinesis")
        if own_stream:
            self.kinesis.create_stream(StreamName=self.stream, ShardCount=2)
            self.kinesis.get_waiter("stream_exists").wait(StreamName=self.stream, WaiterConfig={"Delay": 1})
        self.transaction = 5 << 32
        self.run_sql(f"create database {self.database}", database=None)
        self.define((EXAMPLE / "select.sql").read_text(), yaml.safe_load((EXAMPLE / "pipeline.yaml").read_text()))

    def define(self, select: str, definition: dict[str, Any]) -> None:
        """Write the pipeline's folder; its target is always this test's own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "select.sql").write_text(select)
        (self.folder / "pipeline.yaml").write_text(yaml.safe_dump({**definition, "target": f"public.{self.name}"}))

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

    # the stream

    def put(self, *bodies: bytes, key: str = "1") -> None:
        for start in range(0, len(bodies), 500):
            records = [{"Data": body, "PartitionKey": key} for body in bodies[start : start + 500]]
            assert self.kinesis.put_records(StreamName=self.stream, Records=records)["FailedRecordCount"] == 0

    def record(self, data: dict[str, Any], table: str = "ticket_activity", **metadata: Any) -> bytes:
        """A change as DMS writes it; each call is a later transaction unless told otherwise. None leaves a field out."""
        self.transaction += 1
        fields = {
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "record-type": "data",
            "operation": "insert",
            "partition-key-type": "primary-key",
            "schema-name": self.database,
            "table-name": table,
            "commit-timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
            **{name.replace("_", "-"): value for name, value in metadata.items()},
        }
        return json.dumps({"data": data, "metadata": {k: v for k, v in fields.items() if v is not None}}).encode()

    def sale(
        self, ticket: int, customer: int | None, at: str = "2024-07-29T12:00:00.000000Z", **metadata: Any
    ) -> bytes:
        data = {"ticket_id": ticket, "purchased_by": customer, "created_at": at, "updated_at": at}
        return self.record(data, **metadata)

    # the job

    @contextmanager
    def job(self, **arguments: Any) -> Iterator[Job]:
        """A job that is ready to work, and that ends when idle."""
        with closing(connect_job(self.arguments(**arguments), self.spark, Stopping())) as job:
            yield job

    def arguments(self, **arguments: Any) -> Arguments:
        endpoints = self.place.endpoints
        return Arguments(
            pipeline_folders=str(self.folder),
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

    # the target

    def target(self) -> list[dict[str, Any]]:
        """Every column of every row, Freshet's own included, from the bare database."""
        return self.warehouse_rows(f"select * from public.{self.name} order by 1")

    def warehouse_rows(self, sql: str) -> list[dict[str, Any]]:
        uri = self.place.endpoints["redshift"]["postgres_uri"]
        with psycopg.connect(uri, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(sql).fetchall()  # type: ignore[arg-type]  # a test's own text

    def warehouse_run(self, sql: str) -> None:
        with psycopg.connect(self.place.endpoints["redshift"]["postgres_uri"]) as connection:
            connection.execute(sql)  # type: ignore[arg-type]

    def expected(self) -> list[oracle.Row]:
        with self.mysql() as mysql:
            return oracle.expected(mysql, self.place.client("secretsmanager"), self.place.endpoints["token_secret"])

    def actual(self) -> list[oracle.Row]:
        with psycopg.connect(self.place.endpoints["redshift"]["postgres_uri"]) as postgres:
            return oracle.actual(postgres, f"public.{self.name}")

    def ledger(self) -> dict[str, Any]:
        return summary(self.place.warehouse, self.name)

    def quarantine(self) -> list[dict[str, Any]]:
        return self.warehouse_rows(f"select * from freshet.{self.name}_quarantine order by sequence")

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
