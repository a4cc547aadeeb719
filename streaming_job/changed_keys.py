"""Reduce change records to the keys that changed, before anything is asked of the source.

A record may be late, doubled, out of order or cut. Its key is all that is believed.

Reads:  keys of records of any table, in any order, with copies.
Gives:  for one pipeline, the fact's keys (moved or not) and the rows of joined tables, each once; how many records had which
        outcome.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

from freshet.ledger.keys import Key, as_warehouse


class Deletes(StrEnum):
    """What a deleted row of the fact does to the target; as `deletes:` in pipeline.yaml."""

    IGNORE = "ignore"
    APPLY = "apply"
    MARK = "mark"


class Join(NamedTuple):
    """One joined table under one alias.

    Attributes:
        table: Its name.
        referrer: The alias whose columns hold this table's primary key; empty for the fact.
    """

    table: str
    referrer: str = ""


@dataclass(frozen=True)
class Shape:
    """What the decisions need of a pipeline: its fact, its joins by alias, its mode of deletes.

    `sweeping` are tables whose deleted or moved rows change other rows by foreign keys, of which no record tells.
    """

    fact: str
    joins: Mapping[str, Join]
    deletes: Deletes
    sweeping: frozenset[str] = frozenset()

    def aliases(self, table: str) -> tuple[str, ...]:
        """Give every alias under which a table is joined; also the fact's, in a self-join."""
        return self._aliases.get(table, ())

    @cached_property
    def _aliases(self) -> dict[str, tuple[str, ...]]:
        tables = {join.table for join in self.joins.values()}
        return {name: tuple(alias for alias, join in self.joins.items() if join.table == name) for name in tables}

    @cached_property
    def tables(self) -> frozenset[str]:
        """Every table that the pipeline follows."""
        return frozenset({self.fact, *(join.table for join in self.joins.values())})


class Record(NamedTuple):
    """What is believed of a change record.

    Attributes:
        table: Name; empty for a control record.
        key: Primary key, through the strict converters; None if they refuse it.
        old_key: The key before, of a moved row (before image `pk-only`); else None.
        leaves: The row was deleted or moved.
    """

    table: str
    key: Key | None
    old_key: Key | None = None
    leaves: bool = False


class RecordOutcome(StrEnum):
    """What became of a record that was received; each has one."""

    KEYED = "keyed"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


KEYS_MAX: Final = 300_000


@dataclass
class ChangedKeys:
    """The keys that changed since a pipeline's last commit.

    Attributes:
        facts: Keys of the fact in the warehouse's form; True for one that was the old key of a moved row.
        rows: (table, key) of joined tables, exactly as the record says: the source alone knows which of them are equal.
        overflowed: There were more than memory keeps, or rows changed of which no record tells: the next commit brings a
        two-sided sweep.
    """

    facts: dict[Key, bool] = field(default_factory=dict)
    rows: dict[tuple[str, Key], None] = field(default_factory=dict)
    overflowed: bool = False

    def __len__(self) -> int:
        return len(self.facts) + len(self.rows)


def named_by(record: Record) -> Iterator[tuple[Key, bool]]:
    """Give the keys that a record names: its own and, of a moved row, the old one, with True."""
    if record.key is not None:
        yield record.key, False
        if record.old_key is not None:
            yield record.old_key, True


def note(shape: Shape, record: Record, changed: ChangedKeys) -> RecordOutcome:
    """Take the keys of a record into those of one pipeline.

    Args:
        shape: The pipeline.
        record: Any record of the stream.
        changed: Is added to.

    Returns:
        KEYED if the pipeline follows the table, QUARANTINED if it does but the key cannot be read, else IGNORED.
    """
    sweeps = record.leaves and record.table in shape.sweeping
    changed.overflowed |= sweeps
    if record.table not in shape.tables:
        return RecordOutcome.KEYED if sweeps else RecordOutcome.IGNORED
    if record.key is None:
        return RecordOutcome.QUARANTINED
    for key, moved in named_by(record):
        if record.table == shape.fact:
            own = as_warehouse(key)
            changed.facts[own] = changed.facts.get(own, False) or moved
        if shape.aliases(record.table):
            changed.rows[record.table, key] = None
    return RecordOutcome.KEYED


def forget_free(changed: ChangedKeys, held_facts: Iterable[Key], held_rows: Iterable[tuple[str, Key]]) -> ChangedKeys:
    """Forget what a sweep will come by, of a pipeline that cannot commit and has more changed keys than memory keeps.

    Two kinds must be kept. A key that a transaction holds: the sweep might read its row before the change is visible. The old
    key of a moved row: only this memory knows that the row did not just vanish, which `deletes` decides otherwise.

    Args:
        changed: All of the pipeline's changed keys, probed just now.
        held_facts: Those of the fact that a transaction holds.
        held_rows: Those of joined tables that a transaction holds.

    Returns:
        What is kept.
    """
    held = set(held_facts)
    kept = {key: moved for key, moved in changed.facts.items() if moved or key in held}
    return ChangedKeys(kept, dict.fromkeys(held_rows), overflowed=True)
