"""A load of its own for each test: a bucket, a table, files of every format."""

import gzip
import io
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_jobs.load.job import Job
from batch_jobs.load.specification import Load
from batch_jobs.load.staging import Staging
from freshet.cli.context import Place
from freshet.redshift.runs import create

SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "row",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "word", "type": ["null", "string"]},
            {"name": "amount", "type": ["null", "string", "long"]},
        ],
    }
)
Row = tuple[int, str | None, int | None]


def rows(first: int, count: int) -> list[Row]:
    """Rows with ids from a first one on; words that a reader may trip over."""
    words = ("plain", 'ü, "quoted"', "two\nlines", "", None)
    # An empty text and NULL are one to CSV.
    return [(n, words[n % 3], n * 7 if n % 4 else None) for n in range(first, first + count)]


def encoded(format: str, content: Sequence[Sequence[Any]]) -> bytes:  # noqa: A002
    """Write rows as a file."""
    if format == "avro":
        body = io.BytesIO()
        fastavro.writer(
            body, SCHEMA, [dict(zip(("id", "word", "amount"), row, strict=True)) for row in content], codec="deflate"
        )
        return body.getvalue()
    if format == "json":
        return "\n".join(json.dumps(dict(zip(("id", "word", "amount"), row, strict=True))) for row in content).encode()
    if format == "csv":
        quoted = [
            ["" if value is None else '"' + str(value).replace('"', '""') + '"' for value in row] for row in content
        ]
        return "".join(",".join(row) + "\n" for row in quoted).encode()
    schema = pa.schema([("id", pa.int64()), ("word", pa.string()), ("amount", pa.int32())])
    body = io.BytesIO()
    pq.write_table(pa.table([list(column) for column in zip(*content, strict=True)], schema=schema), body)
    return body.getvalue()


@dataclass
class Box:
    """One load, and what it is run with."""

    place: Place
    load: Load
    events: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def s3(self) -> Any:
        return self.place.client("s3")

    def put(self, name: str, content: Sequence[Sequence[Any]] | bytes) -> str:
        """Write a file below the prefix; give its url."""
        body = content if isinstance(content, bytes) else encoded(self.load.format, content)
        if self.load.compression == "gzip" and not isinstance(content, bytes):
            body = gzip.compress(body)
        self.s3.put_object(Bucket=self.load.bucket, Key=self.load.prefix + name, Body=body)
        if not isinstance(content, bytes):
            self.files[name] = [tuple(row) for row in content]  # type: ignore[misc]
        return self.load.url + name

    def fill(self, files: int, rows_each: int) -> None:
        """Write so many files with so many rows."""
        done = len(self.files)
        for number in range(done, done + files):
            self.put(f"d={number % 3}/part-{number:04}", rows(number * rows_each, rows_each))

    def remove(self, name: str) -> None:
        self.s3.delete_object(Bucket=self.load.bucket, Key=self.load.prefix + name)

    def job(self, tell: Callable[[dict[str, Any]], None] | None = None, **more: Any) -> Job:
        """A run's job; `tell` hears each step before it goes on."""
        staging = Staging(self.s3, self.place.endpoints["staging_bucket"], "freshet")

        def hear(event: dict[str, Any]) -> None:
            self.events.append(event)
            if tell:
                tell(event)

        return Job(
            self.load, self.place.warehouse, self.s3, staging, self.place.endpoints["copy_role_arn"], tell=hear, **more
        )

    def run(self, **how: Any) -> dict[str, Any]:
        return self.job().run(**how)

    def table_made(self) -> None:
        """Make the tables, so that a run's first transactions are its line in the ledger and its first batch."""
        self.job().table.create()
        create(self.place.warehouse)

    def target(self) -> list[Row]:
        """What the table holds."""
        found = self.place.warehouse.query(f"select id, word, amount from {self.load.target} order by id")
        return [(row["id"], row["word"], row["amount"]) for row in found]

    def expected(self, *without: str) -> list[Row]:
        """What the files hold."""
        return sorted(row for name, content in self.files.items() if name not in without for row in content)

    def remembered(self) -> dict[str, tuple[str, int | None, str | None, int | None]]:
        """Outcome, line, column and code of each file, by its name below the prefix."""
        found = self.place.warehouse.query(
            f"select file, outcome, line, column_name, code from freshet.{self.load.name}_files"
        )
        assert len(found) == len({row["file"] for row in found})
        return {
            row["file"].removeprefix(self.load.url): (row["outcome"], row["line"], row["column_name"], row["code"])
            for row in found
        }

    def set_aside(self) -> list[str]:
        return sorted(name for name, (outcome, *_) in self.remembered().items() if outcome == "set_aside")

    def staged(self) -> list[str]:
        """Lists and manifests that are left."""
        listed = self.s3.list_objects_v2(
            Bucket=self.place.endpoints["staging_bucket"], Prefix=f"freshet/loads/{self.load.name}/"
        )
        return [item["Key"] for item in listed.get("Contents", ())]

    def ledger(self) -> list[tuple[str, int, int]]:
        """Outcome, rows and bytes of the runs, oldest first."""
        found = self.place.warehouse.query(
            f"select outcome, rows, bytes from freshet.runs where kind = 'load' and name = '{self.load.name}' order by started_at"
        )
        return [(row["outcome"], row["rows"], row["bytes"]) for row in found]

    def arguments(self, definition: Path) -> list[str]:
        """Arguments of `python -m batch_jobs.load`; writes the definition's file."""
        definition.write_text(self.load.to_json())
        redshift = self.place.endpoints["redshift"]
        return [
            "--definition", str(definition), "--workgroup", redshift["workgroup"], "--database", redshift["database"],
            "--copy_role", self.place.endpoints["copy_role_arn"],
            "--staging", f"s3://{self.place.endpoints['staging_bucket']}/freshet",
        ]  # fmt: skip


@pytest.fixture
def box(place: Place) -> Callable[..., Box]:
    """Makes boxes; the entries of `Load` that a test is about."""

    def make(**entries: Any) -> Box:
        name = f"load_{uuid.uuid4().hex[:8]}"
        bucket = f"files-{uuid.uuid4().hex[:12]}"
        place.client("s3").create_bucket(Bucket=bucket)
        target = f"public.{name}"
        marker = f", {entries['replace']} varchar(36)" if entries.get("replace") else ""
        table = f"create table if not exists {target} (id bigint not null, word varchar(40), amount integer{marker})"
        load = Load(name=name, bucket=bucket, prefix="in/", format="csv", target=target, table=table)
        return Box(place, replace(load, **entries))

    return make
