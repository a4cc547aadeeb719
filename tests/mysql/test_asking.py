"""The source is asked within limits, and each answer says who gave it."""

import pytest

from freshet.cli.context import Place
from freshet.errors import EnvironmentFault
from freshet.mysql.asking import ONE_ROW, CutOff, Gone, Held, Source
from tests.launchers.conftest import administrator
from tests.mysql.conftest import Database


def test_an_answer_says_who_gave_it(source: Source, place: Place) -> None:
    """Also when no row was found: the one row stands for the server."""
    told = source.ask("t.x", f"{ONE_ROW} left join (select 1 as x) as t on false")
    assert [(None,)] == told.rows
    ((server, read_only),) = told.servers
    assert server
    assert not read_only
    assert told.servers == source.ask("1", "(select 1 as a union select 2) as t").servers
    with administrator(place) as connection, connection.cursor() as cursor:
        cursor.execute("set global read_only = 1")
        try:
            assert {(server, True)} == source.ask("1", ONE_ROW).servers
        finally:
            cursor.execute("set global read_only = 0")


def test_values_are_the_servers_own_text(source: Source) -> None:
    """Bytes, untouched; NULL is None."""
    told = source.ask("1.50, 'é', null, date'2024-07-29'", ONE_ROW)
    assert [b"1.50", "é".encode(), None, b"2024-07-29"] == [None if v is None else bytes(v) for v in told.rows[0]]


@pytest.mark.parametrize(
    ("error", "columns", "rest"),
    [
        (CutOff, "sleep(30)", ONE_ROW),
        (Gone, "nothing", ONE_ROW),
        (Gone, "1", "no_such_table"),
        (Gone, "1", "no_such_database.t"),
    ],
)
def test_what_goes_wrong_has_a_class(
    place: Place, error: type[Exception], columns: str, rest: str, database: Database
) -> None:
    """Too slow, and gone: the round decides about both; the connection lives on."""
    source = Source.open(place.mysql)
    source.ask("1", ONE_ROW)
    with pytest.raises(error):
        source.ask(columns, rest.replace("no_such_table", f"{database.name}.no_such_table"))
    assert [(b"1",)] == [tuple(map(bytes, row)) for row in source.ask("1", ONE_ROW).rows]  # type: ignore[arg-type]
    source.close()


def test_a_refusal_tells_a_number_and_no_statement(place: Place) -> None:
    """The server quotes the statement, and with it keys."""
    source = Source.open(place.mysql)
    with pytest.raises(EnvironmentFault, match=r"error 1064") as told:
        source.ask("'secret key", ONE_ROW)
    assert "secret" not in str(told.value)
    assert not source.is_open()


def test_a_statement_waits_behind_no_row_lock(place: Place, database: Database, table: str) -> None:
    """A locked row is told, not waited for; a plain read sees what is committed."""
    database.run(f"create table {table} (id int primary key, n int)", f"insert into {table} values (1, 1)", "begin")
    source, name = Source.open(place.mysql), f"{database.name}.{table}"
    try:
        database.run(f"update {table} set n = 2")
        with pytest.raises(Held):
            source.ask("id", f"{name} {source.share('nowait')}")
        assert [] == source.ask("id", f"{name} {source.share('skip locked')}").rows
        assert [(b"1",)] == [tuple(map(bytes, row)) for row in source.ask("n", name).rows]  # type: ignore[arg-type]
    finally:
        database.run("commit")
    assert [(b"2",)] == [tuple(map(bytes, row)) for row in source.ask("n", name).rows]  # type: ignore[arg-type]
    source.close()


def test_a_statement_waits_behind_an_alter_a_second(place: Place, database: Database, table: str) -> None:
    """Then it is told like a held row; the job's own statement blocks nobody who waits behind it."""
    database.run(f"create table {table} (id int primary key)")
    source = Source.open(place.mysql)
    database.run(f"lock tables {table} write")
    try:
        with pytest.raises(Held):
            source.ask("id", f"{database.name}.{table}")
    finally:
        database.run("unlock tables")
    source.close()
