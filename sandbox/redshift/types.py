"""Redshift's column types, as PostgreSQL types with the limits that PostgreSQL does not know.

VARCHAR(n) counts bytes in Redshift and characters in PostgreSQL, hence a check beside the type; its name says which limit
it stands for, and `errors.declared_limit` turns it into Redshift's message.

Source: Redshift Developer Guide, "Character types", "Numeric types", "Unsupported PostgreSQL data types".
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sandbox.redshift.errors import Refused
from sandbox.redshift.lexer import Cursor, quoted

VARCHAR_BYTES_MAX: Final = 65_535
CHAR_BYTES_MAX: Final = 4_096
_PLAIN: Final = {
    "smallint": "smallint",
    "int2": "smallint",
    "integer": "integer",
    "int": "integer",
    "int4": "integer",
    "bigint": "bigint",
    "int8": "bigint",
    "real": "real",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "boolean": "boolean",
    "bool": "boolean",
    "date": "date",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "super": "json",
}
_VARCHAR: Final = ("varchar", "nvarchar")
_CHAR: Final = ("char", "character", "nchar", "bpchar")
_DECIMAL: Final = ("decimal", "numeric")
# Types that Redshift has and the stand-in has not.
_LATER: Final = ("varbyte", "varbinary", "geometry", "geography", "hllsketch", "timetz", "interval")
CAST_TYPES: Final = frozenset({*_PLAIN.keys() - {"super"}, *_VARCHAR, *_CHAR, *_DECIMAL, "text", "timestamp", "double"})


@dataclass(frozen=True)
class ColumnType:
    """A column's type: for PostgreSQL, the kind of limit to check, its size in bytes or digits, its greatest value."""

    sql: str
    limit: str = ""
    size: int = 0
    greatest: str = ""

    def check(self, column: str, number: int) -> str | None:
        """Write the check that keeps the limit; None when PostgreSQL's type does.

        Args:
            column: Name of the column.
            number: Its place in the table, which makes the constraint's name unique.
        """
        name = quoted(column)
        conditions = {
            "varchar": f"octet_length({name}) <= {self.size}",
            "char": f"octet_length({name}) = {self.size}",  # padded to so many characters
            "decimal": f"abs({name}) <= {self.greatest}",
        }
        if self.limit not in conditions:
            return None
        return f"constraint {quoted(f'limit:{self.limit}:{self.size}:{number}')} check ({conditions[self.limit]})"


def column_type(cursor: Cursor) -> ColumnType:
    """Take a column's type.

    Raises:
        Refused: Redshift, or the stand-in, has no such type.
    """
    written = cursor.next()
    word = written.word
    if word == "double":
        cursor.expect("precision")
        return ColumnType("double precision")
    if word == "text":
        return _varchar(256)
    if word == "timestamp":
        if cursor.accept("with", "time", "zone"):
            return ColumnType("timestamp with time zone")
        cursor.accept("without", "time", "zone")
        return ColumnType("timestamp without time zone")
    if word in ("character", "char", "nchar") and cursor.accept("varying"):
        return _varchar(_length(cursor, 256))
    if word in _VARCHAR:
        return _varchar(_length(cursor, 256))
    if word in _CHAR:
        return _char(_length(cursor, 256 if word == "bpchar" else 1))
    if word in _DECIMAL:
        return _decimal(cursor)
    if word in _PLAIN and not cursor.sees("["):
        return ColumnType(_PLAIN[word])
    if word in _LATER:
        raise Refused(f"the sandbox does not know the type {word.upper()}")
    if word in _PLAIN or cursor.sees("["):
        raise Refused(f'Column "{written.text}[]" has unsupported type "{written.text}[]".')
    raise Refused(f'type "{written.name or written.text}" does not exist')


def _length(cursor: Cursor, default: int) -> int:
    if not cursor.accept("("):
        return default
    length = cursor.next()
    cursor.expect(")")
    if length.word == "max":
        return VARCHAR_BYTES_MAX
    if not length.text.isdigit():
        raise Refused(f'syntax error at or near "{length.text}"')
    return int(length.text)


def _varchar(size: int) -> ColumnType:
    if not 1 <= size <= VARCHAR_BYTES_MAX:
        limit = "must be at least 1" if size < 1 else f"cannot exceed {VARCHAR_BYTES_MAX}"
        raise Refused(f"length for type character varying {limit}")
    return ColumnType(f"character varying({size})", "varchar", size)


def _char(size: int) -> ColumnType:
    if not 1 <= size <= CHAR_BYTES_MAX:
        limit = "must be at least 1" if size < 1 else f"cannot exceed {CHAR_BYTES_MAX}"
        raise Refused(f"length for type character {limit}")
    return ColumnType(f"character({size})", "char", size)


def _decimal(cursor: Cursor) -> ColumnType:
    digits = [18, 0]
    if cursor.sees("("):
        tokens = cursor.listed(cursor.next)
        if len(tokens) > 2 or not all(token.text.isdigit() for token in tokens):
            raise cursor.surprise()
        digits = [int(token.text) for token in tokens] + [0] * (2 - len(tokens))
    precision, scale = digits
    if not 1 <= precision <= 38:
        raise Refused(f"DECIMAL precision {precision} must be between 1 and 38")
    if scale > min(precision, 37):
        raise Refused(f"DECIMAL scale {scale} must be between 0 and {min(precision, 37)}")
    # A precision of 19 is stored in 64 bits, so not every number of 19 digits fits.
    limit = ("decimal", 19, str(Decimal(2**63 - 1).scaleb(-scale))) if precision == 19 else ()
    return ColumnType(f"numeric({precision},{scale})", *limit)
