"""Each way in which the decisions could be wrong, as a patch of them, and which run of the model or test kills it.

The table of `docs/promises.md` is generated from here.
"""

import base64
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from freshet.errors import EnvironmentFault
from freshet.ledger import commit as commits
from freshet.ledger import effect, keys, positions, requests
from freshet.ledger import pending as entries_module
from freshet.ledger.commit import Commit, Outcome, Seen
from freshet.ledger.effect import Action, TargetRow
from freshet.ledger.pending import Entries, Entry, What
from freshet.ledger.positions import END, Kind, Position, Positions
from streaming_job import changed_keys, generations, group, pending, probe, questions, rate_limiter, rows
from streaming_job import round as rounds
from streaming_job.changed_keys import ChangedKeys, Shape
from streaming_job.questions import Asked, Limits, Look, Sight, StagedRows
from tests.model import source, stream
from tests.model.simulation import COALESCE_NEVER, Settings

Patch = tuple[Any, str, Any]
ANY = Settings()


@dataclass(frozen=True)
class Mutant:
    """One mutant.

    Attributes:
        rule: The invariant that it breaks.
        breaks: What it does wrong.
        patches: (owner, name, replacement) of decisions.
        settings: What its runs are like.
        directed: Name of a test of `test_decisions.py` that kills it; None if runs of the model do.
    """

    rule: str
    breaks: str
    patches: tuple[Patch, ...]
    settings: Settings = ANY
    directed: str | None = None


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Run with a mutant's decisions."""
    running = [mock.patch.object(owner, name, new) for owner, name, new in mutant.patches]
    for patch in running:
        patch.start()
    try:
        yield
    finally:
        for patch in reversed(running):
            patch.stop()


def _everywhere(new: Callable[..., Any], name: str, *owners: Any) -> tuple[Patch, ...]:
    return tuple((owner, name, new) for owner in owners)


# A sweep comes by whatever a walk missed, so it hides some mutants.
NO_SWEEP_HELPS = Settings(
    coalesce_over=COALESCE_NEVER, keys_max=COALESCE_NEVER, unseen=0, silent=0, outages=0, replicas=0
)
SMALL_MEMORY = replace(NO_SWEEP_HELPS, keys_max=4, outages=6)
UNSEEN = replace(NO_SWEEP_HELPS, unseen=2)
FAILOVER = replace(UNSEEN, unseen_kinds=("failover",))
REPLICAS = replace(NO_SWEEP_HELPS, replicas=6)
SILENT = replace(NO_SWEEP_HELPS, silent=3)

# ---- V1, V2: the probe


def _no_probe(tables: Any) -> Generator[Any, Any, dict[str, set[Any]]]:
    yield from ()
    return {}


def _probe_after(given: Any) -> Generator[Any, Any, Any]:
    sight: Sight = yield Look()
    work = rounds._begin(given, sight)
    budget = rounds._choose(work)
    rounds._owe(work)
    taken = yield from pending.take(given.shape, work.entries, budget, given.quota, given.turn)
    staged = yield from rounds._read(given, rounds._to_read(work, taken))
    yield from rounds._probe(work)
    commit = rounds._commit(work, sight, staged, taken)
    return rounds.Round(commit, work.held, taken.rows)


def _key_entry_forgets_moved(key: Any, *, moved: bool, since: float, forced: bool = False) -> Entry:
    return entries_module.key_entry(key, moved=False, since=since, forced=forced)


def _not_halved(table: str, asked: Any) -> Generator[Any, Any, set[Any]]:
    held = yield questions.NoWait(table, tuple(asked), questions.limits())
    return set(asked) if held else set()


# ---- V3: walks and passes

_enter, _after_slice, _coalesce = entries_module.enter, entries_module.after_slice, entries_module.coalesce
_aliases, _referring = Shape.aliases, source.Source.referring


def _enter_without_again(entries: Entries, entry: Entry) -> None:
    if entry.id not in entries:
        entries[entry.id] = entry


def _enter_restarts(entries: Entries, entry: Entry) -> None:
    entries[entry.id] = replace(entries.get(entry.id, entry), cursor=None)


def _after_slice_forgets(entry: Entry, found: Any, *, is_last: bool) -> Entry | None:
    return _after_slice(replace(entry, again=False), found, is_last=is_last)


def _coalesce_forgets(entries: Entries, keys_max: int) -> None:
    running = entries.get(Entry(What.FACTS).id)
    _coalesce(entries, keys_max)
    if running is not None:
        entries[running.id] = running


def _first_alias(shape: Shape, table: str) -> tuple[str, ...]:
    return _aliases(shape, table)[:1]


def _fact_is_no_dimension(shape: Shape, table: str) -> tuple[str, ...]:
    return () if table == shape.fact else _aliases(shape, table)


def _no_hop(shape: Shape, table: str) -> tuple[str, ...]:
    return tuple(alias for alias in _aliases(shape, table) if not shape.joins[alias].referrer)


def _walk_through_row(name: str, alias: str, state: Any, asked: Any, after: Any) -> Any:
    there = state.tables[source.SHAPES[name][1][alias].table]
    return _referring(name, alias, state, [key for key in asked if source.norm(key[0]) in there], after)


def _loses_later(entries: Entries, facts: Any, since: float) -> None:
    return


# ---- V4, V5: positions, the chain


def _closed_is_read(position: Position, last: Any, *, closed: bool, has_next: bool) -> Position:
    return END if closed else positions.after_page(position, last, closed=closed, has_next=has_next)


def _greatest(pipelines: Iterable[Positions]) -> dict[str, Position]:
    result: dict[str, Position] = {}
    for stands in pipelines:
        result = positions.advanced(result, stands)
    return result


def _group_positions(shards: Iterable[str], now: float, looks_back_s: float = 0.0) -> dict[str, Position]:
    return {shard: Position(Kind.AT, at=now) for shard in shards}


def _no_answer_is_success(commit: Commit, *, finished: bool, head: str, found: bool) -> Outcome:
    return Outcome.COMMITTED


# ---- V6, V7: reading


def _two_statements(shape: Shape, asked: Any) -> tuple[rows.RowStatement, ...]:
    (whole,) = rows_statements(shape, asked)
    return (whole._replace(aliases=("",)), whole._replace(aliases=tuple(shape.joins)))


rows_statements, rows_tasks, rows_action = rows.statements, rows.tasks, rows.action


def _rows_alone_are_checked(given: Any) -> Generator[Any, Any, Any]:
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


def _key_in_two_tasks(asked: Mapping[Any, Asked], count: int) -> tuple[tuple[Asked, ...], ...]:
    shared = rows_tasks(asked, count)
    return shared if len(shared) < 2 else (shared[0], (shared[0][-1], *shared[1]), *shared[2:])


def _as_it_is(key: Any) -> Any:
    return key


# ---- V8: what no record tells


def _range_delete(target: Any, commit: Commit) -> tuple[TargetRow, ...]:
    after = _target_after(target, commit)
    staged = {keys.as_warehouse(row.key) for row in commit.staged}
    for part in commit.slices:
        if part.what is What.FACTS and part.keys:
            low, high = part.after, part.keys[-1]
            between = [r.key for r in after if (low is None or low < r.key) and r.key <= high]
            after = tuple(r for r in after if r.key not in between or keys.as_warehouse(r.key) in staged)
    return after


def _tables_unseen(sight: Sight) -> Seen:
    return Seen(sight.server, ())


def _server_unseen(sight: Sight) -> Seen:
    return Seen("", tuple(sorted(sight.tables)))


# ---- I1: what becomes of a key

_target_after, _is_dropped = effect.target_after, effect.is_dropped


def _encoded_in_clear(key: Any) -> str:
    return json.dumps(json.loads(base64.b64decode(keys.encoded(key))))


def _decoded_in_clear(text: str) -> Any:
    return keys.decoded(base64.b64encode(text.encode()).decode())


def _no_old_key(record: changed_keys.Record) -> Iterator[tuple[Any, bool]]:
    if record.key is not None:
        yield record.key, False


def _insert_only(target: Any, commit: Commit) -> tuple[TargetRow, ...]:
    written = (row for row in commit.staged if row.action is Action.WRITE)
    return (*target, *(TargetRow(row.key, row.values, row.hash) for row in written))


def _moved_is_deleted(asked: Asked, deletes: changed_keys.Deletes, **found: bool) -> Action:
    return rows_action(asked._replace(moved=False), deletes, **found)


def _quarantine_deletes(target: Any, commit: Commit) -> tuple[TargetRow, ...]:
    held = {keys.as_warehouse(row.key) for row in commit.staged if row.action is Action.QUARANTINE}
    return tuple(row for row in _target_after(target, commit) if keys.as_warehouse(row.key) not in held)


def _hash_keeps_mark(row: effect.Staged, there: TargetRow | None) -> bool:
    return _is_dropped(row, there and there._replace(marked=False))


def _hash_beats_repair(row: effect.Staged, there: TargetRow | None) -> bool:
    return _is_dropped(row._replace(forced=False), there)


# ---- several pipelines, requests, caps


def _forgets_moved(changed: ChangedKeys, held_facts: Iterable[Any], held_rows: Iterable[Any]) -> ChangedKeys:
    held = set(held_facts)
    kept = {key: moved for key, moved in changed.facts.items() if key in held}
    return ChangedKeys(kept, dict.fromkeys(held_rows), overflowed=True)


def _forgets_held(changed: ChangedKeys, held_facts: Iterable[Any], held_rows: Iterable[Any]) -> ChangedKeys:
    return ChangedKeys({key: True for key, moved in changed.facts.items() if moved}, {}, overflowed=True)


_forget_free = changed_keys.forget_free


def _forgets_sweep(changed: ChangedKeys, held_facts: Iterable[Any], held_rows: Iterable[Any]) -> ChangedKeys:
    return replace(_forget_free(changed, held_facts, held_rows), overflowed=False)


MUTANTS: dict[str, Mutant] = {
    "read_first": Mutant(
        "V1",
        "rows are read in a transaction that was opened before the pages were read",
        ((questions, "limits", lambda: Limits(autocommit=False)),),
    ),
    "probe_after": Mutant("V1", "rows are read, then keys are probed", ((rounds, "_steps", _probe_after),)),
    "no_probe": Mutant(
        "V1", "a key is read while its change is logged and not yet visible", ((rounds, "probe", _no_probe),)
    ),
    "forget_held": Mutant(
        "V2", "a held key is read once and not again", ((rounds, "keep_held", lambda _entries, _entry: None),)
    ),
    "forget_moved": Mutant(
        "V2",
        "a key that waits in pending forgets that its row moved away",
        ((rounds, "key_entry", _key_entry_forgets_moved), (pending, "key_entry", _key_entry_forgets_moved)),
    ),
    "nowait_whole": Mutant(
        "V2",
        "all keys of a NOWAIT that failed are taken for held",
        ((probe, "_halved", _not_halved),),
        directed="test_a_gone_key_is_not_taken_for_held",
    ),
    "no_again": Mutant(
        "V3",
        "a change in mid-pass asks for no further pass",
        _everywhere(_enter_without_again, "enter", entries_module, pending, rounds),
    ),
    "again_forgotten": Mutant(
        "V3",
        "the end of a pass ends its entry, whatever came meanwhile",
        ((pending, "after_slice", _after_slice_forgets),),
    ),
    "restart": Mutant(
        "V3",
        "a change in mid-pass starts the pass again, so that of a row that changes all the time it never ends",
        _everywhere(_enter_restarts, "enter", entries_module, pending, rounds),
        directed="test_a_pass_ends_though_its_row_changes_every_round",
    ),
    "coalesce_lost": Mutant(
        "V3",
        "keys that become a sweep do not prolong the one that runs",
        ((pending, "coalesce", _coalesce_forgets),),
        Settings(coalesce_over=1),
    ),
    "alias_once": Mutant(
        "V3",
        "a table joined under two aliases is walked through one",
        ((Shape, "aliases", _first_alias),),
        NO_SWEEP_HELPS,
    ),
    "self_not_dim": Mutant(
        "V3",
        "the row of a self-joined fact is not looked at as a dimension",
        ((Shape, "aliases", _fact_is_no_dimension),),
        NO_SWEEP_HELPS,
    ),
    "no_hop": Mutant(
        "V3", "a table that is joined behind another is not walked", ((Shape, "aliases", _no_hop),), NO_SWEEP_HELPS
    ),
    "walk_through_row": Mutant(
        "V3",
        "the walk's statement joins the changed row, which may be gone",
        ((source.Source, "referring", staticmethod(_walk_through_row)),),
        NO_SWEEP_HELPS,
    ),
    "fresh_lost": Mutant(
        "V3", "fresh facts that a round does not carry are not owed", ((pending, "owe_later", _loses_later),)
    ),
    "skip_tail": Mutant(
        "V4", "a closed shard is taken for a shard that was read to its end", ((stream, "after_page", _closed_is_read),)
    ),
    "through_of_other_pipeline": Mutant(
        "V4", "the reader starts where another pipeline stands", ((positions, "least", _greatest),)
    ),
    "group_positions": Mutant(
        "V4",
        "a new pipeline starts at the tip of the stream, where changes may be logged and not yet visible",
        ((commits, "of_new_pipeline", _group_positions),),
        replace(NO_SWEEP_HELPS, second_joins_late=True, visible_after_s=20.0),
    ),
    "no_head_check": Mutant("V5", "a commit follows any head", ((commits, "may_follow", lambda _head, _commit: True),)),
    "lock_last": Mutant(
        "V5",
        "the transaction reads the head before it waits for the lock",
        ((commits, "STATEMENTS", (*commits.STATEMENTS[1:], "lock")),),
    ),
    "lost_answer_is_success": Mutant(
        "V5",
        "an answer that never came is taken for success",
        ((commits, "outcome", _no_answer_is_success),),
    ),
    "new_files_same_id": Mutant(
        "V5",
        "new content is sent under an id that was used",
        ((commits, "commit_id", lambda run, _serial: f"{run}-0"),),
    ),
    "request_deleted_first": Mutant(
        "V5",
        "a request's object is deleted before the commit that took it is known to be made",
        ((requests, "may_be_deleted", lambda _outcome: True),),
        SILENT,
    ),
    "replica": Mutant(
        "V6",
        "nobody asks which server answered",
        ((rows, "are_of_one_writer", lambda _server, _answered: True),),
        REPLICAS,
    ),
    "replica_walks": Mutant(
        "V6",
        "the server is checked in the statement that reads rows, not in probes, walks and sweeps",
        ((rounds, "one_round", _rows_alone_are_checked),),
        directed="test_a_round_that_a_replica_answers_writes_nothing",
    ),
    "two_statements_per_row": Mutant(
        "V6", "fact and dimensions are read by two statements", ((rows, "statements", _two_statements),)
    ),
    "exact_bytes": Mutant(
        "V7",
        "keys are compared byte for byte",
        _everywhere(_as_it_is, "as_warehouse", changed_keys, pending, rows, entries_module),
        directed="test_a_delete_sent_again_does_not_remove_a_key_of_another_spelling",
    ),
    "any_spelling": Mutant(
        "V7", "any row that MySQL finds counts for the key asked", ((rows, "is_row_of", lambda _asked, _found: True),)
    ),
    "duplicate_mark_two_tasks": Mutant("V7", "one key goes to two tasks", ((rows, "tasks", _key_in_two_tasks),)),
    "one_sided": Mutant(
        "V8",
        "a sweep goes over the fact's keys alone",
        ((entries_module, "SWEEP", (What.FACTS,)), (requests, "SWEEP", (What.FACTS,))),
    ),
    "range_delete": Mutant(
        "V8",
        "a sweep removes what the target has between two keys, though both servers order text differently",
        ((effect, "target_after", _range_delete),),
    ),
    "truncate_unseen": Mutant(
        "V8", "a table's generation is not compared", ((generations, "as_seen", _tables_unseen),), UNSEEN
    ),
    "failover_unseen": Mutant(
        "V8", "the server's identity is not compared", ((generations, "as_seen", _server_unseen),), FAILOVER
    ),
    "no_time_limit": Mutant(
        "V9",
        "a statement at the source has no time limit",
        ((questions, "limits", lambda: Limits(statement_s=None)),),
    ),
    "unbuffered": Mutant(
        "V9", "a cursor stays open at the source", ((questions, "limits", lambda: Limits(buffered=False)),)
    ),
    "cap_ignored": Mutant(
        "V9",
        "pending asks the source for as many rows as it likes",
        ((rate_limiter.RateLimiter, "allowed", 1_000_000),),
    ),
    "key_in_clear": Mutant(
        "V10",
        "a key stands in the clear in a control table",
        ((entries_module, "encoded", _encoded_in_clear), (entries_module, "decoded", _decoded_in_clear)),
    ),
    "no_old_key": Mutant(
        "I1", "the old key of a moved row is not looked at", ((changed_keys, "named_by", _no_old_key),)
    ),
    "insert_only": Mutant(
        "I1", "rows are inserted, the key's old row is not removed", ((effect, "target_after", _insert_only),)
    ),
    "moved_ignored": Mutant("I1", "a moved key is treated as a deleted one", ((rows, "action", _moved_is_deleted),)),
    "quarantine_deletes_row": Mutant(
        "I1",
        "a row that cannot be staged takes the target's last good row with it",
        ((effect, "target_after", _quarantine_deletes),),
    ),
    "quarantine_keeps_gone": Mutant(
        "I1",
        "a quarantined key whose row was deleted under `ignore` stays quarantined for ever",
        ((effect, "FREES", effect.FREES - {Action.KEEP}),),
    ),
    "hash_keeps_mark": Mutant(
        "I1",
        "a row that came back stays marked deleted, as its hash is the target's",
        ((effect, "is_dropped", _hash_keeps_mark),),
        replace(NO_SWEEP_HELPS, deletes="mark"),
    ),
    "hash_beats_repair": Mutant(
        "I1",
        "a row changed by hand in the target is not repaired, as its hash is still right",
        ((effect, "is_dropped", _hash_beats_repair),),
    ),
    "memory_forgets_moved": Mutant(
        "I1",
        "a full memory forgets which rows moved away",
        ((group, "forget_free", _forgets_moved),),
        replace(SMALL_MEMORY, deletes="ignore"),
    ),
    "memory_forgets_held": Mutant(
        "V2",
        "a full memory forgets keys whose change is not yet visible",
        ((group, "forget_free", _forgets_held),),
        SMALL_MEMORY,
    ),
    "memory_forgets_sweep": Mutant(
        "V3", "what a full memory forgot is not swept", ((group, "forget_free", _forgets_sweep),), SMALL_MEMORY
    ),
    "pending_starves": Mutant(
        "I5",
        "pending gets nothing while fresh facts abound",
        ((pending, "least_share", lambda _rows_max: 0),),
        directed="test_pending_gets_a_fifth_while_fresh_facts_abound",
    ),
    "held_commits": Mutant(
        "I5",
        "a round with nothing but held keys commits, and the warehouse never sleeps",
        ((rounds, "is_needed", lambda _commit, _remembered: True),),
        directed="test_a_round_with_nothing_but_held_keys_commits_nothing",
    ),
}
