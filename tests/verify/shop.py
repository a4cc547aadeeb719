"""Orders with customers and cities in MySQL, and a target that the test fills by itself, as a right job would.

The job is a stand-in that lives in the verifier's sleep: it takes requests from S3, and it tells in the state row how far it has
come. Time is virtual, so nothing depends on the machine.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import yaml
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from freshet.ledger.keys import decoded
from freshet.pipeline.build import load_pipeline
from freshet.pipeline.connection import connect
from freshet.pipeline.ddl import target_ddl
from freshet.pipeline.model import Pipeline
from freshet.pipeline.protection import read_token_key
from freshet.verify.compare import Comparison, Verifier
from tests import oracle

TABLES = (
    "create table city (id int primary key, name varchar(40) not null)",
    "create table customer (code varchar(10) collate utf8mb4_bin primary key, name varchar(40), email varchar(80), "
    "phone varchar(40), city_id int)",
    "create table orders (shop varchar(8) collate utf8mb4_bin not null, number bigint unsigned not null, "
    "customer_code varchar(10) collate utf8mb4_bin, price decimal(8,2), weight double, status varchar(10) not null, "
    "paid tinyint(1), day date, at datetime(6), note text, primary key (shop, number))",
)
ROWS = (
    "insert into city values (1, 'Oslo'), (2, 'Bergen')",
    "insert into customer values ('AX', 'Ada', 'Ada@Example.org', '+47 123', 1), ('BY', 'Bo', null, '٣4', 2), "
    "('CZ', null, 'c@example.org', null, null)",
    "insert into orders values "
    "('east', 1, 'AX', 10.50, 0.1, 'open', 1, '2024-02-29', '2024-07-29 12:00:00.000001', 'note'), "
    "('east', 2, 'BY', 0, -0.0, 'void', 0, null, null, ''), "
    "('east', 18446744073709551615, 'CZ', null, 1e300, 'open', null, '1000-01-01', '9999-12-31 23:59:59', 'a '), "
    "('west', 1, null, -1.25, null, 'open', 1, null, null, null), "
    "('west', 2, 'none', 99999.99, 5e-324, 'void', 0, null, null, 'zwölf \U0001f600')",
)
SELECT = """
select
    o.shop, o.number, o.price * 2 as price, o.weight, o.status, o.paid, o.day, o.at, o.note,
    c.name as customer,
    tokenize(lower(c.email)) as email,
    concat('tel ', mask_digits(c.phone)) as phone,
    t.name as city
from orders as o
left join customer as c on c.code = o.customer_code
left join city as t on t.id = c.city_id
"""
DEFINITION = {
    "keys": ["number", "shop"],
    "pii": {"customer.email": "tokenize", "customer.phone": "mask_digits"},
}
JOINED = (
    "select o.shop, o.number, o.price * 2, o.weight, o.status, o.paid, o.day, o.at, o.note, c.name, c.email, c.phone, t.name "
    "from orders o left join customer c on c.code = o.customer_code left join city t on t.id = c.city_id"
)
STATE = "(head varchar(36), data_as_of timestamp, pending bigint, pending_since timestamp)"
QUARANTINE = (
    '("key" varchar(4000), shard varchar(128), sequence varchar(129), reason varchar(64), column_name varchar(255), '
    '"commit" varchar(36), quarantined_at timestamp)'
)


@dataclass
class Shop:
    """One pipeline under test.

    Attributes:
        deletes: The pipeline's mode.
        where: What the pipeline admits, as Spark SQL.
        inner: Aliases that are joined by `inner`.
        on_sleep: What happens in the world each time the verifier lets time pass.
        on_request: What the job does with the keys of a request; it writes nothing by default.
        database: MySQL database of another shop; else one of its own is made.
        job_runs: The job takes requests, and tells how far it has come.
    """

    place: Place
    spark: SparkSession
    folder: Path
    deletes: str = "ignore"
    where: str | None = None
    inner: tuple[str, ...] = ()
    on_sleep: Callable[[], None] = lambda: None
    on_request: Callable[[list[Any]], None] = lambda _: None
    job_runs: bool = True
    name: str = field(default_factory=lambda: f"v_{uuid.uuid4().hex[:10]}")
    database: str = ""
    now: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if not self.database:
            self.database = self.name
            self.run_sql(f"create database {self.name}", database=None)
            self.run_sql(*TABLES, *ROWS)
        folder = self.folder / self.name
        folder.mkdir(parents=True)
        (folder / "select.sql").write_text(SELECT)
        (folder / "pipeline.yaml").write_text(yaml.safe_dump({**DEFINITION, "target": f"public.{self.name}"}))
        with self.mysql() as connection:
            loaded = load_pipeline(folder, connection, self.database, self.spark)
        dimensions = tuple(replace(each, inner=each.alias in self.inner) for each in loaded.dimensions)
        self.pipeline: Pipeline = replace(loaded, dimensions=dimensions, where=self.where, deletes=self.deletes)
        self.place.warehouse.run(target_ddl(self.pipeline))
        self.target_run(
            "create schema if not exists freshet",
            f"create table freshet.{self.name}_state {STATE}",
            f"create table freshet.{self.name}_quarantine {QUARANTINE}",
            f"insert into freshet.{self.name}_state values ('h', '2020-01-01', 0, null)",
        )

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

    # the target

    def expected(self, where: str = "true") -> list[tuple[Any, ...]]:
        """What the target should hold, by MySQL's own join and tokens of the test's own."""
        secret = json.loads(
            self.place.client("secretsmanager").get_secret_value(SecretId=self.place.endpoints["token_secret"])[
                "SecretString"
            ]
        )
        key = oracle.base64.b64decode(secret["keys"][secret["active"]])
        with self.mysql() as connection, connection.cursor() as cursor:
            cursor.execute(f"{JOINED} where {where}")
            rows: list[Any] = cursor.fetchall()
        made = []
        for row in rows:
            email = oracle.token(key, secret["active"], row[10])
            phone = None if row[11] is None else f"tel {oracle.stars(row[11])}"
            paid = None if row[5] is None else bool(row[5])
            made.append((row[0].rstrip(" "), *row[1:5], paid, *row[6:10], email, phone, row[12]))
        return made

    def fill(self, where: str = "true") -> None:
        """Write rows into the target, as a right job would."""
        names = ", ".join(f'"{output.name}"' for output in self.pipeline.outputs)
        marks = ", ".join(["%s"] * len(self.pipeline.outputs))
        with psycopg.connect(self.place.endpoints["redshift"]["postgres_uri"]) as connection:
            for row in self.expected(where):
                connection.execute(
                    f"insert into public.{self.name} ({names}, _freshet_hash, _freshet_commit) values ({marks}, 0, 'c')",  # type: ignore[arg-type]
                    row,
                )

    def target_run(self, *statements: str) -> None:
        with psycopg.connect(self.place.endpoints["redshift"]["postgres_uri"]) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]

    def change(self, what: str, key: str = "shop = 'east' and number = 1") -> None:
        """Change a row of the target by hand."""
        self.target_run(f"update public.{self.name} set {what} where {key}")

    def delete(self, key: str) -> None:
        """Delete a row of the target by hand."""
        self.target_run(f"delete from public.{self.name} where {key}")

    # the job

    def tell(self, pending: int = 0, pending_since: float | None = None) -> None:
        """Commit how far the job has come: up to now."""
        since = "null" if pending_since is None else f"'{_moment(pending_since)}'"
        self.target_run(
            f"update freshet.{self.name}_state set data_as_of = '{_moment(self.now)}', pending = {pending}, "
            f"pending_since = {since}"
        )

    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all requests that wait, by their key in S3."""
        s3, bucket = self.place.client("s3"), self.place.endpoints["staging_bucket"]
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"freshet/{self.name}/requests/").get("Contents", [])
        return [
            {"object": each["Key"], **json.loads(s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read())}
            for each in found
        ]

    def staged(self) -> list[str]:
        """What lies below the comparison's prefix."""
        s3, bucket = self.place.client("s3"), self.place.endpoints["staging_bucket"]
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"freshet/{self.name}/verify/").get("Contents", [])
        return [each["Key"] for each in found]

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()
        if not self.job_runs:
            return
        for request in self.requests():
            assert request["what"] == "keys"
            if request["keys"]:
                self.on_request([decoded(key) for key in request["keys"]])
            self.tell()
            self.place.client("s3").delete_object(Bucket=self.place.endpoints["staging_bucket"], Key=request["object"])

    def verifier(self, **options: Any) -> Verifier:
        endpoints = self.place.endpoints
        return Verifier(
            self.spark,
            self.pipeline,
            self.place.mysql,
            self.place.warehouse,
            read_token_key(self.place.client("secretsmanager"), endpoints["token_secret"]),
            self.place.client("s3"),
            endpoints["staging_bucket"],
            "freshet",
            endpoints["copy_role_arn"],
            **{"lag_s": 0.0, "without_news_s": 2.0, "clock": lambda: self.now, "sleep": self._sleep, **options},
        )

    def verify(self, *, repair: bool = False, **options: Any) -> Comparison:
        found = self.verifier(**options).compare(repair=repair)
        assert self.staged() == []
        return found


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(sep=" ")
