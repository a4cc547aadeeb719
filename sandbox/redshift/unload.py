"""UNLOAD to S3: its parameters, what may be there already, the files and their manifest.

What is written stays when the transaction rolls back, as in Redshift.

Source: Redshift Developer Guide, "UNLOAD" (parameters, usage notes), "UNLOAD examples", "Unloading data".
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sandbox.redshift.copy_options import character, text
from sandbox.redshift.errors import Refused, syntax_error
from sandbox.redshift.lexer import Cursor, words
from sandbox.redshift.query import Part, unlimited_query
from sandbox.redshift.s3_files import delete, listed, location, put, role
from sandbox.redshift.session import Outcome, Plan, Session, Shape
from sandbox.redshift.unload_files import Target, Unloaded, write_files

_MB: Final = 1024 * 1024
_FORMATS: Final = ("parquet", "csv", "json")
_COMPRESSIONS: Final = ("gzip", "bzip2", "zstd")
_EVERY: Final = words("iam_role format partition manifest allowoverwrite cleanpath parallel maxfilesize")
_TAKES: Final = {
    "parquet": _EVERY | {"rowgroupsize"},
    "csv": _EVERY | {*_COMPRESSIONS, "header", "delimiter", "null", "extension"},
    "json": _EVERY | {*_COMPRESSIONS, "extension"},
}
_LATER: Final = words("""
    fixedwidth encrypted kms_key_id master_symmetric_key addquotes escape region credentials access_key_id
    secret_access_key session_token
    """)
# What can be a partition's key; the numbers are PostgreSQL's.
_KEY_TYPES: Final = frozenset({16, 20, 21, 23, 25, 700, 1042, 1043, 1082, 1114, 1700})
_NOT_UNLOADED: Final = {114: "SUPER", 1083: "TIME"}
_BASE_NAMES: Final = {
    16: "boolean",
    20: "bigint",
    21: "smallint",
    23: "integer",
    25: "character varying",
    700: "real",
    701: "double precision",
    1042: "character",
    1043: "character varying",
    1082: "date",
    1114: "timestamp without time zone",
    1184: "timestamp with time zone",
    1700: "numeric",
}


@dataclass
class _Unload:
    query: Part
    prefix: str
    target: Target
    manifest: bool = False
    verbose: bool = False
    overwrite: bool = False
    clean: bool = False


def unload(cursor: Cursor, _text: str) -> Plan:
    """Plan `UNLOAD ('select ...') TO 's3://...' IAM_ROLE 'arn' FORMAT PARQUET | CSV | JSON [parameters]`.

    Raises:
        Refused: Another form of UNLOAD, a query that it does not take, or parameters that do not go together.
    """
    cursor.expect("(")
    written = cursor.next()
    if written.kind != "string":
        raise syntax_error(written.text)
    cursor.expect(")", "to")
    wanted = _Unload(unlimited_query(written.content), location(cursor, "UNLOAD"), Target())
    given: list[str] = []
    while cursor.here is not None:
        name = _parameter(cursor, wanted)
        if name in given:
            raise Refused("conflicting or redundant options")
        given.append(name)
    _check(wanted, given)
    return lambda session: _run(session, wanted)


def _check(wanted: _Unload, given: list[str]) -> None:
    target = wanted.target
    if "iam_role" not in given:
        raise Refused("UNLOAD needs IAM_ROLE")
    if not target.format:
        raise Refused("the sandbox's UNLOAD knows FORMAT AS PARQUET, CSV and JSON only")
    for name in given:
        if name not in _TAKES[target.format]:
            raise Refused(f"{name.upper()} is not supported with FORMAT AS {target.format.upper()}")
    if len([name for name in given if name in _COMPRESSIONS]) > 1:
        raise Refused("conflicting or redundant options")
    if wanted.clean and wanted.overwrite:
        raise Refused("CLEANPATH cannot be used with ALLOWOVERWRITE")


def _parameter(cursor: Cursor, wanted: _Unload) -> str:
    token = cursor.next()
    word = token.word
    if word == "format" or word in _FORMATS:
        if word == "format":
            cursor.accept("as")
            token = cursor.next()
        if token.word not in _FORMATS:
            raise syntax_error(token.text)
        wanted.target.format = token.word
        return "format"
    if word in _COMPRESSIONS:
        wanted.target.compression = word
        return word
    if word in _LATER:
        raise Refused(f"the sandbox's UNLOAD does not know {word.upper()}")
    if word not in _PARAMETERS:
        raise syntax_error(token.text)
    _PARAMETERS[word](cursor, wanted)
    return word


def _partition(cursor: Cursor, wanted: _Unload) -> None:
    cursor.expect("by")
    wanted.target.keys = cursor.listed(cursor.name)
    wanted.target.keys_included = cursor.accept("include")


def _manifest(cursor: Cursor, wanted: _Unload) -> None:
    wanted.manifest, wanted.verbose = True, cursor.accept("verbose")


def _parallel(cursor: Cursor, wanted: _Unload) -> None:
    if cursor.accept("off") or cursor.accept("false"):
        wanted.target.slices = 1
        wanted.target.numbered = True
    else:
        _ = cursor.accept("on") or cursor.accept("true")


def _size(cursor: Cursor, name: str, least: int, greatest: float) -> int:
    cursor.accept("as")
    token = cursor.next()
    if token.kind != "number":
        raise syntax_error(token.text)
    size = Decimal(token.text) * _MB
    if cursor.accept("gb"):
        size *= 1024
    else:
        cursor.accept("mb")
    if not least * _MB <= size <= greatest * _MB:
        raise Refused(f"{name} must be between {least} MB and {greatest:g} MB")
    return int(size)


def _max_file_size(cursor: Cursor, wanted: _Unload) -> None:
    wanted.target.file_bytes_max = _size(cursor, "MAXFILESIZE", 5, 6.2 * 1024)


def _row_group_size(cursor: Cursor, _wanted: _Unload) -> None:
    _size(cursor, "ROWGROUPSIZE", 32, 128)


def _flag(name: str) -> Callable[[Cursor, _Unload], None]:
    def take(_cursor: Cursor, wanted: _Unload) -> None:
        setattr(wanted, name, True)

    return take


def _header(_cursor: Cursor, wanted: _Unload) -> None:
    wanted.target.header = True


def _delimiter(cursor: Cursor, wanted: _Unload) -> None:
    wanted.target.delimiter = character(cursor, "DELIMITER")


def _null(cursor: Cursor, wanted: _Unload) -> None:
    wanted.target.null_text = text(cursor)


def _extension(cursor: Cursor, wanted: _Unload) -> None:
    wanted.target.extension = text(cursor)


_PARAMETERS: Final[dict[str, Callable[[Cursor, _Unload], None]]] = {
    "iam_role": lambda cursor, _wanted: role(cursor, "UNLOAD"),
    "partition": _partition,
    "manifest": _manifest,
    "header": _header,
    "delimiter": _delimiter,
    "null": _null,
    "allowoverwrite": _flag("overwrite"),
    "cleanpath": _flag("clean"),
    "parallel": _parallel,
    "maxfilesize": _max_file_size,
    "rowgroupsize": _row_group_size,
    "extension": _extension,
}


def _run(session: Session, wanted: _Unload) -> Outcome:
    sql, _ = wanted.query.prepare(session)
    columns = session.shape(sql)
    _check_columns(wanted.target, columns)
    s3 = session.s3()
    prefix = wanted.prefix
    if wanted.target.keys and not prefix.endswith("/"):
        prefix += "/"
    if not (wanted.overwrite or wanted.clean) and listed(s3, prefix):
        raise Refused(
            "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, manually "
            "removing the target files in S3, or using the ALLOWOVERWRITE option."
        )
    if wanted.clean and not wanted.target.keys:
        _remove(s3, prefix)
    cleaned: set[str] = set()
    files: list[Unloaded] = []
    for file in write_files(session.unload(sql), columns, wanted.target):
        if wanted.clean and wanted.target.keys and file.folder not in cleaned:
            cleaned.add(file.folder)
            _remove(s3, prefix + file.folder)
        put(s3, prefix + file.name, file.body)
        files.append(file)
    if wanted.manifest:
        put(s3, f"{prefix}manifest", _manifest_of(prefix, files, columns if wanted.verbose else None))
    rows = sum(file.rows for file in files)
    session.run(f"set local redshift.last_unload_id = '{session.trace.query_id}'")
    session.run(f"set local redshift.last_unload_count = '{rows}'")
    return Outcome()


def _remove(s3: Any, prefix: str) -> None:
    for url, _ in listed(s3, prefix):
        delete(s3, url)


def _check_columns(target: Target, columns: list[Shape]) -> None:
    names = [column.name for column in columns]
    for column in columns:
        if column.oid in _NOT_UNLOADED:
            raise Refused(f"the sandbox does not know UNLOAD of {_NOT_UNLOADED[column.oid]}, as {column.name} is")
    if target.format != "csv" and len(set(names)) < len(names):
        raise Refused(f"UNLOAD to {target.format.upper()} needs column names that are unique")
    for key in target.keys:
        found = [column for column in columns if column.name == key]
        if not found:
            raise Refused(f'PARTITION BY column "{key}" is not in the query\'s result')
        if found[0].oid not in _KEY_TYPES:
            raise Refused(f'the type of column "{key}" is not supported in PARTITION BY')
    if not set(names) - set(target.keys):
        raise Refused("UNLOAD needs at least one column that is not in PARTITION BY")


def _manifest_of(prefix: str, files: list[Unloaded], columns: list[Shape] | None) -> bytes:
    if columns is None:
        return json.dumps({"entries": [{"url": prefix + file.name} for file in files]}, indent=2).encode()
    entries = [{"url": prefix + file.name, "meta": _measures([file])} for file in files]
    schema = {"elements": [{"name": column.name, "type": _type_of(column)} for column in columns]}
    author = {"name": "Amazon Redshift", "version": "1.0.0"}
    told = {"entries": entries, "schema": schema, "meta": _measures(files), "author": author}
    return json.dumps(told, indent=2).encode()


def _measures(files: list[Unloaded]) -> dict[str, int]:
    return {
        "content_length": sum(len(file.body) for file in files),
        "record_count": sum(file.records for file in files),
    }


def _type_of(column: Shape) -> dict[str, object]:
    told: dict[str, object] = {"base": _BASE_NAMES.get(column.oid, "character varying")}
    if column.oid in (1042, 1043):
        told["max_length"] = column.modifier - 4 if column.modifier > 0 else 65_535
    elif column.oid == 1700 and column.modifier > 0:
        told |= {"precision": (column.modifier - 4) >> 16, "scale": (column.modifier - 4) & 0x7FF}
    return told
