"""Requests: what others ask of the job, as objects beside the staged files.

Nobody but the job writes pending. A request is taken into pending by a commit, and its object is deleted once that commit is
known to be made. A crash between the two takes the request twice, which is only one more look.

Gives:  the entries that a request asks for, and when its object may go.
"""

from collections.abc import Iterable

from freshet.ledger.commit import Outcome
from freshet.ledger.keys import Key
from freshet.ledger.pending import SWEEP, Entry, key_entry


def sweep() -> tuple[Entry, ...]:
    """Ask for a two-sided sweep."""
    return tuple(Entry(side) for side in SWEEP)


def of_keys(keys: Iterable[Key]) -> tuple[Entry, ...]:
    """Ask for some keys of the fact; their rows are written whatever the target has."""
    return tuple(key_entry(key, moved=False, since=0.0, forced=True) for key in keys)


def may_be_deleted(outcome: Outcome | None) -> bool:
    """Tell whether a request's object may be deleted, by the outcome of the commit that took it; None: not known yet."""
    return outcome is Outcome.COMMITTED
