"""One seeded run: source, DMS, Kinesis, jobs and warehouse take turns at the granularity of one statement.

The run ends when the source is quiet, the stream drained and pending empty; then each target must equal its SELECT.
"""

import random
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from freshet.errors import StaleBatch
from freshet.ledger import requests
from streaming_job import generations
from streaming_job.changed_keys import Deletes
from tests.model.job import Job
from tests.model.source import CANNOT_BE_STAGED, SHAPES, Source, evaluate
from tests.model.stream import Stream
from tests.model.warehouse import Warehouse, warehouse_form

SPINS_MAX = 12_000
KILLS_MAX = 6
VISIBLE_AFTER_S = 5.0
COALESCE_NEVER = 1_000


@dataclass(frozen=True)
class Settings:
    """What a run is like; None leaves a choice to the seed."""

    coalesce_over: int | None = None
    keys_max: int | None = None
    deletes: str | None = None
    unseen: int | None = None
    unseen_kinds: tuple[str, ...] = ("truncate", "swap", "failover")
    silent: int | None = None
    outages: int | None = None
    replicas: int | None = None
    visible_after_s: float = VISIBLE_AFTER_S
    resend: float = 0.06
    second_joins_late: bool | None = None


class World:
    def __init__(self, seed: int, settings: Settings) -> None:
        rng = self.rng = random.Random(seed)
        self.now = 0.0
        self.source = Source(rng, settings.visible_after_s)
        self.stream = Stream(rng, self.source, settings.resend)
        self.warehouse = Warehouse(rng, ("p0", "p1"))
        self.deletes = {
            p: Deletes(settings.deletes or rng.choice(("apply", "apply", "ignore", "mark"))) for p in SHAPES
        }
        self.requests: dict[str, dict[str, Any]] = {p: {} for p in SHAPES}
        self.broken_until = dict.fromkeys(SHAPES, 0.0)
        self.coalesce_over = rng.choice((1, COALESCE_NEVER))
        self.keys_max = rng.choice((4, COALESCE_NEVER))
        if settings.coalesce_over is not None:
            self.coalesce_over = settings.coalesce_over
        if settings.keys_max is not None:
            self.keys_max = settings.keys_max
        self.rows_max = rng.choice((3, 5, 10))
        self.rows_per_s = rng.choice((8.0, 1000.0))
        late = rng.random() < 0.3 if settings.second_joins_late is None else settings.second_joins_late
        self.pipelines = ["p0"] if late else list(SHAPES)
        self.joins_at_op = rng.randrange(5, 60) if late else 0
        self.faults: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.quarantined = 0
        self.trace: deque[str] = deque(maxlen=25)
        self.jobs: list[Job] = []
        self.runs = 0

    def say(self, text: str) -> None:
        self.trace.append(f"{self.now:7.2f}s {text}")

    def new_job(self) -> None:
        self.runs += 1
        self.say(f"job r{self.runs} starts")
        self.jobs.append(Job(self, f"r{self.runs}"))

    def step(self, job: Job) -> None:
        try:
            next(job.steps)
        except StaleBatch as stale:
            self.say(f"job {job.run} ends: stale ({stale})")
            self.jobs.remove(job)
            self.faults["stale"] += 1

    def is_drained(self) -> bool:
        if (
            self.source.flight
            or self.warehouse.queue
            or any(self.requests.values())
            or len(self.pipelines) < len(SHAPES)
        ):
            return False
        seen = generations.as_seen(self.source.sight())
        return all(
            self.stream.is_read(tables.positions) and not tables.pending and tables.seen == seen
            for tables in self.warehouse.tables.values()
        )

    def problems(self) -> list[str]:
        return self.wrong + self.source.wrong + self.warehouse.wrong


@dataclass(frozen=True)
class Run:
    """How a run ended: `ok`, or what was wrong."""

    seed: int
    verdict: str
    world: World

    def tell(self) -> str:
        """A short trace, and how to run the seed again."""
        world = self.world
        head = (
            f"seed {self.seed}: {self.verdict}; deletes {dict(world.deletes)}, coalesce over {world.coalesce_over}, "
            f"memory {world.keys_max} keys, {world.rows_max} rows a round"
        )
        return "\n".join((head, *world.trace, f"again: python -m tests.model --seed {self.seed}"))


class Schedule:
    """Who is next: the owner's transactions, DMS, faults, and the jobs in between."""

    def __init__(self, seed: int, settings: Settings) -> None:
        self.world = World(seed, settings)
        rng = self.world.rng
        self.ops = self.total = rng.randrange(20, 45)
        self.unseen = rng.choice((0, 0, 1, 2))
        self.silent = rng.choice((0, 0, 3))
        self.unseen_kinds = settings.unseen_kinds
        if settings.unseen is not None:
            self.unseen = settings.unseen
        self.outages_left = rng.choice((0, 2)) if settings.outages is None else settings.outages
        self.replicas_left = rng.choice((0, 2)) if settings.replicas is None else settings.replicas
        if settings.silent is not None:
            self.silent = settings.silent
        self.kills = self.zombies = 0
        self.unhealed = False

    def turn(self) -> None:
        world, rng = self.world, self.world.rng
        world.now += rng.random() * 0.05
        world.source.advance(world.now)
        world.warehouse.run_due(world.now)
        dice, done = rng.random(), self.total - self.ops
        if len(world.pipelines) < len(SHAPES) and done >= min(world.joins_at_op, self.total):
            world.pipelines = list(SHAPES)
            world.say("pipeline p1 is added; the job is started again")
            world.jobs.clear()
        if self.ops and dice < 0.04:
            world.source.transact()
            self.ops -= 1
        elif dice < 0.20 and world.stream.at < len(world.source.binlog):
            world.stream.dms()
        elif not self._fault(dice, done):
            if not world.jobs:
                world.new_job()
            world.step(rng.choice(world.jobs))

    def _fault(self, dice: float, done: int) -> bool:
        world, rng = self.world, self.world.rng
        if dice < 0.203 and self.ops and (len(world.stream.shards) - 2) * 10 < done:
            world.stream.reshard()
            world.say("reshard")
        elif dice < 0.206 and world.jobs and self.kills < KILLS_MAX and self.kills * 5 <= done:
            world.jobs.pop(rng.randrange(len(world.jobs)))
            self.kills += 1
            world.faults["kill"] += 1
            world.say("kill")
        elif dice < 0.212 and len(world.jobs) == 1 and self.zombies < KILLS_MAX and self.zombies * 5 <= done:
            self.zombies += 1
            world.faults["zombie"] += 1
            world.new_job()
        elif (
            dice < 0.2135
            and self.outages_left
            and self.ops
            and done >= 6
            and world.now > max(world.broken_until.values())
        ):
            self.outages_left -= 1
            name = rng.choice(list(SHAPES))
            world.broken_until[name] = world.now + rng.random() * 4
            world.say(f"the target of {name} is away until {world.broken_until[name]:.2f}s")
        elif dice < 0.215 and self.replicas_left and self.ops and done >= 6 and world.now > world.source.replica_until:
            self.replicas_left -= 1
            world.source.replica_until = world.now + rng.random() * 3
            world.say("a proxy sends reads to a replica")
        elif dice < 0.217 and self.unseen and done > 8 and self.ops:
            self.unseen -= 1
            kind = rng.choice(self.unseen_kinds)
            world.source.change_unseen(kind)
            world.faults[kind] += 1
            world.say(kind)
        elif self.silent and not self.ops and dice < 0.30:
            self.silent -= 1
            world.source.transact(logged=False)
            world.faults["unlogged"] += 1
            self.unhealed = True
        elif self.unhealed and not self.silent and not world.source.flight:
            self.unhealed = False
            self._ask_for_healing()
        else:
            return False
        return True

    def _ask_for_healing(self) -> None:
        """Nothing tells of these changes: somebody asks for a sweep, and for some keys whose rows were changed by hand."""
        world = self.world
        for name in SHAPES:
            world.requests[name]["sweep"] = requests.sweep()
            tables = world.warehouse.tables[name]
            if tables.target and not world.warehouse.queue:
                first = tables.target[0]
                changed = (first._replace(values=("changed by hand",)), *tables.target[1:])
                world.warehouse.tables[name] = tables.__class__(**{**tables.__dict__, "target": changed})
                world.requests[name]["repair"] = requests.of_keys([first.key])
            if world.rng.random() < 0.5:
                world.broken_until[name] = world.now + 1
        world.say("unlogged changes, rows changed by hand; a sweep and some keys are asked for")
        self.kills, self.zombies = min(self.kills, KILLS_MAX - 3), min(self.zombies, KILLS_MAX - 3)

    def is_over(self) -> bool:
        world = self.world
        return not (self.ops or self.silent or self.unhealed) and len(world.jobs) <= 1 and world.is_drained()


def judge(world: World) -> str:
    """Compare each target with its SELECT over the source."""
    for name, (fact, _) in SHAPES.items():
        tables, rows = world.warehouse.tables[name], world.source.visible.tables
        want = {key: evaluate(name, rows, form) for form, (key, _) in rows[fact].items()}
        there = set(want)
        cannot = {key for key, values in want.items() if values is not None and values[1] == CANNOT_BE_STAGED}
        quarantined = {warehouse_form(key[0]) for key in tables.quarantine}
        if quarantined != {warehouse_form(key) for key in cannot}:
            return f"{name}: quarantine is {sorted(map(str, quarantined))}, not {sorted(map(str, cannot))}"
        want = {key: values for key, values in want.items() if values is not None}
        twice = Counter(warehouse_form(row.key[0]) for row in tables.target)
        if max(twice.values(), default=0) > 1:
            return f"{name}: doubled"
        forms = {warehouse_form(key) for key in cannot}
        for (key,), values, _, marked in tables.target:
            if warehouse_form(key) in forms:
                continue
            if key in want:
                if want[key] != values:
                    return f"{name}: wrong value of {key!r}: {values}, not {want[key]}"
                if marked:
                    return f"{name}: {key!r} is marked though it is there"
            elif world.deletes[name] is Deletes.APPLY or key in there or key not in world.source.deleted[fact]:
                return f"{name}: extra {key!r}"
            elif world.deletes[name] is Deletes.MARK and not marked:
                return f"{name}: {key!r} is not marked"
        missing = set(want) - cannot - {row.key[0] for row in tables.target}
        if missing:
            return f"{name}: missing {sorted(map(str, missing))}"
    return "ok"


def run(seed: int, settings: Settings | None = None) -> Run:
    """Run one seed.

    Returns:
        The verdict, with the world as it was then: faults injected, trace.
    """
    settings = settings or Settings()
    schedule = Schedule(seed, settings)
    world = schedule.world
    for spin in range(SPINS_MAX):
        schedule.turn()
        if wrong := world.problems():
            return Run(seed, wrong[0], world)
        if spin % 5 == 0 and schedule.is_over():
            break
    else:
        return Run(seed, "stuck", world)
    return Run(seed, judge(world), world)


def count(results: list[Run]) -> dict[str, int]:
    """Add up the faults that some runs injected."""
    total: Counter[str] = Counter()
    for result in results:
        world = result.world
        total.update(world.faults)
        total.update(
            {
                "late statement": world.warehouse.late,
                "lost answer": world.warehouse.lost,
                "DMS restart": world.stream.resent,
                "reshard": world.stream.resharded,
                "cut record": world.stream.cut,
                "read from a replica": world.source.replica_read,
                "start": world.runs,
            }
        )
    return dict(total)
