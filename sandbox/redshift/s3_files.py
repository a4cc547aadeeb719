"""Find, read and write objects of S3 as COPY, UNLOAD and Spectrum do, with their errors in Redshift's words.

Reads:  URLs `s3://bucket/key`.
Gives:  names with sizes, and bodies.

Source: Redshift Developer Guide, "Using a manifest to specify data files", "COPY from Amazon S3", "UNLOAD".
"""

import bz2
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.redshift.errors import Refused, syntax_error
from sandbox.redshift.lexer import Cursor

_ROLE: Final = re.compile(r"arn:aws(-[a-z]+)*:iam::\d{12}:role/[\w+=,.@/-]+")
_ABSENT: Final = ("NoSuchKey", "404")


@dataclass(frozen=True)
class Entry:
    """One file of a manifest; `size` is its `meta.content_length`."""

    url: str
    size: int | None
    mandatory: bool


def role(cursor: Cursor, statement: str) -> None:
    """Take the role behind IAM_ROLE: `default`, or an ARN.

    Raises:
        Refused: It is neither.
    """
    token = cursor.next()
    if token.word != "default" and not (token.kind == "string" and _ROLE.fullmatch(token.content)):
        raise Refused(f"The IAM_ROLE of {statement} is no role's ARN")


def location(cursor: Cursor, statement: str) -> str:
    """Take a quoted `s3://bucket/...`.

    Raises:
        Refused: It is no such text.
    """
    token = cursor.next()
    if token.kind != "string":
        raise syntax_error(token.text)
    if not re.fullmatch(r"s3://[^/]+/.*", token.content, re.DOTALL):
        raise Refused(f"the sandbox's {statement} knows s3:// only, with a bucket and a path")
    return token.content


def split(url: str) -> tuple[str, str]:
    """Give a URL's bucket and key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def fetch(s3: Any, url: str) -> bytes | None:
    """Read an object; None when there is none.

    Raises:
        Refused: S3 refuses, or does not answer.
    """
    bucket, key = split(url)
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise refused(error, url) from None
    except BotoCoreError as error:
        raise refused(error, url) from None
    return body


def listed(s3: Any, prefix: str) -> list[tuple[str, int]]:
    """Give the URL and size of every object whose key begins with a prefix, in the order of keys, without folder marks.

    Raises:
        Refused: S3 refuses, or does not answer.
    """
    bucket, key = split(prefix)
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        found = [(item["Key"], item["Size"]) for page in pages for item in page.get("Contents", [])]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, prefix) from None
    return [(f"s3://{bucket}/{name}", size) for name, size in found if not name.endswith("/")]


def put(s3: Any, url: str, body: bytes) -> None:
    """Write an object.

    Raises:
        Refused: S3 refuses, or does not answer.
    """
    bucket, key = split(url)
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, url) from None


def delete(s3: Any, url: str) -> None:
    """Remove an object.

    Raises:
        Refused: S3 refuses, or does not answer.
    """
    bucket, key = split(url)
    try:
        s3.delete_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, url) from None


def refused(error: ClientError | BotoCoreError, url: str) -> Refused:
    """Tell an error of S3 as Redshift does."""
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        return Refused(f"S3ServiceException:{code},Status 400,Error {code},{url}")
    return Refused(f"S3 did not answer ({type(error).__name__}): {url}")


def missing(url: str) -> Refused:
    """Make the error for a file that must be there."""
    return Refused(f"S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey,{url}")


def manifest(s3: Any, url: str, *, sized: bool) -> Iterator[Entry]:
    """Read a manifest.

    Args:
        s3: The client.
        url: Of the manifest.
        sized: Every entry must say its size, as those of columnar files must.

    Raises:
        Refused: There is no manifest, or it is not in the manifest's format.
    """
    content = fetch(s3, url)
    if content is None:
        raise Refused(f"The specified S3 manifest {url} does not exist")
    try:
        named = [
            (entry["url"], entry.get("meta", {}).get("content_length"), entry.get("mandatory", False))
            for entry in json.loads(content)["entries"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(f"Problem reading manifest file - {url}: it is not in the manifest's format") from None
    for name, size, mandatory in named:
        if not (isinstance(name, str) and name.startswith("s3://") and isinstance(mandatory, bool)):
            raise Refused(f"Problem reading manifest file - {url}: an entry has no valid url or mandatory")
        if sized and (not isinstance(size, int) or isinstance(size, bool)):
            raise Refused(
                f"COPY of Parquet needs meta.content_length in the manifest, and the entry of {name} has none"
            )
    return (Entry(name, size, mandatory) for name, size, mandatory in named)


def unpacked(body: bytes, compression: str, url: str) -> bytes:
    """Undo the compression of a file; the empty name is none.

    Raises:
        Refused: The file is not compressed so.
    """
    try:
        match compression:
            case "gzip":
                return gzip.decompress(body)
            case "bzip2":
                return bz2.decompress(body)
            case "zstd":
                return pa.input_stream(pa.py_buffer(body), compression="zstd").read()
    except (OSError, EOFError, ValueError, zlib.error):
        raise Refused(f"the file {url} is not in {compression.upper()} format, or broken") from None
    return body


def packed(body: bytes, compression: str) -> bytes:
    """Compress a file; the empty name is not at all."""
    match compression:
        case "gzip":
            return gzip.compress(body, 6, mtime=0)
        case "bzip2":
            return bz2.compress(body)
        case "zstd":
            sink = pa.BufferOutputStream()
            with pa.CompressedOutputStream(sink, "zstd") as stream:
                stream.write(body)
            return sink.getvalue().to_pybytes()
    return body
