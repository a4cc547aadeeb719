"""Deleted rows are ignored, removed or marked as the pipeline says; a key that moved leaves nothing behind in any mode."""

from collections.abc import Callable

import pytest

from tests.river import River, deletes

MODES = ("ignore", "apply", "mark")


@pytest.mark.parametrize("mode", MODES)
def test_a_deleted_row_stays_goes_or_is_marked_and_may_come_again(river: River, mode: str) -> None:
    """A key that comes again after its delete is a row like any other, without a mark."""
    river.change(deletes(mode))
    river.sell_in_source(range(1, 6), 5)
    river.wait_for_dms()
    river.drain()
    river.run_sql("delete from ticket_activity where ticket_id in (1, 2)")
    river.wait_for_dms()
    river.drain()
    assert ([3, 4, 5] if mode == "apply" else [1, 2, 3, 4, 5]) == [row[0] for row in river.actual()]
    assert ([1, 2] if mode == "mark" else []) == marked(river)
    river.sell_in_source([1], 6)
    river.wait_for_dms()
    river.drain()
    assert ([2] if mode == "mark" else []) == marked(river)
    gone = {2} if mode != "apply" else set()
    assert river.expected() == [row for row in river.actual() if row[0] not in gone]


def marked(river: River) -> list[int]:
    return [row["ticket_id"] for row in river.target() if row.get("_freshet_deleted_at") is not None]


@pytest.mark.parametrize("mode", MODES)
def test_a_row_that_came_and_went_between_two_rounds_is_never_there(river: River, mode: str) -> None:
    """Nobody has read it, so nothing is kept of it, and nothing can be marked."""
    river.change(deletes(mode))
    river.sell_in_source([1], 5)
    river.drain()
    river.sell_in_source([2], 5)
    river.run_sql("delete from ticket_activity where ticket_id = 2")
    river.wait_for_dms()
    river.drain()
    assert [1] == [row[0] for row in river.actual()]
    assert (0, 0) == (river.ledger()["pending"], river.ledger()["quarantined"])


SEATS = "select s.id, s.code, s.owner from seat as s"
MOVES = {
    "UPDATE of the primary key": "update seat set id = 7 where id = 1",
    "REPLACE on a second unique key": "replace into seat values (7, 'A', 70)",
    "ON DUPLICATE KEY UPDATE of the primary key": "insert into seat values (50, 'A', 1) "
    "on duplicate key update id = 7, owner = 71",
    "all keys one further": "update seat set id = id + 1 order by id desc",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("statement", MOVES.values(), ids=MOVES.keys())
def test_a_moved_key_leaves_nothing_behind(empty_river: Callable[[], River], mode: str, statement: str) -> None:
    """Such statements are logged as one update with another primary key: its before image names the old one."""
    river = empty_river()
    river.run_sql(
        "create table seat (id int not null primary key, code varchar(10) not null, owner int null, unique key (code))",
        "insert into seat values (1, 'A', 1), (3, 'C', 3), (5, 'E', 5)",
    )
    river.define(SEATS, {"keys": ["id"], "freshness": "30s"}, deletes(mode))
    river.drain()
    assert 3 == len(river.target())
    river.run_sql(statement)
    river.wait_for_dms()
    river.drain()
    rows = [(row["id"], row["code"], row["owner"]) for row in river.target()]
    assert river.query(f"{SEATS} order by 1") == rows
    assert 3 == len(rows)
