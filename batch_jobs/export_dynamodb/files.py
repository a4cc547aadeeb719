"""The job's files in S3: below one prefix that only this export uses, and gone when it ends.

They hold what the items hold, in the staging bucket, as the files of the streaming job do. A killed run leaves some; the next
run of the same export deletes them.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

DELETED_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Folder:
    """Where one export's files stand: bucket, the export's prefix, the run's own below it; all prefixes end with a slash."""

    bucket: str
    export_prefix: str
    run: str

    @property
    def prefix(self) -> str:
        """The run's own prefix."""
        return f"{self.export_prefix}{self.run}/"

    def url(self, name: str = "") -> str:
        """Give the URL of something of the run."""
        return f"s3://{self.bucket}/{self.prefix}{name}"


def split(url: str) -> tuple[str, str]:
    """Give bucket and key of an `s3://` URL."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def listed(s3: Any, url: str) -> Iterator[str]:
    """Give the URLs of the objects that begin with a URL."""
    bucket, prefix = split(url)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", ()):
            yield f"s3://{bucket}/{found['Key']}"


def read(s3: Any, url: str) -> pq.ParquetFile:
    """Open a Parquet file; nothing of it touches the disk."""
    bucket, key = split(url)
    answer = s3.get_object(Bucket=bucket, Key=key)
    with answer["Body"] as body:
        return pq.ParquetFile(io.BytesIO(body.read()), coerce_int96_timestamp_unit="us")


def write(s3: Any, url: str, table: pa.Table) -> int:
    """Write a Parquet file; give its bytes."""
    bucket, key = split(url)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="snappy")
    body = buffer.getvalue()
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    return len(body)


def write_manifest(s3: Any, url: str, written: Sequence[tuple[str, int]]) -> None:
    """Write what COPY shall read: exactly these (URL, bytes)."""
    bucket, key = split(url)
    entries = [{"url": file, "mandatory": True, "meta": {"content_length": size}} for file, size in written]
    body = json.dumps({"entries": entries}).encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")


def delete_all(s3: Any, url: str) -> int:
    """Delete every object that begins with a URL; give their number."""
    bucket, _ = split(url)
    keys = [split(found)[1] for found in listed(s3, url)]
    for start in range(0, len(keys), DELETED_AT_ONCE):
        wanted = [{"Key": key} for key in keys[start : start + DELETED_AT_ONCE]]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
    return len(keys)
