"""Take from pending what one round can carry: passes go on slice by slice, changed rows walk back to the facts one hop at a
time.

A changed row of a joined table makes the rows that refer to it look changed. Those of the fact are read in this round. Those of
another joined table are changed rows in their turn.

Asks:   `Referring`, `FactKeys`, `TargetKeys`.
Gives:  keys of the fact to read, and pending with its cursors further on.
"""

from collections.abc import Generator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from freshet.ledger.commit import Slice
from freshet.ledger.keys import Key, as_warehouse
from freshet.ledger.pending import Entries, Entry, What, after_slice, coalesce, enter, key_entry
from streaming_job import questions
from streaming_job.changed_keys import Shape
from streaming_job.probe import Held, is_due
from streaming_job.questions import FactKeys, Question, Referring, TargetKeys

KEYS_PER_STATEMENT: Final = 500
PENDING_GETS_AT_LEAST: Final = 5
PASSES: Final = frozenset({What.REFERRERS, What.FACTS, What.TARGET})


@dataclass(frozen=True)
class Quota:
    """What one round carries.

    Attributes:
        rows_max: Keys of the fact that it reads at most.
        coalesce_over: More pending keys of one alias than that become one sweep.
        tasks: How many tasks read.
    """

    rows_max: int = 100_000
    coalesce_over: int = 1_000
    tasks: int = 8


@dataclass
class Taken:
    """What was taken from pending: keys of the fact to read, how many rows were asked for, and the passes' slices."""

    facts: set[Key] = field(default_factory=set)
    rows: int = 0
    slices: list[Slice] = field(default_factory=list)


def least_share(rows_max: int) -> int:
    """Give how many rows of a round pending gets while fresh facts abound: a fifth, and at least one."""
    return max(1, -(-rows_max // PENDING_GETS_AT_LEAST))


def fresh_now(facts: Mapping[Key, bool], rows_max: int) -> tuple[dict[Key, bool], dict[Key, bool]]:
    """Split fresh facts into those that this round reads and those that become pending."""
    fits = max(1, rows_max - least_share(rows_max))
    items = list(facts.items())
    return dict(items[:fits]), dict(items[fits:])


def pending_rows(fresh: int, rows_max: int, allowed: int) -> int:
    """Give how many rows a round takes from pending.

    Args:
        fresh: Fresh facts that it reads; they come first.
        rows_max: What it carries.
        allowed: What the rate limiter of the whole job grants now.
    """
    return max(0, min(allowed, max(least_share(rows_max), rows_max - fresh)))


def due_keys(entries: Mapping[str, Entry], held: Mapping[str, Held], now: float, rows: int) -> list[Entry]:
    """Give the pending keys of the fact to look at in this round, the oldest first; a held one when its back-off ends."""
    due = (entry for entry in entries.values() if entry.what is What.KEY and is_due(held.get(entry.id), now))
    return sorted(due, key=lambda entry: (entry.since, entry.id))[:rows]


def due_rows(entries: Mapping[str, Entry], held: Mapping[str, Held], now: float) -> list[Entry]:
    """Give the held rows of joined tables to look at in this round."""
    return [entry for entry in entries.values() if entry.what is What.ROW and is_due(held.get(entry.id), now)]


def owe_walks(shape: Shape, entries: Entries, table: str, key: Key, since: float) -> None:
    """Owe the walks back from a changed row: through every alias of its table."""
    for alias in shape.aliases(table):
        enter(entries, Entry(What.REFERRERS, alias, key, since=since))


def owe_later(entries: MutableMapping[str, Entry], facts: Mapping[Key, bool], since: float) -> None:
    """Owe fresh facts that this round does not carry."""
    for key, moved in facts.items():
        enter(entries, key_entry(key, moved=moved, since=since))


def groups(entries: Mapping[str, Entry]) -> list[tuple[Entry, ...]]:
    """Give the passes in parts that one statement carries: those of one alias that start together, others alone."""
    starting: dict[str, list[Entry]] = {}
    result: list[tuple[Entry, ...]] = []
    for entry in sorted((entry for entry in entries.values() if entry.what in PASSES), key=lambda entry: entry.id):
        if entry.what is What.REFERRERS and entry.cursor is None and not entry.again:
            starting.setdefault(entry.name, []).append(entry)
        else:
            result.append((entry,))
    for together in starting.values():
        starts = range(0, len(together), KEYS_PER_STATEMENT)
        result += [tuple(together[start : start + KEYS_PER_STATEMENT]) for start in starts]
    return result


def take(shape: Shape, entries: Entries, rows: int, quota: Quota, turn: int) -> Generator[Question, Any, Taken]:
    """Go on with the pending passes.

    Args:
        shape: The pipeline.
        entries: Pending; is changed.
        rows: How many rows may be taken.
        quota: What the round carries.
        turn: Number of the round: another pass comes first each time, so that a long one keeps nobody waiting.
    """
    taken = Taken()
    coalesce(entries, quota.coalesce_over)
    waiting = groups(entries)
    first = turn % len(waiting) if waiting else 0
    for number, group in enumerate(waiting[first:] + waiting[:first]):
        share = -(-(rows - taken.rows) // (len(waiting) - number))
        if share <= 0:
            break
        if group[0].what is What.REFERRERS:
            yield from _refer(shape, entries, group, share, taken)
        else:
            yield from _sweep(entries, group[0], share, taken)
    coalesce(entries, quota.coalesce_over)
    return taken


def _go_on(entries: Entries, entry: Entry, keys: Sequence[Key], limit: int) -> None:
    owed = after_slice(entries[entry.id], keys, is_last=len(keys) < limit)
    if owed is None:
        del entries[entry.id]
    else:
        entries[entry.id] = owed


def _sweep(entries: Entries, entry: Entry, share: int, taken: Taken) -> Generator[Question, Any, None]:
    facts = entry.what is What.FACTS
    ask = FactKeys(entry.cursor, share, questions.limits()) if facts else TargetKeys(entry.cursor, share)
    keys = yield ask
    taken.facts |= {as_warehouse(key) for key in keys}
    taken.rows += len(keys)
    taken.slices.append(Slice(entry.what, entry.cursor, tuple(keys)))
    _go_on(entries, entry, keys, share)


def _refer(
    shape: Shape, entries: Entries, group: tuple[Entry, ...], share: int, taken: Taken
) -> Generator[Question, Any, None]:
    """Walk one hop back from some keys of one alias. Keys whose referrers do not fit are halved; one alone gets a cursor.

    An answer that does not fit is thrown away: it cost index entries, as its columns are those of the index. No answer says that
    it did not come within a statement's time.
    """
    if share <= 0:
        return
    alias = group[0].name
    asked = tuple(key for entry in group if (key := entry.key) is not None)
    cursor = group[0].cursor
    keys = yield Referring(alias, asked, cursor, share, questions.limits())
    if keys is None or (len(keys) >= share and len(group) > 1):
        middle, before = len(group) // 2, taken.rows
        yield from _refer(shape, entries, group[:middle], share, taken)
        yield from _refer(shape, entries, group[middle:], share - (taken.rows - before), taken)
        return
    taken.rows += len(keys)
    taken.slices.append(Slice(What.REFERRERS, cursor, tuple(keys)))
    for entry in group:
        _go_on(entries, entry, keys, share)
    referrer = shape.joins[alias].referrer
    for key in keys:
        if referrer:
            enter(entries, Entry(What.REFERRERS, referrer, key, since=group[0].since))
        else:
            taken.facts.add(as_warehouse(key))
