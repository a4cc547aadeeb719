"""Sell tickets and pass them on: the changes that a pipeline follows.

Two simulators may sell at once: the primary key decides who was first, and the other takes the next ticket.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from shop.connection import flat, read, transaction
from shop.errors import SoldOut, WrongInput

POOL = 5_000
# The server's clock, of one moment a transaction.
SELL = """
insert ignore into ticket_activity (ticket_id, purchased_by, created_at, updated_at)
values {rows}
"""
CHANGE_HANDS = """
insert into ticket_activity (ticket_id, purchased_by, created_at, updated_at)
values {rows}
on duplicate key update purchased_by = values(purchased_by), updated_at = values(updated_at)
"""
UNSOLD = """
select ticket.ticket_id
from ticket
left join ticket_activity on ticket_activity.ticket_id = ticket.ticket_id
where ticket_activity.ticket_id is null
limit %s
"""

Pair = tuple[int, int]


def customer_ids(connection: Any, at_most: int = 100_000) -> list[int]:
    """Give the customers who may buy.

    Raises:
        WrongInput: There is none.
    """
    ids = [row[0] for row in read(connection, "select customer_id from customer limit %s", (at_most,))]
    if not ids:
        raise WrongInput("there are no customers; run initial.py first")
    return ids


def unsold_ids(connection: Any, at_most: int = POOL) -> list[int]:
    """Give tickets that nobody has bought yet.

    Raises:
        SoldOut: There is none.
    """
    ids = [row[0] for row in read(connection, UNSOLD, (at_most,))]
    if not ids:
        raise SoldOut("sold out: every ticket has a buyer; add some with initial.py --events or --tickets_per_event")
    return ids


def sell(connection: Any, pairs: Sequence[Pair]) -> int:
    """Sell tickets in one transaction.

    Args:
        connection: From `connect`.
        pairs: ticket_id and customer_id.

    Returns:
        How many were sold; the others had been sold by someone else.
    """
    return write(connection, SELL, pairs)


def pass_on(connection: Any, pairs: Sequence[Pair]) -> int:
    """Give sold tickets to other customers in one transaction; each ticket at most once.

    Returns:
        How many tickets: every one of them is a change, for `updated_at` moves.
    """
    write(connection, CHANGE_HANDS, pairs)
    return len(pairs)


def write(connection: Any, statement: str, pairs: Sequence[Pair]) -> int:
    """Run one of the statements above, its rows in the order of the key, so that two runs rarely deadlock."""
    rows = ", ".join(["(%s, %s, @now, @now)"] * len(pairs))

    def work(cursor: Any) -> int:
        cursor.execute("set @now = utc_timestamp(6)")
        cursor.execute(statement.format(rows=rows), flat(sorted(pairs)))
        return int(cursor.rowcount)

    return transaction(connection, work)


class TicketOffice:
    """Sells one ticket at a time, in no order."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._customers = customer_ids(connection)
        self._pool: list[int] = []

    def sell_one(self) -> Pair:
        """Sell a ticket; give its id and the buyer's.

        Raises:
            SoldOut: No ticket is left.
        """
        while True:
            if not self._pool:
                self._pool = unsold_ids(self._connection)
                random.shuffle(self._pool)
            pair = (self._pool.pop(), random.choice(self._customers))
            if sell(self._connection, [pair]):
                return pair
