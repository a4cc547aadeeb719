"""What a load is told: which files, how they are read, into which table. It crosses to the job as one JSON text.

`definition.py` makes it from a folder on somebody's laptop; the job, on Python 3.9 with nothing but boto3, reads it back. Names
in it become SQL, so they are looked at here again: a JSON text can be written by anyone.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from freshet.errors import InputError
from freshet.redshift.literals import quote

FORMATS: Final = ("avro", "json", "csv", "parquet")
COMPRESSIONS: Final = ("gzip", "bzip2", "zstd")
NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,126}")
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
LOAD_NAME_MAX: Final = 63
FILES_MAX: Final = 1000
BYTES_MAX: Final = 2 * 1024**3


@dataclass(frozen=True)
class Load:
    """One load.

    Attributes:
        name: Of the load; its control tables are named for it.
        bucket: Where the files are; empty: the job is told.
        prefix: What their keys begin with.
        suffix: What their keys end with; other keys are passed over.
        format: avro, json, csv or parquet.
        target: The table, schema.table.
        table: The CREATE TABLE IF NOT EXISTS that makes it.
        columns: The target's columns in the order of the file's; empty: all of the target's.
        compression: gzip, bzip2 or zstd of csv and json; empty: none.
        ignore_case: avro and json: names in the file match columns whatever their case.
        delimiter: csv: between values.
        quote: csv: around values.
        header_lines: csv: lines to pass over.
        null: csv: the text that stands for NULL; None: Redshift's default.
        time_format: As COPY's TIMEFORMAT.
        date_format: As COPY's DATEFORMAT.
        replace: Column of the target that tells with which batch a row came; empty: rows cannot be replaced.
        files_max: Files a batch.
        bytes_max: Bytes a batch; a file that is larger is a batch of its own.
    """

    name: str
    prefix: str
    format: str
    target: str
    table: str
    bucket: str = ""
    suffix: str = ""
    columns: tuple[str, ...] = ()
    compression: str = ""
    ignore_case: bool = False
    delimiter: str = ","
    quote: str = '"'
    header_lines: int = 0
    null: str | None = None
    time_format: str = ""
    date_format: str = ""
    replace: str = ""
    files_max: int = FILES_MAX
    bytes_max: int = BYTES_MAX

    @property
    def url(self) -> str:
        """The prefix with its bucket."""
        return f"s3://{self.bucket}/{self.prefix}"

    def to_json(self) -> str:
        """Write it."""
        return json.dumps(asdict(self), indent=1)


def read_load(text: str) -> Load:
    """Read what `Load.to_json` wrote.

    Raises:
        InputError: It is something else; the message names the entry.
    """
    try:
        entries: Any = json.loads(text)
    except ValueError as error:
        raise InputError(f"the load's definition is not JSON: {error}; write it with Load.to_json") from None
    if not isinstance(entries, dict):
        raise InputError("the load's definition is not a JSON object; write it with Load.to_json")
    known = {field.name: field for field in fields(Load)}
    if unknown := sorted(set(entries) - set(known)):
        raise InputError(
            f"the load's definition has an entry {unknown[0]} that this job does not know: deploy both anew"
        )
    needed = ("name", "prefix", "format", "target", "table")
    if missing := [name for name in needed if name not in entries]:
        raise InputError(f"the load's definition has no entry {missing[0]}; write it with Load.to_json")
    load = Load(**{**entries, "columns": tuple(entries.get("columns", ()))})
    for name, value in asdict(load).items():
        like = getattr(Load, name, "")
        if name not in ("columns", "null") and type(value) is not type(like):
            raise InputError(f"the load's definition: {name} must be of type {type(like).__name__}")
    check(load)
    return load


def check(load: Load) -> None:
    """See that all names are names, for they become SQL.

    Raises:
        InputError: Names the entry.
    """
    schema, _, table = load.target.partition(".")
    named = {"name": load.name, "target": schema, "target's table": table}
    named.update({f"columns[{place}]": name for place, name in enumerate(load.columns)})
    if load.replace:
        named["replace"] = load.replace
    for entry, name in named.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(f"the load's definition: {entry} is no name of lower-case letters, digits and _")
    if len(load.name) > LOAD_NAME_MAX:
        raise InputError(f"the load's name {load.name} is longer than {LOAD_NAME_MAX} characters")
    if load.format not in FORMATS:
        raise InputError(f"the load's definition: format is one of {', '.join(FORMATS)}")
    if load.compression and load.compression not in COMPRESSIONS:
        raise InputError(f"the load's definition: compression is one of {', '.join(COMPRESSIONS)}")
    if load.files_max < 1 or load.bytes_max < 1:
        raise InputError("the load's definition: files_max and bytes_max are at least 1")


def options(load: Load) -> str:
    """Give what stands in a COPY behind the role and before MANIFEST.

    Source: Redshift database developer guide, "COPY", "Data format parameters", "Data conversion parameters".
    """
    if load.format == "parquet":
        return "format as parquet"
    if load.format in ("avro", "json"):
        parts = [f"format as {load.format} {quote('auto ignorecase' if load.ignore_case else 'auto')}"]
    else:
        parts = ["format as csv"]
        parts += [f"quote {quote(load.quote)}"] if load.quote != '"' else []
        parts += [f"delimiter {quote(load.delimiter)}"] if load.delimiter != "," else []
        parts += [f"ignoreheader {load.header_lines}"] if load.header_lines else []
        parts += [f"null as {quote(load.null)}"] if load.null is not None else []
    parts += [load.compression] if load.compression else []
    parts += [f"timeformat {quote(load.time_format)}"] if load.time_format else []
    parts += [f"dateformat {quote(load.date_format)}"] if load.date_format else []
    return " ".join(parts)
