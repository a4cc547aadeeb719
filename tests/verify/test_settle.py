"""A key that differs is decided once, and never too soon: both sides and the job are scripted here, time is virtual."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

import pytest

from freshet.pipeline.model import Column, Output, Pipeline, Table
from freshet.pipeline.types import column_type
from freshet.verify.control import State
from freshet.verify.rows import Difference, Expected, Form, Key, Stored
from freshet.verify.settle import MOVES_MAX, Fates, Patience, Settling, Sides

KEY: Key = (7,)
NEW, OLD = Expected(True, (7, "new")), (7, "old")
LAG_S, BEGAN_S = 10.0, 1_000.0
QUARANTINED = frozenset({KEY})


def pipeline(deletes: str = "ignore") -> Pipeline:
    columns = (Column("id", column_type("int"), False), Column("name", column_type("varchar(9)"), True))
    outputs = tuple(
        Output(each.name, None, each.type.spark, each.type.redshift, f"`t.{each.name}`", (), None) for each in columns
    )
    fact = Table("t", "t", columns, ("id",))
    return Pipeline("p", Path(), "d", "public", "p", ("id",), ("id",), fact, (), outputs, deletes, (), 1.0, None, ())


@dataclass
class World:
    """Both sides of one key, and a job; `each_second` is what changes as time passes."""

    expected: Expected = NEW
    stored: Stored | None = field(default_factory=lambda: Stored(OLD))
    as_of: float | None = BEGAN_S - 1
    pending_since: float | None = None
    quarantined: frozenset[Key] = frozenset()
    captured_at_s: float = 0.0
    answers: bool = True
    each_second: Callable[[], None] = lambda: None
    on_request: Callable[[], None] = lambda: None
    now: float = BEGAN_S
    asked: list[Sequence[Key]] = field(default_factory=list)
    waiting: list["Waiting"] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.each_second()
        for request in [each for each in self.waiting if self.answers and not each.answered]:
            self.as_of = self.now
            if request.keys:
                self.on_request()
            request.answered = True

    def ask(self, keys: Sequence[Key]) -> "Waiting":
        self.asked.append(keys)
        self.waiting.append(Waiting(keys))
        return self.waiting[-1]

    def position(self) -> float:
        return self.now

    def has_reached(self, position: float) -> bool:
        return self.now >= position + self.captured_at_s

    def settling(self, deletes: str = "ignore") -> Settling:
        sides = Sides(
            lambda keys: {key: self.expected for key in keys if self.expected.is_there},
            lambda keys: dict.fromkeys(keys, self.stored) if self.stored else {},
            lambda: State(self.as_of, self.pending_since, self.quarantined, len(self.quarantined)),
            self.ask,
            self,
        )
        return Settling(Form(pipeline(deletes)), sides, Patience(LAG_S, 60.0, lambda: self.now, self.sleep))

    def settle(self, deletes: str = "ignore") -> Fates:
        return self.settling(deletes).settle([KEY])

    def repair(self) -> Fates:
        settling = self.settling()
        settling.settle([KEY])
        return settling.repair()


@dataclass
class Waiting:
    """A request."""

    keys: Sequence[Key]
    answered: bool = False
    withdrawn: bool = False

    def is_answered(self) -> bool:
        return self.answered

    def withdraw(self) -> None:
        self.withdrawn = True


def different(verdict: str) -> list[Difference]:
    return [Difference(KEY, "different", ("name",), verdict)]


def test_a_row_is_stale_only_when_the_job_has_passed_the_lag() -> None:
    """An idle job is asked to say how far it has come, and its first word is not enough."""
    world = World()
    assert different("stale") == world.settle().differences
    assert world.now > BEGAN_S + LAG_S
    assert all(keys == () for keys in world.asked)
    assert len(world.asked) <= 3


@pytest.mark.parametrize("arrives_after_s", [0.05, 5, 150])
def test_a_row_that_arrives_while_the_job_works_is_no_difference(arrives_after_s: float) -> None:
    """Also long after the lag, as long as the job has not passed it."""
    world = World(answers=False)

    def arrive() -> None:
        world.as_of = BEGAN_S + (world.now - BEGAN_S) / 20
        if world.now >= BEGAN_S + arrives_after_s:
            world.stored = Stored((7, "new"))

    world.each_second = arrive
    assert Fates() == world.settle()


def test_a_job_that_says_nothing_leaves_the_row_in_flight_and_the_request_is_withdrawn() -> None:
    """Whether a change was lost cannot be told."""
    world = World(answers=False)
    fates = world.settle()
    assert (different("in_flight"), False) == (fates.differences, fates.capture_is_behind)
    assert [True] == [request.withdrawn for request in world.waiting]


def test_a_job_without_any_commit_is_no_loss() -> None:
    """A pipeline that never committed has no time at all."""
    world = World(as_of=None, answers=False)
    assert different("in_flight") == world.settle().differences


def test_dms_behind_is_told_and_no_loss() -> None:
    """The job has read all of the stream, but the change is not yet in the stream."""
    world = World(captured_at_s=10_000)
    fates = world.settle()
    assert (different("in_flight"), True) == (fates.differences, fates.capture_is_behind)


def test_work_that_was_owed_when_the_job_passed_is_waited_for() -> None:
    """The record was read and its walk is pending; the entry is as old as its reading, not as the change."""
    world = World()

    def walk() -> None:
        if world.now > BEGAN_S + LAG_S:
            world.pending_since = world.pending_since or world.now
        if world.now > BEGAN_S + LAG_S + 30:
            world.stored = Stored((7, "new"))

    world.each_second = walk
    assert Fates() == world.settle()


def test_work_that_is_owed_later_holds_no_verdict_up() -> None:
    """A pipeline that always has something pending can still be told stale."""
    world = World()

    def busy() -> None:
        world.pending_since = world.now

    world.each_second = busy
    assert different("stale") == world.settle().differences


def test_a_row_that_moves_starts_anew() -> None:
    """The row of the first look would be stale by now; the row that is there since then is not."""
    world = World()
    values = iter("abcdefgh")
    last: list[float] = []

    def change() -> None:
        if value := next(values, ""):
            world.expected = Expected(True, (7, value))
            last.append(world.now)

    world.each_second = change
    assert different("stale") == world.settle().differences
    assert world.now > last[-1] + LAG_S


def test_what_the_job_had_passed_before_a_row_moved_counts_no_more() -> None:
    """The job had read all that the first row waits for, and was still at pending work; then the row moved."""
    world = World()

    def move_at_20_s() -> None:
        seconds = world.now - BEGAN_S
        world.as_of, world.pending_since = world.now, BEGAN_S
        if seconds > 20:
            world.expected, world.pending_since = Expected(True, (7, "newer")), None
        if seconds > 28:
            world.stored = Stored((7, "newer"))

    world.each_second = move_at_20_s
    assert Fates() == world.settle()


def test_a_row_that_moves_each_time_is_too_hot() -> None:
    """It is given up after 20 times, within a minute, and is no difference."""
    world = World()
    count = iter(range(1_000))

    def change() -> None:
        world.expected = Expected(True, (7, str(next(count))))

    world.each_second = change
    fates = world.settle()
    assert ([KEY], []) == (fates.too_hot, fates.differences)
    assert MOVES_MAX == next(count)
    assert world.now < BEGAN_S + 60


def test_a_row_that_moves_now_and_then_is_too_hot_in_the_end() -> None:
    """A row that never stands still for the lag would be waited for for ever."""
    world = World()

    def change() -> None:
        world.expected = Expected(True, (7, str(world.now // 8)))

    world.each_second = change
    fates = world.settle()
    assert ([KEY], []) == (fates.too_hot, fates.differences)
    assert world.now < BEGAN_S + 60 + LAG_S + 5


def test_a_row_that_moves_between_two_looks_and_back_is_not_stale() -> None:
    """The source is read before the target and after it: a row that was another in between says nothing of the target."""
    world = World()
    values = cycle("ab")
    settling = world.settling()
    settling.sides = replace(
        settling.sides, expected=lambda keys: {key: Expected(True, (7, next(values))) for key in keys}
    )
    fates = settling.settle([KEY])
    assert ([KEY], []) == (fates.too_hot, fates.differences)


def test_a_quarantined_key_is_not_stale() -> None:
    """It is told at once, for nothing is on its way."""
    world = World(quarantined=QUARANTINED)
    assert different("quarantined") == world.settle().differences
    assert world.now < BEGAN_S + 1


def test_a_deleted_fact_is_kept_or_extra_by_mode() -> None:
    """Under `ignore` it is no difference; under `apply` it is stale."""
    world = World(expected=Expected())
    assert Fates(kept=[KEY]) == world.settle()
    assert [Difference(KEY, "extra", (), "stale")] == World(expected=Expected()).settle("apply").differences


def test_a_repaired_row_is_counted() -> None:
    """Its change had been lost."""
    world = World()

    def write() -> None:
        world.stored = Stored((7, "new"))

    world.on_request = write
    fates = world.repair()
    assert ([], [KEY]) == (fates.differences, fates.repaired)
    assert [KEY] == world.asked[-1]


def test_a_row_that_stays_other_after_a_repair_is_wrong() -> None:
    """The source stood still, and the job wrote it."""
    fates = World().repair()
    assert (different("wrong"), []) == (fates.differences, fates.repaired)


def test_a_row_that_moves_during_a_repair_is_asked_for_again() -> None:
    """The job may have read it before it moved."""
    world = World()
    times: list[int] = []

    def move() -> None:
        times.append(1)
        if len(times) == 1:
            world.expected = Expected(True, (7, "newer"))
        else:
            world.stored = Stored((7, "newer"))

    world.on_request = move
    fates = world.repair()
    assert ([], [KEY], 2) == (fates.differences, fates.repaired, len(times))


def test_a_repair_that_cannot_be_staged_is_quarantined() -> None:
    """The job was right to leave the old row."""
    world = World()

    def refuse() -> None:
        world.quarantined = QUARANTINED

    world.on_request = refuse
    assert different("quarantined") == world.repair().differences


def test_a_job_that_ends_before_the_repair_leaves_the_request_for_the_next() -> None:
    """The key stays stale, and the comparison says why."""
    world = World()
    settling = world.settling()
    settling.settle([KEY])
    world.answers = False
    fates = settling.repair()
    assert (different("stale"), True) == (fates.differences, fates.unanswered)
    assert not world.waiting[-1].withdrawn


def test_without_a_capture_the_lag_alone_decides() -> None:
    """On AWS nobody tells how far DMS is."""
    world = World(captured_at_s=10_000)
    settling = world.settling()
    settling.sides = replace(settling.sides, capture=None)
    assert different("stale") == settling.settle([KEY]).differences
