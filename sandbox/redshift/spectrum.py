"""Read the files of external tables when a statement names them, as Redshift Spectrum does.

The rows go into a temporary table of the transaction, which the table's view reads. No partition is left out: the query's
conditions are PostgreSQL's work.

Source: Redshift Developer Guide, "CREATE EXTERNAL TABLE" (LOCATION, ROW FORMAT, data types), "Creating external tables for
Redshift Spectrum" (partitions, hidden files).
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from sandbox.redshift.copy import columns_of
from sandbox.redshift.copy_options import Options
from sandbox.redshift.errors import Refused
from sandbox.redshift.external_catalog import ExternalTable, partitions_of, tables_named
from sandbox.redshift.lexer import Token, quoted, words
from sandbox.redshift.load_rows import decoded
from sandbox.redshift.load_times import time_reader
from sandbox.redshift.load_values import LoadColumn, read_column
from sandbox.redshift.parquet import named_batches
from sandbox.redshift.s3_files import fetch, listed, manifest, missing, unpacked
from sandbox.redshift.session import Session

_COMPRESSIONS: Final = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
_NULL: Final = "\\N"
PSEUDOCOLUMNS: Final = ("$path", "$size")
# What may follow a table that has no name of its own in the query.
_AFTER_TABLE: Final = words("""
    where join inner left right full cross natural on using group having order limit offset union intersect except minus
    """)
_LONG_DATE: Final = "YYYY-MM-DD"
_SHORT_DATE: Final = "MM-DD-YYYY"


def read_external(session: Session, names: Iterable[tuple[str, str]]) -> list[ExternalTable]:
    """Make the rows of those external tables readable that have one of these names with schema, and give them.

    Raises:
        Refused: A file is missing, or is not what the table declares; or the user may not use the schema.
    """
    tables = tables_named(session, names)
    for table in tables:
        if session.rows("select has_schema_privilege(current_user, $1, 'usage')", [table.schema]) != [(True,)]:
            raise Refused(f"permission denied for schema {table.schema}")
        session.run(f"drop table if exists pg_temp.{table.rows}")
        session.run(f'create temporary table {table.rows} ({table.shape}, "$path" text, "$size" bigint) on commit drop')
        _, columns = columns_of(session, f"pg_temp.{table.rows}")
        _load(session, table, columns[: len(table.columns)])
    return tables


def names_pseudocolumn(tokens: Sequence[Token]) -> bool:
    """Tell whether a statement asks for the file of a row, or for the file's size."""
    return any(token.kind == "quoted" and token.name in PSEUDOCOLUMNS for token in tokens)


def with_pseudocolumns(tokens: Sequence[Token], tables: Iterable[ExternalTable]) -> list[Token]:
    """Write the rows themselves in the place of external tables: these have the pseudocolumns, and `*` would show them.

    Args:
        tokens: Of a query.
        tables: The external tables among its names.
    """
    rows_of = {(table.schema, table.name): table.rows for table in tables}
    written = list(tokens)
    for place, (schema, dot, name) in enumerate(zip(tokens, tokens[1:], tokens[2:], strict=False)):
        rows = rows_of.get((schema.name or "", name.name or "")) if dot.text == "." else None
        after = tokens[place + 3] if place + 3 < len(tokens) else None
        if rows is None or (after is not None and after.text == "."):
            continue
        is_named = after is not None and after.name is not None and after.word not in _AFTER_TABLE
        written[place] = Token("word", "pg_temp", schema.start)
        written[place + 2] = Token("word", rows + (" " if is_named else f" as {quoted(name.name or '')} "), name.start)
    return written


def _load(session: Session, table: ExternalTable, columns: Sequence[LoadColumn]) -> None:
    into = f"copy pg_temp.{table.rows} from stdin (format csv)"
    s3 = session.s3()
    places = partitions_of(session, table) if table.keys else [([], table.location)]
    for values, place in places:
        for url, body in _files(s3, place):
            read = _parquet if table.format == "parquet" else _text
            parts = read(url, body, columns, table.options)
            session.load(into, (_as_csv(part, [*values, url, str(len(body))]) for part in parts))


def _files(s3: Any, place: str) -> Iterator[tuple[str, bytes]]:
    """Give the files of a folder, or those that a manifest names; hidden ones are left out."""
    if not place.endswith("/") and fetch(s3, place) is not None:
        for entry in manifest(s3, place, sized=True):
            body = fetch(s3, entry.url)
            if body is not None:
                yield entry.url, body
            elif entry.mandatory:
                raise missing(entry.url)
        return
    for url, _ in listed(s3, place if place.endswith("/") else f"{place}/"):
        if url.rpartition("/")[2].startswith(("_", ".")):
            continue
        body = fetch(s3, url)
        if body is None:
            raise missing(url)
        yield url, body


def _as_csv(columns: Sequence[Any], constants: Sequence[str | None]) -> bytes:
    rows = len(columns[0])
    arrays = [*columns, *(pa.array([constant] * rows, pa.string()) for constant in constants)]
    part = io.BytesIO()
    table = pa.Table.from_arrays(arrays, names=[str(place) for place in range(len(arrays))])
    pa_csv.write_csv(table, part, pa_csv.WriteOptions(include_header=False))
    return part.getvalue()


def _parquet(url: str, body: bytes, columns: Sequence[LoadColumn], _options: dict[str, str]) -> Iterator[Sequence[Any]]:
    return named_batches(url, body, [target.column for target in columns])


def _text(url: str, body: bytes, columns: Sequence[LoadColumn], options: dict[str, str]) -> Iterator[Sequence[Any]]:
    ending = next((ending for ending in _COMPRESSIONS if url.endswith(ending)), "")
    text = decoded(unpacked(body, _COMPRESSIONS.get(ending, ""), url))
    records = _records(text, options)[int(options.get("skip.header.line.count", "0")) :]
    if not records:
        return
    width = len(columns)
    padded = [(record + [_NULL] * (width - len(record)))[:width] for record in records]
    arrays = []
    for target, values in zip(columns, zip(*padded, strict=True), strict=True):
        texts = [None if value == _NULL else value for value in values]
        if target.column.type == "date":
            texts = [text and (_iso_date(text) or text) for text in texts]
        array, faults = read_column(target, texts, Options(truncate=True))
        if faults:
            row, fault = min(faults.items())
            raise Refused(
                f"Spectrum Scan Error: {fault.reason} in column {target.column.name}, row {row + 1} of file {url}"
            )
        arrays.append(array)
    yield arrays


def _records(text: str, options: dict[str, str]) -> list[list[str]]:
    delimiter = options.get("delimiter", "\x01")
    if "quote" not in options:
        return (
            [line.removesuffix("\r").split(delimiter) for line in text.removesuffix("\n").split("\n")] if text else []
        )
    lines = io.StringIO(text, newline="")
    try:
        return [
            record
            for record in csv.reader(lines, delimiter=delimiter, quotechar=options["quote"], strict=True)
            if record
        ]
    except csv.Error as error:
        raise Refused(f"Spectrum Scan Error: {error}") from None


def _iso_date(text: str) -> str | None:
    return time_reader(_LONG_DATE, "date")(text) or time_reader(_SHORT_DATE, "date")(text)
