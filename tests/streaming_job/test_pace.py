"""When the next batch begins: when its time has come, or at once while the stream holds more than a batch takes."""

import pytest

from streaming_job.job import is_behind, is_idle
from streaming_job.kinesis import Marker

AT_THE_TIP = Marker("a", records=7, tip_at=1.0)
NOTHING_NEW = Marker("b", tip_at=1.0)
MORE_TO_READ = Marker("c", records=10_000, behind_ms=90_000)
ENDED = Marker("d", records=3, closed=True)


@pytest.mark.parametrize(
    ("markers", "behind", "idle"),
    [
        ([AT_THE_TIP, NOTHING_NEW], False, False),
        ([NOTHING_NEW, NOTHING_NEW], False, True),
        ([AT_THE_TIP, MORE_TO_READ], True, False),
        ([ENDED, AT_THE_TIP], False, False),
        ([], False, False),
    ],
)
def test_a_batch_that_left_something_is_followed_at_once(markers: list[Marker], behind: bool, idle: bool) -> None:
    """One shard is enough; a round that failed is neither."""
    assert behind == is_behind(markers)
    assert idle == is_idle(markers)
