"""How changed keys are read: shared out to tasks, one statement a row, and which answer counts.

One statement is one snapshot, so a row is never torn between its fact and its dimensions. The server that answered says in
the same statement who it is. Nothing here runs in the present job.

Reads:  keys to look at; servers' answers.
Gives:  tasks, statements, and what of an answer is believed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from freshet.ledger.effect import Action
from freshet.ledger.keys import Key, as_warehouse
from streaming_job import questions
from streaming_job.changed_keys import Deletes, Shape
from streaming_job.questions import Asked, Limits

KEYS_PER_STATEMENT: Final = 2_000


class RowStatement(NamedTuple):
    """One statement that reads rows: the fact and every alias joined, for some keys."""

    keys: tuple[Asked, ...]
    aliases: tuple[str, ...]
    limits: Limits


def tasks(keys: Mapping[Key, Asked], count: int) -> tuple[tuple[Asked, ...], ...]:
    """Share keys out to tasks, in order, so that neighbors are read together; a key goes to one task.

    Args:
        keys: By the warehouse's form, so that two spellings of one row are one key.
        count: How many tasks at most.
    """
    asked = [keys[key] for key in sorted(keys)]
    size = -(-len(asked) // max(1, count)) if asked else 1
    return tuple(tuple(asked[start : start + size]) for start in range(0, len(asked), size))


def statements(shape: Shape, keys: Sequence[Asked]) -> tuple[RowStatement, ...]:
    """Give the statements of one task: each reads whole rows."""
    aliases = ("", *shape.joins)
    return tuple(
        RowStatement(tuple(keys[start : start + KEYS_PER_STATEMENT]), aliases, questions.limits())
        for start in range(0, len(keys), KEYS_PER_STATEMENT)
    )


def halves(statement: RowStatement) -> tuple[RowStatement, ...]:
    """Give what is sent instead of a statement that reached its time limit; a single key is sent as it was."""
    middle = len(statement.keys) // 2
    parts = (statement.keys[:middle], statement.keys[middle:])
    return tuple(statement._replace(keys=part) for part in parts if part)


def is_row_of(asked: Key, found: Key) -> bool:
    """Tell whether a row that MySQL found is the row asked for: MySQL may call keys equal that are two rows of the warehouse."""
    return as_warehouse(asked) == as_warehouse(found)


def are_of_one_writer(server: str, answered: Iterable[tuple[str, bool]]) -> bool:
    """Tell whether statements were answered by the server that the round looked at, and no server was read-only.

    That holds for each statement of a round, not for the rows' alone: a walk that a replica answers misses rows as well.
    """
    return all(name == server and not read_only for name, read_only in answered)


def action(asked: Asked, deletes: Deletes, *, found: bool, admitted: bool, can_be_staged: bool) -> Action:
    """Decide what becomes of a key.

    Args:
        asked: The key, and whether a row moved away from it.
        deletes: The pipeline's mode.
        found: The source has a row of this key.
        admitted: Inner joins and `where` let the row through; only if found.
        can_be_staged: The warehouse takes the row's outputs; only if admitted.

    Returns:
        WRITE or QUARANTINE for an admitted row. DELETE for one that is not admitted or has moved away, in every mode. For one
        that is gone what the mode says: DELETE, MARK or KEEP.
    """
    if found:
        if not admitted:
            return Action.DELETE
        return Action.WRITE if can_be_staged else Action.QUARANTINE
    if asked.moved or deletes is Deletes.APPLY:
        return Action.DELETE
    return Action.MARK if deletes is Deletes.MARK else Action.KEEP
