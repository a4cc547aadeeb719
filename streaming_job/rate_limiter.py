"""Cap the rows that pending work asks of the source, for the whole job.

Reads:  `rows_per_s` of the source; a clock that is handed in.
Gives:  how many rows may be taken now.
"""

from typing import Final, NamedTuple, Self

HOLDS_S: Final = (
    10  # a commit of Redshift takes seconds: rows that came due meanwhile are not lost, and make one larger round
)


class RateLimiter(NamedTuple):
    """A bucket that fills by `rows_per_s` and holds ten seconds' rows.

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
        filled = self.level + (now - self.at) * self.rows_per_s
        return self._replace(level=min(max(1.0, HOLDS_S * self.rows_per_s), filled), at=max(now, self.at))

    @property
    def allowed(self) -> int:
        """Rows that may be taken now."""
        return max(0, int(self.level))

    def after_taking(self, rows: int) -> Self:
        """Give the limiter after rows were taken."""
        return self._replace(level=self.level - rows)
