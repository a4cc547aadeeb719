"""Decisions made wrongly; `tests.model.mutants` puts them into the place of the right ones."""

import base64
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from freshet.errors import EnvironmentFault
from freshet.ledger import effect, keys, positions
from freshet.ledger import pending as entries_module
from freshet.ledger.commit import Commit, Outcome, Seen
from freshet.ledger.effect import Action, TargetRow
from freshet.ledger.pending import Entries, Entry, What
from freshet.ledger.positions import END, Kind, Position, Positions
from streaming_job import changed_keys, pending, questions, rows
from streaming_job import round as rounds
from streaming_job.changed_keys import ChangedKeys, Shape
from streaming_job.questions import Asked, Look, Sight, StagedRows
from tests.model import source

# ---- V1, V2: the probe


def no_probe(tables: Any) -> Generator[Any, Any, dict[str, set[Any]]]:
    yield from ()
    return {}


def probe_after(given: Any) -> Generator[Any, Any, Any]:
    sight: Sight = yield Look()
    work = rounds._begin(given, sight)
    budget = rounds._choose(work)
    rounds._owe(work)
    taken = yield from pending.take(given.shape, work.entries, budget, given.quota, given.turn)
    staged = yield from rounds._read(given, rounds._to_read(work, taken))
    yield from rounds._probe(work)
    commit = rounds._commit(work, sight, staged, taken)
    return rounds.Round(commit, work.held, taken.rows)


def key_entry_forgets_moved(key: Any, *, moved: bool, since: float, forced: bool = False) -> Entry:
    return entries_module.key_entry(key, moved=False, since=since, forced=forced)


def not_halved(table: str, asked: Any) -> Generator[Any, Any, set[Any]]:
    held = yield questions.NoWait(table, tuple(asked), questions.limits())
    return set(asked) if held else set()


# ---- V3: walks and passes

_enter, _after_slice, _coalesce = entries_module.enter, entries_module.after_slice, entries_module.coalesce
_aliases, _referring = Shape.aliases, source.Source.referring


def enter_without_again(entries: Entries, entry: Entry) -> None:
    if entry.id not in entries:
        entries[entry.id] = entry


def enter_restarts(entries: Entries, entry: Entry) -> None:
    entries[entry.id] = replace(entries.get(entry.id, entry), cursor=None)


def after_slice_forgets(entry: Entry, found: Any, *, is_last: bool) -> Entry | None:
    return _after_slice(replace(entry, again=False), found, is_last=is_last)


def coalesce_forgets(entries: Entries, keys_max: int) -> None:
    running = entries.get(Entry(What.FACTS).id)
    _coalesce(entries, keys_max)
    if running is not None:
        entries[running.id] = running


def first_alias(shape: Shape, table: str) -> tuple[str, ...]:
    return _aliases(shape, table)[:1]


def fact_is_no_dimension(shape: Shape, table: str) -> tuple[str, ...]:
    return () if table == shape.fact else _aliases(shape, table)


def no_hop(shape: Shape, table: str) -> tuple[str, ...]:
    return tuple(alias for alias in _aliases(shape, table) if not shape.joins[alias].referrer)


def walk_through_row(name: str, alias: str, state: Any, asked: Any, after: Any) -> Any:
    there = state.tables[source.SHAPES[name][1][alias].table]
    return _referring(name, alias, state, [key for key in asked if source.norm(key[0]) in there], after)


def loses_later(entries: Entries, facts: Any, since: float) -> None:
    return


# ---- V4, V5: positions, the chain


def closed_is_read(position: Position, last: Any, *, closed: bool, has_next: bool) -> Position:
    return END if closed else positions.after_page(position, last, closed=closed, has_next=has_next)


def greatest(pipelines: Iterable[Positions]) -> dict[str, Position]:
    result: dict[str, Position] = {}
    for stands in pipelines:
        result = positions.advanced(result, stands)
    return result


def group_positions(shards: Iterable[str], now: float, looks_back_s: float = 0.0) -> dict[str, Position]:
    return {shard: Position(Kind.AT, at=now) for shard in shards}


def no_answer_is_success(commit: Commit, *, finished: bool, head: str, found: bool) -> Outcome:
    return Outcome.COMMITTED


# ---- V6, V7: reading


def two_statements(shape: Shape, asked: Any) -> tuple[rows.RowStatement, ...]:
    (whole,) = rows_statements(shape, asked)
    return (whole._replace(aliases=("",)), whole._replace(aliases=tuple(shape.joins)))


rows_statements, rows_tasks, rows_action = rows.statements, rows.tasks, rows.action


def rows_alone_are_checked(given: Any) -> Generator[Any, Any, Any]:
    steps = rounds._steps(given)
    question, server = next(steps), ""
    while True:
        answer = yield question
        if isinstance(answer.value, Sight):
            server = answer.value.server
        if isinstance(answer.value, StagedRows) and not rows.are_of_one_writer(server, answer.servers):
            raise EnvironmentFault("replica")
        try:
            question = steps.send(answer.value)
        except StopIteration as ended:
            return ended.value


def key_in_two_tasks(asked: Mapping[Any, Asked], count: int) -> tuple[tuple[Asked, ...], ...]:
    shared = rows_tasks(asked, count)
    return shared if len(shared) < 2 else (shared[0], (shared[0][-1], *shared[1]), *shared[2:])


def as_it_is(key: Any) -> Any:
    return key


# ---- V8: what no record tells


def range_delete(target: Any, commit: Commit) -> tuple[TargetRow, ...]:
    after = _target_after(target, commit)
    staged = {keys.as_warehouse(row.key) for row in commit.staged}
    for part in commit.slices:
        if part.what is What.FACTS and part.keys:
            low, high = part.after, part.keys[-1]
            between = [r.key for r in after if (low is None or low < r.key) and r.key <= high]
            after = tuple(r for r in after if r.key not in between or keys.as_warehouse(r.key) in staged)
    return after


def tables_unseen(sight: Sight) -> Seen:
    return Seen(sight.server, ())


def server_unseen(sight: Sight) -> Seen:
    return Seen("", tuple(sorted(sight.tables)))


# ---- I1: what becomes of a key

_target_after, _is_dropped = effect.target_after, effect.is_dropped


def encoded_in_clear(key: Any) -> str:
    return json.dumps(json.loads(base64.b64decode(keys.encoded(key))))


def decoded_in_clear(text: str) -> Any:
    return keys.decoded(base64.b64encode(text.encode()).decode())


def no_old_key(record: changed_keys.Record) -> Iterator[tuple[Any, bool]]:
    if record.key is not None:
        yield record.key, False


def insert_only(target: Any, commit: Commit) -> tuple[TargetRow, ...]:
    written = (row for row in commit.staged if row.action is Action.WRITE)
    return (*target, *(TargetRow(row.key, row.values, row.hash) for row in written))


def moved_is_deleted(asked: Asked, deletes: changed_keys.Deletes, **found: bool) -> Action:
    return rows_action(asked._replace(moved=False), deletes, **found)


def quarantine_deletes(target: Any, commit: Commit) -> tuple[TargetRow, ...]:
    held = {keys.as_warehouse(row.key) for row in commit.staged if row.action is Action.QUARANTINE}
    return tuple(row for row in _target_after(target, commit) if keys.as_warehouse(row.key) not in held)


def hash_keeps_mark(row: effect.Staged, there: TargetRow | None) -> bool:
    return _is_dropped(row, there and there._replace(marked=False))


def hash_beats_repair(row: effect.Staged, there: TargetRow | None) -> bool:
    return _is_dropped(row._replace(forced=False), there)


# ---- several pipelines, requests, caps


def forgets_moved(changed: ChangedKeys, held_facts: Iterable[Any], held_rows: Iterable[Any]) -> ChangedKeys:
    held = set(held_facts)
    kept = {key: moved for key, moved in changed.facts.items() if key in held}
    return ChangedKeys(kept, dict.fromkeys(held_rows), overflowed=True)


def forgets_held(changed: ChangedKeys, held_facts: Iterable[Any], held_rows: Iterable[Any]) -> ChangedKeys:
    return ChangedKeys({key: True for key, moved in changed.facts.items() if moved}, {}, overflowed=True)


_forget_free = changed_keys.forget_free


def forgets_sweep(changed: ChangedKeys, held_facts: Iterable[Any], held_rows: Iterable[Any]) -> ChangedKeys:
    return replace(_forget_free(changed, held_facts, held_rows), overflowed=False)
