"""One commit: what it contains, which head it may follow, and what became of it.

A commit names the head that it follows. It fails when the head is another. That comparison fences stale jobs, replays, late
statements and restored warehouses, and it tells a job what became of a statement that it lost sight of.

Reads:  what a round decided.
Gives:  the commit, or nothing when nothing is to be said; the outcome by the ledger.
"""

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

from freshet.ledger.keys import Key
from freshet.ledger.pending import Entry, What
from freshet.ledger.positions import Positions, of_new_pipeline

# LOCK comes first: a transaction of Redshift sees the tables as they were when its first statement began to read.
STATEMENTS: Final = ("lock", "insert commit", "update state", "copy", "quarantine", "target", "pending", "positions")
SNAPSHOT_IS_TAKEN_BY: Final = "insert commit"


class Seen(NamedTuple):
    """What the source looked like: its server, and of each used table what changes when its rows may have changed unseen."""

    server: str
    tables: tuple[tuple[str, str], ...]

    def as_text(self) -> str:
        """Write it for the state row."""
        return json.dumps([self.server, self.tables], separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `as_text` wrote."""
        server, tables = json.loads(text)
        return cls(server, tuple((name, generation) for name, generation in tables))


class Slice(NamedTuple):
    """One slice of a pass, for its progress."""

    what: What
    after: Key | None
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Remembered:
    """What the warehouse remembers of one pipeline between two commits.

    Attributes:
        head: Id of the last commit.
        positions: Position a shard; empty before the pipeline's first start.
        pending: Entries by id.
        seen: The source as the pipeline last saw it; None before its first round, which therefore sweeps.
    """

    head: str
    positions: Positions
    pending: Mapping[str, Entry]
    seen: Seen | None = None


@dataclass(frozen=True)
class Commit:
    """What one transaction writes.

    Attributes:
        id: Random, new for each content. The same id is sent again only with the same content.
        follows: The head it was made after.
        positions: Where each shard stands after it.
        seen: The source as it was before the round read rows.
        put: Pending rows to write, by id.
        drop: Ids of pending rows to remove: only such as the round had read.
        staged: What becomes of keys; in the job a manifest, which names what tasks returned.
        staged_rows: How many.
        slices: Passes went on by these.
    """

    id: str
    follows: str
    positions: Positions
    seen: Seen | None
    put: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drop: Set[str] = frozenset()
    staged: Any = ()
    staged_rows: int = 0
    slices: tuple[Slice, ...] = ()


def commit_id(run: str, serial: int) -> str:
    """Give a new commit its id.

    Args:
        run: Random, of one process.
        serial: Counts what the process has made; sending the same content again counts nothing.
    """
    return f"{run}-{serial}"


def pending_changes(
    before: Mapping[str, Entry], after: Mapping[str, Entry]
) -> tuple[dict[str, dict[str, Any]], Set[str]]:
    """Give the pending rows to write, and the ids to remove.

    Args:
        before: Pending as the round read it.
        after: Pending as the round leaves it.
    """
    put = {name: entry.as_row() for name, entry in after.items() if before.get(name) != entry}
    return put, frozenset(before.keys() - after.keys())


def start(remembered: Remembered, new_id: str, *, shards: Iterable[str], now: float) -> Commit:
    """Give the commit of a start: it fences every job before it, and settles where a new pipeline begins."""
    positions = remembered.positions or of_new_pipeline(shards, now)
    return Commit(id=new_id, follows=remembered.head, positions=positions, seen=remembered.seen)


def is_needed(commit: Commit, remembered: Remembered) -> bool:
    """Tell whether a commit says anything. A round with nothing but held keys says nothing, and an idle warehouse sleeps."""
    moved = commit.positions != remembered.positions or commit.seen != remembered.seen
    return bool(commit.staged_rows or commit.put or commit.drop) or moved


def may_follow(head: str, commit: Commit) -> bool:
    """Tell whether a commit may be made while the ledger's head is `head`."""
    return head == commit.follows


class Outcome(StrEnum):
    """What became of a commit: it is done; it did not run and still may; it never will."""

    COMMITTED = "committed"
    SEND_AGAIN = "send again"
    STALE = "stale"


def outcome(commit: Commit, *, finished: bool, head: str, found: bool) -> Outcome:
    """Tell what became of a commit.

    Args:
        commit: What was sent.
        finished: Redshift answered FINISHED. Any other answer, or none, leaves the word to the ledger.
        head: The ledger's head, read after every running transaction ended. Ignored after FINISHED.
        found: The ledger holds the commit's id. Ignored after FINISHED.
    """
    if finished or found:
        return Outcome.COMMITTED
    return Outcome.SEND_AGAIN if may_follow(head, commit) else Outcome.STALE
