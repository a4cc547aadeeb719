"""Tell from what the source looks like whether rows may have changed without a record.

TRUNCATE, a table swapped by rename, and a server that took over leave no records of the rows that they changed. They do
change the server's identity or a table's generation.

Reads:  the source as last seen and as it is now.
Gives:  whether a two-sided sweep is owed.
"""

from freshet.ledger.commit import Seen
from streaming_job.questions import Sight


def as_seen(sight: Sight) -> Seen:
    """Give what a commit keeps of a look at the source."""
    return Seen(sight.server, tuple(sorted(sight.tables)))


def sweep_is_owed(seen: Seen | None, now: Seen) -> bool:
    """Tell whether the source is another than was last seen; a pipeline that never looked owes its first sweep.

    Args:
        seen: What the last commit kept.
        now: A look taken before any row of this round is read, so that a change after it is noticed by the next round.
    """
    return seen != now
