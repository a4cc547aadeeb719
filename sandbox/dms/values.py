"""Read MySQL's values out of a binlog's row images, in the form in which DMS writes them as JSON.

mysql-replication reads the table's shape; its row decoding loses what DMS keeps (an empty SET, the digits of a zero
date's neighbors) and spends ten times as long, so the row images are read here.

Gives:  for each column a reader (buffer, position) -> (value for JSON, next position).

Source: MySQL internals, "Table_map" and "Rows" events; DMS user guide, "Source data types for MySQL";
where that is silent, the best reading of it (sandbox/README.md lists which).
"""

import codecs
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pymysqlreplication.constants import FIELD_TYPE

from sandbox.dms import documents
from sandbox.dms.errors import TableError
from sandbox.dms.settings import Settings


@dataclass(frozen=True)
class Unreadable:
    """Stands where a value cannot be converted; the reason names its column."""

    reason: str


Value = int | float | str | Unreadable | None
Reader = Callable[[bytes, int], tuple[Value, int]]
Make = Callable[[Any, Settings], Reader]
# MySQL's names of character sets that Python knows by others.
CODECS = {
    "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be", "latin2": "iso8859-2",
    "latin5": "iso8859-9", "latin7": "iso8859-13", "hp8": "hp-roman8", "macce": "mac-latin2", "macroman": "mac-roman",
    "eucjpms": "euc-jp",
}  # fmt: skip
DECIMAL_DIGITS_IN_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
EXACT_DIGITS, LARGE_DIGITS = 10**16, 10**18


def integer(value: int, settings: Settings) -> Value:
    """Write an integer: more than 16 digits, with UseLargeIntegerValue 18, come in scientific notation, and so inexact."""
    limit = LARGE_DIGITS if settings.large_integers else EXACT_DIGITS
    return value if -limit < value < limit else float(value)


def cut(text: str) -> str:
    """Cut a text at its first NUL, as DMS does."""
    end = text.find("\0")
    return text if end < 0 else text[:end]


def hexadecimal(content: bytes, settings: Settings) -> str:
    """Write bytes as DMS does."""
    return ("0x" if settings.hex_prefix else "") + content.hex()


def timestamp_utc(seconds: int) -> str:
    """Write a TIMESTAMP's whole seconds, without the Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def reader(column: Any, settings: Settings) -> Reader:
    """Make the reader of one column.

    Args:
        column: A Column of mysql-replication, with the names and signs of binlog_row_metadata=FULL.
        settings: How the task writes values.

    Raises:
        TableError: The column has a type that is not known here.
    """
    try:
        make = READERS[column.type]
    except KeyError:
        raise TableError(f"column {column.name} has the binlog type {column.type}, which cannot be read") from None
    return make(column, settings)


def _integers(form: str, size: int) -> Make:
    def make(column: Any, settings: Settings) -> Reader:
        unpack = struct.Struct("<" + (form.upper() if column.unsigned else form)).unpack_from
        if size < 8:
            return lambda buffer, at: (unpack(buffer, at)[0], at + size)
        return lambda buffer, at: (integer(unpack(buffer, at)[0], settings), at + 8)

    return make


def big_integer_text(unsigned: bool) -> Reader:
    """Make the reader of a BIGINT that a rule turns into text: every digit."""
    unpack = struct.Struct("<Q" if unsigned else "<q").unpack_from
    return lambda buffer, at: (str(unpack(buffer, at)[0]), at + 8)


def _mediumints(column: Any, _settings: Settings) -> Reader:
    signed = not column.unsigned
    return lambda buffer, at: (int.from_bytes(buffer[at : at + 3], "little", signed=signed), at + 3)


def _chars(column: Any, settings: Settings) -> Reader:
    padded = column.max_length if column.type == FIELD_TYPE.STRING else 0
    return _strings(column.name, 2 if column.max_length > 255 else 1, padded, column.character_set_name, settings)


def _blobs(column: Any, settings: Settings) -> Reader:
    charset = "binary" if column.type == FIELD_TYPE.GEOMETRY else column.character_set_name
    return _strings(column.name, column.length_size, 0, charset, settings)


def _documents(column: Any, _settings: Settings) -> Reader:
    raw = _raw(column.length_size)

    def read(buffer: bytes, at: int) -> tuple[Value, int]:
        content, end = raw(buffer, at)
        try:
            return cut(documents.text(content)), end
        except (ValueError, IndexError, struct.error):
            return Unreadable(f"column {column.name} holds a document that is not understood"), end

    return read


def _raw(length_size: int) -> Callable[[bytes, int], tuple[bytes, int]]:
    def read(buffer: bytes, at: int) -> tuple[bytes, int]:
        start = at + length_size
        end = start + int.from_bytes(buffer[at:start], "little")
        return buffer[start:end], end

    return read


def _strings(name: str, length_size: int, padded: int, charset: str, settings: Settings) -> Reader:
    raw = _raw(length_size)

    if charset == "binary":

        def read_bytes(buffer: bytes, at: int) -> tuple[Value, int]:
            content, end = raw(buffer, at)
            # The binlog leaves out the zero bytes that fill up a BINARY(n).
            return hexadecimal(content.ljust(padded, b"\0"), settings), end

        return read_bytes
    try:
        decode = codecs.lookup(CODECS.get(charset, charset)).decode
    except LookupError:
        raise TableError(f"column {name} has the character set {charset}, which is not known here") from None

    def read_text(buffer: bytes, at: int) -> tuple[Value, int]:
        content, end = raw(buffer, at)
        try:
            text: str = decode(content)[0]
        except UnicodeDecodeError:
            return Unreadable(f"column {name} holds a text that is not {charset}"), end
        return (cut(text) if "\0" in text else text), end

    return read_text


def _decimals(precision: int, scale: int) -> Reader:
    """Read MySQL's packed decimal: groups of nine digits in four bytes, big-endian, the first bit is the sign."""
    whole_full, whole_rest = divmod(precision - scale, 9)
    part_full, part_rest = divmod(scale, 9)
    groups = [(DECIMAL_DIGITS_IN_BYTES[whole_rest], whole_rest)] * (whole_rest > 0) + [(4, 9)] * whole_full
    groups += [(4, 9)] * part_full + [(DECIMAL_DIGITS_IN_BYTES[part_rest], part_rest)] * (part_rest > 0)
    size = sum(length for length, _ in groups)
    flip = (1 << 8 * size) - 1

    def read(buffer: bytes, at: int) -> tuple[Value, int]:
        packed = int.from_bytes(buffer[at : at + size], "big")
        negative = not packed >> (8 * size - 1)
        packed = (packed ^ flip if negative else packed) ^ (1 << (8 * size - 1))
        content, place, digits = packed.to_bytes(size, "big"), 0, ""
        for length, width in groups:
            digits += f"{int.from_bytes(content[place : place + length], 'big'):0{width}d}"
            place += length
        whole, part = digits[: precision - scale].lstrip("0") or "0", digits[precision - scale :]
        return ("-" if negative else "") + whole + ("." + part if scale else ""), at + size

    return read


def _fraction(fsp: int) -> tuple[int, int]:
    """Say how many bytes hold the fraction of a second, and what one unit of it is in microseconds."""
    size = (fsp + 1) // 2
    return size, 10 ** (6 - 2 * size)


def _datetimes(fsp: int) -> Reader:
    size, unit = _fraction(fsp)

    def read(buffer: bytes, at: int) -> tuple[Value, int]:
        packed = int.from_bytes(buffer[at : at + 5], "big") - 0x8000000000
        year, month = divmod(packed >> 22, 13)
        day, end = packed >> 17 & 31, at + 5 + size
        if not month or not day:
            return None, end
        fraction = f".{int.from_bytes(buffer[at + 5 : end], 'big') * unit:06d}" if size else ""
        clock = f"{packed >> 12 & 31:02d}:{packed >> 6 & 63:02d}:{packed & 63:02d}"
        return f"{year:04d}-{month:02d}-{day:02d}T{clock}{fraction}Z", end

    return read


def _timestamps(fsp: int) -> Reader:
    size, unit = _fraction(fsp)

    def read(buffer: bytes, at: int) -> tuple[Value, int]:
        seconds, end = int.from_bytes(buffer[at : at + 4], "big"), at + 4 + size
        if not seconds:
            return None, end
        fraction = f".{int.from_bytes(buffer[at + 4 : end], 'big') * unit:06d}" if size else ""
        return f"{timestamp_utc(seconds)}{fraction}Z", end

    return read


def _times(fsp: int) -> Reader:
    size, unit = _fraction(fsp)

    def read(buffer: bytes, at: int) -> tuple[Value, int]:
        # The fraction is part of the number, so that a negative time is the number's complement.
        packed = int.from_bytes(buffer[at : at + 3 + size], "big") - (0x800000 << 8 * size)
        sign, packed = ("-", -packed) if packed < 0 else ("", packed)
        whole, part = packed >> 8 * size, packed & ((1 << 8 * size) - 1)
        fraction = f".{part * unit:06d}" if size else ""
        clock = f"{whole >> 12 & 1023:02d}:{whole >> 6 & 63:02d}:{whole & 63:02d}"
        return f"{sign}{clock}{fraction}", at + 3 + size

    return read


def _year(buffer: bytes, at: int) -> tuple[Value, int]:
    return (buffer[at] + 1900 if buffer[at] else 0), at + 1


def _date(buffer: bytes, at: int) -> tuple[Value, int]:
    packed = int.from_bytes(buffer[at : at + 3], "little")
    year, month, day = packed >> 9, packed >> 5 & 15, packed & 31
    return (f"{year:04d}-{month:02d}-{day:02d}" if month and day else None), at + 3


def _floats(form: str, size: int) -> Reader:
    unpack = struct.Struct(form).unpack_from
    return lambda buffer, at: (unpack(buffer, at)[0], at + size)


def _enums(size: int, labels: list[str]) -> Reader:
    return lambda buffer, at: (labels[int.from_bytes(buffer[at : at + size], "little")], at + size)


def _sets(size: int, labels: list[str]) -> Reader:
    def read(buffer: bytes, at: int) -> tuple[Value, int]:
        bits = int.from_bytes(buffer[at : at + size], "little")
        return ",".join(label for index, label in enumerate(labels) if bits >> index & 1), at + size

    return read


def _bits(size: int, bits: int, settings: Settings) -> Reader:
    def read(buffer: bytes, at: int) -> tuple[Value, int]:
        content = buffer[at : at + size]
        return (int.from_bytes(content, "big") if bits == 1 else hexadecimal(content, settings)), at + size

    return read


READERS: dict[int, Make] = {
    FIELD_TYPE.TINY: _integers("b", 1),
    FIELD_TYPE.SHORT: _integers("h", 2),
    FIELD_TYPE.INT24: _mediumints,
    FIELD_TYPE.LONG: _integers("i", 4),
    FIELD_TYPE.LONGLONG: _integers("q", 8),
    FIELD_TYPE.FLOAT: lambda _column, _settings: _floats("<f", 4),
    FIELD_TYPE.DOUBLE: lambda _column, _settings: _floats("<d", 8),
    FIELD_TYPE.NEWDECIMAL: lambda column, _settings: _decimals(column.precision, column.decimals),
    FIELD_TYPE.YEAR: lambda _column, _settings: _year,
    FIELD_TYPE.DATE: lambda _column, _settings: _date,
    FIELD_TYPE.DATETIME2: lambda column, _settings: _datetimes(column.fsp),
    FIELD_TYPE.TIMESTAMP2: lambda column, _settings: _timestamps(column.fsp),
    FIELD_TYPE.TIME2: lambda column, _settings: _times(column.fsp),
    FIELD_TYPE.VARCHAR: _chars,
    FIELD_TYPE.VAR_STRING: _chars,
    FIELD_TYPE.STRING: _chars,
    FIELD_TYPE.BLOB: _blobs,
    FIELD_TYPE.GEOMETRY: _blobs,
    FIELD_TYPE.JSON: _documents,
    FIELD_TYPE.ENUM: lambda column, _settings: _enums(column.size, column.enum_values),
    FIELD_TYPE.SET: lambda column, _settings: _sets(column.size, column.set_values),
    FIELD_TYPE.BIT: lambda column, settings: _bits(column.bytes, column.bits, settings),
}
