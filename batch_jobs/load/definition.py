"""A load's folder: `table.sql`, the table, and `load.yaml`, the files; read and checked where somebody writes them.

The only module here that needs pydantic, and Python 3.11: what crosses to the job is the JSON of `specification.py`.

    python -m batch_jobs.load.definition sql/loads/NAME > NAME.json

Source: Redshift database developer guide, "COPY", "Data format parameters", "Data conversion parameters".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from batch_jobs.load.sizes import batch_size
from batch_jobs.load.specification import BUCKET, BYTES_MAX, FILES_MAX, LOAD_NAME_MAX, NAME, Load
from freshet.errors import InputError
from freshet.pipeline.definition_folder import EntryPath, find_folder, read_entries, read_file
from freshet.pipeline.problems import Place, Problems, did_you_mean

LOADS: Final = Path("sql/loads")
YAML_FILE: Final = "load.yaml"
TABLE_FILE: Final = "table.sql"
RESERVED: Final = ("freshet", "information_schema", "pg_catalog", "pg_internal")
TABLE: Final = re.compile(r"(?is)create\s+table\s+if\s+not\s+exists\s+([^\s(]+)\s*\(.*\S")
COMMENT: Final = re.compile(r"(?s)('(?:''|\\.|[^'\\])*'|\"[^\"]*\")|--[^\n]*|/\*.*?\*/")
# Which entries go with which format.
OF_FORMAT: Final = {
    "compression": ("csv", "json"),
    "csv": ("csv",),
    "ignore_case": ("avro", "json"),
    "time_format": ("avro", "json", "csv"),
    "date_format": ("avro", "json", "csv"),
}
SHAPES: Final = {
    "prefix": "prefix: s3://BUCKET/folder/",
    "suffix": "suffix: .avro",
    "format": "format: avro, json, csv or parquet",
    "target": "target: schema.table",
    "columns": "columns: [column, column]",
    "compression": "compression: gzip, bzip2 or zstd",
    "ignore_case": "ignore_case: true",
    "csv": "csv: {header_lines: 1}",
    "csv.delimiter": 'delimiter: ";"',
    "csv.quote": 'quote: "\'"',
    "csv.header_lines": "header_lines: 1",
    "csv.null": 'null_text: ""',
    "time_format": "time_format: auto",
    "date_format": "date_format: auto",
    "replace": "replace: _freshet_batch",
    "batch": "batch: {files: 500, bytes: 1GB}",
    "batch.files": "files: 500",
    "batch.bytes": "bytes: 1GB",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Csv(_Strict):
    delimiter: str = ","
    quote: str = '"'
    header_lines: int = 0
    null_text: str | None = None


class _Batch(_Strict):
    files: int = FILES_MAX
    bytes: str | int = BYTES_MAX


class _Yaml(_Strict):
    prefix: str
    format: Literal["avro", "json", "csv", "parquet"]
    target: str
    suffix: str = ""
    columns: list[str] = []
    compression: Literal["", "gzip", "bzip2", "zstd"] = ""
    ignore_case: bool = False
    csv: _Csv = _Csv()
    time_format: str = ""
    date_format: str = ""
    replace: str = ""
    batch: _Batch = _Batch()


def find_load(name_or_path: str | Path, root: Path = LOADS) -> Path:
    """Find a load's folder by a path, or by its name below `root`.

    Raises:
        InputError: There is none; the message names those that there are.
    """
    return find_folder("load", name_or_path, root, (YAML_FILE, TABLE_FILE))


def read_definition(folder: Path) -> Load:
    """Read and check a folder.

    Raises:
        DefinitionError: A mistake, with its place; DefinitionErrors for several.
    """
    name = folder.resolve().name
    table = read_file(folder, TABLE_FILE)
    text = read_file(folder, YAML_FILE)
    written, places = read_entries(text, YAML_FILE, _Yaml, "prefix: s3://BUCKET/folder/", _explain)
    problems = Problems()
    if not NAME.fullmatch(name) or len(name) > LOAD_NAME_MAX:
        problems.add(
            f"the folder's name {name} names tables too: use lower-case letters, digits and _", Place(YAML_FILE)
        )
    bucket, prefix = _prefix(written.prefix, places[("prefix",)], problems)
    _check_entries(written, places, problems)
    _check_table(table, written.target, problems)
    bytes_max = _bytes(written.batch.bytes, places, problems)
    problems.raise_if_any()
    return Load(
        name=name,
        bucket=bucket,
        prefix=prefix,
        suffix=written.suffix,
        format=written.format,
        target=written.target,
        table=_statement(table),
        columns=tuple(written.columns),
        compression=written.compression,
        ignore_case=written.ignore_case,
        delimiter=written.csv.delimiter,
        quote=written.csv.quote,
        header_lines=written.csv.header_lines,
        null=written.csv.null_text,
        time_format=written.time_format,
        date_format=written.date_format,
        replace=written.replace,
        files_max=written.batch.files,
        bytes_max=bytes_max,
    )


def _explain(kind: str, message: str, at: EntryPath) -> str:
    names = [str(part) for part in at if isinstance(part, str) and part not in ("str", "int")]
    name = ".".join(names[:2])
    known = {"csv": tuple(_Csv.model_fields), "batch": tuple(_Batch.model_fields)}
    if kind == "extra_forbidden":
        entries = known.get(names[0], ()) if len(names) > 1 else tuple(_Yaml.model_fields)
        return (
            f"there is no entry {name}{did_you_mean(names[-1], entries) or '; the entries are ' + ', '.join(entries)}"
        )
    if kind == "missing":
        return f"the entry {name} is missing: write {SHAPES[name]}"
    return f"{name}: {message[:1].lower()}{message[1:]}: write {SHAPES.get(name) or SHAPES[names[0]]}"


def _prefix(written: str, place: Place, problems: Problems) -> tuple[str, str]:
    if not written.startswith("s3://"):
        if not written or written.startswith("/") or "://" in written:
            problems.add("prefix is s3://BUCKET/folder/, or folder/ below the bucket that --bucket names", place)
        return "", written
    bucket, slash, prefix = written.removeprefix("s3://").partition("/")
    if not BUCKET.fullmatch(bucket) or not slash:
        problems.add("prefix names no bucket: write s3://BUCKET/folder/", place)
    return bucket, prefix


def _check_entries(written: _Yaml, places: Mapping[EntryPath, Place], problems: Problems) -> None:
    schema, _, table = written.target.partition(".")
    if not NAME.fullmatch(schema) or not NAME.fullmatch(table):
        problems.add("target is schema.table, both of lower-case letters, digits and _", places[("target",)])
    elif schema in RESERVED or schema.startswith("pg_"):
        problems.add(
            f"the schema {schema} is not for targets: write another, such as public.{table}", places[("target",)]
        )
    for entry, formats in OF_FORMAT.items():
        if (entry,) in places and written.format not in formats:
            problems.add(
                f"{entry} goes with {' and '.join(formats)}, not with {written.format}: take it out", places[(entry,)]
            )
    _check_columns(written, places, problems)
    if written.batch.files < 1:
        problems.add("files is at least 1: write files: 500", places[("batch", "files")])
    if written.csv.header_lines < 0:
        problems.add("header_lines is 0 or more", places[("csv", "header_lines")])
    for entry in ("delimiter", "quote"):
        character = getattr(written.csv, entry)
        if len(character) != 1 or not character.isascii():
            problems.add(f"{entry} is one ASCII character: write {SHAPES[f'csv.{entry}']}", places[("csv", entry)])


def _check_columns(written: _Yaml, places: Mapping[EntryPath, Place], problems: Problems) -> None:
    for index, column in enumerate(written.columns):
        if not NAME.fullmatch(column):
            problems.add(
                f"{column} is no column's name of lower-case letters, digits and _", places[("columns", index)]
            )
        elif column == written.replace:
            problems.add(f"{column} is filled by Freshet (replace): take it out of columns", places[("columns", index)])
        elif column in written.columns[:index]:
            problems.add(f"columns names {column} twice", places[("columns", index)])
    if written.replace and not NAME.fullmatch(written.replace):
        problems.add("replace is the name of a column of the target, such as _freshet_batch", places[("replace",)])


def _bytes(written: str | int, places: Mapping[EntryPath, Place], problems: Problems) -> int:
    try:
        _, size = (None, written) if isinstance(written, int) else batch_size(written)
    except InputError:
        size = None
    if size is None or size < 1:
        problems.add("bytes is a size with its unit: write bytes: 1GB", places[("batch", "bytes")])
    return size or BYTES_MAX


def _statement(table: str) -> str:
    """Leave comments out, and the semicolon at the end."""
    return COMMENT.sub(lambda found: found[1] or " ", table).strip().rstrip(";").strip()


def _check_table(table: str, target: str, problems: Problems) -> None:
    statement = _statement(table)
    found = TABLE.match(statement)
    line = next((number for number, text in enumerate(table.splitlines(), 1) if re.match(r"(?i)\s*create\b", text)), 1)
    place = Place(TABLE_FILE, line)
    if not found or ";" in re.sub(r"(?s)'(?:''|\\.|[^'\\])*'", "", statement):
        problems.add(f"write one statement: create table if not exists {target} (...)", place)
    elif found[1].replace('"', "").lower() != target:
        problems.add(
            f"the table here is {found[1]}, but target in {YAML_FILE} is {target}: write one of them twice", place
        )


if __name__ == "__main__":
    sys.stdout.write(read_definition(find_load(sys.argv[1])).to_json() + "\n")
