"""A clean stop: no new batch after the signal, 30 seconds for the running one, then its statement is cancelled.

SIGUSR1 asks for less: to end by itself once every shard was at its tip twice.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

GRACE_S = 30.0


class Stopping:
    """Remembers that the job was asked to stop, and until when the running batch may go on."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._asked = threading.Event()
        self._deadline = 0.0
        self.when_idle = False

    def on_signals(self, at_deadline: Callable[[], None]) -> None:
        """Stop at SIGTERM and SIGINT, and at SIGUSR1 once idle.

        Args:
            at_deadline: Is called when the batch still runs after the grace.
        """

        def end_when_idle(_signal: int, _frame: FrameType | None) -> None:
            self.when_idle = True

        def ask(_signal: int, _frame: FrameType | None) -> None:
            if self._asked.is_set():
                return
            self._deadline = time.monotonic() + self._grace_s
            self._asked.set()
            timer = threading.Timer(self._grace_s, at_deadline)
            timer.daemon = True
            timer.start()

        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)
        signal.signal(signal.SIGUSR1, end_when_idle)

    @property
    def asked(self) -> bool:
        """True once a signal came."""
        return self._asked.is_set()

    def expired(self) -> bool:
        """True once the running batch must end too."""
        return self.asked and time.monotonic() >= self._deadline

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than until a signal."""
        self._asked.wait(max(0.0, seconds))
