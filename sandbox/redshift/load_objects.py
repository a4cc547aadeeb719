"""Read JSON and Avro for COPY: both name their values, and 'auto' finds columns by these names.

Reads:  a file.
Gives:  its rows in parts, every value a text, what is nested as JSON.

Source: Redshift Developer Guide, "Data format parameters" (JSON, AVRO), "COPY from JSON format"; Apache Avro
specification, "Object container files".
"""

import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import fastavro
import pyarrow as pa
from fastavro.types import Schema

from sandbox.redshift.copy_options import Options
from sandbox.redshift.errors import Refused
from sandbox.redshift.load_rows import ROWS_PER_PART, BadRow, Rows

_HEADER_BYTES_MAX: Final = 1024 * 1024
_BLOCK_BYTES_MAX: Final = 4 * 1024 * 1024
_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_HEADER: Final = fastavro.parse_schema(
    {
        "type": "record",
        "name": "header",
        "fields": [
            {"name": "magic", "type": {"type": "fixed", "name": "magic", "size": 4}},
            {"name": "meta", "type": {"type": "map", "values": "bytes"}},
            {"name": "sync", "type": {"type": "fixed", "name": "sync", "size": 16}},
        ],
    }
)
_BLOCK: Final = fastavro.parse_schema(
    {
        "type": "record",
        "name": "block",
        "fields": [{"name": "rows", "type": "long"}, {"name": "body", "type": "bytes"}],
    }
)


class _Number(str):
    """A number as it is written, so that none of its digits is lost."""

    __slots__ = ()


def _no_constant(name: str) -> Any:
    raise ValueError(name)


_JSON: Final = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_no_constant)


def json_rows(text: str, names: Sequence[str], options: Options) -> Iterator[Rows]:
    """Read objects that stand behind one another, on lines of their own or not.

    Args:
        text: Of the file.
        names: Of the columns.
        options: Whether case matters.
    """
    take = _picker(names, options)
    rows = _empty(names)
    at, line, counted = 0, 1, 0
    while True:
        at = _end_of_blanks(text, at)
        if at == len(text):
            break
        try:
            value, end = _JSON.raw_decode(text, at)
        except (ValueError, RecursionError):
            value, end = None, _end_of_line(text, at)
        line += text.count("\n", counted, end)
        counted = end
        if isinstance(value, dict):
            _add(rows, take(value), line, text[at:end])
        else:
            reason = "Invalid value." if value is None else "Each row must be a JSON object"
            rows.bad.append(BadRow(line, 1216, reason, text[at:end]))
        at = end
        if rows.scanned >= ROWS_PER_PART:
            yield rows
            rows = _empty(names)
    yield rows


def _end_of_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def avro_rows(url: str, body: bytes, names: Sequence[str], options: Options) -> Iterator[Rows]:
    """Read an Avro container file; logical types count for nothing, as in Redshift.

    Args:
        url: Name of the file, for messages.
        body: The file.
        names: Of the columns.
        options: Whether case matters.

    Raises:
        Refused: It is no such file, a block is larger than 4 MB, or the stand-in does not know what is in it.
    """
    try:
        yield from _avro_rows(url, body, names, options)
    except (ValueError, EOFError, IndexError, KeyError, TypeError, OSError, OverflowError, zlib.error) as error:
        raise Refused(f"Avro file {url} is broken, or no Avro container file ({type(error).__name__})") from None


def _avro_rows(url: str, body: bytes, names: Sequence[str], options: Options) -> Iterator[Rows]:
    stream = io.BytesIO(body)
    header = _record(stream, _HEADER)
    if header["magic"] != b"Obj\x01":
        raise ValueError("magic")
    if stream.tell() > _HEADER_BYTES_MAX:
        raise Refused(f"the header of the Avro file {url} is larger than 1 MB")
    declared = json.loads(header["meta"]["avro.schema"])
    if not isinstance(declared, dict) or declared.get("type") != "record":
        raise Refused(f"the schema of the Avro file {url} is not a record")
    schema = fastavro.parse_schema(_plain(declared))
    codec = header["meta"].get("avro.codec", b"null").decode()
    take = _picker(names, options)
    rows = _empty(names)
    number = 0
    while stream.tell() < len(body):
        block = _record(stream, _BLOCK)
        if stream.read(16) != header["sync"]:
            raise ValueError("sync")
        content = _uncompressed(block["body"], codec, url)
        if len(content) > _BLOCK_BYTES_MAX:
            raise Refused(f"a block of the Avro file {url} is larger than 4 MB")
        inner = io.BytesIO(content)
        for _ in range(block["rows"]):
            number += 1
            record = _record(inner, schema)
            _add(rows, take(record), number, "")
            if rows.scanned >= ROWS_PER_PART:
                yield rows
                rows = _empty(names)
    yield rows


def _record(stream: io.BytesIO, schema: Schema) -> dict[str, Any]:
    record = fastavro.schemaless_reader(stream, schema, None)
    if not isinstance(record, dict):
        raise TypeError("record")
    return record


def _plain(schema: Any) -> Any:
    """Leave a schema's logical types out; bytes have no text that the documentation tells."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if isinstance(schema, dict):
        if schema.get("type") == "fixed":
            _plain("fixed")
        kept = ("name", "namespace", "aliases", "symbols", "size", "default", "doc")
        return {key: value if key in kept else _plain(value) for key, value in schema.items() if key != "logicalType"}
    if schema in ("bytes", "fixed"):
        raise Refused(f"the sandbox's COPY does not know the Avro type {schema}")
    return schema


def _uncompressed(body: bytes, codec: str, url: str) -> bytes:
    if codec == "null":
        return body
    if codec == "deflate":
        return zlib.decompress(body, -15)
    if codec == "snappy":  # four bytes of checksum follow
        return bytes(pa.decompress(body[:-4], _snappy_size(body), codec="snappy", asbytes=True))
    raise Refused(f"COPY of AVRO does not take the codec {codec}: {url}")


def _snappy_size(body: bytes) -> int:
    size = 0
    for place, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return size
    raise ValueError("snappy")


def _picker(names: Sequence[str], options: Options) -> Callable[[dict[str, Any]], list[str | None]]:
    if options.ignore_case:
        return lambda record: _picked({name.lower(): value for name, value in record.items()}, names)
    return lambda record: _picked(record, names)


def _picked(record: dict[str, Any], names: Sequence[str]) -> list[str | None]:
    return [value if type(value := record.get(name)) is str else _as_text(value) for name in names]


def _as_text(value: Any) -> str | None:
    if value is None or type(value) is _Number:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return _as_json(value)


def _as_json(value: Any) -> str:
    """Write what is nested, its numbers as they were."""
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{_as_json(it)}" for key, it in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(_as_json(item) for item in value) + "]"
    return str(value) if type(value) is _Number else json.dumps(value, ensure_ascii=False)


def _empty(names: Sequence[str]) -> Rows:
    return Rows([[] for _ in names])


def _add(rows: Rows, values: list[str | None], line: int, raw: str) -> None:
    for column, value in zip(rows.columns, values, strict=True):
        column.append(value)
    rows.lines.append(line)
    rows.raws.append(raw)
