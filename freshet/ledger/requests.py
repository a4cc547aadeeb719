"""Requests: what others ask of the job, as objects beside the staged files.

Nobody but the job writes pending. A request is taken into pending by a commit, and its object is deleted once that commit is
known to be made. A crash between the two takes the request twice, which is only one more look.

Gives:  the body of a request; the entries that it asks for, and when its object may go.
"""

import json
from collections.abc import Iterable, Sequence

from freshet.ledger.commit import Outcome
from freshet.ledger.keys import Key, decoded, encoded
from freshet.ledger.pending import SWEEP, Entry, key_entry


def sweep() -> tuple[Entry, ...]:
    """Ask for a two-sided sweep."""
    return tuple(Entry(side) for side in SWEEP)


def of_keys(keys: Iterable[Key]) -> tuple[Entry, ...]:
    """Ask for some keys of the fact; their rows are written whatever the target has."""
    return tuple(key_entry(key, moved=False, since=0.0, forced=True) for key in keys)


def body_of_keys(keys: Iterable[Key]) -> bytes:
    """Write a request for some keys; for none, the job only commits how far it has come."""
    return json.dumps({"what": "keys", "keys": [encoded(key) for key in keys]}).encode()


def entries(body: bytes) -> Sequence[Entry]:
    """Read a request.

    Raises:
        ValueError: It is none; KeyError and TypeError likewise.
    """
    request = json.loads(body)
    if request["what"] == "sweep":
        return sweep()
    if request["what"] == "keys":
        return of_keys([decoded(key) for key in request["keys"]])
    raise ValueError("no such request")


def may_be_deleted(outcome: Outcome | None) -> bool:
    """Tell whether a request's object may be deleted, by the outcome of the commit that took it; None: not known yet."""
    return outcome is Outcome.COMMITTED
