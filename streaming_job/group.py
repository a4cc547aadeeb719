"""Several pipelines in one job: one read of the stream, each pipeline on its own.

The one reader goes forward from the least position. Each pipeline keeps the keys that changed since its own last commit. A
pipeline that fails is so no different from one that is not due, and holds nobody back.

Asks:   the probe's questions.
Gives:  when a pipeline that failed is tried again, and what is done about a pipeline whose memory is full.
"""

from collections.abc import Generator
from enum import StrEnum
from typing import Any, Final

from freshet.ledger.keys import Key
from streaming_job.changed_keys import KEYS_MAX, ChangedKeys, Shape, forget_free
from streaming_job.probe import probe
from streaming_job.questions import Question

RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 300.0


class Full(StrEnum):
    """What is done about the changed keys of a pipeline."""

    KEEP = "keep"
    COMMIT_NOW = "commit now"
    FORGET_FREE = "forget free"


def retry_after_s(failures: int) -> float:
    """Give how long a pipeline that failed is left alone: twice as long each time, at most 5 minutes."""
    return float(min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(failures - 1, 16)))


def when_full(changed: ChangedKeys, keys_max: int = KEYS_MAX, *, failing: bool) -> Full:
    """Decide what is done about the changed keys that a pipeline keeps.

    Args:
        changed: Its changed keys.
        keys_max: What memory keeps of one pipeline.
        failing: It cannot commit.

    Returns:
        COMMIT_NOW for a pipeline that only waits for its time. FORGET_FREE for one that cannot commit.
    """
    if len(changed) <= keys_max:
        return Full.KEEP
    return Full.FORGET_FREE if failing else Full.COMMIT_NOW


def forget(
    shape: Shape, changed: ChangedKeys, keys_max: int = KEYS_MAX
) -> Generator[Question, Any, ChangedKeys | None]:
    """Forget the changed keys that a sweep will come by.

    Args:
        shape: The pipeline.
        changed: All that it keeps.
        keys_max: What memory keeps.

    Returns:
        What must be kept. None if that is still too much: the pipeline is left out, and starts anew once it can commit; the one
        reader then goes back to its position, and the others look at some keys twice.
    """
    tables: dict[str, set[Key]] = {}
    for key in changed.facts:
        tables.setdefault(shape.fact, set()).add(key)
    for table, key in changed.rows:
        tables.setdefault(table, set()).add(key)
    held = yield from probe(tables)
    rows = [(table, key) for table, key in changed.rows if key in held.get(table, ())]
    kept = forget_free(changed, held.get(shape.fact, ()), rows)
    return None if len(kept) > keys_max else kept
