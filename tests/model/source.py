"""The model's MySQL: transactions that are logged before they are visible and hold their row locks until then, DDL, a replica.

Tables: F (fact), C, G, P. F's keys are text that is compared without case and blanks at the end; the others' keys are numbers.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from freshet.ledger.keys import Key
from streaming_job.changed_keys import Deletes, Join, Shape
from streaming_job.questions import Limits, Sight

SHAPES = {
    "p0": ("F", {"b": Join("C"), "g": Join("G", "b"), "s": Join("C"), "m": Join("F"), "p": Join("P")}),
    "p1": ("C", {"g": Join("G")}),
}
FIELDS = {"p0": {"": 1, "b": 2, "s": 3, "m": 4, "p": 5, "g": 6}, "p1": {"": 1, "g": 2}}
COLUMNS = {("p0", "b"): 0, ("p0", "s"): 1, ("p0", "m"): 2, ("p0", "p"): 3, ("p0", "g"): 0, ("p1", "g"): 0}
LETTERS = [f"{letter}@" for letter in "abcdefgh"]
CANNOT_BE_STAGED = 8
Row = tuple[Any, tuple[Any, ...]]


def shape_of(pipeline: str, deletes: Deletes) -> Shape:
    fact, joins = SHAPES[pipeline]
    return Shape(fact, joins, deletes)


def norm(value: Any) -> str:
    """The order and equality of the source."""
    return value.lower().rstrip(" ") if isinstance(value, str) else f"{value:03d}"


class State(NamedTuple):
    """What a snapshot shows: rows by the source's form of their key, generations, the server."""

    tables: dict[str, dict[str, Row]]
    generations: dict[str, int]
    server: int


class Change(NamedTuple):
    table: str
    key: Any
    old: Any


def evaluate(pipeline: str, tables: dict[str, dict[str, Row]], key: str) -> tuple[Any, ...] | None:
    """The SELECT: outputs of one row, or None if an inner join or `where` does not admit it."""
    spelled, row = tables[SHAPES[pipeline][0]][key]

    def get(table: str, ref: Any) -> Any:
        return tables[table][norm(ref)][1] if ref is not None and norm(ref) in tables[table] else None

    if pipeline == "p1":
        g = get("G", row[0])
        return (spelled, row[1], g and g[0])
    b, s, m, p, value, status = row
    cb, cs, mm, pp = get("C", b), get("C", s), get("F", m), get("P", p)
    g = get("G", cb[0]) if cb else None
    if not pp or not pp[1] or status == 0:
        return None
    return (spelled, value, cb and cb[1], cs and cs[1], mm and mm[4], pp[0], g and g[0])


class Source:
    """The database, its binlog, and what the tests know about it."""

    def __init__(self, rng: random.Random, visible_after_s: float) -> None:
        self.rng, self.visible_after_s, self.now = rng, visible_after_s, 0.0
        self.live: dict[str, dict[str, Row]] = {t: {} for t in "FCGP"}
        self.generations = dict.fromkeys("FCGP", 0)
        self.server = 0
        self.visible = self._state()
        self.history: list[tuple[float, State]] = [(0.0, self.visible)]
        self.flight: list[tuple[float, set[tuple[str, str]], State]] = []
        self.binlog: list[tuple[float, Change]] = []
        self.deleted: dict[str, set[Any]] = defaultdict(set)
        self.last_rows: dict[tuple[str, str], Row] = {}
        self.last_visible = 0.0
        self.moves_are_split = rng.random() < 0.5
        self.replica_until = 0.0
        self.replica_read = 0
        self.wrong: list[str] = []
        self.slow = 0

    # ---- the owner's side

    def _state(self) -> State:
        return State({t: dict(rows) for t, rows in self.live.items()}, dict(self.generations), self.server)

    def _new_row(self, table: str) -> tuple[Any, ...]:
        choice, number = self.rng.choice, self.rng.randrange
        customer = (None, 0, 1, 2, 3)
        if table == "F":
            return (choice(customer), choice(customer), choice((None, "B@", *LETTERS)), number(4), number(9), number(4))
        if table == "C":
            return (choice((None, 0, 1, 2)), number(99))
        return (number(99),) if table == "G" else (number(99), self.rng.random() < 0.7)

    def _change(self, changes: list[Change], *, logged: bool) -> None:
        rng = self.rng
        table = rng.choices("FCGP", (6, 4, 2, 2))[0]
        rows = self.live[table]
        key: Any = rng.choice(LETTERS) if table == "F" else rng.randrange(4)
        if table == "F" and rng.random() < 0.5:
            key = rng.choice((key.upper(), key + " ", key))
        form, dice = norm(key), rng.random()
        if form in rows and dice < 0.2:
            gone, _ = self.last_rows[table, form] = rows.pop(form)
            self.deleted[table].add(gone)
            changes.append(Change(table, gone, None))
        elif form in rows and dice < 0.4 and table in "FC":
            old, was = rows[form]
            other = rng.choice(LETTERS) if table == "F" else rng.randrange(4)
            new = rng.choice((old.swapcase() if table == "F" else old, other))
            if new == old or (norm(new) in rows and norm(new) != form):
                return
            del rows[form]
            rows[norm(new)] = (new, was)
            if not logged:
                self.deleted[table].add(old)
            if self.moves_are_split and norm(new) != form:
                self.deleted[table].add(old)
                changes += [Change(table, old, None), Change(table, new, None)]
            else:
                changes.append(Change(table, new, old))
        else:
            spelled = rows[form][0] if form in rows else key
            back = self.last_rows.get((table, form)) if form not in rows and rng.random() < 0.5 else None
            spelled, row = back or (spelled, self._new_row(table))
            rows[form] = (spelled, row)
            changes.append(Change(table, spelled, None))

    def transact(self, *, logged: bool = True) -> None:
        """1-3 changes in one transaction; often it is in the binlog before it is visible."""
        changes: list[Change] = []
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            self._change(changes, logged=logged)
        if changes:
            self._publish(changes, logged=logged)

    def _publish(self, changes: Iterable[Change], *, logged: bool) -> None:
        late = logged and self.rng.random() < 0.3
        at = max(self.last_visible, self.now + (self.rng.random() * self.visible_after_s if late else 0.001))
        self.last_visible = at
        locks = {(c.table, norm(key)) for c in changes for key in (c.key, c.old) if key is not None}
        self.flight.append((at, locks, self._state()))
        if logged:
            self.binlog += [(self.now, change) for change in changes]

    def change_unseen(self, kind: str) -> None:
        """TRUNCATE, a table swapped by rename, a server that took over without the tail: no records, another generation."""
        if kind == "failover":
            self.server += 1
            for _ in range(2):
                self._change([], logged=False)
        else:
            table = self.rng.choice("FFCGP")
            self.generations[table] += 1
            for form in list(self.live[table]):
                if kind == "truncate" or self.rng.random() < 0.4:
                    self.deleted[table].add(self.live[table].pop(form)[0])
                elif self.rng.random() < 0.5:
                    self.live[table][form] = (self.live[table][form][0], self._new_row(table))
        self._publish([], logged=False)

    def advance(self, now: float) -> None:
        self.now = now
        while self.flight and self.flight[0][0] <= now:
            at, _, self.visible = self.flight.pop(0)
            self.history.append((at, self.visible))

    # ---- statements of the job

    def check(self, limits: Limits) -> None:
        """Every statement keeps to its limits, or it can stop the application."""
        if limits.statement_s is None or limits.statement_s > 2 or limits.lock_wait_s > 1:
            self.wrong.append("a statement without a time limit")
        if not limits.buffered:
            self.wrong.append("an open cursor")

    def view(self) -> tuple[State, tuple[str, bool]]:
        """The snapshot of one statement, and who answered: sometimes a proxy gives it to a replica that lags."""
        if self.now < self.replica_until and self.rng.random() < 0.3:
            self.replica_read += 1
            limit = max(0.0, self.now - 3 * self.rng.random())
            return next(state for at, state in reversed(self.history) if at <= limit), ("replica", True)
        return self.visible, (f"server {self.visible.server}", False)

    def look(self) -> tuple[Sight, tuple[str, bool]]:
        """A question about the server itself; a proxy that splits reads gives it to the writer."""
        sight = self.sight()
        return sight, (sight.server, sight.read_only)

    def sight(self) -> Sight:
        """What the writer looks like now."""
        generations = tuple((table, str(number)) for table, number in sorted(self.visible.generations.items()))
        return Sight(f"server {self.visible.server}", False, generations)

    def is_locked(self, table: str, key: Key) -> bool:
        return any((table, norm(key[0])) in locks for _, locks, _ in self.flight)

    def free(self, table: str, keys: Sequence[Key]) -> frozenset[Key]:
        """FOR SHARE SKIP LOCKED: rows that are there and held by nobody, as they are spelled."""
        rows = self.visible.tables[table]
        found = (norm(key[0]) for key in keys if not self.is_locked(table, key))
        return frozenset((rows[form][0],) for form in found if form in rows)

    @staticmethod
    def referring(pipeline: str, alias: str, state: State, keys: Sequence[Key], after: Key | None) -> list[Key]:
        joins = SHAPES[pipeline][1]
        referrer = joins[alias].referrer
        table = joins[referrer].table if referrer else SHAPES[pipeline][0]
        wanted, column = {norm(key[0]) for key in keys}, COLUMNS[pipeline, alias]
        rows = state.tables[table]
        start = "" if after is None else norm(after[0])
        return [
            (rows[form][0],)
            for form in sorted(rows)
            if form > start and (ref := rows[form][1][column]) is not None and norm(ref) in wanted
        ]

    @staticmethod
    def keys_after(table: str, state: State, after: Key | None) -> list[Key]:
        rows = state.tables[table]
        start = "" if after is None else norm(after[0])
        return [(rows[form][0],) for form in sorted(rows) if form > start]
