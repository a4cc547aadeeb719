"""One Redshift stand-in and one S3 for all tests of this folder."""

import io
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from sandbox.redshift.server import Redshift
from tests.moto_server import moto_server
from tests.patience import HANGS_S

BUCKET = "freshet-staging"
ROLE = "arn:aws:iam::123456789012:role/freshet-copy"
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}


@dataclass
class Warehouse:
    """A caller of the Data API, with an S3 beside it."""

    redshift: Redshift
    data_api: Any
    s3: Any

    def submit(self, *sqls: str, **more: Any) -> str:
        answer = self.data_api.batch_execute_statement(WorkgroupName="freshet", Database="dev", Sqls=list(sqls), **more)
        return answer["Id"]

    def describe(self, statement: str, wait_s: int | None = 30) -> dict[str, Any]:
        wait = {"WaitTimeSeconds": wait_s} if wait_s else {}
        return self.data_api.describe_statement(Id=statement, **wait)

    def run(self, *sqls: str, **more: Any) -> str:
        """Run statements in one transaction, which must succeed."""
        statement = self.submit(*sqls, **more)
        state = self.describe(statement)
        assert state["Status"] == "FINISHED", state.get("Error")
        return statement

    def refusal(self, *sqls: str, **more: Any) -> str:
        """Run statements in one transaction, which must fail; give Redshift's error."""
        state = self.describe(self.submit(*sqls, **more))
        assert state["Status"] == "FAILED", sqls
        return state["Error"]

    def alone(self, sql: str) -> None:
        """Run one statement outside of a transaction block, which must succeed."""
        state = self.describe(self._execute(sql))
        assert state["Status"] == "FINISHED", state.get("Error")

    def refusal_alone(self, sql: str) -> str:
        """Run one statement outside of a transaction block, which must fail; give Redshift's error."""
        state = self.describe(self._execute(sql))
        assert state["Status"] == "FAILED", sql
        return state["Error"]

    def _execute(self, sql: str) -> str:
        return self.data_api.execute_statement(WorkgroupName="freshet", Database="dev", Sql=sql)["Id"]

    def rows(self, sql: str, **more: Any) -> list[list[Any]]:
        answer = self.data_api.execute_statement(
            WorkgroupName="freshet", Database="dev", Sql=sql, WaitTimeSeconds=30, **more
        )
        state = self.describe(answer["Id"])
        assert state["Status"] == "FINISHED", state.get("Error")
        pages = self.data_api.get_paginator("get_statement_result").paginate(Id=answer["Id"])
        return [[_value(field) for field in record] for page in pages for record in page["Records"]]

    def stage(self, *tables: pa.Table | bytes, **entry: Any) -> str:
        """Put Parquet files and their manifest into S3; give the manifest's URL."""
        entries = []
        for table in tables:
            body = table if isinstance(table, bytes) else parquet(table)
            key = f"{uuid.uuid4()}.parquet"
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
            named = {"url": f"s3://{BUCKET}/{key}", "mandatory": True, "meta": {"content_length": len(body)}}
            entries.append(named | entry)
        return self.put(json.dumps({"entries": entries}))

    def put(self, content: str) -> str:
        key = f"{uuid.uuid4()}.manifest"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content.encode())
        return f"s3://{BUCKET}/{key}"


def _value(field: dict[str, Any]) -> Any:
    return None if field.get("isNull") else next(iter(field.values()))


def parquet(table: pa.Table, **options: Any) -> bytes:
    body = io.BytesIO()
    pq.write_table(table, body, **{"use_deprecated_int96_timestamps": True, **options})
    return body.getvalue()


def copy(table: str, manifest: str) -> str:
    return f"copy {table} from '{manifest}' iam_role '{ROLE}' format as parquet manifest statupdate off"


@pytest.fixture(scope="session")
def s3_endpoint_url() -> Any:
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def redshift(tmp_path_factory: pytest.TempPathFactory, s3_endpoint_url: str) -> Any:
    folder: Path = tmp_path_factory.mktemp("redshift")
    with Redshift(folder, s3_endpoint_url) as running:
        yield running


@pytest.fixture(scope="session")
def warehouse(redshift: Redshift, s3_endpoint_url: str) -> Any:
    once = Config(retries={"total_max_attempts": 1}, read_timeout=HANGS_S)
    data_api = boto3.client("redshift-data", endpoint_url=redshift.endpoint_url, config=once, **KEYS)
    s3 = boto3.client("s3", endpoint_url=s3_endpoint_url, **KEYS)
    s3.create_bucket(Bucket=BUCKET)
    yield Warehouse(redshift, data_api, s3)
    data_api.close()
    s3.close()


@pytest.fixture
def table() -> str:
    """A name that no other test uses."""
    return f"t_{uuid.uuid4().hex[:12]}"
