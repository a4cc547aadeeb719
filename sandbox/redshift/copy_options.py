"""The parameters of COPY: which there are, what they take, and with which format each goes.

Reads:  the tokens behind the source.
Gives:  `Options`.

Source: Redshift Developer Guide, "COPY" (syntax), "Data format parameters", "Data conversion parameters", "Data load
operations", "COPY from JSON format", "COPY from columnar data formats".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.redshift.errors import Refused, syntax_error
from sandbox.redshift.lexer import Cursor, Token, words
from sandbox.redshift.s3_files import role

ERRORS_MAX: Final = 100_000
_FORMATS: Final = ("parquet", "csv", "json", "avro")
_COMPRESSIONS: Final = ("gzip", "bzip2", "zstd")
# What each format takes, beside what all of them take.
_EVERY: Final = words("iam_role format manifest statupdate acceptinvchars")
_CONVERSIONS: Final = words("""
    maxerror compupdate blanksasnull emptyasnull truncatecolumns dateformat timeformat roundec encoding
    """)
_LINES: Final = words("ignoreheader ignoreblanklines fillrecord null delimiter gzip bzip2 zstd")
_TAKES: Final = {
    "parquet": _EVERY,
    "csv": _EVERY | _CONVERSIONS | _LINES | {"quote"},
    "text": _EVERY | _CONVERSIONS | _LINES,
    "json": _EVERY | _CONVERSIONS | {*_COMPRESSIONS},
    "avro": _EVERY | _CONVERSIONS,
}
# Redshift has these, and the stand-in has not.
_LATER: Final = words("""
    region escape removequotes acceptanydate trimblanks noload lzop readratio explicit_ids encrypted ignoreallerrors
    comprows credentials access_key_id secret_access_key session_token serializetojson fixedwidth orc shapefile ssh
    master_symmetric_key
    """)


@dataclass
class Options:
    """What a COPY was told; `format` is parquet, csv, json, avro, or text for the delimited default."""

    format: str = "text"
    manifest: bool = False
    ignore_case: bool = False
    compression: str = ""
    delimiter: str = ""
    quote: str = '"'
    header_lines: int = 0
    ignore_blank_lines: bool = False
    fill_record: bool = False
    null_text: str = "\\N"
    date_format: str = "YYYY-MM-DD"
    time_format: str = "YYYY-MM-DD HH:MI:SS"
    errors_max: int = 0
    replacement: str = ""
    truncate: bool = False
    blanks_as_null: bool = False
    empty_as_null: bool = False
    round_decimals: bool = False

    @property
    def errors_end(self) -> int:
        """How many bad rows end the load."""
        return max(self.errors_max, 1)


def read_options(cursor: Cursor) -> Options:
    """Read all parameters up to the statement's end; they come in any order.

    Raises:
        Refused: One that Redshift or the stand-in has not, one twice, or one that does not go with the format.
    """
    options = Options()
    given: list[str] = []
    while cursor.here is not None:
        name = _parameter(cursor, options)
        if name in given:
            raise Refused("conflicting or redundant options")
        given.append(name)
    if "iam_role" not in given:
        raise Refused("COPY needs IAM_ROLE")
    if options.format == "parquet" and (options.fill_record or options.replacement):
        raise Refused("the sandbox's COPY of PARQUET does not know FILLRECORD and ACCEPTINVCHARS")
    for name in given:
        if name not in _TAKES[options.format]:
            raise Refused(f"{name.upper()} is not supported with FORMAT AS {options.format.upper()}")
    if len([name for name in given if name in _COMPRESSIONS]) > 1:
        raise Refused("conflicting or redundant options")
    options.delimiter = options.delimiter or ("," if options.format == "csv" else "|")
    return options


def _parameter(cursor: Cursor, options: Options) -> str:
    token = cursor.next()
    word = token.word
    if word == "format" or word in _FORMATS:
        if word == "format":
            cursor.accept("as")
            token = cursor.next()
        _format(cursor, options, token)
        return "format"
    if word in _COMPRESSIONS:
        options.compression = word
        return word
    if word in _LATER:
        # With Parquet, that the format does not take it says more.
        if options.format == "parquet":
            raise Refused(f"{word.upper()} is not supported with FORMAT AS PARQUET")
        raise Refused(f"the sandbox's COPY does not know {word.upper()}")
    if word not in _PARAMETERS:
        raise syntax_error(token.text)
    _PARAMETERS[word](cursor, options)
    return word


def _format(cursor: Cursor, options: Options, token: Token) -> None:
    if token.word in _LATER:
        raise Refused(f"the sandbox's COPY does not know FORMAT AS {token.word.upper()}")
    if token.word not in _FORMATS:
        raise syntax_error(token.text)
    options.format = token.word
    if token.word == "csv":
        if cursor.accept("quote"):
            options.quote = character(cursor, "QUOTE")
        return
    if token.word == "parquet":
        return
    cursor.accept("as")
    if cursor.here is not None and cursor.here.kind == "string":
        how = cursor.next().content
        if how not in ("auto", "auto ignorecase"):
            raise Refused(f"the sandbox's COPY of {token.word.upper()} knows 'auto' and 'auto ignorecase' only")
        options.ignore_case = how == "auto ignorecase"


def text(cursor: Cursor) -> str:
    """Take a text; COPY reads only some of its backslashes as escapes, so that `\\N` is two characters.

    Raises:
        Refused: No text comes next.
    """
    cursor.accept("as")
    token = cursor.next()
    if token.kind != "string":
        raise syntax_error(token.text)
    return re.sub(r"\\(\\|[tnr]|[0-7]{3})", _unescaped, token.text[1:-1].replace("''", "'"))


def _unescaped(found: re.Match[str]) -> str:
    return {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}.get(found[1]) or chr(int(found[1], 8))


def character(cursor: Cursor, parameter: str) -> str:
    """Take a text of one ASCII character."""
    written = text(cursor)
    if len(written) != 1 or not written.isascii() or written in "\0\n\r":
        raise Refused(f"{parameter} must be a single ASCII character")
    return written


def _number(cursor: Cursor, parameter: str, greatest: int) -> int:
    cursor.accept("as")
    token = cursor.next()
    if not token.text.isdigit():
        raise syntax_error(token.text)
    if int(token.text) > greatest:
        raise Refused(f"COPY {parameter} must be between 0 and {greatest}")
    return int(token.text)


def _switch(cursor: Cursor, _options: Options) -> None:
    if cursor.here is not None and cursor.here.word in ("on", "off", "true", "false", "preset"):
        cursor.next()


def _format_text(name: str) -> Callable[[Cursor, Options], None]:
    def take(cursor: Cursor, options: Options) -> None:
        setattr(options, name, text(cursor))

    return take


def _flag(name: str) -> Callable[[Cursor, Options], None]:
    def take(_cursor: Cursor, options: Options) -> None:
        setattr(options, name, True)

    return take


def _null(cursor: Cursor, options: Options) -> None:
    options.null_text = text(cursor)
    if "\n" in options.null_text or "\0" in options.null_text:
        raise Refused("the sandbox's COPY does not know NULL AS with a line feed or NUL")


def _delimiter(cursor: Cursor, options: Options) -> None:
    options.delimiter = character(cursor, "DELIMITER")


def _replacement(cursor: Cursor, options: Options) -> None:
    options.replacement = "?"
    if cursor.accept("as") or (cursor.here is not None and cursor.here.kind == "string"):
        options.replacement = character(cursor, "ACCEPTINVCHARS")


def _encoding(cursor: Cursor, _options: Options) -> None:
    cursor.accept("as")
    if cursor.next().word != "utf8":
        raise Refused("the sandbox's COPY knows ENCODING UTF8 only")


def _max_error(cursor: Cursor, options: Options) -> None:
    options.errors_max = _number(cursor, "MAXERROR", ERRORS_MAX)


def _header(cursor: Cursor, options: Options) -> None:
    options.header_lines = _number(cursor, "IGNOREHEADER", 2**31 - 1)


def _quote(_cursor: Cursor, _options: Options) -> None:
    raise syntax_error("quote", "QUOTE stands behind CSV")


_PARAMETERS: Final[dict[str, Callable[[Cursor, Options], None]]] = {
    "iam_role": lambda cursor, _options: role(cursor, "COPY"),
    "manifest": _flag("manifest"),
    "statupdate": _switch,
    "compupdate": _switch,
    "delimiter": _delimiter,
    "quote": _quote,
    "ignoreheader": _header,
    "ignoreblanklines": _flag("ignore_blank_lines"),
    "fillrecord": _flag("fill_record"),
    "null": _null,
    "dateformat": _format_text("date_format"),
    "timeformat": _format_text("time_format"),
    "maxerror": _max_error,
    "acceptinvchars": _replacement,
    "truncatecolumns": _flag("truncate"),
    "blanksasnull": _flag("blanks_as_null"),
    "emptyasnull": _flag("empty_as_null"),
    "roundec": _flag("round_decimals"),
    "encoding": _encoding,
}
