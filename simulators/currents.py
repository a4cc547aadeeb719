"""Put files of news feed impressions into a bucket, as Braze Currents exports them: Avro, a folder an hour.

Needs no MySQL and, beside boto3, no package: the Avro is written here. Every call makes new files; nobody in them is real.
"""

import argparse
import json
import random
import sys
import time
import uuid
import zlib
from collections.abc import Sequence
from typing import Any, Optional

import boto3

SCHEMA: "dict[str, Any]" = {
    "type": "record",
    "name": "Impression",
    "namespace": "com.braze.currents.users.behaviors.app.newsfeed",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "user_id", "type": "string"},
        *({"name": name, "type": ["null", "string"], "default": None} for name in ("external_user_id", "app_id")),
        {"name": "time", "type": "long"},
        *(
            {"name": name, "type": ["null", "string"], "default": None}
            for name in ("platform", "os_version", "device_model")
        ),
    ],
}
DEVICES = (
    ("ios", "iOS 17.4", "iPhone15,2"),
    ("ios", "iOS 16.7", "iPad13,4"),
    ("android", "14", "Pixel 8"),
    ("android", "13", "SM-G991B"),
    ("web", None, None),
)
ROWS_PER_BLOCK = 1000


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the files; give the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--prefix", default="currents/news_feed_impression/", help="default: %(default)s")
    parser.add_argument("--files", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=500, help="rows a file; default: %(default)s")
    parser.add_argument("--seed", type=int, help="the same seed gives the same rows")
    chosen = parser.parse_known_args(argv)[0]
    chance = random.Random(chosen.seed)
    s3, now = boto3.client("s3"), int(time.time())
    for number in range(chosen.files):
        at = now - 3600 * (chosen.files - number)
        folder = time.strftime("date=%Y-%m-%d-%H", time.gmtime(at))
        key = f"{chosen.prefix}{folder}/part-{uuid.uuid4().hex}.avro"
        s3.put_object(Bucket=chosen.bucket, Key=key, Body=avro([impression(chance, at) for _ in range(chosen.rows)]))
    print(f"{chosen.files:,} files with {chosen.rows:,} impressions each are in s3://{chosen.bucket}/{chosen.prefix}")
    return 0


def impression(chance: random.Random, at: int) -> "dict[str, Any]":
    """Make up one impression in the hour that begins at a time."""
    platform, system, device = chance.choice(DEVICES)
    return {
        "id": str(uuid.UUID(int=chance.getrandbits(128))),
        "user_id": f"{chance.randrange(16**6):024x}",
        "external_user_id": f"customer-{chance.randrange(100_000)}" if chance.random() < 0.9 else None,
        "app_id": "7e0b2a54-shop",
        "time": at + chance.randrange(3600),
        "platform": platform,
        "os_version": system,
        "device_model": device,
    }


def avro(rows: "Sequence[dict[str, Any]]") -> bytes:
    """Write an Avro container file, deflated.

    Source: Apache Avro specification, "Object container files", "Binary encoding".
    """
    sync = uuid.uuid4().bytes
    meta = {"avro.schema": json.dumps(SCHEMA), "avro.codec": "deflate"}
    parts = [
        b"Obj\x01",
        number(len(meta)),
        *(text(name) + text(value) for name, value in meta.items()),
        number(0),
        sync,
    ]
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        block = rows[start : start + ROWS_PER_BLOCK]
        body = zlib.compress(b"".join(map(record, block)))[2:-4]  # raw: without zlib's header and checksum
        parts += [number(len(block)), number(len(body)), body, sync]
    return b"".join(parts)


def record(row: "dict[str, Any]") -> bytes:
    """Write one row's fields in the schema's order."""
    parts = []
    for field in SCHEMA["fields"]:
        value = row[field["name"]]
        if isinstance(field["type"], list):
            parts.append(number(0) if value is None else number(1) + text(value))
        else:
            parts.append(number(value) if field["type"] == "long" else text(value))
    return b"".join(parts)


def number(value: int) -> bytes:
    """Write a long: zigzag, seven bits a byte."""
    rest, written = (value << 1) ^ (value >> 63), bytearray()
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*written, rest])


def text(value: str) -> bytes:
    """Write a string behind its length."""
    content = value.encode()
    return number(len(content)) + content


if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
