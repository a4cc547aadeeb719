"""Find the changed keys that a transaction holds: their change may be in the stream and not yet visible.

Semi-synchronous replication and XA put a change into the binlog before other sessions see it, for seconds or for hours. Until
then the transaction holds its row locks. A key that nobody holds is settled: what was logged for it can be read. No time is
waited blindly, and the probe waits for no lock.

Asks:   `SkipLocked`, `NoWait`, `Wait`.
Gives:  the held keys, and when each is asked for again.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from freshet.ledger.keys import Key
from streaming_job import questions
from streaming_job.questions import NoWait, Question, SkipLocked, Wait

KEYS_PER_STATEMENT: Final = 500
ONCE_MORE_AFTER_S: Final = 0.2
BACK_OFF_FIRST_S: Final = 0.2
BACK_OFF_MAX_S: Final = 30.0


class Held(NamedTuple):
    """How often a held key was found held, and when it is asked for again, in seconds."""

    times: int
    due_at: float


def held_again(before: Held | None, now: float) -> Held:
    """Give the back-off of a key that is held: twice as long each time, at most 30 seconds."""
    times = before.times + 1 if before else 1
    return Held(times, now + min(BACK_OFF_MAX_S, BACK_OFF_FIRST_S * 2.0 ** min(times - 1, 16)))


def is_due(held: Held | None, now: float) -> bool:
    """Tell whether a pending key is asked for in this round."""
    return held is None or held.due_at <= now


def held_of(table: str, keys: Collection[Key]) -> Generator[Question, Any, set[Key]]:
    """Ask which keys of one table a transaction holds.

    What SKIP LOCKED leaves out is missing or held; so is a key that MySQL spells otherwise. NOWAIT tells them apart. It fails
    for a whole statement, so a statement that fails is halved down to single keys: a key that is gone is not taken for held.

    Args:
        table: Where the keys are primary keys.
        keys: Changed keys, as records name them.

    Returns:
        The held ones.
    """
    held: set[Key] = set()
    asked = sorted(keys)
    for start in range(0, len(asked), KEYS_PER_STATEMENT):
        part = tuple(asked[start : start + KEYS_PER_STATEMENT])
        free = yield SkipLocked(table, part, questions.limits())
        left = tuple(key for key in part if key not in free)
        if left:
            held |= yield from _halved(table, left)
    return held


def _halved(table: str, keys: Sequence[Key]) -> Generator[Question, Any, set[Key]]:
    if not (yield NoWait(table, tuple(keys), questions.limits())):
        return set()
    if len(keys) == 1:
        return set(keys)
    middle = len(keys) // 2
    first = yield from _halved(table, keys[:middle])
    second = yield from _halved(table, keys[middle:])
    return first | second


def probe(tables: Mapping[str, Collection[Key]]) -> Generator[Question, Any, dict[str, set[Key]]]:
    """Ask for changed keys in their own tables, and once more a moment later for those that are held.

    Args:
        tables: Table to the keys that changed in it. Every page of the batch was read before.

    Returns:
        Table to the keys still held; tables without one are left out.
    """
    held: dict[str, set[Key]] = {}
    for table in sorted(tables):
        if found := (yield from held_of(table, tables[table])):
            held[table] = found
    if held:
        yield Wait(ONCE_MORE_AFTER_S)
    still = {}
    for table, keys in held.items():
        if found := (yield from held_of(table, keys)):
            still[table] = found
    return still
