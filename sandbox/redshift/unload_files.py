"""Write the files of UNLOAD: rows to slices and partition folders, each file in its format.

Reads:  a query's rows as CSV.
Gives:  files with their names below the prefix.

Source: Redshift Developer Guide, "UNLOAD" (FORMAT, PARTITION BY, HEADER, MAXFILESIZE, PARALLEL; usage notes).
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from sandbox.redshift.errors import Refused
from sandbox.redshift.s3_files import packed
from sandbox.redshift.session import Shape

_ROWS_PER_PART: Final = 50_000
_SLICES: Final = 2
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
_ESCAPED: Final = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{\[\]^]")
_ENDINGS: Final = {"gzip": ".gz", "bzip2": ".bz2", "zstd": ".zst"}
_NUMBERS: Final = frozenset({20, 21, 23, 26, 700, 701, 1700})
_ARROW: Final = {
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
}


@dataclass
class Target:
    """How an UNLOAD writes: `keys` are the columns of PARTITION BY; a numbered target writes 000, 001 and so on."""

    format: str = ""
    compression: str = ""
    extension: str = ""
    delimiter: str = ","
    null_text: str = ""
    header: bool = False
    keys: list[str] = field(default_factory=list)
    keys_included: bool = False
    slices: int = _SLICES
    numbered: bool = False
    file_bytes_max: int = int(6.2 * 1024**3)


@dataclass(frozen=True)
class Unloaded:
    """One file: its name below the prefix, the partition's folder in it, its rows; `records` counts a header too."""

    name: str
    folder: str
    body: bytes
    rows: int
    records: int


@dataclass
class _Open:
    """A file that is being written."""

    folder: str
    slice: int
    part: int = 0
    rows: int = 0
    size: int = 0
    tables: list[pa.Table] = field(default_factory=list)


def write_files(rows: Iterable[bytes], columns: Sequence[Shape], target: Target) -> Iterator[Unloaded]:
    """Write a query's rows.

    Args:
        rows: Each as a line of CSV.
        columns: Of the query.
        target: How to write.

    Raises:
        Refused: A column has a type that the format cannot hold.
    """
    types = [_arrow_type(column) for column in columns] if target.format == "parquet" else []
    opened: dict[tuple[str, int], _Open] = {}
    coming = iter(rows)
    while lines := list(islice(coming, _ROWS_PER_PART)):
        table = _texts(b"".join(lines), columns)
        for folder, rows_of_it in _partitions(table, columns, target):
            share = -(-rows_of_it.num_rows // target.slices)
            for number in range(target.slices):
                piece = rows_of_it.slice(number * share, share)
                for chunk, size in _chunks(piece, columns, target):
                    file = opened.setdefault((folder, number), _Open(folder, number))
                    if file.rows and file.size + size > target.file_bytes_max:
                        yield _closed(file, columns, types, target)
                        file = opened[folder, number] = _Open(folder, number, file.part + 1)
                    file.tables.append(chunk)
                    file.rows += chunk.num_rows
                    file.size += size
    for file in opened.values():
        if file.rows:
            yield _closed(file, columns, types, target)


def _chunks(piece: pa.Table, columns: Sequence[Shape], target: Target) -> Iterator[tuple[pa.Table, int]]:
    """Cut rows into parts that are small beside a file, each with the bytes that it will take, or fewer."""
    row_bytes = sum(len(column.name) + 4 for column in columns) if target.format == "json" else len(columns)
    size = piece.nbytes + piece.num_rows * row_bytes
    rows = max(1, piece.num_rows * target.file_bytes_max // (8 * max(size, 1)))
    for start in range(0, piece.num_rows, rows):
        chunk = piece.slice(start, rows)
        yield chunk, chunk.nbytes + chunk.num_rows * row_bytes


def _texts(lines: bytes, columns: Sequence[Shape]) -> pa.Table:
    names = [str(place) for place in range(len(columns))]
    return pa_csv.read_csv(
        io.BytesIO(lines),
        pa_csv.ReadOptions(column_names=names, block_size=len(lines) + 1, use_threads=False),
        pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _partitions(table: pa.Table, columns: Sequence[Shape], target: Target) -> Iterator[tuple[str, pa.Table]]:
    """Give the rows of each partition with its folder."""
    if not target.keys:
        yield "", table
        return
    names = [column.name for column in columns]
    keys = [_key_texts(table.column(names.index(key)), columns[names.index(key)]) for key in target.keys]
    rows_of: dict[tuple[str | None, ...], list[int]] = {}
    for row, values in enumerate(zip(*keys, strict=True)):
        rows_of.setdefault(values, []).append(row)
    for values, rows in rows_of.items():
        folder = "".join(f"{key}={_folder(value)}/" for key, value in zip(target.keys, values, strict=True))
        yield folder, table.take(pa.array(rows))


def _key_texts(column: Any, shape: Shape) -> list[str | None]:
    texts: list[str | None] = column.to_pylist()
    if shape.oid == 16:
        return [text and {"t": "true", "f": "false"}[text] for text in texts]
    return texts


def _folder(value: str | None) -> str:
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", value) if value else _NO_VALUE


def _closed(file: _Open, columns: Sequence[Shape], types: Sequence[Any], target: Target) -> Unloaded:
    table = pa.concat_tables(file.tables)
    kept = [place for place, column in enumerate(columns) if column.name not in target.keys or target.keys_included]
    shapes = [columns[place] for place in kept]
    table = table.select(kept)
    if target.format == "parquet":
        body = _parquet(table, shapes, [types[place] for place in kept])
        ending = ".parquet"
    else:
        write = _json if target.format == "json" else _csv
        body = packed(write(table, shapes, target), target.compression)
        ending = target.extension or _ENDINGS.get(target.compression, "")
    number = f"{file.part:03d}" if target.numbered else f"{file.slice:04d}_part_{file.part:02d}"
    records = file.rows + (1 if target.header else 0)
    return Unloaded(f"{file.folder}{number}{ending}", file.folder, body, file.rows, records)


def _arrow_type(column: Shape) -> Any:
    if column.oid == 1700:
        if column.modifier < 0:
            raise Refused(
                f'the sandbox does not know precision and scale of the computed DECIMAL "{column.name}": '
                "CAST it to DECIMAL(p,s)"
            )
        return pa.decimal128((column.modifier - 4) >> 16, (column.modifier - 4) & 0x7FF)
    return pa.bool_() if column.oid == 16 else _ARROW.get(column.oid, pa.string())


def _parquet(table: pa.Table, columns: Sequence[Shape], types: Sequence[Any]) -> bytes:
    values: list[Any] = [
        pc.equal(texts, pa.scalar("t")) if kind == pa.bool_() else pc.cast(texts, kind)
        for texts, kind in zip(table.columns, types, strict=True)
    ]
    # As instants of UTC: Parquet 1.0 has no other timestamps of 64 bits.
    values = [part.cast(pa.timestamp("us", "UTC")) if part.type == pa.timestamp("us") else part for part in values]
    body = io.BytesIO()
    typed = pa.Table.from_arrays(values, names=[column.name for column in columns])
    pq.write_table(typed, body, version="1.0", compression="snappy", store_schema=False)
    return body.getvalue()


def _csv(table: pa.Table, columns: Sequence[Shape], target: Target) -> bytes:
    body = io.StringIO()
    unsafe = re.compile(f'["\r\n{re.escape(target.delimiter)}]')
    if target.header:
        body.write(target.delimiter.join(_quoted(column.name, unsafe) for column in columns) + "\n")
    lists = [
        [target.null_text if text is None else _quoted(text, unsafe) for text in column.to_pylist()]
        for column in table.columns
    ]
    body.writelines(target.delimiter.join(row) + "\n" for row in zip(*lists, strict=True))
    return body.getvalue().encode()


def _quoted(text: str, unsafe: re.Pattern[str]) -> str:
    return '"' + text.replace('"', '""') + '"' if unsafe.search(text) else text


def _json(table: pa.Table, columns: Sequence[Shape], _target: Target) -> bytes:
    lists = [_json_values(texts.to_pylist(), column) for texts, column in zip(table.columns, columns, strict=True)]
    return "".join(f"{{{','.join(row)}}}\n" for row in zip(*lists, strict=True)).encode()


def _json_values(texts: list[str | None], column: Shape) -> list[str]:
    name = json.dumps(column.name, ensure_ascii=False)
    # JSON has no NaN and no infinity.
    is_number = column.oid in _NUMBERS
    return [
        f"{name}:null"
        if text is None
        else f"{name}:{text if is_number and text[-1:] not in 'Ny' else json.dumps(text, ensure_ascii=False)}"
        for text in texts
    ]
