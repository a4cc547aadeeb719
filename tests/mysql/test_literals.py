"""A key means to MySQL what it means to us, and keys are walked through in MySQL's own order."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.ledger.keys import Key, Value
from freshet.mysql.asking import Source
from freshet.mysql.literals import beyond, literal, one_of
from freshet.pipeline.source import quoted
from tests.mysql.conftest import Database

COLLATIONS = [
    "utf8mb4_general_ci",
    "utf8mb4_bin",
    "utf8mb4_unicode_ci",
    "utf8mb4_nopad_bin",
    "utf8mb3_general_ci",
    "latin1_swedish_ci",
]
WORDS = ["", " ", "a", "A", "a ", "á", "ab", "b", "ß", "ss", "z", "'", "\\", "a\tb", "10", "9", "%", "é"]


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("_utf8mb4 x'6127'", "a'"),
        ("_utf8mb4 x''", ""),
        ("x'00ff'", b"\x00\xff"),
        ("-7", -7),
        ("18446744073709551615", 2**64 - 1),
        ("0.10", Decimal("0.10")),
        ("100000000000000000000", Decimal("1E+20")),
        ("date'2024-07-29'", date(2024, 7, 29)),
        ("timestamp'2024-07-29 01:02:03.000004'", datetime(2024, 7, 29, 1, 2, 3, 4)),  # noqa: DTZ001
    ],
)
def test_a_literal_reads_the_same_in_every_mode(expected: str, value: Value) -> None:
    """No escape rule, no exponent, no type of another kind; a name has its quotes doubled."""
    assert expected == literal(value)
    assert "`a``b`" == quoted("a`b")


texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.one_of(
    texts, st.binary(), st.integers(-(2**63), 2**64 - 1), st.decimals(-(10**20), 10**20, places=10),
    st.dates(), st.datetimes(),
)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values, mode=st.sampled_from(["", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "TRADITIONAL"]))
def test_a_literal_comes_back_as_it_went(database: Database, value: Value, mode: str) -> None:
    """Whatever the text, whatever the sql_mode: no injection, no rounding."""
    database.run(f"set session sql_mode = '{mode}'")
    try:
        ((found,),) = database.run(f"select {literal(value)}")
    finally:
        database.run("set session sql_mode = ''")
    if isinstance(value, bytes):
        found = bytes(found) if isinstance(found, bytes | bytearray) else found.encode()
    assert value == found


def ordered(source: Source, table: str, columns: str, where: str = "true") -> list[Any]:
    return source.ask(columns, f"{table} where {where} order by {columns}").rows


@pytest.mark.parametrize("collation", COLLATIONS)
@pytest.mark.parametrize("descending", [False, True])
def test_beyond_walks_through_every_row_once(
    database: Database, source: Source, table: str, collation: str, descending: bool
) -> None:
    """From each key of a composite one, exactly the rows that come later: MySQL alone knows its collation's order."""
    charset = collation.partition("_")[0]
    order = "number, code" if descending else "code, number"
    database.run(
        f"create table {table} (code varchar(9) character set {charset} collate {collation}, number int, day date, "
        f"primary key ({order}, day))"
    )
    rows = [(word, number, day) for word in WORDS for number in (-1, 10, 9) for day in ("2024-07-29", "2024-07-30")]
    for word, number, day in rows:
        database.run(f"insert ignore into {table} values ({literal(word)}, {number}, '{day}')")
    columns = [quoted(name) for name in (*order.split(", "), "day")]
    listed, name = ", ".join(columns), f"{database.name}.{table}"
    every = ordered(source, name, listed)
    assert len(every) >= 6 * 10
    for place, texts_ in enumerate(every):
        decoded = [bytes(text).decode() for text in texts_]
        key: Key = tuple(
            int(text) if column == "`number`" else date.fromisoformat(text) if column == "`day`" else text
            for column, text in zip(columns, decoded, strict=True)
        )
        assert every[place + 1 :] == ordered(source, name, listed, beyond(columns, key))


@pytest.mark.parametrize("collation", COLLATIONS)
def test_one_of_finds_what_the_collation_calls_equal(
    database: Database, source: Source, table: str, collation: str
) -> None:
    """By the index, with the column's own equality; a key of several columns is compared as a whole."""
    charset = collation.partition("_")[0]
    database.run(
        f"create table {table} (code varchar(9) character set {charset} collate {collation}, number int, "
        "primary key (code, number))"
    )
    for word in WORDS:
        database.run(f"insert ignore into {table} values ({literal(word)}, 1), ({literal(word)}, 2)")
    for word in WORDS:
        expected = database.run(f"select code, number from {table} where code = {literal(word)} and number = 2")
        columns, name = ["`code`", "`number`"], f"{database.name}.{table}"
        found = ordered(source, name, ", ".join(columns), one_of(columns, [(word, 2)]))
        assert sorted(expected) == sorted((bytes(code).decode(), int(bytes(number))) for code, number in found)
    explained = database.run(f"explain select * from {table} where {one_of(['code', 'number'], [('a', 2), ('b', 1)])}")
    assert "PRIMARY" in explained[0]
