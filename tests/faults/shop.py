"""Random changes of all four tables of the example: inserts, links that move, deletes, keys that move, dimensions that go."""

import random
from collections.abc import Iterator

from tests.river import AT, River

# Foreign keys would forbid most of what must come out right.
FREE = (
    "alter table ticket_activity drop foreign key activity_of_ticket, drop foreign key activity_by_customer",
    "alter table ticket drop foreign key ticket_of_event",
)
TICKETS, CUSTOMERS, EVENTS = 140, 50, 6


def statements(rng: random.Random) -> Iterator[str]:
    """Give statements without an end; each is one transaction."""
    while True:
        ticket, other = rng.randint(1, TICKETS), rng.randint(1, TICKETS)
        customer, event = rng.randint(1, CUSTOMERS), rng.randint(1, EVENTS)
        number = rng.randint(0, 10**6)
        yield rng.choice(
            [
                f"replace into ticket_activity values ({ticket}, {customer}, '{AT}', now(3))",
                f"replace into ticket_activity values ({ticket}, {customer}, '{AT}', now(3))",
                f"insert ignore into ticket_activity values ({ticket}, {customer}, '{AT}', now(3))",
                f"update ticket_activity set purchased_by = {customer}, updated_at = now(3) where ticket_id = {ticket}",
                f"delete from ticket_activity where ticket_id = {ticket}",
                f"update ignore ticket_activity set ticket_id = {other} where ticket_id = {ticket}",
                f"insert into ticket_activity values ({ticket}, {customer}, '{AT}', now(3)) "
                f"on duplicate key update purchased_by = {customer}",
                f"update customer set name = 'name {number}', phone = '+41 {number}' where customer_id = {customer}",
                f"update customer set email = 'e{number}@example.org' where customer_id = {customer}",
                f"delete from customer where customer_id = {customer}",
                f"insert ignore into customer values ({customer}, 'new {number}', 'n{number}@example.org', null)",
                f"update ignore customer set customer_id = {rng.randint(1, CUSTOMERS)} where customer_id = {customer}",
                f"update ticket set event_id = {event}, ticket_price = {number % 100} where ticket_id = {ticket}",
                f"update ignore ticket set ticket_id = {other} where ticket_id = {ticket}",
                f"delete from ticket where ticket_id = {ticket}",
                f"replace into ticket values ({ticket}, {event}, 'level', 'seat {number}', {number % 100})",
                f"update sport_event set location = 'place {number}' where event_id = {event}",
                f"delete from sport_event where event_id = {event}",
                f"replace into sport_event values ({event}, 'sport {number}', '2025-05-05', 'place {number}')",
                f"update ticket_activity set purchased_by = {customer} where purchased_by = {number % CUSTOMERS}",
            ]
        )


def check(river: River, *, admitted: str, narrow: str) -> None:
    """Both pipelines hold what MySQL joins: all of it, and what the condition and the inner join admit."""
    for wanted, there in ((river.expected(), river.actual()), (river.expected(admitted), river.actual(narrow))):
        lacking, too_many = [row for row in wanted if row not in there], [row for row in there if row not in wanted]
        assert not lacking, (lacking, too_many)
        assert not too_many, too_many
        assert len(wanted) == len(there)
    for name in (river.name, narrow):
        ledger = river.ledger(name)
        assert (0, 0) == (ledger["pending"], ledger["quarantined"])
