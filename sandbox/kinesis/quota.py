"""What one shard lets its readers do.

Source: Kinesis Data Streams quotas: 5 GetRecords transactions a second and shard, 2 MB a second and shard; after an
answer of 10 MB further calls are throttled for up to 5 seconds. GetShardIterator: 5 a second and shard.
"""

from collections import deque

CALLS_PER_S = 5
BYTES_PER_S = 2 * 1024 * 1024


class CallQuota:
    """At most five calls in any second."""

    def __init__(self) -> None:
        self._calls: deque[float] = deque(maxlen=CALLS_PER_S)

    def take(self, now_s: float) -> bool:
        """Count a call; False when it is one too many, which is then not counted."""
        if len(self._calls) == CALLS_PER_S and now_s - self._calls[0] < 1:
            return False
        self._calls.append(now_s)
        return True


class ReadQuota:
    """The calls and bytes that may be read from one shard, by all readers together."""

    def __init__(self) -> None:
        self._reads, self._iterators = CallQuota(), CallQuota()
        self._paid_s = 0.0

    def take_read(self, now_s: float) -> bool:
        """Count a GetRecords call; False when calls or bytes are used up."""
        return now_s >= self._paid_s and self._reads.take(now_s)

    def charge(self, read_bytes: int, now_s: float) -> None:
        """Charge what a call gave: what exceeds one second's bytes blocks the calls after it."""
        self._paid_s = max(self._paid_s, now_s - 1) + read_bytes / BYTES_PER_S

    def take_iterator(self, now_s: float) -> bool:
        """Count a GetShardIterator call; False when it is one too many."""
        return self._iterators.take(now_s)
