"""Each way in which the decisions could be wrong, as a patch of them, and which run of the model or test kills it.

The table of `docs/promises.md` is generated from here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from freshet.ledger import commit as commits
from freshet.ledger import effect, positions, requests
from freshet.ledger import pending as entries_module
from freshet.ledger.effect import Action
from freshet.ledger.pending import What
from streaming_job import changed_keys, generations, group, pending, probe, questions, rate_limiter, rows
from streaming_job import round as rounds
from streaming_job.changed_keys import Shape
from streaming_job.questions import Limits
from tests.model import source, stream, wrong
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
UNSEEN = replace(NO_SWEEP_HELPS, unseen=5, unseen_kinds=("truncate", "swap"))
FAILOVER = replace(UNSEEN, unseen_kinds=("failover",))
REPLICAS = replace(NO_SWEEP_HELPS, replicas=6)
SILENT = replace(NO_SWEEP_HELPS, silent=3)

MUTANTS: dict[str, Mutant] = {
    "read_first": Mutant(
        "V1",
        "rows are read in a transaction that was opened before the pages were read",
        ((questions, "limits", lambda: Limits(autocommit=False)),),
    ),
    "probe_after": Mutant("V1", "rows are read, then keys are probed", ((rounds, "_steps", wrong.probe_after),)),
    "no_probe": Mutant(
        "V1", "a key is read while its change is logged and not yet visible", ((rounds, "probe", wrong.no_probe),)
    ),
    "forget_held": Mutant(
        "V2", "a held key is read once and not again", ((rounds, "keep_held", lambda _entries, _entry: None),)
    ),
    "forget_moved": Mutant(
        "V2",
        "a key that waits in pending forgets that its row moved away",
        ((rounds, "key_entry", wrong.key_entry_forgets_moved), (pending, "key_entry", wrong.key_entry_forgets_moved)),
        replace(NO_SWEEP_HELPS, deletes="ignore"),
    ),
    "nowait_whole": Mutant(
        "V2",
        "all keys of a NOWAIT that failed are taken for held",
        ((probe, "_halved", wrong.not_halved),),
        directed="test_a_gone_key_is_not_taken_for_held",
    ),
    "no_again": Mutant(
        "V3",
        "a change in mid-pass asks for no further pass",
        _everywhere(wrong.enter_without_again, "enter", entries_module, pending, rounds),
    ),
    "again_forgotten": Mutant(
        "V3",
        "the end of a pass ends its entry, whatever came meanwhile",
        ((pending, "after_slice", wrong.after_slice_forgets),),
    ),
    "restart": Mutant(
        "V3",
        "a change in mid-pass starts the pass again, so that of a row that changes all the time it never ends",
        _everywhere(wrong.enter_restarts, "enter", entries_module, pending, rounds),
        directed="test_a_pass_ends_though_its_row_changes_every_round",
    ),
    "coalesce_lost": Mutant(
        "V3",
        "keys that become a sweep do not prolong the one that runs",
        ((pending, "coalesce", wrong.coalesce_forgets),),
        Settings(coalesce_over=1),
    ),
    "alias_once": Mutant(
        "V3",
        "a table joined under two aliases is walked through one",
        ((Shape, "aliases", wrong.first_alias),),
        NO_SWEEP_HELPS,
    ),
    "self_not_dim": Mutant(
        "V3",
        "the row of a self-joined fact is not looked at as a dimension",
        ((Shape, "aliases", wrong.fact_is_no_dimension),),
        NO_SWEEP_HELPS,
    ),
    "no_hop": Mutant(
        "V3", "a table that is joined behind another is not walked", ((Shape, "aliases", wrong.no_hop),), NO_SWEEP_HELPS
    ),
    "walk_through_row": Mutant(
        "V3",
        "the walk's statement joins the changed row, which may be gone",
        ((source.Source, "referring", staticmethod(wrong.walk_through_row)),),
        NO_SWEEP_HELPS,
    ),
    "fresh_lost": Mutant(
        "V3", "fresh facts that a round does not carry are not owed", ((pending, "owe_later", wrong.loses_later),)
    ),
    "skip_tail": Mutant(
        "V4",
        "a closed shard is taken for a shard that was read to its end",
        ((stream, "after_page", wrong.closed_is_read),),
    ),
    "through_of_other_pipeline": Mutant(
        "V4", "the reader starts where another pipeline stands", ((positions, "least", wrong.greatest),)
    ),
    "group_positions": Mutant(
        "V4",
        "a new pipeline starts at the tip of the stream, where changes may be logged and not yet visible",
        ((commits, "of_new_pipeline", wrong.group_positions),),
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
        ((commits, "outcome", wrong.no_answer_is_success),),
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
        ((rounds, "one_round", wrong.rows_alone_are_checked),),
        directed="test_a_round_that_a_replica_answers_writes_nothing",
    ),
    "two_statements_per_row": Mutant(
        "V6", "fact and dimensions are read by two statements", ((rows, "statements", wrong.two_statements),)
    ),
    "exact_bytes": Mutant(
        "V7",
        "keys are compared byte for byte",
        _everywhere(wrong.as_it_is, "as_warehouse", changed_keys, pending, rows, entries_module),
        directed="test_a_delete_sent_again_does_not_remove_a_key_of_another_spelling",
    ),
    "any_spelling": Mutant(
        "V7", "any row that MySQL finds counts for the key asked", ((rows, "is_row_of", lambda _asked, _found: True),)
    ),
    "duplicate_mark_two_tasks": Mutant("V7", "one key goes to two tasks", ((rows, "tasks", wrong.key_in_two_tasks),)),
    "one_sided": Mutant(
        "V8",
        "a sweep goes over the fact's keys alone",
        ((entries_module, "SWEEP", (What.FACTS,)), (requests, "SWEEP", (What.FACTS,))),
    ),
    "range_delete": Mutant(
        "V8",
        "a sweep removes what the target has between two keys, though both servers order text differently",
        ((effect, "target_after", wrong.range_delete),),
    ),
    "truncate_unseen": Mutant(
        "V8", "a table's generation is not compared", ((generations, "as_seen", wrong.tables_unseen),), UNSEEN
    ),
    "failover_unseen": Mutant(
        "V8", "the server's identity is not compared", ((generations, "as_seen", wrong.server_unseen),), FAILOVER
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
        directed="test_the_rate_limiter_gives_no_more_than_its_rate",
    ),
    "key_in_clear": Mutant(
        "V10",
        "a key stands in the clear in a control table",
        ((entries_module, "encoded", wrong.encoded_in_clear), (entries_module, "decoded", wrong.decoded_in_clear)),
    ),
    "no_old_key": Mutant(
        "I1", "the old key of a moved row is not looked at", ((changed_keys, "named_by", wrong.no_old_key),)
    ),
    "insert_only": Mutant(
        "I1", "rows are inserted, the key's old row is not removed", ((effect, "target_after", wrong.insert_only),)
    ),
    "moved_ignored": Mutant(
        "I1", "a moved key is treated as a deleted one", ((rows, "action", wrong.moved_is_deleted),)
    ),
    "quarantine_deletes_row": Mutant(
        "I1",
        "a row that cannot be staged takes the target's last good row with it",
        ((effect, "target_after", wrong.quarantine_deletes),),
    ),
    "quarantine_keeps_gone": Mutant(
        "I1",
        "a quarantined key whose row was deleted under `ignore` stays quarantined for ever",
        ((effect, "FREES", effect.FREES - {Action.KEEP}),),
        Settings(deletes="ignore"),
    ),
    "hash_keeps_mark": Mutant(
        "I1",
        "a row that came back stays marked deleted, as its hash is the target's",
        ((effect, "is_dropped", wrong.hash_keeps_mark),),
        replace(NO_SWEEP_HELPS, deletes="mark"),
    ),
    "hash_beats_repair": Mutant(
        "I1",
        "a row changed by hand in the target is not repaired, as its hash is still right",
        ((effect, "is_dropped", wrong.hash_beats_repair),),
    ),
    "memory_forgets_moved": Mutant(
        "I1",
        "a full memory forgets which rows moved away",
        ((group, "forget_free", wrong.forgets_moved),),
        replace(SMALL_MEMORY, deletes="ignore"),
    ),
    "memory_forgets_held": Mutant(
        "V2",
        "a full memory forgets keys whose change is not yet visible",
        ((group, "forget_free", wrong.forgets_held),),
        SMALL_MEMORY,
    ),
    "memory_forgets_sweep": Mutant(
        "V3", "what a full memory forgot is not swept", ((group, "forget_free", wrong.forgets_sweep),), SMALL_MEMORY
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
