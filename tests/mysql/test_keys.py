"""Statements about keys, against a real server: held ones, the next ones, those that refer."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from freshet.errors import EnvironmentFault
from freshet.ledger.keys import Key
from freshet.mysql import keys as module
from freshet.mysql.asking import CutOff, Source
from freshet.mysql.keys import Found, KeyColumns, after, any_held, free, in_parts, referring
from freshet.pipeline.types import column_type
from freshet.pipeline.values import converter
from tests.mysql.conftest import Database

Make = Callable[..., KeyColumns]


@pytest.fixture
def make(database: Database, table: str) -> Make:
    """Make a table with a primary key of some columns, and with more columns, and fill it."""

    def made(key: dict[str, str], *rows: str, more: str = "") -> KeyColumns:
        columns = ", ".join(f"`{name}` {kind}" for name, kind in key.items())
        listed = ", ".join(f"`{name}`" for name in key)
        database.run(f"create table {table} ({columns}, primary key ({listed}){more})")
        if rows:
            database.run(f"insert into {table} values {', '.join(rows)}")
        kinds = [kind.partition(" character")[0] for kind in key.values()]
        return KeyColumns(database.name, table, tuple(key), tuple(converter(column_type(kind)) for kind in kinds))

    return made


@pytest.fixture
def transaction(database: Database) -> Iterator[Callable[[str], list[Any]]]:
    """A statement in another transaction, which stays open until the test ends."""
    yield lambda statement: database.run("begin", statement)
    database.run("rollback")


def test_a_key_is_free_if_it_is_there_and_nobody_holds_it(
    make: Make, source: Source, transaction: Callable[[str], Any]
) -> None:
    """One that is missing is not held; one statement that meets a lock tells that of all its keys."""
    of = make({"id": "int(11)"}, "(1)", "(2)", "(3)")
    transaction(f"delete from {of.table} where id = 2")
    found, servers = free(source, of, [(1,), (2,), (9,)])
    assert ({(1,)}, 1) == (found, len(servers))
    asked = ([1], [3], [2], [9], [1, 2, 9])
    assert [False, False, True, False, True] == [any_held(source, of, [(n,) for n in ns])[0] for ns in asked]


def test_an_insert_that_is_not_committed_holds_its_key(
    make: Make, source: Source, transaction: Callable[[str], Any]
) -> None:
    """Its record may be in the stream already: semi-sync and XA."""
    of = make({"id": "int(11)", "code": "varchar(5)"}, "(1, 'a')")
    transaction(f"insert into {of.table} values (2, 'b')")
    assert {(1, "a")} == free(source, of, [(1, "a"), (2, "b")])[0]
    assert any_held(source, of, [(2, "b")])[0]
    assert [False, False] == [any_held(source, of, [key])[0] for key in ((1, "a"), (3, "c"))]


def test_keys_that_are_not_all_free_come_as_the_source_spells_them(make: Make, source: Source) -> None:
    """Asked for A, the collation finds a; when each key has its row, nobody needs to know how it is spelled."""
    of = make({"code": "varchar(9)"}, "('a')", "('b')")
    assert {("a",)} == free(source, of, [("A",), ("gone",)])[0]
    assert {("a",)} == free(source, of, [("A",), ("a",)])[0]
    assert {("A",), ("b",)} == free(source, of, [("A",), ("b",)])[0]
    assert {("A",)} == free(source, of, [("A",)])[0]
    assert not free(source, of, [("gone",)])[0]


def test_the_next_keys_come_in_mysqls_order(make: Make, source: Source) -> None:
    """Page by page, each key once; the last page is short."""
    rows = [f"('{code}', {number})" for code in ("b", "A", "é", "Z") for number in (10, 9, -1)]
    of = make({"code": "varchar(9)", "number": "int(11)"}, *rows)
    found: list[Key] = []
    while page := after(source, of, found[-1] if found else None, 5)[0]:
        assert len(page) <= 5
        found += page
    assert [(code, number) for code in ("A", "b", "é", "Z") for number in (-1, 9, 10)] == found
    assert [("A", 10)] == after(source, of, None, 5, "number = 10")[0][:1]
    assert ([], 1) == (after(source, of, ("Z", 10), 5)[0], len(after(source, of, ("Z", 10), 5)[1]))


def test_rows_that_refer_are_found_by_their_own_columns(make: Make, source: Source) -> None:
    """The row that they refer to may be gone; a composite reference is compared as a whole; NULL refers to nothing."""
    of = make(
        {"id": "int(11)"}, "(1, 7, 'a')", "(2, 7, 'b')", "(3, 8, 'a')", "(4, null, null)", "(5, 7, 'A')",
        more=", customer int, code varchar(9), key (customer, code)",
    )  # fmt: skip
    assert [(1,), (2,), (3,), (5,)] == referring(source, of, ["customer"], [(7,), (8,)], None, 9)[0]
    assert [(1,), (5,)] == referring(source, of, ["customer", "code"], [(7, "a"), (9, "b")], None, 9)[0]
    assert [(5,)] == referring(source, of, ["code"], [("a",)], (3,), 9)[0]
    assert [(1,), (2,)] == referring(source, of, ["customer"], [(7,)], None, 2)[0]
    assert [] == referring(source, of, ["customer"], [(9,)], None, 9)[0]


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", "ascii"])
def test_no_row_refers_to_a_key_outside_of_its_columns_charset(make: Make, source: Source, charset: str) -> None:
    """A joined table may be utf8mb4 and the referring column older: the other keys' rows are found."""
    more = f", code varchar(9) character set {charset}, key (code)"
    of = make({"id": "int(11)"}, "(1, 'a')", "(2, 'b')", "(3, 'b')", more=more)
    assert [(2,), (3,)] == referring(source, of, ["code"], [("日本😀",), ("b",)], None, 9)[0]
    found, servers = referring(source, of, ["code"], [("日本😀",)], None, 9)
    assert ([], 1) == (found, len(servers))


def test_a_key_that_is_no_value_is_named_without_it(make: Make, source: Source) -> None:
    """A zero date: no target can hold its row, and the message does not hold the key's other values."""
    of = make({"code": "varchar(9)", "day": "date"}, "('secret', '0000-00-00')", "('b', '2024-07-29')")
    with pytest.raises(EnvironmentFault, match=rf"{of.table} has a key \(code, day\)") as told:
        after(source, of, None, 9)
    assert "secret" not in str(told.value)
    assert [("b", date(2024, 7, 29))] == after(source, of, None, 1)[0]


def numbers(limit: int, asked: list[int], slow_over: int) -> Callable[[Key | None, int], Found]:
    """A table of the numbers below a limit, whose answer is cut off when it is asked for too many."""

    def ask(key: Key | None, most: int) -> Found:
        asked.append(most)
        if most > slow_over:
            raise CutOff
        start = 0 if key is None else int(str(key[0])) + 1
        return [(number,) for number in range(start, min(limit, start + most))], frozenset({("server", False)})

    return ask


def test_keys_are_asked_for_in_parts_that_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter after each cut; what came so far is kept, and none is asked for twice or beyond the limit."""
    monkeypatch.setattr(module, "PART_MAX", 100)
    asked: list[int] = []
    found, servers = in_parts(numbers(1000, asked, 60), (4,), 120)
    assert [(number,) for number in range(5, 125)] == found
    assert [100, 50, 50, 20] == asked
    assert {("server", False)} == servers
    assert [(number,) for number in range(7)] == in_parts(numbers(7, asked, 60), None, 120)[0]
    with pytest.raises(CutOff):
        in_parts(numbers(1000, asked, 10), None, 120)
