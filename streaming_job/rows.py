"""How changed keys are read: shared out to tasks, one statement a row, and which answer counts.

One statement is one snapshot, so a row is never torn between its fact and its dimensions. The server that answered says in
the same statement who it is.

Reads:  keys to look at; servers' answers.
Gives:  tasks, statements, what of an answer is believed; the rows of a task.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from freshet.errors import EnvironmentFault
from freshet.ledger.effect import Action
from freshet.ledger.keys import Key, as_warehouse
from freshet.mysql import rows as mysql_rows
from freshet.mysql.asking import CutOff, Source
from freshet.mysql.rows import Read
from streaming_job import questions
from streaming_job.changed_keys import Deletes, Shape
from streaming_job.followed import Followed
from streaming_job.questions import Asked, Limits

KEYS_PER_STATEMENT: Final = 2_000
FOUND, MOVED, FORCED = "_freshet_found", "_freshet_moved", "_freshet_forced"
FLAGS: Final = (FOUND, MOVED, FORCED)


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


class NotTheWriter(Exception):
    """Another server than the one looked at answered, or a read-only one."""


def schema(followed: Followed) -> pa.Schema:
    """Give the schema of `read_task`: the row of `Pipeline.select_sql`, UNFIT, and the flags of a key."""
    result = followed.statement.schema
    for name in FLAGS:
        result = result.append(pa.field(name, pa.bool_()))
    return result


def read_task(source: Source, followed: Followed, task: Sequence[Asked], server: str) -> pa.Table:
    """Read the keys of one task.

    Args:
        source: A connection of the task's own.
        followed: The pipeline.
        task: Keys to read.
        server: Who must answer.

    Returns:
        One row a key asked for. A key that the source does not have has its key and nothing else, and FOUND is false.

    Raises:
        NotTheWriter: Another server answered; nothing of it may be written.
        EnvironmentFault: MySQL does not answer, or does not give one single row in time.
    """
    batches = []
    waiting = list(statements(followed.shape, task))
    while waiting:
        statement = waiting.pop(0)
        keys = [asked.key for asked in statement.keys]
        try:
            read = mysql_rows.read_rows(source, followed.statement, keys)
        except CutOff:
            if len(keys) == 1:
                raise EnvironmentFault(
                    f"MySQL does not give one row of {followed.pipeline.fact.name} by its key within "
                    f"{statement.limits.statement_s:g} s: is the server overloaded?"
                ) from None
            waiting[:0] = halves(statement)
            continue
        if not are_of_one_writer(server, read.servers):
            raise NotTheWriter
        batches += _asked_for(followed, statement.keys, read)
    # Spark takes an empty batch for the end of them.
    return pa.Table.from_batches([batch for batch in batches if batch.num_rows], schema(followed))


def _asked_for(followed: Followed, asked: Sequence[Asked], read: Read) -> list[pa.RecordBatch]:
    """Give one row a key asked for; a row that MySQL found under another spelling of the warehouse is nobody's."""
    wanted = {as_warehouse(one.key): one for one in asked}
    places, found = [], []
    for place, key in enumerate(read.keys):
        one = wanted.pop(as_warehouse(key), None)
        if one is not None:
            places.append(place)
            found.append(one)
    rows = read.rows if len(places) == read.rows.num_rows else read.rows.take(pa.array(places, pa.int64()))
    return [_flagged(followed, rows.columns, found, there=True), _gone(followed, list(wanted.values()))]


def _gone(followed: Followed, asked: Sequence[Asked]) -> pa.RecordBatch:
    statement = followed.statement
    columns = [pa.nulls(len(asked), field.type) for field in statement.schema]
    for number, place in enumerate(statement.key_places):
        columns[place] = pa.array([one.key[number] for one in asked], columns[place].type)
    return _flagged(followed, columns, asked, there=False)


def _flagged(followed: Followed, columns: Sequence[Any], asked: Sequence[Asked], *, there: bool) -> pa.RecordBatch:
    flags = [[there] * len(asked), [one.moved for one in asked], [one.forced for one in asked]]
    arrays = [*columns, *(pa.array(values, pa.bool_()) for values in flags)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema(followed))
