"""What a source column's type becomes in Spark, Arrow and Redshift.

A type that one of the four cannot hold exactly is refused by name: a value is never rounded, cut or guessed.

Reads:  a type as MySQL's information_schema writes it ("int(10) unsigned").
Gives:  a ColumnType, or an InputError that says what to do.
"""

import re
from dataclasses import dataclass

import pyarrow as pa

from freshet.errors import InputError

VARCHAR_BYTES_MAX = 65_535
UTF8MB4_BYTES = 4

# MySQL, Numeric Types: bytes of storage, and what holds the signed and the unsigned range.
_INTEGERS = {
    "tinyint": (1, "smallint", "smallint"),
    "smallint": (2, "smallint", "int"),
    "mediumint": (3, "int", "int"),
    "int": (4, "int", "bigint"),
    "integer": (4, "int", "bigint"),
    "bigint": (8, "bigint", "decimal(20,0)"),  # Redshift's decimal(19,0) ends at 2^63: 20 digits
}

_REFUSED = {
    "float": "its value depends on who prints it; use DOUBLE or DECIMAL in the source",
    "time": "Redshift cannot load it from Parquet; keep it as VARCHAR or as an integer of seconds in the source",
    "year": "use SMALLINT in the source",
    "bit": "use BOOLEAN or an integer in the source",
    "enum": "its labels change without a change of a row; use VARCHAR or a small dimension table",
    "set": "use VARCHAR or a table of its own",
    "json": "select what you need of it into columns of their own in the source",
    "binary": "Redshift has no exact text for it; keep it as a hexadecimal VARCHAR in the source",
    "varbinary": "Redshift has no exact text for it; keep it as a hexadecimal VARCHAR in the source",
    "tinyblob": "binary values do not travel; leave the column out",
    "blob": "binary values do not travel; leave the column out",
    "mediumblob": "binary values do not travel; leave the column out",
    "longblob": "binary values do not travel; leave the column out",
    "mediumtext": "a value may be longer than Redshift's 65,535 bytes, and DMS sends it apart from its row; use TEXT",
    "longtext": "a value may be longer than Redshift's 65,535 bytes, and DMS sends it apart from its row; use TEXT",
}
# A change record has a key as text, and MySQL compares it: both must mean one value.
_KEY_REFUSED = {
    **dict.fromkeys(("float", "double", "real"), "its text is rounded; use an integer or DECIMAL"),
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext"), "a long text is cut or sent apart; use VARCHAR"),
    **dict.fromkeys(
        ("tinyblob", "blob", "mediumblob", "longblob"), "a long value is cut or sent apart; use an integer"
    ),
    **dict.fromkeys(("binary", "varbinary"), "its form in change records is not settled; use a hexadecimal VARCHAR"),
    **dict.fromkeys(("enum", "set"), "MySQL compares its numbers and sends its labels; use VARCHAR or an integer"),
    "bit": "its form differs from server to server; use an integer",
    "json": "equal values may be written differently; use VARCHAR or an integer",
    "time": "its text differs from its value; use an integer of seconds",
    "year": "a year of two digits is another one; use SMALLINT",
}
_KEY_TYPES = (*_INTEGERS, "decimal", "numeric", "date", "datetime", "timestamp", "char", "varchar")
_GEOMETRIES = ("geometry", "point", "linestring", "polygon", "multi", "geom")

_PLAIN = {
    "double": ("double", "double"),
    "real": ("double", "double"),
    "date": ("date", "date"),
    "datetime": ("datetime", "timestamp_ntz"),
    "timestamp": ("timestamp", "timestamp_ntz"),
}

_REDSHIFT = {
    "smallint": "smallint",
    "int": "integer",
    "bigint": "bigint",
    "double": "double precision",
    "date": "date",
    "timestamp_ntz": "timestamp",
    "boolean": "boolean",
}
_ARROW: dict[str, pa.DataType] = {
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp_ntz": pa.timestamp("us"),
    "boolean": pa.bool_(),
}


@dataclass(frozen=True)
class ColumnType:
    """One source column's type, in every system that its values pass.

    `kind` is one of integer, decimal, double, text, date, datetime, timestamp, boolean. A DATETIME has no time zone; a
    TIMESTAMP is an instant and travels as its UTC wall time, hence both are Spark's `timestamp_ntz`. Columns of one `family` can
    be joined: MySQL compares them exactly, whatever their sizes.
    """

    mysql: str
    kind: str
    spark: str
    redshift: str
    minimum: int | None = None
    maximum: int | None = None
    precision: int | None = None
    scale: int | None = None

    @property
    def family(self) -> str:
        """What `kind` is compared as: all exact numbers are one."""
        return "number" if self.kind in ("integer", "decimal") else self.kind

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that Spark reads as `spark`."""
        return arrow_type(self.spark)


def arrow_type(spark: str) -> pa.DataType:
    """Give the Arrow type of one of Spark's types that Freshet uses.

    Raises:
        KeyError: Spark's type is not one of them.
    """
    decimal = re.fullmatch(r"decimal\((\d+),(\d+)\)", spark)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return _ARROW[spark]


def redshift_type(spark: str, text_bytes: int = VARCHAR_BYTES_MAX) -> str | None:
    """Give the Redshift type that holds every value of a Spark type; None when there is none.

    Args:
        spark: Spark's own name of the type.
        text_bytes: For `string`: the bytes that the longest value may have.

    Source: Redshift, "Data types": a VARCHAR's length is in bytes.
    """
    if spark == "string":
        return f"varchar({min(max(text_bytes, 1), VARCHAR_BYTES_MAX)})"
    decimal = re.fullmatch(r"decimal\((\d+),(\d+)\)", spark)
    if decimal:
        return spark if int(decimal[1]) <= 38 and int(decimal[2]) <= 37 else None
    return _REDSHIFT.get(spark)


def key_refusal(mysql: str) -> str | None:
    """Say why a column of a type cannot be a key that is followed; None when it can.

    Args:
        mysql: The type as `information_schema.columns.column_type` says it.
    """
    name, size, _ = _parts(mysql)
    if mysql.lower() == "tinyint(1)":
        return "it holds true or false, and a 2 would be neither; use TINYINT or INT"
    if name in ("datetime", "timestamp") and size not in ("", "0"):
        return f"a change record may cut its fraction of a second; use {name.upper()} without one, or an integer"
    if name in _KEY_TYPES:
        return None
    return _KEY_REFUSED.get(name, "use an integer, DECIMAL, DATE, DATETIME or VARCHAR")


def _parts(mysql: str) -> tuple[str, str, str]:
    written = mysql.lower()
    parts = re.match(r"([a-z0-9]+)(?: precision)?(?:\(([^)]*)\))?(.*)", written)
    return (parts[1], parts[2] or "", parts[3]) if parts else (written, "", "")


def column_type(mysql: str) -> ColumnType:
    """Read a type as `information_schema.columns.column_type` says it.

    Raises:
        InputError: Freshet cannot carry values of this type; the message says what to do instead.
    """
    name, size, rest = _parts(mysql)
    if mysql.lower() == "tinyint(1)":
        found = ColumnType(mysql, "boolean", "boolean", "boolean")
    elif name in _INTEGERS:
        found = _integer(mysql, name, unsigned="unsigned" in rest)
    elif name in ("decimal", "numeric"):
        found = _decimal(mysql, size)
    elif name in ("char", "varchar", "tinytext", "text"):
        characters = {"tinytext": 255, "text": VARCHAR_BYTES_MAX}.get(name) or int(size or 1)
        found = ColumnType(mysql, "text", "string", str(redshift_type("string", characters * UTF8MB4_BYTES)))
    elif name in _PLAIN:
        kind, spark = _PLAIN[name]
        found = ColumnType(mysql, kind, spark, _REDSHIFT[spark])
    else:
        geometry = "geometry has no exact form in Redshift; leave the column out"
        reason = geometry if name.startswith(_GEOMETRIES) else _REFUSED.get(name, "leave the column out")
        raise InputError(f"{name.upper()} is not supported: {reason}")
    return found


def _integer(mysql: str, name: str, *, unsigned: bool) -> ColumnType:
    size, signed_type, unsigned_type = _INTEGERS[name]
    bits = 8 * size
    minimum, maximum = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    spark = unsigned_type if unsigned else signed_type
    wide = spark.startswith("decimal")
    return ColumnType(
        mysql, "integer", spark, str(redshift_type(spark)), minimum, maximum, 20 if wide else None, 0 if wide else None
    )


def _decimal(mysql: str, size: str) -> ColumnType:
    precision, scale = ([int(part) for part in size.split(",")] + [0])[:2] if size else (10, 0)
    spark = f"decimal({precision},{scale})"
    redshift = redshift_type(spark)
    if redshift is None:
        raise InputError(
            f"{spark.upper()} is not supported: Redshift holds 38 digits, 37 of them after the point; "
            "use a smaller DECIMAL in the source"
        )
    return ColumnType(mysql, "decimal", spark, redshift, precision=precision, scale=scale)
