"""Look for personal values where none may be: in files, objects, tables and output."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq

SOURCE_AND_STREAM = ("mysql", "kinesis.sqlite")  # the only places of a sandbox that hold values in the clear


def personal_values(mysql: Any) -> list[str]:
    """Every address and phone number of the customers; the test is void if there are none."""
    with mysql.cursor() as cursor:
        cursor.execute("select email, phone from customer")
        rows = cursor.fetchall()
    emails = [email for email, _ in rows if email]
    phones = [phone for _, phone in rows if phone and sum(character.isdigit() for character in phone) >= 7]
    assert len(emails) >= 20
    assert len(phones) >= 20
    return [*emails, *(email.lower() for email in emails if email != email.lower()), *phones]


def found(values: Iterable[str], place: str, content: bytes) -> list[str]:
    """Name the places where a value was found - not the value, which pytest would print."""
    needles = [value.encode() for value in values]
    return [f"personal value {number} in {place}" for number, needle in enumerate(needles) if needle in content]


def files(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, but for what MySQL and Kinesis keep."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.relative_to(root).parts[0].startswith(SOURCE_AND_STREAM):
            yield str(path.relative_to(root)), path.read_bytes()


def objects(s3: Any, bucket: str) -> Iterator[tuple[str, bytes]]:
    """Every version of every object, and what a Parquet file says when it is read."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in page.get("Versions", ()):
            answer = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
            with answer["Body"] as body:
                content = body.read()
            yield version["Key"], content
            if version["Key"].endswith(".parquet"):
                yield version["Key"], str(pq.read_table(io.BytesIO(content)).to_pylist()).encode()


def tables(postgres_uri: str) -> Iterator[tuple[str, bytes]]:
    """Every row of every table of the database, as text."""
    with psycopg.connect(postgres_uri) as connection:
        listed = connection.execute(
            "select table_schema, table_name from information_schema.tables "
            "where table_schema not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in listed:
            rows = connection.execute(f'select t::text from "{schema}"."{table}" as t').fetchall()  # type: ignore[arg-type]
            yield f"{schema}.{table}", "\n".join(row[0] for row in rows).encode()
