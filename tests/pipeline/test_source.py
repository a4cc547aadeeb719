"""What a real MySQL says about its tables."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract

from freshet.errors import DefinitionError, EnvironmentFault
from freshet.pipeline import source as source_module
from freshet.pipeline.definition import load_definition
from freshet.pipeline.fit import fit
from freshet.pipeline.source import read_source
from tests.pipeline.conftest import connected_as

TABLES = """
create table grandparent (id int primary key)
;create table parent (
    id int primary key, code varchar(5) collate utf8mb4_bin not null, up int, unique key by_code (code),
    constraint of_grandparent foreign key (up) references grandparent (id) on delete cascade
)
;create table child (
    a int unsigned not null, b bigint not null, parent_id int null, total decimal(10,2) as (a * 2) stored,
    hidden int invisible default 1, flag tinyint(1) not null default 0, kind enum('x','y') null, note text,
    `far away` int comment 'no\n  CONSTRAINT `no` FOREIGN KEY (`a`) REFERENCES `parent` (`id`) ON DELETE CASCADE',
    primary key (a, b), key by_parent (parent_id), fulltext key words (note), key unused (flag) ignored,
    constraint of_parent foreign key (parent_id) references parent (id) on delete set null on update cascade,
    constraint `odd ``name` foreign key (`far away`) references `the other`.parent (id)
)
;create view seen as select a from child
"""


@pytest.fixture(scope="module")
def shop(mysql: MySQLConnectionAbstract) -> Iterator[MySQLConnectionAbstract]:
    """A second database with odd tables."""
    with mysql.cursor() as cursor:
        for statement in (
            *("create database `the other`", "create table `the other`.parent (id int primary key)"),
            *("create database shop", "use shop", *TABLES.split(";"), "use sports"),
        ):
            cursor.execute(statement)
        yield mysql
        for database in ("shop", "`the other`"):
            cursor.execute(f"drop database {database}")


def test_tables_are_read_as_they_are(shop: MySQLConnectionAbstract) -> None:
    """Columns, keys in their order, indexes, foreign keys with their actions, hidden columns and views."""
    source = read_source(shop, "shop", ["child", "parent", "seen", "nothing"])
    assert source.names == ("child", "grandparent", "parent", "seen")
    child = source.tables["child"]
    assert child.primary_key == ("a", "b")
    assert [child.columns[name].type for name in ("a", "b", "parent_id")] == [
        "int(10) unsigned",
        "bigint(20)",
        "int(11)",
    ]
    assert (child.columns["a"].nullable, child.columns["parent_id"].nullable) == (False, True)
    assert tuple(child.columns[n].hidden for n in ("total", "hidden", "flag")) == ("generated", "invisible", None)
    assert "`a` * 2" in child.columns["total"].expression
    assert child.foreign_keys is not None
    assert {
        ("of_parent", ("parent_id",), "parent", ("id",), "CASCADE", "SET NULL", True),
        ("odd `name", ("far away",), "the other.parent", ("id",), "RESTRICT", "RESTRICT", False),
    } == {
        (k.name, k.columns, k.references, k.refers_to, k.on_update, k.on_delete, k.changes_rows)
        for k in child.foreign_keys
    }
    assert getattr(child.index_on(["parent_id"]), "name", None) == "by_parent"
    assert child.index_on(["b"]) is None
    assert getattr(child.index_on(["b", "a"]), "name", None) == "PRIMARY"
    assert source.tables["seen"].is_view


def test_an_index_that_finds_no_equal_values_is_none(shop: MySQLConnectionAbstract) -> None:
    """An index of words and one that the optimizer must ignore lead to no row."""
    child = read_source(shop, "shop", ["child"]).tables["child"]
    assert (None, None) == (child.index_on(["note"]), child.index_on(["flag"]))


def test_the_parents_of_followed_tables_are_read_up_to_the_last(shop: MySQLConnectionAbstract) -> None:
    """A parent's own parent may delete the parent's rows, and these the child's."""
    assert {"parent", "grandparent"} == set(read_source(shop, "shop", ["child"]).parents)
    assert {"grandparent"} == set(read_source(shop, "shop", ["child", "parent"]).parents)


def test_a_user_who_may_only_select_sees_the_foreign_keys(shop: MySQLConnectionAbstract) -> None:
    """MariaDB's information_schema would hide them, and a cascade would go unseen."""
    with connected_as(shop, "reader", "select on shop.*") as connection:
        source = read_source(connection, "shop", ["child", "parent"])
    assert read_source(shop, "shop", ["child", "parent"]) == source
    with connected_as(shop, "reader", "select (a, b) on shop.child") as connection:
        assert read_source(connection, "shop", ["child"]).tables["child"].foreign_keys is None


def test_mysql_8_is_asked_without_its_cache(shop: MySQLConnectionAbstract, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL 8 answers questions about tables from a cache that may be a day old, unless it is told not to."""
    asked: list[str] = []
    ask = source_module.rows_of

    def recorded(connection: MySQLConnectionAbstract, sql: str, *values: str) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return [] if sql.startswith("set ") else ask(connection, sql, *values)

    monkeypatch.setattr(source_module, "rows_of", recorded)
    for variables, first in (
        ({"information_schema_stats_expiry": "86400"}, "set session information_schema_stats_expiry = 0"),
        ({}, "select table_name, table_type, table_rows"),
    ):
        monkeypatch.setattr(source_module, "global_variables", lambda *_, have=variables: have)
        asked.clear()
        read_source(shop, "shop", ["parent"])
        assert asked[0].startswith(first)


@pytest.mark.parametrize(("value", "logs"), [("OFF", True), ("ON", False), (None, False)])
def test_a_server_that_logs_what_foreign_keys_do_is_known(
    shop: MySQLConnectionAbstract, monkeypatch: pytest.MonkeyPatch, value: str | None, logs: bool
) -> None:
    """Since MySQL 9.6 foreign keys are run above the storage engine, unless a variable says otherwise."""
    have = {"innodb_native_foreign_keys": value} if value else {}
    monkeypatch.setattr(source_module, "global_variables", lambda *_: have)
    assert logs == read_source(shop, "shop", ["child"]).logs_cascades


def test_a_text_is_a_key_under_every_collation_of_the_server(
    shop: MySQLConnectionAbstract, folder: Callable[..., Path]
) -> None:
    """Whatever the collation, the column is a key; and whether it tells 'a' from 'a ' is what the server says itself."""
    with shop.cursor() as cursor:
        cursor.execute(
            "select full_collation_name, character_set_name from information_schema.collation_character_set_applicability"
        )
        collations = [(str(name), str(charset)) for name, charset in cursor.fetchall() if name != "binary"]
        assert len(collations) > 200
        told = {}
        for name, charset in collations:
            cursor.execute(
                f"select convert('a' using {charset}) collate {name} = convert('a ' using {charset}) collate {name}"
            )
            ((equal,),) = cursor.fetchall()
            told[name] = not equal
        texts = {name: f"c{number}" for number, (name, _) in enumerate(collations)}
        half = len(texts) // 2
        for table, names in (("one", list(texts)[:half]), ("two", list(texts)[half:])):
            columns = ", ".join(f"{texts[name]} varchar(2) collate {name} not null" for name in names)
            cursor.execute(f"create table shop.{table} ({columns})")
        try:
            source = read_source(shop, "shop", ["one", "two"])
        finally:
            cursor.execute("drop table shop.one, shop.two")
    for index, name in enumerate(texts):
        found = source.tables["one" if index < half else "two"]
        keyed = replace(found, primary_key=(texts[name],))
        definition = load_definition(
            folder(f"select {texts[name]} from {found.name}", f"target: public.c\nkeys: [{texts[name]}]\n")
        )
        pipeline, _ = fit(definition, replace(source, tables={found.name: keyed}))
        assert (name, told[name]) == (name, pipeline.fact.column(texts[name]).tells_blanks_apart)


def test_only_used_columns_must_have_types(shop: MySQLConnectionAbstract, folder: Callable[..., Path]) -> None:
    """An ENUM that the SELECT does not use is no obstacle; a foreign key that changes rows is."""
    definition = load_definition(folder("select c.a, c.b from child as c", "target: public.c\nkeys: [b, a]\n"))
    with pytest.raises(DefinitionError, match="the foreign key of_parent of child changes its rows by itself"):
        fit(definition, read_source(shop, "shop", definition.tables))


def test_a_database_that_is_not_there_is_named(mysql: MySQLConnectionAbstract) -> None:
    """No table to be seen means a wrong name or missing rights."""
    with pytest.raises(EnvironmentFault, match="MySQL shows no table in the database nowhere"):
        read_source(mysql, "nowhere", ["a"])
