"""What a real server says about its binlog, its users' rights, and the ways back to the rows."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract

from freshet.pipeline.definition import Definition, load_definition
from freshet.pipeline.source import read_source
from freshet.pipeline.source_checks import Finding, check_source, server_is_too_old
from tests.pipeline.conftest import EXAMPLE, connected_as

YAML = "target: public.t\nkeys: [id]\n"


def findings(connection: MySQLConnectionAbstract, definition: Definition, database: str = "sports") -> list[Finding]:
    """What is found, but for the count of XA transactions, which other tests of this server raise."""
    found = check_source(connection, definition, read_source(connection, database, definition.tables))
    return [finding for finding in found if "XA" not in finding.message]


@contextmanager
def setting(mysql: MySQLConnectionAbstract, assignment: str) -> Iterator[None]:
    """Change a global variable for a while."""
    name = assignment.split(" ", maxsplit=1)[0]
    with mysql.cursor() as cursor:
        cursor.execute(f"select @@global.{name}")
        before = cursor.fetchone()
        assert before is not None
        cursor.execute(f"set global {assignment}")
        try:
            yield
        finally:
            cursor.execute(f"set global {name} = %s", tuple(before))


@pytest.fixture
def tables(mysql: MySQLConnectionAbstract) -> Iterator[Callable[[str], None]]:
    """Make tables in a database `texts` of the test's own."""
    with mysql.cursor() as cursor:
        cursor.execute("create database texts")

        def make(statements: str) -> None:
            for statement in statements.split(";"):
                cursor.execute(statement)

        yield make
        cursor.execute("drop database texts")


def test_a_server_that_tells_everything_has_no_findings(mysql: MySQLConnectionAbstract) -> None:
    """The example's source on a server with a full row binlog is ready."""
    assert findings(mysql, load_definition(EXAMPLE)) == []


def test_the_right_to_select_is_enough(mysql: MySQLConnectionAbstract) -> None:
    """A user who may only SELECT gets one advice: a TRUNCATE is not noticed without PROCESS."""
    with connected_as(mysql, "reader", "select on sports.*") as connection:
        (found,) = findings(connection, load_definition(EXAMPLE))
    assert ("advice", "the user lacks the right PROCESS") == (found.level, found.message.split(",")[0])
    with connected_as(mysql, "reader", "select on sports.*", "process on *.*") as connection:
        assert [] == findings(connection, load_definition(EXAMPLE))


def test_a_user_who_cannot_see_foreign_keys_is_told(
    mysql: MySQLConnectionAbstract, folder: Callable[..., Path]
) -> None:
    """Rights on some columns show no foreign keys, and a cascade would go unseen."""
    definition = load_definition(folder("select ticket_id as id from ticket", YAML))
    with connected_as(mysql, "reader", "select (ticket_id) on sports.ticket", "process on *.*") as connection:
        (found,) = findings(connection, definition)
    assert "error" == found.level
    assert found.message.startswith("the user may not SELECT the whole of ticket, so its foreign keys cannot be seen")
    assert found.message.endswith(": grant select on sports.ticket")


def test_a_parent_whose_own_parents_cannot_be_seen_is_told(
    mysql: MySQLConnectionAbstract, tables: Callable[[str], None], folder: Callable[..., Path]
) -> None:
    """A cascade into the parent would change the child's rows with no record of either."""
    tables(
        "create table texts.p (id int primary key);"
        "create table texts.c (id int primary key, p int, foreign key (p) references texts.p (id) on delete cascade)"
    )
    definition = load_definition(folder("select id from c", YAML + "cascades: sweep\n"))
    with connected_as(mysql, "reader", "select on texts.c", "select (id) on texts.p", "process on *.*") as connection:
        (found,) = findings(connection, definition, "texts")
    assert ("error", "grant select on texts.p") == (found.level, found.message.split(": ")[1])


@pytest.mark.parametrize(
    ("assignment", "finding"),
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
    mysql: MySQLConnectionAbstract, assignment: str, finding: str
) -> None:
    """Each setting that would hide changes is named with the value it needs."""
    with setting(mysql, assignment):
        (found,) = findings(mysql, load_definition(EXAMPLE))
    assert found.level == "error"
    assert finding in found.message


def test_short_retention_is_an_advice(mysql: MySQLConnectionAbstract) -> None:
    """What works, but not for long, is an advice."""
    with setting(mysql, "binlog_expire_logs_seconds = 3600"):
        (found,) = findings(mysql, load_definition(EXAMPLE))
    assert ("advice", "the binlog is kept for 1 h") == (found.level, found.message.split(": keep")[0])


@pytest.mark.parametrize(
    ("version", "least"),
    [
        ("8.0.22", None),
        ("8.0.36-28", None),
        ("9.7.4-2", None),
        ("10.6.0-MariaDB", None),
        ("5.5.5-10.11.19-MariaDB-log", None),
        ("8.0.21", "MySQL 8.0.22"),
        ("5.7.44-log", "MySQL 8.0.22"),
        ("10.5.99-MariaDB-1:10.5.99+maria~ubu", "MariaDB 10.6.0"),
        ("5.5.5-10.5.8-MariaDB", "MariaDB 10.6.0"),
        ("", "MySQL 8.0.22"),
    ],
)
def test_a_server_that_cannot_skip_locked_rows_is_named(version: str, least: str | None) -> None:
    """Only a server that can be asked which rows a transaction holds can be followed."""
    told = server_is_too_old(version)
    assert (f": upgrade it to {least} or newer" if least else None) == (told and told[told.rindex(": ") :])


def test_an_old_server_is_an_error(mysql: MySQLConnectionAbstract, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that the server tells decides."""
    monkeypatch.setattr("freshet.pipeline.source_checks.MARIADB_LEAST", (99, 0, 0))
    (found,) = findings(mysql, load_definition(EXAMPLE))
    assert ("error", True) == (found.level, "upgrade it to MariaDB 99.0.0 or newer" in found.message)


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ("AFTER_SYNC", "a change may be in the stream up to 10000 ms before its row can be read"),
        ("AFTER_COMMIT", "a commit waits up to 10000 ms, and its row can be read meanwhile"),
    ],
)
def test_semi_synchronous_replication_is_told_with_its_wait_point(
    mysql: MySQLConnectionAbstract, point: str, told: str
) -> None:
    """A commit that waits for a replica is in the binlog before others see it, or after: plan says which."""
    enabled = setting(mysql, "rpl_semi_sync_master_enabled = 1")
    with setting(mysql, f"rpl_semi_sync_master_wait_point = '{point}'"), enabled:
        (found,) = findings(mysql, load_definition(EXAMPLE))
    assert "advice" == found.level
    assert found.message.startswith(f"semi-synchronous replication is on, {point}: {told}")


def test_prepared_xa_transactions_are_told(mysql: MySQLConnectionAbstract) -> None:
    """A server on which transactions are prepared may hold a row for long; it is told how often that was."""
    definition = load_definition(EXAMPLE)
    with mysql.cursor() as cursor:
        for statement in ("start", "end", "prepare", "rollback"):
            cursor.execute(f"xa {statement} 'one'")
        cursor.execute("show global status like 'Com_xa_prepare'")
        ((_, count),) = cursor.fetchall()
    (found,) = check_source(mysql, definition, read_source(mysql, "sports", definition.tables))
    told = f"XA transactions were prepared ({int(str(count)):,} since the server's start): "
    assert ("advice", True) == (found.level, found.message.startswith(told))


def test_a_way_back_without_an_index_is_an_error_and_the_named_statement_mends_it(
    mysql: MySQLConnectionAbstract, tables: Callable[[str], None], folder: Callable[..., Path]
) -> None:
    """Each referring column needs an index, its own or the beginning of another; what to type is written out."""
    tables(
        "create table texts.shop (country int, number int, primary key (country, number));"
        "create table texts.country (id int primary key);"
        "create table texts.sale (id int primary key, country int, shop int, `the seller` int, seller_too int, key (seller_too))"
    )
    select = (
        "select f.id from sale as f left join shop as s on s.number = f.shop and s.country = f.country"
        " left join sale as a on a.id = f.`the seller` left join sale as b on b.id = f.seller_too"
        " left join country as c on c.id = s.country left join sale as same on same.id = f.id"
    )
    definition = load_definition(folder(select, YAML))
    found = findings(mysql, definition, "texts")
    assert [
        "sale has no index on shop, country, so a change of shop could not find its rows without reading all of sale",
        "sale has no index on the seller, so a change of sale could not find its rows without reading all of sale",
    ] == [finding.message.split(": ")[0] for finding in found]
    assert {"error"} == {finding.level for finding in found}
    with mysql.cursor() as cursor:
        cursor.execute("use texts")
        for finding in found:
            cursor.execute(re.split(": ", finding.message)[1])
        cursor.execute("use sports")
    assert [] == findings(mysql, definition, "texts")


def test_a_table_that_may_not_be_read_is_named(mysql: MySQLConnectionAbstract) -> None:
    """The right to SELECT is tried for each table, without reading a row."""
    definition = load_definition(EXAMPLE)
    source = read_source(mysql, "sports", definition.tables)
    gone = type(source)("elsewhere", source.tables, source.names)
    found = check_source(mysql, definition, gone)
    assert Finding("error", "the user may not SELECT from customer: grant it") in found


@pytest.mark.parametrize(
    ("key", "referring", "level", "told"),
    [
        ("utf8mb4_general_ci", "utf8mb4_general_ci", None, ""),
        ("utf8mb4_bin", "utf8mb4_general_ci", None, ""),
        (
            "utf8mb4_general_ci",
            "utf8mb4_unicode_ci",
            "error",
            "the server cannot compare d.id (utf8mb4_general_ci) and f.d (utf8mb4_unicode_ci): give both columns one",
        ),
        ("latin1_swedish_ci", "cp1250_general_ci", "error", "the server cannot compare d.id (latin1_swedish_ci)"),
        (
            "latin1_swedish_ci",
            "utf8mb4_general_ci",
            "advice",
            "d.id (latin1_swedish_ci) and f.d (utf8mb4_general_ci) are of two character sets, so the server may have to read",
        ),
    ],
)
def test_texts_that_the_server_cannot_compare_are_told(
    mysql: MySQLConnectionAbstract,
    tables: Callable[[str], None],
    folder: Callable[..., Path],
    key: str,
    referring: str,
    level: str | None,
    told: str,
) -> None:
    """A join that would fail for every row is an error before it runs; one that cannot use its index is an advice."""
    tables(
        f"create table texts.d (id varchar(9) collate {key} primary key);"
        f"create table texts.f (id int primary key, d varchar(20) collate {referring}, key (d))"
    )
    definition = load_definition(folder("select f.id from f join d on d.id = f.d", YAML))
    found = findings(mysql, definition, "texts")
    assert [level] * (level is not None) == [finding.level for finding in found]
    assert all(finding.message.startswith(told) for finding in found)
