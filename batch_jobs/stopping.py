"""Ctrl-C and SIGTERM as a question that work asks between its steps; it runs on Python 3.9, as Glue's Python shell has it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Let a handler have both signals for a while."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextmanager
def signals(at_first: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Give what tells whether Ctrl-C or SIGTERM came; a second one interrupts at once.

    Args:
        at_first: Is called when the first one comes.
    """
    came = threading.Event()

    def note(_number: int, _frame: object) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()
        at_first()

    if threading.current_thread() is not threading.main_thread():  # there, signals cannot be asked for
        yield came.is_set
        return
    with handled(note):
        yield came.is_set
