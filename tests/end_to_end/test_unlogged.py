"""Rows that change without a record: the source looks different afterwards, or somebody asks, and a two-sided sweep finds all."""

from collections.abc import Callable

import pytest

from tests.river import River, deletes

COPY = (
    "create table copy like ticket_activity",
    "insert into copy select ticket_id, 6, created_at, updated_at from ticket_activity where ticket_id > 2",
    "insert into copy values (99, 7, now(3), now(3))",
)
UNLOGGED = {
    "TRUNCATE": ("truncate table ticket_activity",),
    "DROP and CREATE": (
        *COPY,
        "drop table ticket_activity",
        "create table ticket_activity like copy",
        "set sql_log_bin = 0",
        "insert into ticket_activity select * from copy",
    ),
    "a swap by RENAME": (*COPY, "rename table ticket_activity to old, copy to ticket_activity"),
    "a swapped dimension": (
        "create table copy like customer",
        "insert into copy select customer_id, concat(name, '!'), email, phone from customer where customer_id <> 6",
        "rename table customer to old, copy to customer",
    ),
}


@pytest.mark.parametrize("statements", UNLOGGED.values(), ids=UNLOGGED.keys())
def test_a_table_that_is_emptied_or_swapped_is_swept_by_itself(river: River, statements: tuple[str, ...]) -> None:
    """Its rows are in no record; the table's generation is another. Changes after it arrive as ever."""
    river.change(deletes("apply"))
    river.sell_in_source(range(1, 11), 5)
    river.sell_in_source([11], 6)
    river.wait_for_dms()
    river.drain()
    assert river.expected() == river.actual()
    before = river.actual()
    river.run_as_administrator("set foreign_key_checks = 0", *statements)
    river.wait_for_dms()
    river.drain()
    assert river.expected() == river.actual()
    assert before != river.actual()
    river.sell_in_source([20], 5)
    river.wait_for_dms()
    river.drain()
    assert 20 in [row[0] for row in river.actual()]
    assert river.expected() == river.actual()


@pytest.mark.parametrize("mode", ["ignore", "mark"])
def test_what_a_truncate_took_is_kept_or_marked_as_the_pipeline_says(river: River, mode: str) -> None:
    """As after a delete of each row."""
    river.change(deletes(mode))
    river.sell_in_source([1, 2], 5)
    river.drain()
    river.run_sql("truncate table ticket_activity")
    river.sell_in_source([2, 3], 5)
    river.wait_for_dms()
    river.drain()
    assert [1, 2, 3] == [row[0] for row in river.actual()]
    marks = [row["ticket_id"] for row in river.target() if row.get("_freshet_deleted_at") is not None]
    assert ([1] if mode == "mark" else []) == marks


def test_a_partition_that_is_dropped_is_swept_by_itself(empty_river: Callable[[], River]) -> None:
    """DROP PARTITION logs no row; the table was made anew, as far as its catalog says."""
    river = empty_river()
    river.run_sql(
        "create table sale (id int not null primary key, price int not null) partition by range (id) "
        "(partition low values less than (100), partition high values less than maxvalue)",
        "insert into sale values (1, 10), (2, 20), (100, 30), (101, 40)",
    )
    river.define("select s.id, s.price from sale as s", {"keys": ["id"], "freshness": "30s"}, deletes("apply"))
    river.drain()
    assert 4 == len(river.target())
    river.run_sql("alter table sale drop partition low")
    river.wait_for_dms()
    river.drain()
    assert [100, 101] == [row["id"] for row in river.target()]


def test_changes_that_were_never_logged_are_found_by_a_requested_sweep(river: River) -> None:
    """`sql_log_bin = 0` leaves no trace at all, so nothing can notice it; asked for, the sweep finds all of it."""
    river.change(deletes("apply"))
    river.sell_in_source(range(1, 6), 5)
    river.wait_for_dms()
    river.drain()
    river.run_as_administrator(
        "set sql_log_bin = 0",
        "delete from ticket_activity where ticket_id = 1",
        "update ticket_activity set purchased_by = 6 where ticket_id = 2",
        "insert into ticket_activity select ticket_id, 7, now(3), now(3) from ticket where ticket_id = 50",
        "update customer set name = 'silent' where customer_id = 5",
    )
    river.wait_for_dms()
    river.drain()
    assert river.expected() != river.actual()
    river.request_sweep()
    river.drain()
    assert river.expected() == river.actual()


def test_a_column_that_is_added_or_an_index_changes_no_row(river: River) -> None:
    """The generation is another, so a sweep follows; nothing that it reads is written."""
    river.sell_in_source(range(1, 6), 5)
    river.wait_for_dms()
    river.drain()
    before = river.target()
    river.run_sql("alter table ticket_activity add column note varchar(10) null, add key (updated_at)")
    river.wait_for_dms()
    river.drain()
    assert before == river.target()
    assert 5 == river.ledger()["unchanged"]
