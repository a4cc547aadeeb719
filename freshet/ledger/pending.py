"""The pending entries of a pipeline: what they ask for, and how a pass over many keys is never cut short.

An entry is a row of the warehouse, written by the job alone, with the commit that owes it. A *pass* goes over the keys that
hang on an entry, from the start to the end, however many rounds it takes. A change in mid-pass sets `again`: one more whole
pass follows. So each pass ends, also of a row that changes all the time, and no change is left behind the cursor.

Reads:  changed keys and requests.
Gives:  entries, each once; their rows and back.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Self, TypeAlias

from freshet.ledger.keys import Key, as_warehouse, decoded, encoded


class What(StrEnum):
    """What an entry asks for.

    KEY: read this key of the fact. ROW: look at this row of a joined table again, a transaction holds it.
    REFERRERS: a pass over the rows that refer to this key through one alias. FACTS: a pass over the fact's keys.
    TARGET: a pass over the keys that the warehouse holds, the target's and the quarantined ones. FACTS and TARGET are the two
    sides of a sweep.
    """

    KEY = "key"
    ROW = "row"
    REFERRERS = "referrers"
    FACTS = "facts"
    TARGET = "target"


@dataclass(frozen=True)
class Entry:
    """One entry.

    Attributes:
        what: What is asked for.
        name: ROW: table. REFERRERS: alias. Else empty.
        key: The key it is about; None for the sides of a sweep.
        cursor: The last key that the running pass has looked at; None at the start of a pass. Compared by its owner only.
        again: Another whole pass follows the running one.
        moved: The key was the old key of a moved row: a row that is gone under it is removed in every mode of deletes.
        forced: The row is written even if its hash is the target's (repair, backfill by hand).
        since: When the work was first owed, seconds.
    """

    what: What
    name: str = ""
    key: Key | None = None
    cursor: Key | None = None
    again: bool = False
    moved: bool = False
    forced: bool = False
    since: float = 0.0

    @cached_property
    def id(self) -> str:
        """The same work has the same id, so it is pending once."""
        return f"{self.what}:{self.name}:{'' if self.key is None else encoded(self.key)}"

    def as_row(self) -> dict[str, Any]:
        """Give the entry as a row of the pending table."""
        return {
            "id": self.id,
            "what": str(self.what),
            "name": self.name,
            "key": None if self.key is None else encoded(self.key),
            "cursor": None if self.cursor is None else encoded(self.cursor),
            "again": self.again,
            "moved": self.moved,
            "forced": self.forced,
            "since": self.since,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of the pending table."""
        key, cursor = (None if row[name] is None else decoded(row[name]) for name in ("key", "cursor"))
        flags = {name: bool(row[name]) for name in ("again", "moved", "forced")}
        return cls(What(row["what"]), row["name"], key, cursor, since=row["since"], **flags)


Entries: TypeAlias = MutableMapping[str, Entry]
SWEEP: Final = (What.FACTS, What.TARGET)


def key_entry(key: Key, *, moved: bool, since: float, forced: bool = False) -> Entry:
    """Give the entry that reads one key of the fact; equal keys have one entry."""
    return Entry(What.KEY, key=as_warehouse(key), moved=moved, forced=forced, since=since)


def enter(entries: Entries, entry: Entry) -> None:
    """Owe some work. Work that is owed already keeps its place: in mid-pass it gets one more pass, and it forgets no flag."""
    owed = entries.get(entry.id)
    if owed is None:
        entries[entry.id] = entry
        return
    entries[entry.id] = replace(
        owed,
        again=owed.again or owed.cursor is not None,
        moved=owed.moved or entry.moved,
        forced=owed.forced or entry.forced,
    )


def enter_sweep(entries: Entries, since: float) -> None:
    """Owe a two-sided sweep: the fact's keys, and the warehouse's own, for rows can vanish from the source without a record."""
    for side in SWEEP:
        enter(entries, Entry(side, since=since))


def after_slice(entry: Entry, keys: Sequence[Key], *, is_last: bool) -> Entry | None:
    """Give an entry after a slice of its pass.

    Args:
        entry: As it was.
        keys: What the slice found, in its owner's order.
        is_last: The pass came to its end.

    Returns:
        The entry with its cursor; at the start of another pass if one is owed; None when nothing is owed any more.
    """
    if not is_last:
        return replace(entry, cursor=keys[-1])
    if entry.again:
        return replace(entry, cursor=None, again=False)
    return None


def coalesce(entries: Entries, keys_max: int) -> None:
    """Turn more than `keys_max` entries of one alias into one pass over the fact's keys, which comes by all that they owe."""
    aliases: dict[str, list[Entry]] = {}
    for entry in entries.values():
        if entry.what is What.REFERRERS:
            aliases.setdefault(entry.name, []).append(entry)
    for owed in aliases.values():
        if len(owed) > keys_max:
            for entry in owed:
                del entries[entry.id]
            enter(entries, Entry(What.FACTS, since=min(entry.since for entry in owed)))
