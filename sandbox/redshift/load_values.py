"""Turn texts of a file into values of a column, or say as Redshift does why they are none.

A whole column is judged at once; only a column that holds something wrong, or something to be changed, is gone through
value by value.

Reads:  a column of texts.
Gives:  the column as PostgreSQL's COPY reads it, and the bad values with their rows.

Source: Redshift Developer Guide, "Load error reference", "Data conversion parameters", "Multibyte character load errors",
"STL_LOAD_ERRORS".
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sandbox.redshift.copy_options import Options
from sandbox.redshift.load_times import time_reader
from sandbox.redshift.parquet import Column

_WHOLE: Final = {"smallint": (16, "Short"), "integer": (32, "Integer"), "bigint": (64, "Long")}
_REALS: Final = {"real": 3.4028235677973366e38, "double precision": float("inf")}
_TRUE: Final = frozenset({"t", "true", "y", "yes", "1"})
_FALSE: Final = frozenset({"f", "false", "n", "no", "0"})
_INTEGER: Final = r"^[+-]?[0-9]+$"
_DECIMAL: Final = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)$"
_FLOAT: Final = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"

# What PostgreSQL reads as it is written.
_TIMES: Final = {
    "date": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "timestamp without time zone": r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?$",
}


class Fault(NamedTuple):
    """Why a value is none: Redshift's code and reason, and where in the value."""

    code: int
    reason: str
    position: int = 0


@dataclass(frozen=True)
class LoadColumn:
    """A column that COPY fills, and whether it must be filled."""

    column: Column
    required: bool


Reader = Callable[[str], str | Fault]


def read_column(target: LoadColumn, texts: Sequence[str | None], options: Options) -> tuple[Any, dict[int, Fault]]:
    """Read the values of one column.

    Args:
        target: The column.
        texts: Its values; None is NULL.
        options: How to convert.

    Returns:
        An Arrow array as long as the texts, and the faults by row; a faulty value is NULL in the array.
    """
    is_text = target.column.type.startswith("character")
    if is_text and options.empty_as_null:
        texts = [text or None for text in texts]
    if not is_text or options.blanks_as_null:
        texts = [
            None if text is not None and (not text or text.isspace()) and (text or not is_text) else text
            for text in texts
        ]
    found = _at_once(target.column, texts, options)
    faults: dict[int, Fault] = {}
    if found is None:
        found, faults = _one_by_one(target.column, texts, options)
    if target.required and None in texts:
        missing = Fault(1213, "Missing data for not-null field")
        faults |= {row: missing for row, text in enumerate(texts) if text is None}
    return found, faults


def _at_once(column: Column, texts: Sequence[str | None], options: Options) -> Any | None:
    """Convert a column that holds nothing wrong; None when that is not certain."""
    try:
        values = pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return None
    if column.type in _WHOLE:
        bits, _ = _WHOLE[column.type]
        if not _all_match(values, _INTEGER):
            return None
        try:
            return pc.cast(pc.replace_substring_regex(values, "^\\+", ""), pa.int64()).cast(f"int{bits}")
        except pa.ArrowInvalid:
            return None
    if column.type == "numeric":
        precision, scale = column.digits
        plain = rf"^[+-]?0*[0-9]{{0,{precision - scale}}}(?:\.[0-9]{{0,{scale}}})?$"
        return values if precision != 19 and _all_match(values, _DECIMAL) and _all_match(values, plain) else None
    if column.type in _REALS:
        return values if _all_match(values, _FLOAT) and _in_range(values, column.type) else None
    if column.type in _TIMES:
        return (
            values
            if _usual_times(column, options) and _all_match(values, _TIMES[column.type]) and _exist(values)
            else None
        )
    if column.type == "boolean":
        return values if _all_match(values, "^(?:true|false|t|f|1|0)$") else None
    if column.type.startswith("character"):
        fits = (pc.max(pc.binary_length(values)).as_py() or 0) <= column.size
        plain_text = column.type == "character varying" or pc.all(pc.string_is_ascii(values)).as_py() is not False
        return values if fits and plain_text and not pc.any(pc.match_substring(values, "\0")).as_py() else None
    return None


def _all_match(values: Any, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(values, pattern)).as_py() is not False


def _in_range(values: Any, kind: str) -> bool:
    greatest = pc.max(pc.abs(pc.cast(values, pa.float64()))).as_py()
    return greatest is None or greatest < _REALS[kind]


def _usual_times(column: Column, options: Options) -> bool:
    written, usual = (
        (options.date_format, "YYYY-MM-DD") if column.type == "date" else (options.time_format, "YYYY-MM-DD HH:MI:SS")
    )
    return written in (usual, "auto")


def _exist(values: Any) -> bool:
    """Tell whether these are days of the calendar and hours of the day."""
    try:
        pc.cast(values, pa.timestamp("us"))
    except pa.ArrowInvalid:
        return False
    return True


def _one_by_one(column: Column, texts: Sequence[str | None], options: Options) -> tuple[Any, dict[int, Fault]]:
    read = _reader(column, options)
    known: dict[str | None, str | Fault | None] = {None: None}
    faults: dict[int, Fault] = {}
    values: list[str | None] = []
    for row, text in enumerate(texts):
        if text not in known:
            if len(known) > 10_000:
                known = {None: None}
            known[text] = read(text or "")
        value = known[text]
        if isinstance(value, Fault):
            faults[row] = value
            value = None
        values.append(value)
    return pa.array(values, pa.string()), faults


def _reader(column: Column, options: Options) -> Reader:
    if column.type in _WHOLE:
        return lambda text: _whole(text, *_WHOLE[column.type])
    if column.type == "numeric":
        return lambda text: _decimal(text, *column.digits, rounded=options.round_decimals)
    if column.type in _REALS:
        return lambda text: _real(text, column.type)
    if column.type == "boolean":
        return _boolean
    if column.type.startswith("character"):
        return lambda text: _characters(text, column, options)
    return _time_of(column, options)


def _whole(text: str, bits: int, named: str) -> str | Fault:
    if not re.fullmatch(_INTEGER, text):
        return _invalid_digit(text, named)
    if not -(2 ** (bits - 1)) <= int(text) < 2 ** (bits - 1):
        return Fault(1222, f"Overflow ({named} valid range {-(2 ** (bits - 1))} to {2 ** (bits - 1) - 1})")
    return text


def _invalid_digit(text: str, named: str, code: int = 1207) -> Fault:
    signed = text[:1] in ("+", "-") and len(text) > 1
    place = next((n for n, character in enumerate(text) if not character.isdigit() and not (signed and n == 0)), 0)
    return Fault(code, f"Invalid digit, Value '{text[place : place + 1]}', Pos {place}, Type: {named}", place)


def _decimal(text: str, precision: int, scale: int, *, rounded: bool) -> str | Fault:
    if not re.fullmatch(_DECIMAL, text):
        return _invalid_digit(text, "Decimal")
    exact = Context(prec=len(text) + scale + 2, rounding=ROUND_HALF_UP if rounded else ROUND_DOWN)
    value = exact.quantize(Decimal(text), Decimal((0, (1,), -scale)))
    greatest = 2**63 if precision == 19 else 10**precision  # 19 digits are kept in 64 bits
    if abs(value).scaleb(scale, exact) >= greatest:
        return Fault(1204, f"Overflow for NUMERIC({precision},{scale})")
    return f"{value:f}"


def _real(text: str, kind: str) -> str | Fault:
    if not re.fullmatch(_FLOAT, text):
        return _invalid_digit(text, "Float" if kind == "real" else "Double", 1208)
    if abs(float(text)) >= _REALS[kind]:
        return Fault(1204, "Value out of range for the type")
    return text


def _boolean(text: str) -> str | Fault:
    lower = text.lower()
    if lower not in _TRUE and lower not in _FALSE:
        return Fault(1210, "Unknown boolean format")
    return "true" if lower in _TRUE else "false"


def _characters(text: str, column: Column, options: Options) -> str | Fault:
    if not text.isascii():
        text, bad = _valid(text, options.replacement if column.type == "character varying" else "")
        if bad is not None:
            return bad
    if "\0" in text:
        return Fault(
            1220, "String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: 00", text.index("\0")
        )
    if column.type == "character" and not text.isascii():
        place = next(n for n, character in enumerate(text) if ord(character) > 127)
        shown = text[place].encode().hex(" ")
        hint = "Multibyte character not supported for CHAR (Hint: Try using VARCHAR). Invalid char: "
        return Fault(1220, hint + shown, place)
    written = text.encode()
    if len(written) > column.size:
        if options.truncate:
            return written[: column.size].decode(errors="ignore")
        kind = "Char" if column.type == "character" else "String"
        return Fault(1204, f"{kind} length exceeds DDL length", column.size)
    return text


def _valid(text: str, replacement: str) -> tuple[str, Fault | None]:
    """Replace bytes that are no UTF-8, which stand in the text as lone surrogates, or find fault with them."""
    bad = re.search("[\udc80-\udcff]+", text)
    if bad is None:
        return text, None
    if replacement:
        return re.sub("[\udc80-\udcff]", lambda _: replacement, text), None
    shown = bad[0].encode("utf-8", "surrogateescape").hex(" ")
    reason = f"String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: {shown}"
    return text, Fault(1220, reason, bad.start())


def _time_of(column: Column, options: Options) -> Reader:
    is_date = column.type == "date"
    written = options.date_format if is_date else options.time_format
    read = time_reader(written, column.type)
    shown = written.replace("HH:", "HH24:")
    fault = Fault(1205 if is_date else 1206, f"Invalid {'date' if is_date else 'timestamp'} format or value [{shown}]")
    return lambda text: read(text) or fault
