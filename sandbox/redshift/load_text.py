"""Read CSV and delimited text for COPY.

Reads:  a file's text.
Gives:  its rows in parts, every field a text; the words for NULL are already None.

Source: Redshift Developer Guide, "Data format parameters" (CSV, DELIMITER), "Data conversion parameters" (NULL AS,
FILLRECORD, IGNOREHEADER, IGNOREBLANKLINES), "Load error reference".
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Final

from sandbox.redshift.copy_options import Options
from sandbox.redshift.load_rows import ROWS_PER_PART, BadRow, Rows

_FIELD_CHARACTERS_MAX: Final = 4 * 1024 * 1024  # a row's size in Redshift's text formats
csv.field_size_limit(_FIELD_CHARACTERS_MAX)


def text_rows(text: str, width: int, options: Options) -> Iterator[Rows]:
    """Read a file.

    Args:
        text: Of the file.
        width: How many columns it must have.
        options: Delimiter, quote character, and what is NULL.
    """
    if options.format == "csv":
        text = _without_blanks_at_quotes(text, options)
    lines = list(io.StringIO(text, newline=""))
    body = lines[options.header_lines :]
    if options.format == "csv":
        reader = csv.reader(body, delimiter=options.delimiter, quotechar=options.quote, strict=True)
    else:
        reader = csv.reader(body, delimiter=options.delimiter, quoting=csv.QUOTE_NONE, strict=True)
    records: list[list[str]] = []
    rows = Rows([])
    while True:
        first = options.header_lines + reader.line_num
        try:
            record = next(reader, None)
        except csv.Error as error:
            line = options.header_lines + reader.line_num
            rows.bad.append(BadRow(line, 1216, _reason(error), "".join(lines[first:line])))
            continue
        if record is None:
            break
        line = options.header_lines + reader.line_num
        if record or not options.ignore_blank_lines:
            _take(record or [""], width, options, rows, records, line, lines[first:line])
        if rows.scanned >= ROWS_PER_PART:
            yield _turned(rows, records, width, options)
            rows, records = Rows([]), []
    yield _turned(rows, records, width, options)


def _without_blanks_at_quotes(text: str, options: Options) -> str:
    """Leave out blanks between a delimiter and a quotation mark, which Redshift ignores."""
    quote, delimiter = re.escape(options.quote), re.escape(options.delimiter)
    blank = "".join(character for character in " \t" if character != options.delimiter)
    if not re.search(rf"[{blank}]{quote}|{quote}[{blank}]", text):
        return text
    field = rf"(^|[{delimiter}\r\n])[{blank}]*({quote}(?:[^{quote}]|{quote}{quote})*{quote})[{blank}]*(?=[{delimiter}\r\n]|\Z)"
    return re.sub(field, r"\1\2", text)


def _take(
    record: list[str], width: int, options: Options, rows: Rows, records: list[list[str]], line: int, written: list[str]
) -> None:
    raw = written[0] if len(written) == 1 else "".join(written)
    if len(record) < width and options.fill_record:
        record.extend([""] * (width - len(record)))
    if len(record) == width:
        records.append(record)
        rows.lines.append(line)
        rows.raws.append(raw)
    elif len(record) < width:
        rows.bad.append(
            BadRow(line, 1214, "Delimiter not found", raw, len(record) - 1, record[-1], len(raw.rstrip("\r\n")))
        )
    else:
        rows.bad.append(BadRow(line, 1202, "Extra column(s) found", raw))


def _turned(rows: Rows, records: list[list[str]], width: int, options: Options) -> Rows:
    null = options.null_text
    columns = zip(*records, strict=True) if records else [()] * width
    rows.columns = [[None if value == null else value for value in column] for column in columns]
    return rows


def _reason(error: csv.Error) -> str:
    if "field larger" in str(error):
        return "The row is larger than COPY takes"
    return "Invalid quote formatting for CSV. Unexpected character after the closing quote, or no closing quote"
