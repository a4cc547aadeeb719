"""COPY of Parquet files that a manifest names.

Source: Redshift Developer Guide, "COPY", "COPY from columnar data formats", "Using a manifest to specify data files".
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.redshift.errors import Refused, syntax_error
from sandbox.redshift.lexer import Cursor, quoted, sql_name, words
from sandbox.redshift.parquet import Column, as_csv
from sandbox.redshift.session import Outcome, Plan, Session

_ROLE: Final = re.compile(r"arn:aws(-[a-z]+)*:iam::\d{12}:role/[\w+=,.@/-]+")
# What COPY takes with other formats.
_TEXT_ONLY: Final = words("""
    maxerror region ignoreheader null truncatecolumns timeformat dateformat acceptanydate emptyasnull blanksasnull
    delimiter escape removequotes csv json avro gzip bzip2 zstd lzop encoding compupdate noload trimblanks roundec
    ignoreblanklines ignoreallerrors
    """)


@dataclass
class _Copy:
    table: str
    columns: list[str]
    manifest: str


def copy(cursor: Cursor, _text: str) -> Plan:
    """Plan `COPY t [(columns)] FROM 's3://manifest' IAM_ROLE 'arn' FORMAT [AS] PARQUET MANIFEST [STATUPDATE ON|OFF]`.

    Raises:
        Refused: Another form of COPY, or an option that columnar files do not take.
    """
    table = sql_name(cursor.path())
    columns = cursor.listed(cursor.name) if cursor.sees("(") else []
    cursor.expect("from")
    source = cursor.next()
    if source.kind != "string":
        raise syntax_error(source.text)
    if not re.fullmatch(r"s3://[^/]+/.+", source.content):
        raise Refused("the sandbox's COPY reads from s3:// only")
    given: set[str] = set()
    while cursor.here is not None:
        option = _option(cursor)
        if option in given:
            raise Refused("conflicting or redundant options")
        given.add(option)
    if "role" not in given:
        raise Refused("COPY needs IAM_ROLE")
    if not {"parquet", "manifest"} <= given:
        raise Refused("the sandbox's COPY knows FORMAT AS PARQUET with MANIFEST only")
    wanted = _Copy(table, columns, source.content)
    return lambda session: _run(session, wanted)


def _option(cursor: Cursor) -> str:
    if cursor.accept("iam_role"):
        role = cursor.next()
        if role.word != "default" and not (role.kind == "string" and _ROLE.fullmatch(role.content)):
            raise Refused("The IAM_ROLE of COPY is no role's ARN")
        return "role"
    if cursor.accept("format"):
        cursor.accept("as")
        if not cursor.accept("parquet"):
            raise Refused("the sandbox's COPY knows FORMAT AS PARQUET with MANIFEST only")
        return "parquet"
    if cursor.accept("parquet"):
        return "parquet"
    if cursor.accept("manifest"):
        return "manifest"
    if cursor.accept("statupdate"):
        _ = cursor.accept("on") or cursor.accept("off") or cursor.accept("true") or cursor.accept("false")
        return "statupdate"
    word = cursor.next()
    if word.word in _TEXT_ONLY:
        raise Refused(f"{word.text.upper()} is not supported with FORMAT AS PARQUET")
    raise syntax_error(word.text)


def _run(session: Session, wanted: _Copy) -> Outcome:
    columns = _columns(session, wanted)
    names = ", ".join(quoted(column.name) for column in columns)
    into = f"copy {wanted.table} ({names}) from stdin (format csv)"
    for url, body in _files(session.s3(), wanted.manifest):
        session.load(into, as_csv(url, body, columns))
    return Outcome()


def _columns(session: Session, wanted: _Copy) -> list[Column]:
    rows = session.rows(
        "select a.attname, format_type(a.atttypid, null), a.atttypmod from pg_attribute as a "
        "where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum",
        [wanted.table],
    )
    known = {name: Column(name, kind, modifier) for name, kind, modifier in rows}
    for name in wanted.columns:
        if name not in known:
            raise Refused(f'column "{name}" of relation {wanted.table} does not exist')
    return [known[name] for name in wanted.columns] if wanted.columns else list(known.values())


def _files(s3: Any, manifest: str) -> Iterator[tuple[str, bytes]]:
    content = _fetch(s3, manifest)
    if content is None:
        raise Refused(f"The specified S3 manifest {manifest} does not exist")
    for url, size, mandatory in _entries(content, manifest):
        body = _fetch(s3, url)
        if body is None and mandatory:
            raise Refused(f"S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey,{url}")
        if body is None:
            continue
        if len(body) != size:
            raise Refused(
                f"Spectrum Scan Error: file {url} has {len(body)} bytes, and the manifest says content_length {size}"
            )
        yield url, body


def _entries(content: bytes, manifest: str) -> list[tuple[str, int, bool]]:
    try:
        entries = json.loads(content)["entries"]
        named = [
            (entry["url"], entry.get("meta", {}).get("content_length"), entry.get("mandatory", False))
            for entry in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(f"Problem reading manifest file - {manifest}: it is not in the manifest's format") from None
    for url, size, mandatory in named:
        if not (isinstance(url, str) and url.startswith("s3://") and isinstance(mandatory, bool)):
            raise Refused(f"Problem reading manifest file - {manifest}: an entry has no valid url or mandatory")
        if not isinstance(size, int) or isinstance(size, bool):
            raise Refused(f"COPY of Parquet needs meta.content_length in the manifest, and the entry of {url} has none")
    return named


def _fetch(s3: Any, url: str) -> bytes | None:
    bucket, key = url.removeprefix("s3://").split("/", 1)
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchKey", "404"):
            return None
        raise Refused(f"S3ServiceException:{code},Status 400,Error {code},{url}") from None
    except BotoCoreError as error:
        raise Refused(f"S3 did not answer ({type(error).__name__}): {url}") from None
    return body
