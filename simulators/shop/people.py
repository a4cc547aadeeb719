"""Invented rows: sports events, tickets and customers. The same seed gives the same rows, and a longer list of
customers or events begins with the shorter one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Optional

from faker import Faker

SPORTS = (
    "baseball", "basketball", "boxing", "cricket", "football", "handball", "ice hockey", "rugby", "soccer", "tennis",
    "volleyball",
)  # fmt: skip
# Mostly the example's country; the others bring letters of two to four bytes.
LOCALES = {"en_US": 80, "es_MX": 5, "de_DE": 4, "pl_PL": 3, "ja_JP": 3, "hi_IN": 2, "el_GR": 2, "ru_RU": 1}
FIRST_DAY = datetime(2027, 1, 1)  # noqa: DTZ001  # a DATETIME of the venue: it has no zone

Event = tuple[int, str, datetime, str]
Ticket = tuple[int, str, str, str]
Customer = tuple[int, str, str, Optional[str]]


def events(seed: int) -> Iterator[Event]:
    """Give events without end: event_id (from 1), sport_type, start_date, location."""
    choice = random.Random(f"{seed} events")
    fake = Faker("en_US")
    fake.seed_instance(f"{seed} events")
    for event_id in count(1):
        start = FIRST_DAY + timedelta(days=choice.randrange(365), minutes=30 * choice.randrange(20, 42))
        yield event_id, choice.choice(SPORTS), start, f"{fake.city()} {choice.choice(('Arena', 'Park', 'Stadium'))}"


def tickets(seed: int, event_id: int, how_many: int) -> Iterator[Ticket]:
    """Give the tickets of one event: event_id, seat_level, seat_location, ticket_price. Every second one is Premium."""
    choice = random.Random(f"{seed} tickets of {event_id}")
    for number in range(how_many):
        level, dollars = (("Standard", 100), ("Premium", 300))[number % 2]
        row, seat = divmod(number, 40)
        cents = choice.randrange(-2000, 2001)
        yield event_id, level, f"{level[0]}{row + 1:03}-{seat + 1:02}", f"{dollars + cents / 100:.2f}"


def customers(seed: int) -> Iterator[Customer]:
    """Give customers without end: customer_id (from 1), name, email, phone. A few left no phone, a few type capitals."""
    choice = random.Random(f"{seed} customers")
    fakes = {}
    for locale in LOCALES:
        fakes[locale] = Faker(locale)
        fakes[locale].seed_instance(f"{seed} {locale}")
    for customer_id in count(1):
        fake = fakes[choice.choices(list(LOCALES), list(LOCALES.values()))[0]]
        email = fake.email()
        yield (
            customer_id,
            fake.name(),
            email.title() if choice.random() < 0.05 else email,
            None if choice.random() < 0.02 else fake.phone_number(),
        )
