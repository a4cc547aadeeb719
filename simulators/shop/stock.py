"""Create the four tables and fill three of them, up to the wanted sizes: what is there already stays as it is.

The tables' one truth is sql/source/sport_events.sql, which schema.sql is a link to (a wheel holds its text).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from shop import people
from shop.connection import flat, read, run_statement
from shop.errors import SimulatorError
from shop.program import Progress, Stop

ROWS_PER_STATEMENT = 2000
LOCK = "freshet simulators: stock"
LOCK_WAIT_S = 600


def statements() -> list[str]:
    """Give the four CREATE TABLE statements."""
    text = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")
    return [part.strip() for part in re.sub(r"--.*", "", text).split(";") if part.strip()]


def create_tables(connection: Any) -> None:
    """Create the tables that are missing."""
    for statement in statements():
        run_statement(connection, statement)


def fill(connection: Any, stop: Stop, *, events: int, tickets_per_event: int, customers: int, seed: int) -> None:
    """Create the tables that are missing, then add rows until each has what is asked for.

    Two runs at once wait for each other; an interrupted run is completed by the next.

    Raises:
        SimulatorError: Another run has held the lock for ten minutes.
    """
    with locked(connection):
        create_tables(connection)
        have = {row[0] for row in read(connection, "select event_id from sport_event")}
        rows: list[Sequence[Any]] = [row for row in islice(people.events(seed), events) if row[0] not in have]
        insert_all(connection, stop, "sport_event (event_id, sport_type, start_date, location)", rows)

        sizes = dict(read(connection, "select event_id, count(*) from ticket group by event_id"))
        rows = []
        for event_id in range(1, events + 1):
            rows += islice(people.tickets(seed, event_id, tickets_per_event), sizes.get(event_id, 0), None)
        insert_all(connection, stop, "ticket (event_id, seat_level, seat_location, ticket_price)", rows)

        have = {row[0] for row in read(connection, "select customer_id from customer")}
        rows = [row for row in islice(people.customers(seed), customers) if row[0] not in have]
        insert_all(connection, stop, "customer (customer_id, name, email, phone)", rows)


def insert_all(connection: Any, stop: Stop, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, a few thousand a transaction, until all are in or someone asks to stop.

    Args:
        connection: From `connect`.
        stop: Asked between transactions.
        table: The table with its columns in brackets, in the rows' order.
        rows: The rows, in the order in which they get their numbers.
    """
    name = table.partition(" ")[0]
    progress = Progress(name, len(rows))
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        if stop.asked:
            return
        chunk = rows[start : start + ROWS_PER_STATEMENT]
        run_statement(connection, f"insert into {table} values {places(chunk)}", flat(chunk))
        progress.add(len(chunk))


def places(rows: Sequence[Sequence[Any]]) -> str:
    """Give the placeholders of a multi-row VALUES."""
    return ", ".join([f"({', '.join(['%s'] * len(rows[0]))})"] * len(rows))


@contextlib.contextmanager
def locked(connection: Any) -> Iterator[None]:
    """Keep a second run from stocking the same database at the same time."""
    lock = "select get_lock(concat(database(), %s), %s)"
    if read(connection, lock, (LOCK, LOCK_WAIT_S)) != [(1,)]:
        raise SimulatorError("another run is filling this database; try again when it has ended")
    try:
        yield
    finally:
        read(connection, "select release_lock(concat(database(), %s))", (LOCK,))
