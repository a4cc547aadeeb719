"""Keys and links of any collation and charset, dates and numbers as only MySQL has them: one meaning on every way."""

from collections.abc import Callable, Iterator

import pytest

from tests.river import River, deletes

FACT = "select f.k, f.link, f.n, d.city from fact as f left join dim as d on d.code = f.link"
KEYS = {"keys": ["k"], "freshness": "30s"}


def make(river: River, key: str, link: str, code: str) -> None:
    """Make the two tables; each argument is a charset and collation."""
    river.run_sql(
        f"create table dim (code varchar(20) {code} not null primary key, city varchar(40) null)",
        f"create table fact (k varchar(20) {key} not null primary key, link varchar(20) {link} null, n int null, key (link))",
    )
    river.admits_every_key = True
    river.define(FACT, KEYS, deletes("apply"))


CI, BIN = "character set utf8mb4 collate utf8mb4_unicode_ci", "character set utf8mb4 collate utf8mb4_bin"
LATIN, MB3 = "character set latin1 collate latin1_swedish_ci", "character set utf8mb3 collate utf8mb3_general_ci"


def target(river: River) -> list[tuple[object, ...]]:
    return sorted(((row["k"], row["link"], row["n"], row["city"]) for row in river.target()), key=repr)


def wanted(river: River) -> list[tuple[object, ...]]:
    """What MySQL says, keys as the warehouse holds them."""
    return sorted(((k.rstrip(" "), link, n, city) for k, link, n, city in river.query(FACT)), key=repr)


@pytest.mark.parametrize("collation", [CI, BIN, LATIN], ids=["ci", "bin", "latin1"])
def test_a_key_that_only_gains_or_loses_a_blank_is_one_row(empty_river: Callable[[], River], collation: str) -> None:
    """'A1 ' and 'A1' are one key to the warehouse: within one batch, over two, and when DMS sends the old one again."""
    river = empty_river()
    make(river, collation, CI, CI)
    river.drain()
    river.run_sql("insert into fact values ('A1 ', null, 1)", "update fact set k = 'A1', n = 2 where k = 'A1'")
    river.wait_for_dms()
    river.drain()
    assert [("A1", None, 2, None)] == target(river)
    river.run_sql("update fact set k = 'A1  ', n = 3", "insert into fact values ('B', null, 4)")
    river.wait_for_dms()
    river.drain()
    assert [("A1", None, 3, None), ("B", None, 4, None)] == target(river)
    river.run_sql("delete from fact where k = 'A1'", "insert into fact values ('A1 ', null, 5)")
    river.wait_for_dms()
    river.drain()
    assert wanted(river) == target(river)
    river.run_sql("delete from fact")
    river.wait_for_dms()
    river.drain()
    assert [] == target(river)


def test_spellings_that_mysql_calls_equal_are_one_row_that_moves(empty_river: Callable[[], River]) -> None:
    """'a', 'A' and 'a ' are one row of a case-insensitive key, and two of the warehouse's: the old spelling goes."""
    river = empty_river()
    make(river, CI, CI, CI)
    river.run_sql("insert into fact values ('a', null, 1), ('b', null, 1)")
    river.drain()
    for number, spelling in enumerate(("A", "a ", "A ", "á", "a"), 2):
        river.run_sql(f"update fact set k = '{spelling}', n = {number} where k = 'a'")
        river.wait_for_dms()
        river.drain()
        assert wanted(river) == target(river), spelling
    river.run_sql("delete from fact where k = 'A'", "insert into fact values ('A ', null, 9)")
    river.request_sweep()
    river.wait_for_dms()
    river.drain()
    assert wanted(river) == target(river)
    assert ("A", None, 9, None) in target(river)


@pytest.mark.parametrize(
    ("link", "code"),
    [(BIN, BIN), (CI, CI), (CI, LATIN), (LATIN, CI), (CI, MB3), (MB3, LATIN)],
    ids=["bin", "ci", "utf8mb4 on latin1", "latin1 on utf8mb4", "utf8mb4 on utf8mb3", "utf8mb3 on latin1"],
)
def test_links_with_blanks_find_what_mysql_says(empty_river: Callable[[], River], link: str, code: str) -> None:
    """'AX', 'AX ' and 'AX  ' on the key 'AX': three times the same city, also after it changes its name."""
    river = empty_river()
    make(river, BIN, link, code)
    river.run_sql(
        "insert into dim values ('AX', 'Bern'), ('B', 'Chur')",
        "insert into fact values ('1', 'AX', 1), ('2', 'AX ', 2), ('3', 'AX  ', 3), ('4', 'b', 4), ('5', '', 5)",
    )
    river.drain()
    assert wanted(river) == target(river)
    assert ["Bern"] * 3 == [row[3] for row in target(river)[:3]]
    river.run_sql("update dim set city = 'Biel' where code = 'AX'", "update dim set city = 'Davos' where code = 'B'")
    river.wait_for_dms()
    river.drain()
    assert wanted(river) == target(river)
    assert ["Biel"] * 3 == [row[3] for row in target(river)[:3]]
    river.run_sql("update dim set code = 'AX ' where code = 'AX'")
    river.wait_for_dms()
    river.drain()
    assert wanted(river) == target(river)


@pytest.mark.parametrize("code", [LATIN, MB3], ids=["latin1", "utf8mb3"])
def test_a_link_that_the_dimensions_charset_does_not_have_is_null(empty_river: Callable[[], River], code: str) -> None:
    """That row has no dimension; the others go on, before and after it."""
    river = empty_river()
    make(river, BIN, CI, code)
    river.run_sql(
        "insert into dim values ('Ä', 'Bern'), ('?', 'wrong')",
        "insert into fact values ('1', '😀', 1), ('2', 'Ä', 2), ('3', 'x😀y', 3)",
    )
    river.drain()
    assert [("1", "😀", 1, None), ("2", "Ä", 2, "Bern"), ("3", "x😀y", 3, None)] == target(river)
    river.run_sql(
        "insert into fact values ('4', '日本', 4), ('5', 'Ä', 5)", "update dim set city = 'Biel' where code = 'Ä'"
    )
    river.wait_for_dms()
    river.drain()
    assert wanted(river) == target(river)
    assert (0, 0) == (river.ledger()["quarantined"], river.ledger()["pending"])


def test_keys_beyond_ascii_are_probed_walked_and_swept(empty_river: Callable[[], River]) -> None:
    """In the key of the fact and of the dimension; quotes, backslashes and emojis are values like any other."""
    river = empty_river()
    make(river, BIN, BIN, BIN)
    texts = ["😀", "é", "o'clock", "back\\slash", '"', "%", "a b", "日本語"]
    with river.mysql() as mysql, mysql.cursor() as cursor:
        cursor.executemany("insert into dim values (%s, 'Bern')", [(text,) for text in texts])
        cursor.executemany("insert into fact values (%s, %s, 1)", [(text, text) for text in texts])
    river.drain()
    assert wanted(river) == target(river)
    river.run_sql("update dim set city = 'Biel'", "update fact set n = 2")
    river.wait_for_dms()
    river.drain()
    assert wanted(river) == target(river)
    assert {"Biel"} == {row[3] for row in target(river)}


DAYS = "select f.id, f.day, f.at, f.n, d.day as other_day from fact as f left join dim as d on d.id = f.n"


def test_dates_that_are_none_spoil_their_row_and_no_other(empty_river: Callable[[], River]) -> None:
    """0000-00-00 is NULL, 2024-00-10 no date at all: its key is quarantined, whether it stands in the fact or in the dimension.

    So by the sweep, by the stream and by the walk; mended in the source, the key is free by itself.
    """
    river = empty_river()
    river.run_as_administrator(
        "create table dim (id int(30) unsigned zerofill not null primary key, day date null)",
        "create table fact (id int(30) unsigned zerofill not null primary key, day date null, at datetime null, "
        "n int(30) unsigned zerofill null, key (n))",
    )
    loose = "set sql_mode = ''"
    rows = (
        "(1, '2024-00-10', null, 1)",
        "(2, '0000-00-00', '0000-00-00', 2)",
        "(3, '2024-02-29', null, 3)",
        "(4, null, null, 4)",
    )
    river.run_as_administrator(
        loose,
        "insert into dim values (1, '2024-01-01'), (2, '0000-00-00'), (3, '2024-00-10'), (4, '2024-04-04')",
        f"insert into fact values {', '.join(rows)}",
    )
    river.admits_every_key = True
    river.define(DAYS, {"keys": ["id"], "freshness": "30s"})

    def seen() -> list[tuple[object, ...]]:
        return [(row["id"], row["n"], str(row["day"]), str(row["other_day"])) for row in river.target()]

    river.drain()
    assert [(2, 2, "None", "None"), (4, 4, "None", "2024-04-04")] == seen()
    assert ["not_a_date", "not_a_date"] == [row["reason"] for row in river.quarantine()]
    assert {"fact.day", "dim.day"} == {row["column_name"] for row in river.quarantine()}
    river.run_as_administrator(
        loose,
        "update dim set day = '2024-03-03' where id = 3",
        "update dim set day = '2024-00-04' where id = 4",
        "update fact set day = '2024-01-10' where id = 1",
        "insert into fact values (5, '2024-10-00', null, 2), (6, '2024-06-06', '2024-00-00 12:00:00', 2)",
    )
    river.wait_for_dms()
    river.drain()
    # The last good row of a key that is quarantined stays.
    good = [(1, 1, "2024-01-10", "2024-01-01"), (2, 2, "None", "None"), (3, 3, "2024-02-29", "2024-03-03")]
    assert [*good, (4, 4, "None", "2024-04-04")] == seen()
    assert {"fact.day", "fact.at", "dim.day"} == {row["column_name"] for row in river.quarantine()}


@pytest.fixture
def padding(empty_river: Callable[[], River]) -> Iterator[River]:
    """A server that gives CHAR with all its blanks, for as long as the test runs."""
    river = empty_river()
    river.run_as_administrator("set global sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,STRICT_TRANS_TABLES'")
    yield river
    river.run_as_administrator("set global sql_mode = default")


def test_a_server_that_pads_char_changes_no_meaning(padding: River) -> None:
    """Neither of keys and links nor of values, by the sweep, by the stream and by the walk."""
    padding.run_sql(
        "create table dim (code char(10) not null primary key, city char(20) null)",
        "create table fact (k char(8) not null primary key, link char(10) null, n int null, key (link))",
        "insert into dim values ('AX', 'Bern')",
        "insert into fact values ('1', 'AX', 1)",
    )
    padding.admits_every_key = True
    padding.define(FACT, KEYS, deletes("apply"))
    padding.drain()
    assert [("1", "AX", 1, "Bern")] == target(padding)
    padding.run_sql(
        "insert into fact values ('2', 'AX', 2)", "update dim set city = 'Biel'", "update fact set n = 3 where k = '1'"
    )
    padding.wait_for_dms()
    padding.drain()
    assert [("1", "AX", 3, "Biel"), ("2", "AX", 2, "Biel")] == target(padding)
    padding.run_sql("delete from fact where k = '1'")
    padding.wait_for_dms()
    padding.drain()
    assert [("2", "AX", 2, "Biel")] == target(padding)
