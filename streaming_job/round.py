"""One round of one pipeline, in its order: look, requests, probe, walks, rows, commit. Each question is asked after what it
needs.

The round is a generator: it gives questions and is sent answers, so its order is decided here and carried out elsewhere. The
pages were read before. An error thrown into it leaves everything as it was.

Reads:  what the warehouse remembers, the keys that changed, requests; answers of the world.
Gives:  the commit, or none.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from freshet.errors import EnvironmentFault
from freshet.ledger.commit import Commit, Remembered, is_needed, pending_changes
from freshet.ledger.keys import Key
from freshet.ledger.pending import Entry, What, enter, enter_sweep, key_entry
from freshet.ledger.positions import Positions, advanced
from streaming_job import generations, pending, rows
from streaming_job.changed_keys import ChangedKeys, Shape
from streaming_job.pending import Quota, Taken
from streaming_job.probe import Held, held_again, probe
from streaming_job.questions import Answer, Asked, Look, Question, Rows, Sight, StagedRows


@dataclass(frozen=True)
class Given:
    """What a round begins with.

    Attributes:
        shape: The pipeline.
        remembered: What the last commit left.
        changed: Keys that changed since, read up to `through`.
        through: How far the one reader had read when `changed` was taken.
        commit_id: Random, new.
        now: Seconds.
        turn: Number of the round.
        allowed: Rows that the rate limiter grants to pending.
        requests: Requests found, each a list of entries.
        held: Back-off of held keys, by the id of their entry.
        quota: What the round carries.
    """

    shape: Shape
    remembered: Remembered
    changed: ChangedKeys
    through: Positions
    commit_id: str
    now: float
    turn: int
    allowed: int
    requests: Sequence[Sequence[Entry]] = ()
    held: Mapping[str, Held] = field(default_factory=dict)
    quota: Quota = field(default_factory=Quota)


@dataclass(frozen=True)
class Round:
    """What a round decided.

    Attributes:
        commit: What to commit; None when nothing is to be said.
        held: Back-off of the keys that are held now, by the id of their entry.
        taken_rows: Rows that pending asked of the source.
    """

    commit: Commit | None
    held: dict[str, Held]
    taken_rows: int


@dataclass
class _Work:
    """Pending as the round changes it, and the keys that it looks at."""

    given: Given
    entries: dict[str, Entry]
    held: dict[str, Held]
    fresh: dict[Key, bool] = field(default_factory=dict)
    due: dict[Key, Entry] = field(default_factory=dict)
    rows: dict[tuple[str, Key], Entry | None] = field(default_factory=dict)
    still_held: set[Key] = field(default_factory=set)


def one_round(given: Given) -> Generator[Question, Answer, Round]:
    """Decide one round.

    Raises:
        EnvironmentFault: Another server than the one looked at, or a read-only one, answered a question: nothing may be
        written.
    """
    steps = _steps(given)
    question = next(steps)
    server = ""
    while True:
        answer = yield question
        if isinstance(answer.value, Sight):
            server = answer.value.server
        if not rows.are_of_one_writer(server, answer.servers):
            raise EnvironmentFault(
                "a read-only server, or another one than at the start of the round, answered for the source; nothing was "
                "written. Let source.yaml name the writer itself, not a reader endpoint or a proxy that splits reads"
            )
        try:
            question = steps.send(answer.value)
        except StopIteration as ended:
            decided: Round = ended.value
            return decided


def _steps(given: Given) -> Generator[Question, Any, Round]:
    sight: Sight = yield Look()
    work = _begin(given, sight)
    budget = _choose(work)
    yield from _probe(work)
    _owe(work)
    left = budget - len(work.due)
    taken: Taken = yield from pending.take(given.shape, work.entries, left, given.quota, given.turn)
    staged = yield from _read(given, _to_read(work, taken))
    commit = _commit(work, sight, staged, taken)
    return Round(commit if is_needed(commit, given.remembered) else None, work.held, taken.rows + len(work.due))


def _begin(given: Given, sight: Sight) -> _Work:
    """Owe what requests ask for, and sweeps."""
    entries = dict(given.remembered.pending)
    for request in given.requests:
        for entry in request:
            enter(entries, replace(entry, since=given.now))
    if generations.sweep_is_owed(given.remembered.seen, generations.as_seen(sight)):
        enter_sweep(entries, given.now)
    if given.changed.overflowed:
        enter_sweep(entries, given.now)
    # What is held has an entry, unless the commit of that failed: then the key is fresh again.
    return _Work(given, entries, {name: held for name, held in given.held.items() if name in entries})


def _choose(work: _Work) -> int:
    """Choose the keys of this round, fresh ones first, and give how many rows pending may take."""
    given = work.given
    work.fresh, later = pending.fresh_now(given.changed.facts, given.quota.rows_max)
    pending.owe_later(work.entries, later, given.now)
    budget = pending.pending_rows(len(work.fresh), given.quota.rows_max, given.allowed)
    for entry in pending.due_keys(work.entries, work.held, given.now, budget):
        if entry.key is not None:
            work.due[entry.key] = entry
    work.rows = dict.fromkeys(given.changed.rows)
    for entry in pending.due_rows(work.entries, work.held, given.now):
        if entry.key is not None:
            work.rows[entry.name, entry.key] = entry if (entry.name, entry.key) not in work.rows else None
    return budget


def _probe(work: _Work) -> Generator[Question, Any, None]:
    """Keep held keys pending; let go of pending keys that nobody holds any more."""
    given = work.given
    tables: dict[str, set[Key]] = {given.shape.fact: {*work.fresh, *work.due}}
    for table, key in work.rows:
        tables.setdefault(table, set()).add(key)
    held = yield from probe(_asked(tables))
    of_fact, pending_keys = held.get(given.shape.fact, set()), _pending_keys(work)
    for key in {*work.fresh, *work.due}:
        if key in of_fact:
            _keep_fact(work, key)
        elif key in pending_keys:
            _settle_fact(work, key, pending_keys[key])
    for table, key in work.rows:
        entry = Entry(What.ROW, table, key, since=given.now)
        if key in held.get(table, ()):
            keep_held(work.entries, entry)
            work.held[entry.id] = held_again(work.held.get(entry.id), given.now)
        else:
            work.entries.pop(entry.id, None)
            work.held.pop(entry.id, None)


def _asked(tables: Mapping[str, set[Key]]) -> dict[str, Collection[Key]]:
    return {table: keys for table, keys in tables.items() if keys}


def _pending_keys(work: _Work) -> dict[Key, Entry]:
    """Give the pending keys of the fact. Most keys of a round are none, and the id of an entry costs more than all else here."""
    return {entry.key: entry for entry in work.entries.values() if entry.what is What.KEY and entry.key is not None}


def _keep_fact(work: _Work, key: Key) -> None:
    entry = work.due.get(key)
    moved = work.fresh.get(key, False) or bool(entry and entry.moved)
    owed = key_entry(key, moved=moved, since=work.given.now, forced=bool(entry and entry.forced))
    keep_held(work.entries, owed)
    if owed.id in work.held and key not in work.fresh:
        work.still_held.add(key)
    work.held[owed.id] = held_again(work.held.get(owed.id), work.given.now)


def _settle_fact(work: _Work, key: Key, entry: Entry) -> None:
    """Let go of a pending key. One that a fresh record names, and that was not due, is read now with all that its entry knows."""
    del work.entries[entry.id]
    work.due.setdefault(key, entry)
    work.held.pop(entry.id, None)


def keep_held(entries: dict[str, Entry], entry: Entry) -> None:
    """Keep a held key pending, so that it is read again once its transaction has ended."""
    enter(entries, entry)


def _owe(work: _Work) -> None:
    """Owe the walks of changed rows. A row that was pending and is still held was walked from when its record came."""
    for (table, key), entry in work.rows.items():
        if entry is not None and entry.id in work.entries and entry.id in work.given.held:
            continue
        pending.owe_walks(work.given.shape, work.entries, table, key, work.given.now)


def _to_read(work: _Work, taken: Taken) -> dict[Key, Asked]:
    """Give each key of the fact that is read, once. A key that was found held before, and still is, waits."""
    keys, pending_keys = dict[Key, Asked](), _pending_keys(work)
    for key in {*work.fresh, *work.due, *taken.facts} - (work.still_held - taken.facts):
        entry = work.due.get(key) or pending_keys.get(key)
        moved = work.fresh.get(key, False) or bool(entry and entry.moved)
        keys[key] = Asked(key, moved, bool(entry and entry.forced))
    return keys


def _read(given: Given, keys: Mapping[Key, Asked]) -> Generator[Question, Any, StagedRows]:
    if not keys:
        return StagedRows((), 0)
    staged: StagedRows = yield Rows(rows.tasks(keys, given.quota.tasks))
    return staged


def _commit(work: _Work, sight: Sight, staged: StagedRows, taken: Taken) -> Commit:
    given = work.given
    put, drop = pending_changes(given.remembered.pending, work.entries)
    return Commit(
        id=given.commit_id,
        follows=given.remembered.head,
        positions=advanced(given.remembered.positions, given.through),
        seen=generations.as_seen(sight),
        put=put,
        drop=drop,
        staged=staged.staged,
        staged_rows=staged.rows,
        slices=tuple(taken.slices),
    )
