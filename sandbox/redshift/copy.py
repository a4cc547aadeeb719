"""COPY from S3: which files, how they are read, and what becomes of the rows that cannot be loaded.

Source: Redshift Developer Guide, "COPY", "COPY from Amazon S3", "Using a manifest to specify data files", "COPY from
columnar data formats", "Data load operations" (MAXERROR), "Load error reference".
"""

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from sandbox.redshift.copy_options import Options, read_options
from sandbox.redshift.errors import Refused
from sandbox.redshift.external_catalog import refuse_local
from sandbox.redshift.lexer import Cursor, quoted, sql_name
from sandbox.redshift.load_objects import avro_rows, json_rows
from sandbox.redshift.load_rows import BadRow, Rows, decoded
from sandbox.redshift.load_text import text_rows
from sandbox.redshift.load_values import Fault, LoadColumn, read_column
from sandbox.redshift.parquet import Column, as_csv
from sandbox.redshift.s3_files import fetch, listed, location, manifest, missing, unpacked
from sandbox.redshift.session import Outcome, Plan, Session
from sandbox.redshift.trace import Load, LoadedFile, LoadError

_SHORT_TYPES: Final = {
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
    "real": "float4",
    "double precision": "float8",
    "boolean": "bool",
    "character varying": "varchar",
    "character": "char",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestampt",
}


@dataclass
class _Copy:
    path: tuple[str, ...]
    columns: list[str]
    source: str
    options: Options


_NOT_LOADED: Final = {"json": "SUPER", "time without time zone": "TIME"}


def copy(cursor: Cursor, _text: str) -> Plan:
    """Plan `COPY t [(columns)] FROM 's3://...' IAM_ROLE 'arn' [parameters]`.

    Raises:
        Refused: Another form of COPY, or parameters that do not go with the format.
    """
    path = cursor.path()
    columns = cursor.listed(cursor.name) if cursor.sees("(") else []
    cursor.expect("from")
    wanted = _Copy(path, columns, location(cursor, "COPY"), read_options(cursor))
    return lambda session: _run(session, wanted)


def _run(session: Session, wanted: _Copy) -> Outcome:
    refuse_local(session, wanted.path)
    table = sql_name(wanted.path)
    table_id, columns = _columns(session, wanted, table)
    load = Load(wanted.path[-1], table_id, wanted.source, wanted.options.format)
    session.trace.load = load
    names = ", ".join(quoted(target.column.name) for target in columns)
    into = f"copy {table} ({names}) from stdin (format csv)"
    for url, body in _files(session.s3(), wanted):
        began_at, lines_before = time.time(), load.rows + len(load.errors)
        if wanted.options.format == "parquet":
            load.rows += session.load(into, as_csv(url, body, [target.column for target in columns]))
        else:
            load.rows += session.load(into, _text_parts(url, body, columns, wanted.options, load))
        lines = load.rows + len(load.errors) - lines_before
        load.files.append(LoadedFile(url, len(body), lines, began_at, time.time()))
    session.run(f"set local redshift.last_copy_id = '{session.trace.query_id}'")
    session.run(f"set local redshift.last_copy_count = '{load.rows}'")
    return Outcome()


def _columns(session: Session, wanted: _Copy, table: str) -> tuple[int, list[LoadColumn]]:
    table_id, columns = columns_of(session, table)
    known = {target.column.name: target for target in columns}
    if not known:
        raise Refused(f"Cannot COPY into nonexistent table {wanted.path[-1]}")
    for name in wanted.columns:
        if name not in known:
            raise Refused(f'column "{name}" of relation {table} does not exist')
    filled = [known[name] for name in wanted.columns] if wanted.columns else columns
    for target in filled:
        if target.column.type in _NOT_LOADED:
            raise Refused(
                f"the sandbox does not know COPY into {_NOT_LOADED[target.column.type]}, as {target.column.name} is"
            )
    return table_id, filled


def columns_of(session: Session, table: str) -> tuple[int, list[LoadColumn]]:
    """Give a table's number and its columns; none when there is no such table."""
    rows = session.rows(
        "select a.attrelid::int8, a.attname, format_type(a.atttypid, null), a.atttypmod, a.attnotnull from pg_attribute as a "
        "where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum",
        [table],
    )
    columns = [LoadColumn(Column(name, kind, size), required) for _, name, kind, size, required in rows]
    return rows[0][0] if rows else 0, columns


def _files(s3: Any, wanted: _Copy) -> Iterator[tuple[str, bytes]]:
    if not wanted.options.manifest:
        found = listed(s3, wanted.source)
        if not found:
            raise Refused(f"The specified S3 prefix '{wanted.source.split('/', 3)[3]}' does not exist")
        for url, _ in found:
            body = fetch(s3, url)
            if body is None:
                raise missing(url)
            yield url, body
        return
    is_sized = wanted.options.format == "parquet"
    for entry in manifest(s3, wanted.source, sized=is_sized):
        body = fetch(s3, entry.url)
        if body is None and entry.mandatory:
            raise missing(entry.url)
        if body is None:
            continue
        if is_sized and len(body) != entry.size:
            raise Refused(
                f"Spectrum Scan Error: file {entry.url} has {len(body)} bytes, "
                f"and the manifest says content_length {entry.size}"
            )
        yield entry.url, body


def _text_parts(url: str, body: bytes, columns: Sequence[LoadColumn], options: Options, load: Load) -> Iterator[bytes]:
    """Give a file's good rows as CSV, and keep its bad ones as errors, until they are too many."""
    names = [target.column.name for target in columns]
    if options.format == "avro":
        parts = avro_rows(url, body, names, options)
    else:
        text = decoded(unpacked(body, options.compression, url))
        parts = json_rows(text, names, options) if options.format == "json" else text_rows(text, len(columns), options)
    for rows in parts:
        values, bad = _judged(rows, columns, options)
        for row in sorted(bad, key=lambda row: row.line):
            load.errors.append(_error(url, row, columns))
            if len(load.errors) >= options.errors_end:
                raise Refused(
                    f"Load into table '{load.table}' failed.  Check 'sys_load_error_detail' system table for details."
                )
        if values is not None:
            yield _as_csv(values)


def _judged(rows: Rows, columns: Sequence[LoadColumn], options: Options) -> tuple[pa.Table | None, list[BadRow]]:
    arrays = []
    first_faults: dict[int, tuple[int, Fault]] = {}  # of each row the first bad column counts
    for place, (target, texts) in enumerate(zip(columns, rows.columns, strict=True)):
        array, faults = read_column(target, texts, options)
        arrays.append(array)
        for row, fault in faults.items():
            first_faults.setdefault(row, (place, fault))
    bad = [
        BadRow(
            rows.lines[row],
            fault.code,
            fault.reason,
            rows.raws[row],
            place,
            rows.columns[place][row] or "",
            fault.position,
        )
        for row, (place, fault) in first_faults.items()
    ]
    if not rows.lines:
        return None, [*rows.bad, *bad]
    table = pa.Table.from_arrays(arrays, names=[str(place) for place in range(len(arrays))])
    if first_faults:
        table = table.filter(pa.array([row not in first_faults for row in range(len(rows.lines))]))
    return table, [*rows.bad, *bad]


def _as_csv(table: pa.Table) -> bytes:
    part = io.BytesIO()
    pa_csv.write_csv(table, part, pa_csv.WriteOptions(include_header=False))
    return part.getvalue()


def _error(url: str, row: BadRow, columns: Sequence[LoadColumn]) -> LoadError:
    name = kind = length = ""
    if row.column >= 0:
        column = columns[row.column].column
        name, kind = column.name, _SHORT_TYPES.get(column.type, column.type)
        if column.type == "numeric":
            length = "{}, {}".format(*column.digits)
        elif column.type.startswith("character"):
            length = str(column.size)
    return LoadError(
        url,
        row.line,
        name,
        kind,
        length,
        row.position,
        row.code,
        row.reason,
        _printable(row.raw),
        _printable(row.value),
    )


def _printable(text: str) -> str:
    """Keep what a CHAR column holds: characters of several bytes become periods."""
    return "".join(character if 31 < ord(character) < 127 else "." for character in text.rstrip("\r\n")[:1024])
