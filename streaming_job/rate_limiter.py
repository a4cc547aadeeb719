"""Cap the rows that pending work asks of the source, for the whole job.

Reads:  `rows_per_s` of the source; a clock that is handed in.
Gives:  how many rows may be taken now.
"""

from typing import Final, NamedTuple, Self

HOLDS_MAX_S: Final = 10.0


class RateLimiter(NamedTuple):
    """A bucket that fills by `rows_per_s`, and holds what came due since it was asked last: of a second at least, of ten at most.

    A commit of Redshift takes seconds, and the rows of that time are not lost. Quick rounds stay small, so that a sweep holds up
    no change that just came.

    Attributes:
        rows_per_s: Cap.
        level: Rows in the bucket.
        at: When that was, seconds.
    """

    rows_per_s: float
    level: float
    at: float

    def at_time(self, now: float) -> Self:
        """Give the limiter at a later time."""
        passed = now - self.at
        holds = max(1.0, self.rows_per_s * min(HOLDS_MAX_S, max(1.0, passed)))
        return self._replace(level=min(holds, self.level + passed * self.rows_per_s), at=max(now, self.at))

    @property
    def allowed(self) -> int:
        """Rows that may be taken now."""
        return max(0, int(self.level))

    def after_taking(self, rows: int) -> Self:
        """Give the limiter after rows were taken."""
        return self._replace(level=self.level - rows)
