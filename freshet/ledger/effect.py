"""What one commit does to the warehouse, row for row, written as Python: the commit's SQL is held against it.

The rules of the target stand here once: which staged rows are dropped because the target has them, what is removed, what is
marked, and when a quarantined key is free again.

Reads:  the warehouse's tables of one pipeline, and a commit.
Gives:  the tables after it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from freshet.ledger.commit import Commit, Seen
from freshet.ledger.keys import Key, as_warehouse
from freshet.ledger.positions import Positions


class Action(StrEnum):
    """What becomes of a key; the values stand in the staged file.

    WRITE: the row is replaced. DELETE: it is removed. MARK: it is marked deleted. KEEP: it stays as it is.
    QUARANTINE: the new row cannot be staged, the target's last good row stays.
    """

    WRITE = "u"
    DELETE = "d"
    MARK = "m"
    KEEP = "k"
    QUARANTINE = "q"


class Staged(NamedTuple):
    """One row of the staged file.

    Attributes:
        action: What becomes of the key.
        key: As the source spells it, or as it was asked for.
        values: The outputs, protected; None unless the action is WRITE.
        hash: Of the outputs.
        forced: The row is written even if the target has it.
    """

    action: Action
    key: Key
    values: Any = None
    hash: Any = None
    forced: bool = False


class TargetRow(NamedTuple):
    """One row of the target, with the hash of its outputs as they were written, and whether it is marked deleted."""

    key: Key
    values: Any
    hash: Any
    marked: bool = False


@dataclass(frozen=True)
class Tables:
    """The tables of one pipeline.

    Attributes:
        head: Of the state row.
        commits: Ids in the ledger.
        positions: Position a shard.
        seen: The source as last seen.
        pending: Rows by id.
        target: Rows; a key may stand there twice only if a rule is broken.
        quarantine: Keys whose row could not be staged.
    """

    head: str = "genesis"
    commits: frozenset[str] = frozenset()
    positions: Positions = field(default_factory=dict)
    seen: Seen | None = None
    pending: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    target: tuple[TargetRow, ...] = ()
    quarantine: frozenset[Key] = frozenset()


FREES: Final = frozenset({Action.WRITE, Action.DELETE, Action.MARK, Action.KEEP})


def is_sound(staged: Iterable[Staged]) -> bool:
    """Tell whether each written key stands once in the staged file; a commit whose file is not sound fails."""
    keys = [as_warehouse(row.key) for row in staged if row.action is Action.WRITE]
    return len(keys) == len(set(keys))


def is_dropped(row: Staged, there: TargetRow | None) -> bool:
    """Tell whether a row to write is left out, because the target has it already; never if it is marked there, or forced."""
    return there is not None and there.hash == row.hash and not there.marked and not row.forced


def target_after(target: Iterable[TargetRow], commit: Commit) -> tuple[TargetRow, ...]:
    """Give the target's rows after a commit."""
    there = {as_warehouse(row.key): row for row in target}
    written = [
        row
        for row in commit.staged
        if row.action is Action.WRITE and not is_dropped(row, there.get(as_warehouse(row.key)))
    ]
    gone = {as_warehouse(row.key) for row in written}
    gone |= {as_warehouse(row.key) for row in commit.staged if row.action is Action.DELETE}
    marked = {as_warehouse(row.key) for row in commit.staged if row.action is Action.MARK}
    stay = tuple(
        row._replace(marked=True) if as_warehouse(row.key) in marked else row
        for row in target
        if as_warehouse(row.key) not in gone
    )
    return stay + tuple(TargetRow(row.key, row.values, row.hash) for row in written)


def quarantine_after(quarantine: frozenset[Key], commit: Commit) -> frozenset[Key]:
    """Give the quarantined keys after a commit: a key whose fate was decided otherwise is free again, also if its row is kept."""
    freed = {as_warehouse(row.key) for row in commit.staged if row.action in FREES}
    held = {as_warehouse(row.key) for row in commit.staged if row.action is Action.QUARANTINE}
    return (quarantine - freed) | held


def after(tables: Tables, commit: Commit) -> Tables:
    """Give a pipeline's tables after a commit; whether it may be made is told by `may_follow` and `is_sound`."""
    pending = {name: row for name, row in tables.pending.items() if name not in commit.drop}
    return replace(
        tables,
        head=commit.id,
        commits=tables.commits | {commit.id},
        positions=commit.positions,
        seen=commit.seen,
        pending={**pending, **commit.put},
        target=target_after(tables.target, commit),
        quarantine=quarantine_after(tables.quarantine, commit),
    )
