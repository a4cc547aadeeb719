"""What a real MySQL says about its tables and its binlog."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract

from freshet.errors import DefinitionError, EnvironmentFault
from freshet.pipeline.definition import load_definition
from freshet.pipeline.fit import fit
from freshet.pipeline.source import Finding, check_source, read_source
from tests.pipeline.conftest import EXAMPLE

TABLES = """
create table parent (id int primary key, code varchar(5) collate utf8mb4_bin not null, unique key by_code (code))
;create table child (
    a int unsigned not null, b bigint not null, parent_id int null, total decimal(10,2) as (a * 2) stored,
    hidden int invisible default 1, flag tinyint(1) not null default 0, kind enum('x','y') null, note text,
    primary key (a, b), key by_parent (parent_id),
    constraint of_parent foreign key (parent_id) references parent (id) on delete set null on update cascade
)
;create view seen as select a from child
"""


@pytest.fixture(scope="module")
def shop(mysql: MySQLConnectionAbstract) -> Iterator[MySQLConnectionAbstract]:
    """A second database with odd tables."""
    with mysql.cursor() as cursor:
        for statement in ("create database shop", "use shop", *TABLES.split(";"), "use sports"):
            cursor.execute(statement)
        yield mysql
        cursor.execute("drop database shop")


def test_tables_are_read_as_they_are(shop: MySQLConnectionAbstract) -> None:
    """Columns, keys in their order, indexes, foreign keys with their actions, hidden columns and views."""
    source = read_source(shop, "shop", ["child", "parent", "seen", "nothing"])
    assert source.names == ("child", "parent", "seen")
    child = source.tables["child"]
    assert child.primary_key == ("a", "b")
    assert [child.columns[name].type for name in ("a", "b", "parent_id")] == [
        "int(10) unsigned",
        "bigint(20)",
        "int(11)",
    ]
    assert (child.columns["a"].nullable, child.columns["parent_id"].nullable) == (False, True)
    assert tuple(child.columns[n].hidden for n in ("total", "hidden", "flag")) == ("generated", "invisible", None)
    (key,) = child.foreign_keys
    assert (
        *(key.name, key.columns, key.references, key.on_update, key.on_delete),
        key.changes_rows,
    ) == ("of_parent", ("parent_id",), "parent", "CASCADE", "SET NULL", True)
    assert getattr(child.index_on(["parent_id"]), "name", None) == "by_parent"
    assert child.index_on(["b"]) is None
    assert getattr(child.index_on(["b", "a"]), "name", None) == "PRIMARY"
    assert source.tables["parent"].columns["code"].compares_exactly
    assert not child.columns["note"].compares_exactly
    assert source.tables["seen"].is_view


def test_only_used_columns_must_have_types(shop: MySQLConnectionAbstract, folder: Callable[..., Path]) -> None:
    """An ENUM that the SELECT does not use is no obstacle; a foreign key that changes rows is."""
    definition = load_definition(folder("select c.a, c.b from child as c", "target: public.c\nkeys: [b, a]\n"))
    with pytest.raises(DefinitionError, match="the foreign key of_parent of child changes rows by itself"):
        fit(definition, read_source(shop, "shop", definition.tables))


def test_a_database_that_is_not_there_is_named(mysql: MySQLConnectionAbstract) -> None:
    """No table to be seen means a wrong name or missing rights."""
    with pytest.raises(EnvironmentFault, match="MySQL shows no table in the database nowhere"):
        read_source(mysql, "nowhere", ["a"])


def test_a_server_that_tells_everything_has_no_findings(mysql: MySQLConnectionAbstract) -> None:
    """The example's source on a server with a full row binlog is ready."""
    definition = load_definition(EXAMPLE)
    assert check_source(mysql, definition, read_source(mysql, "sports", definition.tables)) == []


@pytest.mark.parametrize(
    ("setting", "finding"),
    [
        (
            "binlog_format = 'STATEMENT'",
            "binlog_format is STATEMENT, so changes would be missing: set binlog_format = ROW",
        ),
        ("binlog_row_image = 'MINIMAL'", "binlog_row_image is MINIMAL, so changes would be missing"),
        ("binlog_row_metadata = 'MINIMAL'", "binlog_row_metadata is MINIMAL, so changes would be missing"),
    ],
)
def test_a_server_that_keeps_changes_to_itself_is_an_error(
    mysql: MySQLConnectionAbstract, setting: str, finding: str
) -> None:
    """Each setting that would hide changes is named with the value it needs."""
    definition = load_definition(EXAMPLE)
    name = setting.split(" ", maxsplit=1)[0]
    with mysql.cursor() as cursor:
        cursor.execute(f"select @@global.{name}")
        before = cursor.fetchone()
        assert before is not None
        cursor.execute(f"set global {setting}")
        try:
            (found,) = check_source(mysql, definition, read_source(mysql, "sports", definition.tables))
        finally:
            cursor.execute(f"set global {name} = %s", tuple(before))
    assert found.level == "error"
    assert finding in found.message


def test_short_retention_and_missing_indexes_are_advice(
    mysql: MySQLConnectionAbstract, folder: Callable[..., Path]
) -> None:
    """What works, but not for long or not quickly, is an advice."""
    select = (
        "select a.ticket_id, e.location from ticket_activity as a left join ticket as t on t.ticket_id = a.ticket_id"
        " left join sport_event as e on e.event_id = t.event_id"
    )
    definition = load_definition(folder(select, "target: public.t\nkeys: [ticket_id]\n"))
    with mysql.cursor() as cursor:
        cursor.execute("set global binlog_expire_logs_seconds = 3600")
        cursor.execute("alter table ticket drop foreign key ticket_of_event, drop index ticket_event")
        try:
            found = check_source(mysql, definition, read_source(mysql, "sports", definition.tables))
        finally:
            cursor.execute("set global binlog_expire_logs_seconds = 172800")
            cursor.execute(
                "alter table ticket add key ticket_event (event_id),"
                " add constraint ticket_of_event foreign key (event_id) references sport_event (event_id)"
            )
    assert [finding.message.split(": keep")[0] for finding in found] == [
        "the binlog is kept for 1 h",
        "ticket has no index on event_id: a change of sport_event could not find its rows quickly",
    ]
    assert {"advice"} == {finding.level for finding in found}


def test_a_table_that_may_not_be_read_is_named(mysql: MySQLConnectionAbstract) -> None:
    """The right to SELECT is tried for each table, without reading a row."""
    definition = load_definition(EXAMPLE)
    source = read_source(mysql, "sports", definition.tables)
    gone = type(source)("elsewhere", source.tables, source.names)
    found = check_source(mysql, definition, gone)
    assert Finding("error", "the user may not SELECT from customer: grant it") in found
