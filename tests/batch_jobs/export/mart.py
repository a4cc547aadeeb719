"""A source with a few heavy users, its export, and what the table must hold: reckoned in plain Python."""

import json
import os
import random
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from pyspark.sql import SparkSession

from batch_jobs.export_dynamodb import files
from batch_jobs.export_dynamodb.__main__ import read_definition
from batch_jobs.export_dynamodb.job import Export, Result, Settings, with_changes
from freshet.cli.context import Place
from freshet.redshift.literals import quote

HOLD_S = 6.0
COLUMNS = (
    "user_id varchar(64), n bigint, price decimal(38,8), ratio double precision, "
    "at timestamp, day date, ok boolean, note varchar(64)"
)
Row = tuple[str | None, int, Decimal | None, float | None, datetime | None, bool | None, str | None]


def some_rows(count: int, users: int, seed: int = 1) -> list[Row]:
    """Make rows of which the first user has a great many."""
    chance = random.Random(seed)
    rows: list[Row] = []
    for n in range(count):
        user = f"u-{int(users * chance.random() ** 4)}"
        price = Decimal(chance.randint(-(10**30), 10**30)).scaleb(-8) if chance.random() < 0.9 else None
        at = datetime(2024, 1, 1) + timedelta(microseconds=chance.randint(0, 10**15))  # noqa: DTZ001 - as Redshift keeps it
        note = chance.choice([None, "", "é\"\\\n'", "plain"])
        rows.append(
            (user, n, price, chance.choice([None, 0.1, -2.5e-7, 3.0]), at, chance.choice([None, True, False]), note)
        )
    return rows


@dataclass
class Mart:
    """One export of its own: source table, DynamoDB table, definition."""

    place: Place
    spark: SparkSession
    root: Path
    name: str = field(default_factory=lambda: f"m{uuid.uuid4().hex[:8]}")
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.root / self.name
        self.source, self.table = f"public.{self.name}", f"items-{self.name}"

    def make(self, rows: list[Row], key_type: str = "S", **entries: Any) -> "Mart":
        self.place.warehouse.run([f"create table {self.source} ({COLUMNS})"])
        self.make_items(key_type)
        self.define(**entries)
        self.add(rows)
        return self

    def make_items(self, key_type: str = "S", **more: Any) -> None:
        self.place.client("dynamodb").create_table(
            TableName=self.table,
            **{
                "AttributeDefinitions": [{"AttributeName": "user_id", "AttributeType": key_type}],
                "KeySchema": [{"AttributeName": "user_id", "KeyType": "HASH"}],
                "BillingMode": "PAY_PER_REQUEST",
                **more,
            },
        )

    def define(self, select: str = "", **entries: Any) -> None:
        wanted: dict[str, Any] = {
            "table": self.table, "key": "user_id", "order": ["at desc", "n"], "write_units_per_s": 20_000, "parts": 3,
        }  # fmt: skip
        if select:
            self.folder.mkdir(exist_ok=True)
            (self.folder / "select.sql").write_text(select)
        else:
            wanted["source"] = self.source
        self.folder.mkdir(exist_ok=True)
        (self.folder / "export.yaml").write_text(json.dumps(wanted | entries))

    def add(self, rows: list[Row]) -> None:
        for start in range(0, len(rows), 400):
            values = ", ".join(f"({', '.join(map(sql, with_day(row)))})" for row in rows[start : start + 400])
            self.place.warehouse.run([f"insert into {self.source} values {values}"])
        self.rows += rows

    def remove(self, user: str) -> None:
        self.place.warehouse.run([f"delete from {self.source} where user_id = {quote(user)}"])
        self.rows = [row for row in self.rows if row[0] != user]

    def export(
        self, incremental: bool = False, dry_run: bool = False, hold_s: float = HOLD_S, **changes: Any
    ) -> Result:
        """Run the job in this process."""
        definition = with_changes(read_definition(str(self.folder), None), changes.get("rate"), changes.get("parts"))
        run = str(uuid.uuid4())
        staging = files.Folder(self.place.endpoints["staging_bucket"], self.prefix, run)
        settings = Settings(run, incremental, dry_run, staging, self.place.endpoints["copy_role_arn"], hold_s)
        place = self.place
        return Export(
            self.spark, place.warehouse, place.client("s3"), place.client("dynamodb"), definition, settings
        ).run()

    @property
    def prefix(self) -> str:
        return f"freshet/exports/{self.name}/"

    def process(
        self, *options: str, module: tuple[str, ...] = ("batch_jobs.export_dynamodb",)
    ) -> subprocess.Popen[str]:
        """Start the job in a process group of its own."""
        endpoints = self.place.endpoints
        arguments = {
            "export_folder": self.folder, "staging_bucket": endpoints["staging_bucket"],
            "workgroup": endpoints["redshift"]["workgroup"], "warehouse_database": endpoints["redshift"]["database"],
            "copy_role": endpoints["copy_role_arn"], "hold_s": HOLD_S, "work_folder": self.root / "spark",
            "spark_master": "local[2]",
        }  # fmt: skip
        command = [sys.executable, "-m", *module, *options]
        for name, value in arguments.items():
            command += [f"--{name}", str(value)]
        return subprocess.Popen(
            command, env={**os.environ, **self.place.environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip

    def items(self) -> dict[str, Any]:
        """Read the whole table."""
        read = TypeDeserializer().deserialize
        pages = self.place.client("dynamodb").get_paginator("scan").paginate(TableName=self.table)
        found = [{name: read(value) for name, value in item.items()} for page in pages for item in page["Items"]]
        return {item["user_id"]: item["items"] for item in found}

    def count(self) -> int:
        pages = self.place.client("dynamodb").get_paginator("scan").paginate(TableName=self.table, Select="COUNT")
        return sum(page["Count"] for page in pages)

    def expected(self) -> dict[str, Any]:
        """Reckon what the table must hold."""
        users: dict[str, list[Row]] = {}
        for row in self.rows:
            users.setdefault(str(row[0]), []).append(row)
        return {user: [item_of(row) for row in sorted(rows, key=newest_first)] for user, rows in users.items()}

    def leftovers(self) -> tuple[int, set[str]]:
        """Count staged files, and name tables that a run should have dropped."""
        found = self.place.client("s3").list_objects_v2(
            Bucket=self.place.endpoints["staging_bucket"], Prefix=self.prefix
        )
        rows = self.place.warehouse.query(
            "select table_name from svv_tables where table_schema = 'freshet' and table_name like :name",
            {"name": f"{self.name}%"},
        )
        kept = {f"{self.name}_export", f"{self.name}_export_lock", f"{self.name}_exported"}
        return found["KeyCount"], {str(row["table_name"]) for row in rows} - kept


def newest_first(row: Row) -> tuple[float, int]:
    at = row[4]
    assert at is not None
    return (-(at - datetime(2000, 1, 1)).total_seconds(), row[1])  # noqa: DTZ001


def item_of(row: Row) -> dict[str, Any]:
    _, n, price, ratio, at, ok, note = row
    assert at is not None
    values = {
        "n": Decimal(n), "price": price, "ratio": None if ratio is None else Decimal(str(ratio)),
        "at": at.isoformat(timespec="microseconds"), "day": at.date().isoformat(), "ok": ok, "note": note,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


def with_day(row: Row) -> tuple[Any, ...]:
    return (*row[:5], None if row[4] is None else row[4].date(), *row[5:])


def sql(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, (bool, int, float, Decimal)):
        return str(value).lower() if not isinstance(value, Decimal) else format(value, "f")
    return f"'{value}'"
