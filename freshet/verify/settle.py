"""Decide about keys that differ while changes flow: on its way, lost, computed wrong, quarantined, or too hot to compare.

A row that differs is first of all on its way. It is read again; a row that moved starts anew at once. A row that stands still is
decided about only when the pipeline says that everything is in the target that was in the source when the row was read: then the
source is read, the target, and the source again. If both readings of the source are equal and the target is another, a change
was lost. With `repair` the job is then asked for the key. If its row is equal afterwards, it was stale and is repaired; if not,
and the source stood still, the computation or the load is at fault.

Reads:  both sides by key, the pipeline's state, the source's position, clock.
Gives:  each key's fate, once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from freshet.verify.control import State
from freshet.verify.rows import GONE, KEPT, Difference, Expected, Form, Key, Stored

MOVES_MAX: Final = 20
HOT_S: Final = 60.0
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 3.0
WAIT_MAX_S: Final = 900.0
KEYS_PER_REQUEST: Final = 10_000


class Capture(Protocol):
    """What is known of the way from the source's log to the stream; on AWS nothing is, and the lag stands in for it."""

    def position(self) -> Any:
        """Give where the source's log ends now."""

    def has_reached(self, position: Any) -> bool:
        """Tell whether all up to a position is in the stream."""


class Asked(Protocol):
    """A request to the job."""

    def is_answered(self) -> bool:
        """Tell whether it is done."""

    def withdraw(self) -> None:
        """Take it back."""


@dataclass(frozen=True)
class Sides:
    """How both sides and the job are asked; `expected` leaves out keys that are gone, `stored` those that are not there."""

    expected: Callable[[Sequence[Key]], Mapping[Key, Expected]]
    stored: Callable[[Sequence[Key]], Mapping[Key, Stored]]
    state: Callable[[], State]
    ask: Callable[[Sequence[Key]], Asked]
    capture: Capture | None = None


@dataclass(frozen=True)
class Patience:
    """For how long a comparison waits.

    Attributes:
        lag_s: How long a committed change may need into the stream. Where the capture's position is known, it may be 0.
        without_news_s: After so many seconds without news from the job, what is open is in flight.
        clock: Seconds since 1970.
        sleep: Lets seconds pass.
    """

    lag_s: float
    without_news_s: float = 60.0
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass
class Fates:
    """What became of the keys that differed; a key that came to agree is in none of these."""

    differences: list[Difference] = field(default_factory=list)
    kept: list[Key] = field(default_factory=list)
    too_hot: list[Key] = field(default_factory=list)
    repaired: list[Key] = field(default_factory=list)
    capture_is_behind: bool = False
    unanswered: bool = False


@dataclass
class _Candidate:
    """One open key.

    Attributes:
        first_s: When it was first read.
        row: Its source row, as last seen.
        since_s: When that row was seen; its change was committed before.
        position: Where the source's log ended then.
        passed_s: When the job was first heard to have read all that was in the stream at `since_s` and the lag.
        moves: How often its source row was found changed.
        found: How both sides differ.
    """

    first_s: float
    row: Expected | None = None
    since_s: float = 0.0
    position: Any = None
    passed_s: float | None = None
    moves: int = 0
    found: Difference | None = None


@dataclass
class Settling:
    """Decides about some keys."""

    form: Form
    sides: Sides
    patience: Patience
    fates: Fates = field(default_factory=Fates)
    _open: dict[Key, _Candidate] = field(default_factory=dict)
    _news: tuple[State | None, float] = (None, 0.0)
    _wake: Asked | None = None
    _was_woken: bool = False
    _is_alive: bool = False

    def settle(self, keys: Sequence[Key]) -> Fates:
        """Wait until each key is decided, or nothing more is heard of the job."""
        began = self.patience.clock()
        self._open = {key: _Candidate(began) for key in keys}
        self._news = (self.sides.state(), began)
        pause_s = PAUSE_FIRST_S
        try:
            while self._open:
                state = self._heard()
                self._look(state)
                self._let_go(state, began)
                if self._open:
                    self._nudge()
                    self.patience.sleep(pause_s)
                    pause_s = min(PAUSE_MAX_S, pause_s * 1.5)
        finally:
            if self._wake is not None:
                self._wake.withdraw()
        return self.fates

    def _heard(self) -> State:
        state = self.sides.state()
        if state != self._news[0]:
            self._news = (state, self.patience.clock())
            self._is_alive = True
        return state

    def _look(self, state: State) -> None:
        """Read the source, the target and the source again. The state was read before: it only ever says too little."""
        keys, heard_s = list(self._open), self.patience.clock()
        before, stored, after = self.sides.expected(keys), self.sides.stored(keys), self.sides.expected(keys)
        now, capture = self.patience.clock(), self.sides.capture
        position = capture.position() if capture else None
        for key in keys:
            candidate = self._open[key]
            rows = before.get(key, GONE), after.get(key, GONE)
            found = [self.form.difference(key, row, stored.get(key)) for row in rows]
            if None in found:
                del self._open[key]
            elif any(each is not None and each.kind == KEPT for each in found):
                del self._open[key]
                self.fates.kept.append(key)
            elif not rows[0] == rows[1] == candidate.row:
                candidate.moves += candidate.row is not None
                candidate.row, candidate.since_s, candidate.position = rows[1], now, position
                candidate.passed_s = None
                candidate.found = found[1]
            else:
                candidate.found = found[1]
                self._decide(key, candidate, state, heard_s)

    def _decide(self, key: Key, candidate: _Candidate, state: State, heard_s: float) -> None:
        is_read = state.as_of is not None and state.as_of > candidate.since_s + self.patience.lag_s
        if is_read and candidate.passed_s is None:
            candidate.passed_s = heard_s
        if key in state.quarantined:
            self._close(key, candidate, "quarantined")
        elif self._is_complete(state, candidate) and self._is_captured(candidate):
            self._close(key, candidate, "stale")

    def _is_complete(self, state: State, candidate: _Candidate) -> bool:
        """Tell whether what the key waits for is in the target: read from the stream, and not among the pending work.

        Work is owed since its record was read, so what was owed when the job was heard to have passed may be about this key.
        """
        if candidate.passed_s is None:
            return False
        return state.pending_since is None or state.pending_since > candidate.passed_s

    def _is_captured(self, candidate: _Candidate) -> bool:
        return self.sides.capture is None or self.sides.capture.has_reached(candidate.position)

    def _let_go(self, state: State, began: float) -> None:
        now, lag_s = self.patience.clock(), self.patience.lag_s
        for key, candidate in list(self._open.items()):
            is_hot = candidate.moves >= MOVES_MAX or (candidate.moves and now - candidate.first_s > HOT_S + lag_s)
            heard_s = max(self._news[1], candidate.since_s + lag_s if self._is_alive else 0.0)
            if is_hot:
                del self._open[key]
                self.fates.too_hot.append(key)
            elif now - heard_s > self.patience.without_news_s or now - began > WAIT_MAX_S + lag_s:
                if self._is_complete(state, candidate) and not self._is_captured(candidate):
                    self.fates.capture_is_behind = True
                self._close(key, candidate, "in_flight")

    def _close(self, key: Key, candidate: _Candidate, verdict: str) -> None:
        del self._open[key]
        assert candidate.found is not None  # noqa: S101 - every look finds the difference, or takes the key out
        self.fates.differences.append(replace(candidate.found, verdict=verdict))

    def _nudge(self) -> None:
        """Let an idle job say how far it has come: it commits nothing while nothing changes, so that the warehouse sleeps."""
        now, lag_s = self.patience.clock(), self.patience.lag_s
        if self._wake is not None and self._wake.is_answered():
            self._wake, self._is_alive, self._news = None, True, (self._news[0], now)
        behind = [each for each in self._open.values() if each.passed_s is None]
        is_due = not self._was_woken or any(now > each.since_s + lag_s for each in behind)
        if behind and is_due and self._wake is None:
            self._wake, self._was_woken = self.sides.ask(()), True

    def repair(self) -> Fates:
        """Ask the job for the stale keys, and look whether that mends them."""
        stale = {
            each.key: each for each in self.fates.differences if each.verdict == "stale" and self._can_be_asked(each)
        }
        moves: dict[Key, int] = dict.fromkeys(stale, 0)
        rows = self.sides.expected(list(stale))
        while stale:
            if not self._ask_and_wait(list(stale)):
                self.fates.unanswered = True
                break
            quarantined = self.sides.state().quarantined
            keys = list(stale)
            before, stored, after = self.sides.expected(keys), self.sides.stored(keys), self.sides.expected(keys)
            for key in keys:
                read = rows.get(key, GONE), before.get(key, GONE), after.get(key, GONE)
                found = [self.form.difference(key, row, stored.get(key)) for row in read[1:]]
                open_ = [each for each in found if each is not None and each.kind != KEPT]
                if len(open_) < len(found):
                    self._replace(stale.pop(key), None)
                    self.fates.repaired.append(key)
                elif key in quarantined:
                    self._replace(stale.pop(key), replace(open_[1], verdict="quarantined"))
                elif read[0] == read[1] == read[2]:
                    self._replace(stale.pop(key), replace(open_[1], verdict="wrong"))
                elif moves[key] == MOVES_MAX:
                    self._replace(stale.pop(key), None)
                    self.fates.too_hot.append(key)
                else:
                    moves[key] += 1
            rows = after
        return self.fates

    def _replace(self, old: Difference, new: Difference | None) -> None:
        place = self.fates.differences.index(old)
        self.fates.differences[place : place + 1] = [] if new is None else [new]

    def _ask_and_wait(self, keys: Sequence[Key]) -> bool:
        asked = [
            self.sides.ask(keys[start : start + KEYS_PER_REQUEST]) for start in range(0, len(keys), KEYS_PER_REQUEST)
        ]
        self._news = (self._news[0], self.patience.clock())
        while asked := [each for each in asked if not each.is_answered()]:
            self._heard()
            if self.patience.clock() - self._news[1] > self.patience.without_news_s:
                return False
            self.patience.sleep(0.5)
        return True

    def _can_be_asked(self, difference: Difference) -> bool:
        """Tell whether the key itself is of its type, so that the job can read it."""
        fact, names = self.form.pipeline.fact.name, self.form.pipeline.key_columns
        return difference.kind != "unfit" or difference.columns[0] not in {f"{fact}.{name}" for name in names}
