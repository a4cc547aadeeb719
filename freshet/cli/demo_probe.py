"""Freshness where the analyst stands: marked changes, timed from their commit in MySQL until a query returns them.

The demo itself sells one ticket a second, beside the simulators, and asks the Data API for it until it is there. What was sold
before the first row arrived is not counted: it waited for Spark's start, which `first_row_s` tells.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

from freshet.cli.context import Place
from freshet.errors import FreshetError
from freshet.pipeline.connection import connect

EVERY_S = 1.0
ASK_EVERY_S = 0.3


@dataclass(frozen=True)
class Freshness:
    """Percentiles of the seconds from commit to query."""

    p50: float
    p95: float
    max: float


class Probe(threading.Thread):
    """Makes marked changes until `finish`, and times each."""

    def __init__(self, place: Place, target: str) -> None:
        super().__init__(name="freshness probe", daemon=True)
        self._place, self._target = place, target
        self._warehouse = place.warehouse
        self._selling, self._ending = threading.Event(), threading.Event()
        self._pending: dict[int, float] = {}
        self._times: list[float] = []
        self.sold = 0
        self.first_row_at: float | None = None
        self._selling.set()

    def run(self) -> None:
        """Sell and ask, until told to finish."""
        with connect(self._place.mysql, self._place.source_database) as connection:
            ticket = _one(connection, "select max(ticket_id) from ticket")
            customer = _one(connection, "select min(customer_id) from customer")
            next_at = time.monotonic()
            while not self._ending.is_set():
                if self._selling.is_set() and time.monotonic() >= next_at:
                    next_at = time.monotonic() + EVERY_S
                    self._sell(connection, ticket, customer)
                    ticket -= 1
                self._ask()
                self._ending.wait(ASK_EVERY_S)

    def _sell(self, connection: Any, ticket: int, customer: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "insert ignore into ticket_activity (ticket_id, purchased_by, created_at, updated_at) "
                "values (%s, %s, utc_timestamp(6), utc_timestamp(6))",
                (ticket, customer),
            )
            if cursor.rowcount == 1:
                self._pending[ticket] = time.monotonic()
                self.sold += 1

    def _ask(self) -> None:
        if not self._pending:
            return
        wanted = ", ".join(map(str, self._pending))
        try:
            rows = self._warehouse.query(f"select ticket_id from {self._target} where ticket_id in ({wanted})")
        except FreshetError:
            return  # the table is made by the job, perhaps a moment later
        now = time.monotonic()
        for row in rows:
            sold_at = self._pending.pop(int(row["ticket_id"]))
            if (
                self.first_row_at is not None and sold_at > self.first_row_at
            ):  # what was sold before waited for Spark to start
                self._times.append(now - sold_at)
        if rows and self.first_row_at is None:
            self.first_row_at = now

    def finish(self, timeout_s: float) -> Freshness | None:
        """Sell no more, wait for what is on its way, and give the percentiles; None when nothing arrived."""
        self._selling.clear()
        deadline = time.monotonic() + timeout_s
        while self._pending and time.monotonic() < deadline:
            time.sleep(0.1)
        self.stop()
        return self.freshness()

    def stop(self) -> None:
        """End at once."""
        self._ending.set()
        self.join(10)

    def freshness(self) -> Freshness | None:
        """Give the percentiles so far; what never arrived counts as long as it has been waited for."""
        waiting = (
            [time.monotonic() - sold_at for sold_at in list(self._pending.values())] if self._ending.is_set() else []
        )
        times = sorted([*self._times, *waiting])
        if not times:
            return None
        return Freshness(*(round(value, 2) for value in (_at(times, 0.5), _at(times, 0.95), times[-1])))


def _at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def _one(connection: Any, sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])
