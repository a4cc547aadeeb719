"""Deleted rows are ignored, removed or marked as the pipeline says; a key that moved leaves nothing behind in any mode.

The three pipelines of each test run in one job.
"""

from collections.abc import Callable

import pytest

from tests.river import River, deletes

MODES = ("ignore", "apply", "mark")


def of_every_mode(river: River) -> dict[str, str]:
    """Give the names of three pipelines of the example's SELECT, by mode."""
    river.change(deletes("ignore"))
    return {"ignore": river.name, "apply": river.second(deletes("apply")), "mark": river.second(deletes("mark"))}


def marked(river: River, name: str) -> list[int]:
    return [row["ticket_id"] for row in river.target(name) if row["_freshet_deleted_at"] is not None]


def keys(river: River, name: str) -> list[int]:
    return [row[0] for row in river.actual(name)]


def test_a_deleted_row_stays_goes_or_is_marked_and_may_come_again(river: River) -> None:
    """A key that comes again after its delete is a row like any other, without a mark."""
    names = of_every_mode(river)
    river.sell_in_source(range(1, 6), 5)
    river.wait_for_dms()
    river.drain()
    river.run_sql("delete from ticket_activity where ticket_id in (1, 2)")
    river.wait_for_dms()
    river.drain()
    assert [1, 2, 3, 4, 5] == keys(river, names["ignore"]) == keys(river, names["mark"])
    assert [3, 4, 5] == keys(river, names["apply"])
    assert [1, 2] == marked(river, names["mark"])
    at = {row["ticket_id"]: row["_freshet_deleted_at"] for row in river.target(names["mark"])}
    river.sell_in_source([1], 6)
    river.request_keys((2,), name=names["mark"])
    river.wait_for_dms()
    river.drain()
    assert [2] == marked(river, names["mark"])
    assert at[2] == next(row["_freshet_deleted_at"] for row in river.target(names["mark"]) if row["ticket_id"] == 2)
    assert river.expected() == river.actual(names["apply"])
    for mode in ("ignore", "mark"):
        assert river.expected() == [row for row in river.actual(names[mode]) if row[0] != 2]


def test_a_deleted_row_that_comes_back_the_same_is_not_marked_any_more(river: River) -> None:
    """Its hash is the target's, and yet it is written."""
    river.change(deletes("mark"))
    river.sell_in_source([1], 5)
    river.drain()
    for statement in (
        "delete from ticket_activity",
        "insert into ticket_activity values (1, 5, '2024-07-29 12:00', '2024-07-29 12:00')",
    ):
        river.run_sql(statement)
        river.wait_for_dms()
        river.drain()
        assert ([1] if statement.startswith("delete") else []) == marked(river, river.name)
    assert river.expected() == river.actual()


def test_a_row_that_came_and_went_between_two_rounds_is_never_there(river: River) -> None:
    """Nobody has read it, so nothing is kept of it, and nothing can be marked."""
    names = of_every_mode(river)
    river.sell_in_source([1], 5)
    river.drain()
    river.sell_in_source([2], 5)
    river.run_sql("delete from ticket_activity where ticket_id = 2")
    river.wait_for_dms()
    river.drain()
    for name in names.values():
        assert [1] == keys(river, name)
        assert (0, 0) == (river.ledger(name)["pending"], river.ledger(name)["quarantined"])


SEATS = "select s.id, s.code, s.owner from seat as s"
MOVES = {
    "UPDATE of the primary key": "update seat set id = 7 where id = 1",
    "REPLACE on a second unique key": "replace into seat values (7, 'A', 70)",
    "ON DUPLICATE KEY UPDATE of the primary key": "insert into seat values (50, 'A', 1) "
    "on duplicate key update id = 7, owner = 71",
    "all keys one further": "update seat set id = id + 1 order by id desc",
}


@pytest.mark.parametrize("statement", MOVES.values(), ids=MOVES.keys())
def test_a_moved_key_leaves_nothing_behind(empty_river: Callable[[], River], statement: str) -> None:
    """Such statements are logged as one update with another primary key: its before image names the old one."""
    river = empty_river()
    river.run_sql(
        "create table seat (id int not null primary key, code varchar(10) not null, owner int null, unique key (code))",
        "insert into seat values (1, 'A', 1), (2, 'B', 2), (5, 'E', 5)",
    )
    names = [river.name, f"{river.name}_1", f"{river.name}_2"]
    for name, mode in zip(names, MODES, strict=True):
        river.define(SEATS, {"keys": ["id"], "freshness": "30s"}, deletes(mode), name=name)
    river.drain()
    river.run_sql(statement)
    river.wait_for_dms()
    river.drain()
    for name in names:
        rows = [(row["id"], row["code"], row["owner"]) for row in river.target(name)]
        assert river.query(f"{SEATS} order by 1") == rows
        assert 3 == len(rows)
        assert all(row.get("_freshet_deleted_at") is None for row in river.target(name))
