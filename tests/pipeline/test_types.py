"""Types pass exactly from MySQL through Spark to Redshift, or are refused by name."""

import pytest

from freshet.errors import InputError
from freshet.pipeline.types import arrow_type, column_type, redshift_type

TYPES = [
    ("tinyint(1)", "boolean", "boolean", "boolean", None),
    ("tinyint(4)", "integer", "smallint", "smallint", (-128, 127)),
    ("tinyint(3) unsigned", "integer", "smallint", "smallint", (0, 255)),
    ("smallint(6)", "integer", "smallint", "smallint", (-32768, 32767)),
    ("smallint(5) unsigned", "integer", "int", "integer", (0, 65535)),
    ("mediumint(9)", "integer", "int", "integer", (-8388608, 8388607)),
    ("mediumint(8) unsigned", "integer", "int", "integer", (0, 16777215)),
    ("int(11)", "integer", "int", "integer", (-(2**31), 2**31 - 1)),
    ("int", "integer", "int", "integer", (-(2**31), 2**31 - 1)),
    ("int unsigned", "integer", "bigint", "bigint", (0, 2**32 - 1)),
    ("bigint(20)", "integer", "bigint", "bigint", (-(2**63), 2**63 - 1)),
    ("bigint(20) unsigned zerofill", "integer", "decimal(20,0)", "decimal(20,0)", (0, 2**64 - 1)),
    ("decimal(8,2)", "decimal", "decimal(8,2)", "decimal(8,2)", None),
    ("decimal(38,37) unsigned", "decimal", "decimal(38,37)", "decimal(38,37)", None),
    ("double", "double", "double", "double precision", None),
    ("double(10,2)", "double", "double", "double precision", None),
    ("char(3)", "text", "string", "varchar(12)", None),
    ("varchar(40)", "text", "string", "varchar(160)", None),
    ("varchar(16383)", "text", "string", "varchar(65532)", None),
    ("varchar(16384)", "text", "string", "varchar(65535)", None),
    ("varchar(0)", "text", "string", "varchar(1)", None),
    ("tinytext", "text", "string", "varchar(1020)", None),
    ("text", "text", "string", "varchar(65535)", None),
    ("date", "date", "date", "date", None),
    ("datetime", "datetime", "timestamp_ntz", "timestamp", None),
    ("datetime(6)", "datetime", "timestamp_ntz", "timestamp", None),
    ("timestamp(3)", "timestamp", "timestamp_ntz", "timestamp", None),
]


@pytest.mark.parametrize(("mysql", "kind", "spark", "redshift", "limits"), TYPES, ids=[row[0] for row in TYPES])
def test_a_type_and_what_holds_it(
    mysql: str, kind: str, spark: str, redshift: str, limits: tuple[int, int] | None
) -> None:
    """Each type becomes the narrowest one that holds all its values; text counts four bytes a character."""
    found = column_type(mysql)
    assert (kind, spark, redshift) == (found.kind, found.spark, found.redshift)
    assert (limits or (None, None)) == (found.minimum, found.maximum)
    assert arrow_type(spark) == found.arrow


@pytest.mark.parametrize(
    ("mysql", "message"),
    [
        ("float", "FLOAT is not supported: its value depends on who prints it; use DOUBLE or DECIMAL"),
        ("time(3)", "TIME is not supported"),
        ("year(4)", "YEAR is not supported: use SMALLINT"),
        ("bit(1)", "BIT is not supported: use BOOLEAN"),
        ("enum('a','b')", "ENUM is not supported"),
        ("set('a')", "SET is not supported"),
        ("json", "JSON is not supported"),
        ("binary(16)", "BINARY is not supported"),
        ("varbinary(9)", "VARBINARY is not supported"),
        ("longblob", "LONGBLOB is not supported"),
        ("mediumtext", "MEDIUMTEXT is not supported"),
        ("longtext", "LONGTEXT is not supported"),
        ("point", "POINT is not supported: geometry"),
        ("geometrycollection", "GEOMETRYCOLLECTION is not supported: geometry"),
        ("multipolygon", "MULTIPOLYGON is not supported: geometry"),
        ("inet6", "INET6 is not supported: leave the column out"),
        ("decimal(39,2)", r"DECIMAL\(39,2\) is not supported: Redshift holds 38 digits"),
        ("decimal(38,38)", r"DECIMAL\(38,38\) is not supported"),
    ],
)
def test_a_type_that_cannot_pass_is_refused_by_name(mysql: str, message: str) -> None:
    """The message names the type and says what to do."""
    with pytest.raises(InputError, match=message):
        column_type(mysql)


def test_spark_types_without_a_place_in_redshift() -> None:
    """What Redshift cannot hold exactly has no type."""
    assert [redshift_type(spark) for spark in ("tinyint", "void", "array<int>", "timestamp")] == [None] * 4
