"""Rows come joined, in one statement, and each value is what the strict function says of MySQL's text."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.mysql.asking import Source
from freshet.mysql.rows import UNFIT, as_arrow, as_text, read_rows, row_statement
from freshet.pipeline.model import Column, Dimension, JoinTerm, Pipeline, Table
from freshet.pipeline.types import column_type
from freshet.pipeline.values import Unfit, converter
from tests.mysql.conftest import Database

TEXTS: dict[str, st.SearchStrategy[str]] = {
    "tinyint(4)": st.integers(-128, 127).map(str),
    "int(10) unsigned": st.integers(0, 2**32 - 1).map(str) | st.integers(0, 99).map(lambda number: f"{number:010}"),
    "bigint(20)": st.integers(-(2**63), 2**63 - 1).map(str),
    "bigint(20) unsigned": st.integers(0, 2**64 - 1).map(str),
    "decimal(10,2)": st.decimals(Decimal("-99999999.99"), Decimal("99999999.99"), places=2).map(lambda value: f"{value:f}"),
    "decimal(38,0)": st.integers(-(10**38) + 1, 10**38 - 1).map(str),
    "decimal(37,37)": st.integers(-(10**37) + 1, 10**37 - 1).map(lambda n: f"{'-' if n < 0 else ''}0.{abs(n):037}"),
    "double": st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.sampled_from(["-0", "1e308"]),
    "varchar(20)": st.text(st.characters(exclude_categories=["Cs"])),
    "date": st.dates().map(str)
    | st.sampled_from(["0000-00-00", "2024-00-10", "2024-02-00", "0000-05-05", "9999-12-31", "1000-01-01"]),
    "datetime": st.datetimes().map(lambda at: f"{at:%H:%M:%S}").map(lambda time: f"2024-07-29 {time}")
    | st.sampled_from(["0000-00-00 00:00:00", "2024-00-10 01:02:03", "9999-12-31 23:59:59", "0000-05-05 00:00:00"]),
    "datetime(3)": st.datetimes().map(lambda at: f"{at.date()} {at:%H:%M:%S}.{at.microsecond // 1000:03}"),
    "datetime(6)": st.datetimes().map(lambda at: at.isoformat(" ", "microseconds")),
    "timestamp": st.just("0000-00-00 00:00:00") | st.datetimes(datetime(1970, 1, 1), datetime(2038, 1, 19)).map(  # noqa: DTZ001
        lambda at: at.isoformat(" ", "seconds")
    ),
    "tinyint(1)": st.sampled_from(["0", "1", "2", "-1"]),
}  # fmt: skip


def strictly(kind: str, text: str | None) -> tuple[Any, str | None]:
    try:
        return converter(column_type(kind))(text), None
    except Unfit as unfit:
        return None, f"t.c:{unfit.reason}"


@pytest.mark.parametrize("kind", TEXTS)
@settings(deadline=None)
@given(data=st.data())
def test_the_cast_and_the_strict_function_say_the_same(kind: str, data: st.DataObject) -> None:
    """Whatever a column holds, alone or beside a value that its type cannot hold: the same value, or the same reason."""
    texts = data.draw(st.lists(st.none() | TEXTS[kind], max_size=4))
    values, reasons = zip(*(strictly(kind, text) for text in texts), strict=True) if texts else ((), ())
    expected = repr((pa.array(values, column_type(kind).arrow).to_pylist(), list(reasons)))  # with the sign of zero
    for wrong in (None, "no value"):
        if wrong and kind.startswith("varchar"):
            continue
        column = [*texts, wrong] if wrong else texts
        unfit: list[str | None] = [None] * len(column)
        array = as_arrow([None if text is None else text.encode() for text in column], column_type(kind), "t.c", unfit)
        assert column_type(kind).arrow == array.type
        assert expected == repr((array.to_pylist()[: len(texts)], unfit[: len(texts)]))


def test_a_text_that_is_no_text_spoils_its_row_alone() -> None:
    """The first value of a row that does not fit is named, with its table and column."""
    unfit: list[str | None] = [None, "other.x:not_a_date", None]
    array = as_arrow([b"a\xff", b"\xff", b"b"], column_type("varchar(9)"), "t.c", unfit)
    assert ([None, None, "b"], ["t.c:not_utf8", "other.x:not_a_date", None]) == (array.to_pylist(), unfit)


COLUMNS = {
    "id": "bigint unsigned", "n": "int(5) unsigned zerofill", "price": "decimal(38,10)", "weight": "double", "note": "text",
    "day": "date", "at": "datetime(6)", "seen": "timestamp(3)", "paid": "tinyint(1)", "code": "char(5)", "c_id": "int",
}  # fmt: skip
SQL = {"n": "int(5) unsigned", "id": "bigint(20) unsigned", "c_id": "int(11)"}


def pipeline(database: str, fact: str, dimension: str) -> Pipeline:
    """A fact of every type, and one table joined under two aliases, the second through the first."""
    id_ = Column("id", column_type("int(11)"), False)
    customer = (id_, Column("name", column_type("varchar(9)"), True), Column("parent", id_.type, True))
    columns = tuple(Column(name, column_type(SQL.get(name, kind)), True) for name, kind in COLUMNS.items())
    return Pipeline(
        name="p", folder=Path("p"), database=database, target_schema="public", target_table="p", keys=("id",),
        key_columns=("id",), fact=Table("f", fact, columns, ("id",)), outputs=(), deletes="ignore", readers=(),
        dimensions=(
            Dimension("c", dimension, customer, ("id",), on=(JoinTerm("id", "f", "c_id"),), inner=True),
            Dimension("p", dimension, customer, ("id",), on=(JoinTerm("id", "c", "parent"),)),
        ),
        freshness_s=30, distkey=None, sortkey=(),
    )  # fmt: skip


@pytest.fixture
def made(database: Database, table: str) -> Pipeline:
    """The tables, filled: a whole row, one whose link dangles, one of NULLs, one with values that no type holds."""
    columns = ", ".join(f"`{name}` {kind} null" for name, kind in COLUMNS.items() if name != "id")
    database.run(
        f"create table {table} (id bigint unsigned primary key, {columns})",
        f"create table {table}_c (id int primary key, name varchar(9), parent int)",
        f"insert into {table}_c values (1, 'Kim', 2), (2, 'é😀', null)",
        f"insert into {table} values (18446744073709551615, 7, 1234567890123456789012345678.0123456789, 0.1, 'a\\'b\\n', "
        "'2024-07-29', '2024-07-29 01:02:03.000004', '2024-07-29 01:02:03.004', 1, 'ab', 1)",
        f"insert into {table} (id, c_id, weight, code) values (2, 99, -1.7976931348623157e308, ' x')",
        f"insert into {table} (id, day, at, paid, c_id) values (3, '2024-00-10', '0000-00-00 00:00:00', 5, 2)",
    )
    return pipeline(database.name, table, f"{table}_c")


def test_rows_come_joined_and_typed(made: Pipeline, source: Source) -> None:
    """One statement, exact to the last digit; a link that dangles joins NULLs; a value that does not fit spoils its row alone."""
    read = read_rows(source, row_statement(made), [(1,), (2,), (3,), (2**64 - 1,)])
    assert row_statement(made).schema == read.rows.schema
    assert sorted([(2,), (3,), (2**64 - 1,)]) == sorted(read.keys)
    assert 1 == len(read.servers)
    rows = {int(row["f.id"]): row for row in read.rows.to_pylist()}
    whole = dict(zip([*(f"f.{name}" for name in COLUMNS), "c.id", "c.name", "c.parent", "p.id", "p.name", "p.parent", UNFIT], (
        Decimal(2**64 - 1), 7, Decimal("1234567890123456789012345678.0123456789"), 0.1, "a'b\n", date(2024, 7, 29),
        datetime(2024, 7, 29, 1, 2, 3, 4), datetime(2024, 7, 29, 1, 2, 3, 4000), True, "ab", 1, 1, "Kim", 2, 2, "é😀", None, None,  # noqa: DTZ001
    ), strict=True))  # fmt: skip
    assert whole == rows[2**64 - 1]
    dangling = {
        "f.c_id": 99,
        "c.id": None,
        "p.name": None,
        "f.weight": -1.7976931348623157e308,
        "f.code": " x",
        UNFIT: None,
    }
    assert dangling == {name: rows[2][name] for name in dangling}
    unfit = {"f.day": None, "f.at": None, "f.paid": None, "c.name": "é😀", UNFIT: f"{made.fact.name}.day:not_a_date"}
    assert unfit == {name: rows[3][name] for name in unfit}


def test_no_row_is_an_answer_too(made: Pipeline, source: Source) -> None:
    """With the server that gave it: an empty answer of a replica must not pass for a deleted row."""
    read = read_rows(source, row_statement(made), [(5,)])
    assert (0, [], 1) == (read.rows.num_rows, read.keys, len(read.servers))


def test_a_join_is_mysqls(database: Database, source: Source, table: str) -> None:
    """By the collation: another spelling of a link joins the same row; the key is that of the fact's own row."""
    database.run(
        f"create table {table} (code varchar(9) primary key, town varchar(9))", f"insert into {table} values ('a', 'AX  ')",
        f"create table {table}_c (town varchar(9) primary key, n int)", f"insert into {table}_c values ('ax', 5)",
    )  # fmt: skip
    text, number = column_type("varchar(9)"), column_type("int(11)")
    town = Dimension(
        "c",
        f"{table}_c",
        (Column("town", text, False), Column("n", number, True)),
        ("town",),
        on=(JoinTerm("town", "f", "town"),),
    )
    fact = Table("f", table, (Column("code", text, False), Column("town", text, True)), ("code",))
    made = Pipeline(
        "p", Path("p"), database.name, "s", "t", ("code",), ("code",), fact, (town,), (), "ignore", (), 30, None, ()
    )
    read = read_rows(source, row_statement(made), [("A",)])
    assert [("a",)] == read.keys
    assert [{"f.code": "a", "f.town": "AX  ", "c.town": "ax", "c.n": 5, UNFIT: None}] == read.rows.to_pylist()


@pytest.mark.parametrize(
    ("expected", "kind"),
    [("c", "integer"), ("c", "text"), ("c + 0e0", "float"), ("c + 0", "bit"), ("hex(c)", "binary")],
)
def test_a_value_is_asked_for_so_that_its_text_is_exact(expected: str, kind: str) -> None:
    """A FLOAT's own text has six digits, a BIT's and a BINARY's is none."""
    made = column_type("int(11)")
    assert expected == as_text("c", type(made)(made.mysql, kind, made.spark, made.redshift))
