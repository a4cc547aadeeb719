"""The model's job: carries out what the decisions ask, one statement at a time, so that anything can happen between two."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freshet.errors import EnvironmentFault, StaleBatch
from freshet.ledger import commit as commits
from freshet.ledger import positions, requests
from freshet.ledger.commit import Commit, Outcome, Remembered
from freshet.ledger.effect import Action, Staged
from freshet.ledger.keys import Key
from freshet.ledger.positions import Position
from streaming_job import changed_keys, group, rows
from streaming_job import round as rounds
from streaming_job.changed_keys import ChangedKeys, RecordOutcome, Shape
from streaming_job.group import Full
from streaming_job.pending import Quota
from streaming_job.probe import Held
from streaming_job.questions import (
    Answer,
    Asked,
    FactKeys,
    Limits,
    Look,
    NoWait,
    Question,
    Referring,
    Rows,
    SkipLocked,
    StagedRows,
    TargetKeys,
    Wait,
)
from streaming_job.rate_limiter import RateLimiter
from streaming_job.round import Given
from tests.model.source import CANNOT_BE_STAGED, FIELDS, State, evaluate, norm, shape_of

if TYPE_CHECKING:
    from tests.model.simulation import World

Steps = Generator[None, None, Any]


class PipelineFailed(Exception):
    """The target of one pipeline is away."""


@dataclass
class Running:
    """What the job keeps of one pipeline in memory."""

    shape: Shape
    remembered: Remembered
    changed: ChangedKeys = field(default_factory=ChangedKeys)
    held: dict[str, Held] = field(default_factory=dict)
    failures: int = 0
    due_at: float = 0.0
    commit_now: bool = False


class Job:
    """One process of the streaming job."""

    def __init__(self, world: "World", run: str) -> None:
        self.world, self.run, self.rng = world, run, world.rng
        self.pipelines: dict[str, Running] = {}
        self.reader: dict[str, Position] = {}
        self.left_out: dict[str, float] = {}
        self.opened = world.source.visible
        self.taken, self.started_at = 0, world.now
        self.turn = 0
        self.serial = 0
        self.limiter = RateLimiter(world.rows_per_s, world.rows_per_s, world.now)
        self.steps: Iterator[None] = self._main()

    # ---- the loop

    def _new_id(self) -> str:
        self.serial += 1
        return commits.commit_id(self.run, self.serial)

    def _main(self) -> Steps:
        for name in self.world.pipelines:
            yield from self._start(name)
        self.reader = positions.least([p.remembered.positions for p in self.pipelines.values()])
        while True:
            self.turn += 1
            self.opened = self.world.source.visible
            yield
            yield from self._take_in_again()
            yield from self._read_pages()
            for name in list(self.pipelines):
                yield from self._keep_or_forget(name)
            for name in list(self.pipelines):
                p = self.pipelines[name]
                if p.due_at <= self.world.now and (p.commit_now or self.rng.random() < 0.85):
                    yield from self._round_or_later(name)

    def _start(self, name: str) -> Steps:
        """A start is a commit."""
        yield
        shape = shape_of(name, self.world.deletes[name])
        remembered = self.world.warehouse.remembered(name)
        commit = commits.start(remembered, self._new_id(), shards=list(self.world.stream.shards), now=self.world.now)
        yield from self._commit(name, commit)
        self.pipelines[name] = Running(shape, self.world.warehouse.remembered(name))

    def _take_in_again(self) -> Steps:
        """A pipeline that memory could not serve starts anew; the reader goes back to where it stands."""
        for name, due_at in list(self.left_out.items()):
            if due_at <= self.world.now and self.world.now >= self.world.broken_until[name]:
                del self.left_out[name]
                yield from self._start(name)
                self.reader = positions.least([self.reader, self.pipelines[name].remembered.positions])

    def _read_pages(self) -> Steps:
        """Whole pages of any shard, children of a split too, from where the one reader stands."""
        for shard in list(self.world.stream.shards):
            yield
            if self.pipelines and self.rng.random() < 0.8:
                at = self.reader.get(shard, positions.START)
                page, self.reader[shard] = self.world.stream.page(shard, at, self.rng.choice((1, 3, 8)))
                for record in page:
                    for p in self.pipelines.values():
                        outcome = changed_keys.note(p.shape, record, p.changed)
                        self.world.quarantined += outcome is RecordOutcome.QUARANTINED

    def _keep_or_forget(self, name: str) -> Steps:
        p = self.pipelines[name]
        full = group.when_full(p.changed, self.world.keys_max, failing=p.failures > 0)
        p.commit_now = full is Full.COMMIT_NOW
        if full is Full.FORGET_FREE:
            self.world.faults["memory full"] += 1
            kept = yield from self._answered(name, group.forget(p.shape, p.changed, self.world.keys_max), plain=True)
            if kept is None:
                self.world.faults["pipeline left out"] += 1
                del self.pipelines[name]
                self.left_out[name] = self.world.now + group.retry_after_s(p.failures)
            else:
                p.changed = kept

    def _round_or_later(self, name: str) -> Steps:
        p = self.pipelines[name]
        try:
            yield from self._round(name)
        except (PipelineFailed, EnvironmentFault):
            p.failures += 1
            p.due_at = self.world.now + group.retry_after_s(p.failures)
            self.world.faults["pipeline failed"] += 1
        else:
            p.failures = 0

    def _round(self, name: str) -> Steps:
        p = self.pipelines[name]
        found = dict(self.world.requests[name])
        self.limiter = self.limiter.at_time(self.world.now)
        given = Given(
            shape=p.shape,
            remembered=p.remembered,
            changed=p.changed,
            through=dict(self.reader),
            commit_id=self._new_id(),
            now=self.world.now,
            turn=self.turn,
            allowed=self.limiter.allowed,
            requests=tuple(found.values()),
            held=p.held,
            quota=Quota(self.world.rows_max, self.world.coalesce_over, 2),
        )
        decided = yield from self._answered(name, rounds.one_round(given), plain=False)
        self.limiter = self.limiter.after_taking(decided.taken_rows)
        self._keep_to_cap(decided.taken_rows)
        p.held = decided.held
        if decided.commit is None:
            p.changed, outcome = ChangedKeys(), Outcome.COMMITTED
        else:
            if requests.may_be_deleted(None):
                self._answer_requests(name, found)
            yield
            if self.world.now < self.world.broken_until[name]:
                raise PipelineFailed
            outcome = yield from self._commit(name, decided.commit)
            p.remembered, p.changed = self.world.warehouse.remembered(name), ChangedKeys()
        yield
        if requests.may_be_deleted(outcome):
            self._answer_requests(name, found)

    def _keep_to_cap(self, taken: int) -> None:
        self.taken += taken
        if self.taken > self.world.rows_per_s * (1 + self.world.now - self.started_at) + 1:
            self.world.wrong.append("pending asked the source for more rows than its cap")

    def _answer_requests(self, name: str, found: dict[str, Any]) -> None:
        for request in found:
            self.world.requests[name].pop(request, None)

    def _commit(self, name: str, commit: Commit) -> Steps:
        """Send until the outcome is known: the answer may be lost, the statement may run later."""
        while True:
            answer = self.world.warehouse.send(self.world.now, name, commit)
            for _ in range(6):
                yield
                if "finished" in answer:
                    break
            lost = self.rng.random() < 0.15
            self.world.warehouse.lost += lost
            finished = answer.get("finished", False) and not lost
            if not finished:
                yield
            tables = self.world.warehouse.tables[name]
            became = commits.outcome(commit, finished=finished, head=tables.head, found=commit.id in tables.commits)
            if became is Outcome.COMMITTED:
                return became
            if became is Outcome.STALE:
                raise StaleBatch(name)

    # ---- answers

    def _answered(self, name: str, asking: Generator[Question, Any, Any], *, plain: bool) -> Steps:
        question = next(asking)
        while True:
            yield
            answer = yield from self._answer(name, question)
            try:
                question = asking.send(answer.value if plain else answer)
            except StopIteration as ended:
                return ended.value

    def _answer(self, name: str, question: Question) -> Steps:
        source = self.world.source
        if not isinstance(question, (Look, Wait, TargetKeys, Rows)):
            source.check(question.limits)
        match question:
            case Look():
                sight, told = source.look()
                return Answer(sight, frozenset({told}))
            case SkipLocked(table, keys):
                return Answer(source.free(table, keys), frozenset({self._view(question.limits)[1]}))
            case NoWait(table, keys):
                held = any(source.is_locked(table, key) for key in keys)
                return Answer(held, frozenset({self._view(question.limits)[1]}))
            case Wait(seconds):
                until = source.now + seconds
                while source.now < until:
                    yield
                return Answer(None)
            case Referring(alias, keys, after, limit):
                state, told = self._view(question.limits)
                return Answer(source.referring(name, alias, state, keys, after)[:limit], frozenset({told}))
            case FactKeys(after, limit):
                state, told = self._view(question.limits)
                fact = self.pipelines[name].shape.fact
                return Answer(source.keys_after(fact, state, after)[:limit], frozenset({told}))
            case TargetKeys(after, limit):
                tables = self.world.warehouse.tables[name]
                held = sorted({row.key for row in tables.target} | tables.quarantine)
                return Answer([key for key in held if after is None or key > after][:limit])
            case Rows(tasks):
                return (yield from self._rows(name, tasks))

    def _view(self, limits: Limits) -> tuple[State, tuple[str, bool]]:
        """The snapshot of a statement; without autocommit it is as old as the transaction that it runs in."""
        state, told = self.world.source.view()
        return (state if limits.autocommit else self.opened), told

    def _rows(self, name: str, tasks: tuple[tuple[Asked, ...], ...]) -> Steps:
        staged: list[Staged] = []
        servers: set[tuple[str, bool]] = set()
        for task in tasks:
            read: dict[Asked, list[tuple[tuple[str, ...], State]]] = {asked: [] for asked in task}
            waiting = list(rows.statements(self.pipelines[name].shape, task))
            while waiting:
                statement = waiting.pop(0)
                yield
                self.world.source.check(statement.limits)
                if len(statement.keys) > 1 and self.rng.random() < 0.05:
                    self.world.faults["statement cut off"] += 1
                    waiting += rows.halves(statement)
                    continue
                state, told = self._view(statement.limits)
                servers.add(told)
                for asked in statement.keys:
                    read[asked].append((statement.aliases, state))
            staged += [self._staged(name, asked, parts) for asked, parts in read.items()]
        return Answer(StagedRows(tuple(staged), len(staged)), frozenset(servers))

    def _staged(self, name: str, asked: Asked, parts: list[tuple[tuple[str, ...], State]]) -> Staged:
        """What a task makes of one key, from the snapshots of the statements that read parts of its row."""
        shape, form = self.pipelines[name].shape, norm(asked.key[0])
        first = parts[0][1].tables
        spelled: Key | None = (first[shape.fact][form][0],) if form in first[shape.fact] else None
        found = spelled is not None and rows.is_row_of(asked.key, spelled)
        whole = [evaluate(name, state.tables, form) if form in state.tables[shape.fact] else None for _, state in parts]
        values = whole[0] if found else None
        if values is not None and len(parts) > 1:
            merged = list(values)
            for (aliases, _), other in zip(parts, whole, strict=True):
                for alias in aliases:
                    if other is not None:
                        merged[FIELDS[name][alias]] = other[FIELDS[name][alias]]
            values = tuple(merged)
            if values not in whole:
                self.world.wrong.append("a row torn between two snapshots")
        admitted, stageable = values is not None, values is not None and values[1] != CANNOT_BE_STAGED
        action = rows.action(asked, shape.deletes, found=found, admitted=admitted, can_be_staged=stageable)
        if action is Action.WRITE and spelled is not None:
            return Staged(action, spelled, values, values, asked.forced)
        return Staged(action, asked.key)
