"""`verify` on real parts: what was done behind the job's back is found, named by key and column, and told apart."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from freshet.ledger.keys import encoded
from freshet.pipeline.connection import MySQLSettings, connect
from freshet.verify import compare
from freshet.verify.rows import Difference
from tests.verify.shop import Shop

EAST_1, EAST_2, WEST_1, WEST_2 = ("east", 1), ("east", 2), ("west", 1), ("west", 2)
EAST_MAX = ("east", 2**64 - 1)

Make = Callable[..., Shop]


@pytest.fixture
def make(place: Place, spark: SparkSession, tmp_path: Path) -> Make:
    """Make a shop; its target is empty until it is filled."""

    return partial(Shop, place, spark, tmp_path)


def by_key(differences: list[Difference]) -> list[Difference]:
    return sorted(differences, key=lambda each: each.key)


@pytest.mark.parametrize("rows_per_range", [1, 2, 5, 20_000])
def test_a_right_target_is_verified_in_ranges_of_any_size(make: Make, rows_per_range: int) -> None:
    """Every type, NULLs, links to nothing, a protection around an output and one inside of it: nothing differs."""
    shop = make()
    shop.fill()
    found = shop.verify(rows_per_range=rows_per_range)
    assert [] == found.differences
    assert (True, 5, 5) == (found.verified, found.rows, found.source_rows)


def test_nothing_is_nothing(make: Make) -> None:
    """An empty source and an empty target agree."""
    shop = make()
    shop.run_sql("delete from orders")
    found = shop.verify()
    assert (True, 0, 0) == (found.verified, found.rows, found.source_rows)


def test_a_server_that_pads_char_means_the_same(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blanks that the server's `sql_mode` adds are in no row."""
    shop = make()
    shop.run_sql("alter table orders modify status char(10) not null")
    shop.fill()

    def padding(settings: MySQLSettings, database: str | None = None) -> Any:
        connection = connect(settings, database)
        with connection.cursor() as cursor:
            cursor.execute("set session sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'")
        return connection

    monkeypatch.setattr(compare, "connect", padding)
    assert [] == shop.verify().differences


def test_a_changed_a_missing_a_foreign_and_a_doubled_row_are_named(make: Make) -> None:
    """Each differs in its own way; columns are named, keys in both orders of walking are met."""
    shop = make(deletes="apply")
    shop.fill()
    shop.change("note = 'x', price = 1.5")
    shop.delete("shop = 'east' and number = 2")
    shop.target_run(
        f"insert into public.{shop.name} select * from public.{shop.name} where shop = 'west' and number = 1"
    )
    shop.target_run(f"create temp table t as select * from public.{shop.name} where shop = 'west' and number = 2; "
                    f"update t set number = 7; insert into public.{shop.name} select * from t")  # fmt: skip
    found = shop.verify(rows_per_range=2)
    expected = [
        Difference(EAST_1, "different", ("price", "note"), "stale"),
        Difference(EAST_2, "missing", (), "stale"),
        Difference(WEST_1, "doubled", (), "stale"),
        Difference(("west", 7), "extra", (), "stale"),
    ]
    assert expected == by_key(found.differences)
    assert not found.verified


@pytest.mark.parametrize(
    ("column", "value"),
    [("weight", "weight + 1e-17"), ("paid", "not paid"), ("day", "day + 1"), ("at", "at + interval '1 microsecond'"),
     ("note", "note || ' '"), ("email", "'Ada@Example.org'"), ("phone", "'tel +47 123'"), ("customer", "null")],
)  # fmt: skip
def test_the_smallest_change_of_a_value_is_found(make: Make, column: str, value: str) -> None:
    """Types are compared exactly; a blank at the end of a text that is no key counts."""
    shop = make()
    shop.fill()
    shop.change(f"{column} = {value}")
    assert [Difference(EAST_1, "different", (column,), "stale")] == shop.verify().differences


def test_a_change_on_its_way_is_waited_for(make: Make) -> None:
    """The job writes the row while the comparison waits: nothing differs."""
    shop = make()
    shop.fill()
    shop.run_sql("update customer set name = 'Bea' where code = 'BY'")
    arrived: list[int] = []

    def arrive() -> None:
        if not arrived:
            shop.delete("true")
            shop.fill()
            arrived.append(1)

    shop.on_sleep = arrive
    found = shop.verify()
    assert (True, []) == (found.verified, found.differences)
    assert arrived


def test_without_news_of_the_job_a_difference_is_in_flight(make: Make) -> None:
    """A job that does not run is no loss; its request to wake up is taken back."""
    shop = make(job_runs=False)
    shop.fill()
    shop.change("note = 'x'")
    found = shop.verify()
    assert [Difference(EAST_1, "different", ("note",), "in_flight")] == found.differences
    assert not found.verified
    assert [] == shop.requests()


def test_pending_work_keeps_a_difference_in_flight(make: Make) -> None:
    """The facts of a changed dimension are still to follow, though every record of the stream was read."""
    shop = make(job_runs=False)
    shop.fill()
    shop.change("customer = 'old'")
    began = shop.now - 1

    def a_minute_passes() -> None:
        shop.now += 60
        shop.tell(pending=1, pending_since=began)

    shop.on_sleep = a_minute_passes
    found = shop.verify()
    assert [Difference(EAST_1, "different", ("customer",), "in_flight")] == found.differences


def test_a_stale_row_is_repaired_and_counted(make: Make) -> None:
    """The job is asked for just that key; afterwards nothing differs."""
    shop = make()
    shop.fill()
    shop.change("note = 'x'")
    asked: list[Any] = []

    def write(keys: list[Any]) -> None:
        asked.append(keys)
        shop.delete("shop = 'east' and number = 1")
        shop.fill("o.shop = 'east' and o.number = 1")

    shop.on_request = write
    found = shop.verify(repair=True)
    assert [[EAST_1]] == asked
    assert (True, [], [EAST_1]) == (found.verified, found.differences, found.repaired)


def test_a_row_that_a_repair_does_not_mend_is_wrong(make: Make) -> None:
    """The job wrote it again, and it is as wrong as before."""
    shop = make()
    shop.fill()
    shop.change("price = 0")
    found = shop.verify(repair=True)
    assert [Difference(EAST_1, "different", ("price",), "wrong")] == found.differences
    assert ([], False) == (found.repaired, found.verified)


def test_a_row_that_changes_all_the_time_is_too_hot_and_no_failure(make: Make) -> None:
    """It is listed; the others are compared."""
    shop = make()
    shop.fill()
    shop.run_sql("update orders set price = price + 1 where shop = 'west'")
    shop.on_sleep = lambda: shop.run_sql("update orders set price = price + 1 where shop = 'west' and number = 1")
    found = shop.verify()
    assert [WEST_1] == found.too_hot
    assert [Difference(WEST_2, "different", ("price",), "stale")] == found.differences


def test_rows_of_deleted_facts_are_kept_under_ignore(make: Make) -> None:
    """They are listed, all of them, and are no difference; one that stands there twice is."""
    shop = make()
    shop.fill()
    shop.fill("o.number > 2")
    shop.run_sql("delete from orders where shop = 'west' or number > 2")
    found = shop.verify()
    assert [WEST_1, WEST_2] == sorted(found.kept_after_delete)
    assert [Difference(EAST_MAX, "doubled", (), "stale")] == found.differences


def test_rows_of_deleted_facts_are_marked_under_mark(make: Make) -> None:
    """One that is marked is kept; one that is not, and a mark on a row that is there, are differences."""
    shop = make(deletes="mark")
    shop.fill()
    shop.run_sql("delete from orders where shop = 'west'")
    shop.change("_freshet_deleted_at = '2024-01-01'", "shop = 'west' and number = 1")
    shop.change("_freshet_deleted_at = '2024-01-01'", "shop = 'east' and number = 2")
    found = shop.verify()
    assert [WEST_1] == found.kept_after_delete
    expected = [Difference(EAST_2, "marked", (), "stale"), Difference(WEST_2, "unmarked", (), "stale")]
    assert expected == by_key(found.differences)


def test_a_row_that_is_not_admitted_must_be_absent(make: Make) -> None:
    """An inner join without a partner, and a `where` that is false or NULL, keep rows out of the target in every mode."""
    shop = make(where="`o.status` <> 'void'", inner=("c",))
    shop.fill("o.status <> 'void' and c.code is not null")
    found = shop.verify()
    assert (True, 2, 5) == (found.verified, found.rows, found.source_rows)
    shop.fill("o.shop = 'west'")
    expected = [Difference(WEST_1, "extra", (), "stale"), Difference(WEST_2, "extra", (), "stale")]
    assert expected == by_key(shop.verify().differences)


def test_mysql_decides_which_keys_and_links_are_equal(make: Make) -> None:
    """Links 'ax' and 'AX ' find the customer 'AX' of a case-insensitive, padded collation; a key's blanks are not stored."""
    shop = make(deletes="apply")
    for table, columns in (
        ("customer", "code varchar(10)"),
        ("orders", "customer_code varchar(10)"),
        ("orders", "shop varchar(8)"),
    ):
        shop.run_sql(f"alter table {table} modify {columns} character set utf8mb4 collate utf8mb4_general_ci not null"
                     if "customer_code" not in columns else
                     f"alter table {table} modify {columns} character set utf8mb4 collate utf8mb4_general_ci")  # fmt: skip
    shop.run_sql(
        "update orders set customer_code = 'ax' where shop = 'east' and number = 2",
        "update orders set customer_code = 'AX ' where shop = 'west'",
        "insert into orders (shop, number, customer_code, status) values ('North ', 1, 'Ax  ', 'open')",
    )
    shop.fill()
    shop.target_run(f"update public.{shop.name} set shop = 'EAST' where shop = 'east' and number = 2")
    assert [("North", 1)] == [row[:2] for row in shop.expected("o.shop = 'north'")]
    found = shop.verify(rows_per_range=2)
    expected = [Difference(("EAST", 2), "extra", (), "stale"), Difference(EAST_2, "missing", (), "stale")]
    assert expected == by_key(found.differences)
    assert 6 == found.rows


def test_a_key_with_a_blank_at_its_end_is_found_again(make: Make) -> None:
    """A collation without padding tells 'nord' from 'nord '; the warehouse does not."""
    shop = make(deletes="apply")
    shop.run_sql(
        "alter table orders modify shop varchar(8) character set utf8mb4 collate utf8mb4_nopad_bin not null",
        "insert into orders (shop, number, status) values ('nord ', 1, 'open')",
    )
    shop.fill()
    shop.change("status = 'x'", "shop = 'nord'")
    assert [Difference(("nord", 1), "different", ("status",), "stale")] == shop.verify().differences


def test_a_difference_of_a_quarantined_key_is_told_so(make: Make) -> None:
    """It is not stale; nothing is verified while the quarantine holds anything, a record without a key too."""
    shop = make()
    shop.fill()
    shop.change("note = 'x'")
    shop.target_run(f"insert into freshet.{shop.name}_quarantine (\"key\", reason) values ('{encoded(EAST_1)}', 'r')")
    found = shop.verify()
    assert [Difference(EAST_1, "different", ("note",), "quarantined")] == found.differences
    shop.delete("true")
    shop.fill()
    shop.target_run(f'update freshet.{shop.name}_quarantine set "key" = null')
    found = shop.verify()
    assert ([], 1, False) == (found.differences, found.quarantined, found.verified)


def test_a_row_that_no_type_can_hold_is_unfit(make: Make) -> None:
    """A BOOLEAN of 2 cannot be computed: the column is named, the others are compared."""
    shop = make()
    shop.fill()
    shop.run_sql("update orders set paid = 2 where shop = 'east' and number = 1")
    assert [Difference(EAST_1, "unfit", ("orders.paid",), "stale")] == shop.verify().differences
