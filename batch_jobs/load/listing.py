"""The files of a prefix, one after the other, in the order of their keys' bytes.

The order is what makes a comparison with 100,000 loaded files cheap, so it is checked: S3 promises it for ordinary buckets, and
not for directory buckets (S3 Express).

Reads:  ListObjectsV2, a page at a time.
Gives:  files, in constant memory.

Source: Amazon S3 API reference, "ListObjectsV2" (UTF-8 binary order), "Directory buckets".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from freshet.errors import EnvironmentFault, FreshetError, InputError
from freshet.unsent import refused


@dataclass(frozen=True)
class File:
    """A file as S3 lists it: where, how many bytes, and the ETag that changes with its content."""

    url: str
    size: int
    etag: str

    @property
    def hex(self) -> str:
        """The url's bytes in hexadecimal."""
        return in_hex(self.url)


def in_hex(url: str) -> str:
    """Write a url so that it sorts as its bytes do and equals nothing but itself, whatever the database's collation.

    Redshift ignores blanks at the end of a VARCHAR when it compares, and a database may ignore case.
    """
    return url.encode().hex()


def from_hex(text: str) -> str:
    """Read what `in_hex` wrote."""
    return bytes.fromhex(text).decode()


def files_below(
    s3: Any, bucket: str, prefix: str, suffix: str = "", stopping: Callable[[], bool] = lambda: False
) -> Iterator[File]:
    """List the files whose keys begin with a prefix; a folder's mark (an empty object whose key ends in /) is none.

    Args:
        s3: The boto3 client.
        bucket: Where.
        prefix: What keys begin with.
        suffix: What they end with; others are passed over.
        stopping: Asked before each page.

    Raises:
        InputError: There is no such bucket.
        EnvironmentFault: S3 refuses, does not answer, or lists in another order.
        KeyboardInterrupt: `stopping` answered True.
    """
    last = b""
    for page in _pages(s3, bucket, prefix):
        if stopping():
            raise KeyboardInterrupt
        for item in page.get("Contents", ()):
            key = item["Key"].encode()
            if key <= last:
                raise EnvironmentFault(
                    f"bucket {bucket} does not list its files in the order of their names, as directory buckets do not: "
                    "copy the files into a general purpose bucket"
                )
            last = key
            if item["Key"].endswith(suffix) and not (item["Key"].endswith("/") and not item["Size"]):
                yield File(f"s3://{bucket}/{item['Key']}", item["Size"], item["ETag"].strip('"'))


def _pages(s3: Any, bucket: str, prefix: str) -> Iterator[Any]:
    try:
        yield from s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    except (ClientError, BotoCoreError) as error:
        raise refusal(error, f"list s3://{bucket}/{prefix}", bucket) from None


def look(s3: Any, url: str) -> File | None:
    """Look at one file as it is now; None when there is none.

    Raises:
        InputError, EnvironmentFault: As `files_below`.
    """
    bucket, _, key = url[len("s3://") :].partition("/")
    try:
        # Listed, not asked for its head: that would need the right to read it, and this job reads no file.
        first = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
    except (ClientError, BotoCoreError) as error:
        raise refusal(error, f"look at {url}", bucket) from None
    return next((File(url, item["Size"], item["ETag"].strip('"')) for item in first if item["Key"] == key), None)


def refusal(error: ClientError | BotoCoreError, what: str, bucket: str) -> FreshetError:
    """Tell an error of S3: what was tried, and what to look at."""
    if isinstance(error, ParamValidationError):
        return InputError(f"S3 cannot be asked to {what} ({refused(error)}): correct prefix in load.yaml, or --bucket")
    if not isinstance(error, ClientError):
        return EnvironmentFault(f"S3 did not answer ({type(error).__name__}) when asked to {what}: try again")
    code = error.response["Error"]["Code"]
    if code == "NoSuchBucket":
        return InputError(f"there is no bucket {bucket}: correct prefix in load.yaml, or --bucket")
    return EnvironmentFault(
        f"S3 refused to {what} ({code}): check the bucket's policy, and the rights of whoever runs this"
    )
