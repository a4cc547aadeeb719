"""When a task may write: not faster than its share of the rate, and only while its run holds the export.

BatchWriteItem takes no conditions, so nothing in DynamoDB tells an old run's item from a new one's. What keeps an old run from
writing over a newer one is this: a task asks the warehouse until when its run holds the export, and sends nothing that could
still be under way by then. No other run begins to write before.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MARGIN: Final = 4  # a quarter of the hold is kept back, for the call that is under way
Clock = Callable[[], float]


@dataclass
class Pace:
    """Spaces out what costs units, so that no second holds more than `units_per_s` of them."""

    units_per_s: float
    clock: Clock = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    waited_s: float = 0.0
    _free_at: float = 0.0

    def take(self, units: float) -> None:
        """Wait until so many units may be spent; what is more than a second's worth is paid by the next call's wait."""
        now = self.clock()
        wait_s = max(0.0, self._free_at - now)
        if wait_s:
            self.sleep(wait_s)
            self.waited_s += wait_s
        self._free_at = max(self._free_at, now) + units / self.units_per_s

    def add(self, units: float) -> None:
        """Pay for what turned out to cost more."""
        self._free_at += units / self.units_per_s


@dataclass
class Hold:
    """Knows until when this run surely holds the export.

    Attributes:
        ask: Gives the seconds from now for which this run holds it; 0 or less when it does not.
        hold_s: Length of a hold.
    """

    ask: Callable[[], float]
    hold_s: float
    clock: Clock = time.monotonic
    _sure_until: float = field(default=-1.0, init=False)
    _asked_at: float = field(default=-1e9, init=False)

    def is_sure(self) -> bool:
        """Tell whether a call that is sent now ends, at the latest, while this run holds the export."""
        now = self.clock()
        if now - self._asked_at >= self.hold_s / MARGIN or self._sure_until - now <= self.hold_s / MARGIN:
            left_s = self.ask()
            self._asked_at, self._sure_until = now, now + left_s  # reckoned from before the question
        return self._sure_until - self.clock() > self.hold_s / MARGIN
