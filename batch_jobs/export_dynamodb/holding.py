"""Hold an export while a run works: a thread renews, and ends Spark's tasks when another run has taken over."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from batch_jobs.export_dynamodb.memory import HoldLost, Memory
from batch_jobs.export_dynamodb.pace import MARGIN
from freshet.errors import FreshetError


class Holding:
    """What the thread knows; `wrote` says that tasks were started that may write, and may outlive this run."""

    def __init__(self) -> None:
        self.lost: HoldLost | None = None
        self.wrote = False
        self.done = threading.Event()

    def check(self) -> None:
        """Go no further when another run took over.

        Raises:
            HoldLost: It did.
        """
        if self.lost is not None:
            raise self.lost


@contextmanager
def holding(memory: Memory, at_loss: Callable[[], None]) -> Iterator[Holding]:
    """Take the export, renew while the body works, let go at its end.

    When the body fails after tasks were started that write, the hold is left to pass by itself: a task may still be at it, and
    no other run may begin before the last of them has stopped.

    Args:
        memory: The export's tables.
        at_loss: Called from the thread when another run took over.

    Raises:
        Busy: Another run is alive.
    """
    memory.take()
    state = Holding()

    def work() -> None:
        while not state.done.wait(memory.hold_s / MARGIN):
            try:
                memory.renew()
            except HoldLost as lost:
                state.lost = lost
                at_loss()
                return
            except FreshetError:  # not told: tried again; the tasks ask for themselves
                continue

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    finished = False
    try:
        yield state
        finished = True
    finally:
        state.done.set()
        thread.join()
        if finished or not state.wrote:
            with suppress(FreshetError):  # it passes by itself
                memory.release()
