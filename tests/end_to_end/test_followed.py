"""A change of a joined table reaches every row that refers to it, through each alias, however it is joined."""

from collections.abc import Callable
from typing import Any

from tests.river import River, inner, where


def joined(river: River, select: str) -> list[tuple[Any, ...]]:
    """What MySQL says of a SELECT without functions, in the order of its first column."""
    return river.query(f"{select} order by 1")


def rows(river: River, name: str | None = None) -> list[tuple[Any, ...]]:
    """The outputs of the target."""
    return [tuple(v for k, v in row.items() if not k.startswith("_freshet")) for row in river.target(name)]


def test_a_customers_phone_and_name_follow_to_every_ticket_of_theirs(river: River) -> None:
    """One change of a dimension, many rows of the target; rows of others are not written."""
    river.sell_in_source(range(1, 41), 5)
    river.sell_in_source(range(41, 51), 6)
    river.wait_for_dms()
    river.drain()
    before = river.ledger()
    river.run_sql("update customer set phone = '+41 79 555 11 22', name = 'Kim' where customer_id = 5")
    river.wait_for_dms()
    river.drain()
    after = river.ledger()
    assert {"+** ** *** ** **"} == {row[11] for row in river.actual() if row[8] == 5}
    assert river.expected() == river.actual()
    assert 40 == after["written"] - before["written"]


def test_an_event_moves_through_its_tickets(river: River) -> None:
    """A snowflake: the fact refers to the ticket, the ticket to the event; and a ticket changes its event."""
    river.sell_in_source(range(1, 51), 5)
    river.wait_for_dms()
    river.drain()
    river.run_sql(
        "update sport_event set location = 'Bern' where event_id = 1",
        "update ticket set event_id = 3, seat_level = 'upper' where ticket_id = 2",
    )
    river.wait_for_dms()
    river.drain()
    assert 24 == sum(row[4] == "Bern" for row in river.actual())
    assert river.expected() == river.actual()


def test_links_that_are_null_or_dangle_are_null_until_their_row_comes(river: River) -> None:
    """And NULL again when it goes; it goes without anything that still refers to it from its side."""
    river.run_sql(
        "alter table ticket_activity drop foreign key activity_by_customer, modify purchased_by int unsigned null",
    )
    river.run_sql(
        "insert into ticket_activity values (1, 4000, now(3), now(3)), (2, null, now(3), now(3)), (3, 5, now(3), now(3))"
    )
    river.wait_for_dms()
    river.drain()
    assert [None, None] == [row[9] for row in river.actual()[:2]]
    assert river.expected() == river.actual()
    river.run_sql(
        "insert into customer values (4000, 'Late', 'late@example.org', null)",
        "delete from customer where customer_id = 5",
    )
    river.wait_for_dms()
    river.drain()
    assert ["Late", None, None] == [row[9] for row in river.actual()]
    assert river.expected() == river.actual()


TREE = """
select a.id, a.label, parent.label as parent_label, other.label as other_label, grand.label as grand_label
from node as a
left join node as parent on parent.id = a.parent_id
left join node as other on other.id = a.other_id
left join node as grand on grand.id = parent.parent_id
"""


def test_a_table_that_is_joined_to_itself_under_several_aliases(empty_river: Callable[[], River]) -> None:
    """A changed row is its own fact, and reaches children, others and grandchildren, each by its alias."""
    river = empty_river()
    river.run_sql(
        "create table node (id int not null primary key, parent_id int null, other_id int null, label varchar(20) null, "
        "key (parent_id), key (other_id))"
    )
    river.define(TREE, {"keys": ["id"], "deletes": "ignore", "freshness": "30s"})
    river.run_sql(
        "insert into node values (1, null, 9, 'root'), (2, 1, 1, 'two'), (3, 2, 2, 'three'), (4, 3, 1, 'four'), (9, 9, 9, 'nine')"
    )
    river.wait_for_dms()
    river.drain()
    assert joined(river, TREE) == rows(river)
    for change in (
        "update node set label = 'ROOT' where id = 1",
        "update node set parent_id = 9 where id = 2",
        "update node set label = 'NINE' where id = 9",
        "update node set other_id = 3, label = null where id = 3",
    ):
        river.run_sql(change)
        river.wait_for_dms()
        river.drain()
        assert joined(river, TREE) == rows(river), change


STOCK = """
select s.shop, s.item, s.pieces, shelf.place, i.label
from stock as s
left join shelf on shelf.shop = s.shop and shelf.number = s.shelf
left join item as i on i.id = s.item
"""


def test_composite_keys_of_fact_and_dimension_and_integers_of_other_widths(empty_river: Callable[[], River]) -> None:
    """SMALLINT joins BIGINT UNSIGNED, signed joins unsigned; a negative link of an unsigned key dangles."""
    river = empty_river()
    river.run_sql(
        "create table item (id bigint unsigned not null primary key, label varchar(20) not null)",
        "create table shelf (number tinyint unsigned not null, shop int not null, place varchar(20) null, "
        "primary key (number, shop))",
        "create table stock (shop smallint not null, item int not null, shelf bigint null, pieces int not null, "
        "primary key (item, shop), key (shop, shelf))",
        "insert into item values (1, 'one'), (2, 'two'), (18446744073709551615, 'last')",
        "insert into shelf values (1, 7, 'A'), (2, 7, 'B'), (1, 8, 'C')",
        "insert into stock values (7, 1, 1, 10), (7, 2, 2, 20), (8, 1, 1, 30), (7, -1, 300, 40), (-7, 1, -1, 50)",
    )
    river.admits_every_key = True
    river.define(STOCK, {"keys": ["item", "shop"], "deletes": "ignore", "freshness": "30s"})

    def wanted() -> list[tuple[Any, ...]]:
        return sorted(river.query(STOCK), key=repr)

    river.drain()
    assert wanted() == sorted(rows(river), key=repr)
    assert 5 == len(wanted())
    for change in (
        "update shelf set place = 'A2' where number = 1 and shop = 7",
        "update item set label = 'uno' where id = 1",
        "update shelf set number = 3 where number = 2 and shop = 7",
        "update stock set shelf = 3 where item = 2 and shop = 7",
        "update stock set shop = 8, item = 2 where item = 2 and shop = 7",
        "delete from item where id = 1",
    ):
        river.run_sql(change)
        river.wait_for_dms()
        river.drain()
        assert wanted() == sorted(rows(river), key=repr), change


def test_inner_joins_and_a_condition_admit_and_remove_rows(river: River) -> None:
    """A row comes when its dimension or its value admits it, and goes when no longer; also with `deletes: ignore`."""
    river.change(inner("customer"), where("`ticket.ticket_price` > 50"))
    admitted = "c.customer_id is not null and t.ticket_price > 50"
    river.run_sql(
        "alter table ticket_activity drop foreign key activity_by_customer",
        "update ticket set ticket_price = ticket_id",
    )
    river.sell_in_source(range(41, 61), 5)
    river.sell_in_source([61, 62], 4000)
    river.wait_for_dms()
    river.drain()
    assert list(range(51, 61)) == [row[0] for row in river.actual()]
    assert river.expected(admitted) == river.actual()
    river.run_sql(
        "insert into customer values (4000, 'Late', 'late@example.org', null)",
        "update ticket set ticket_price = 12 where ticket_id = 60",
        "update ticket set ticket_price = 99 where ticket_id = 41",
    )
    river.wait_for_dms()
    river.drain()
    assert {41, 61, 62} <= {row[0] for row in river.actual()}
    assert river.expected(admitted) == river.actual()
    river.run_sql("delete from customer where customer_id = 5")
    river.wait_for_dms()
    river.drain()
    assert [61, 62] == [row[0] for row in river.actual()]
    assert river.expected(admitted) == river.actual()
