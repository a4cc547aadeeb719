"""The sandbox's DMS, watched by the commands that wait for what it delivers.

A DMS task that has stopped delivers nothing more, while stream and job look idle: whoever waits must be told.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.markup import escape

from freshet.cli.context import Place, err
from freshet.errors import EnvironmentFault, TerminalError

LOOK_EVERY_S: Final = 0.5


def problem_of(place: Place) -> str | None:
    """Say why DMS delivers nothing more; None while it works."""
    from sandbox import control  # noqa: PLC0415 - not in the wheel

    problem = control.dms_problem(place.state)
    return problem and f"{problem}. Nothing after it reaches the stream; sandbox/README.md tells how to go on"


def refuse_stopped(place: Place) -> None:
    """Stop whoever waits when nothing more will come.

    Raises:
        TerminalError: DMS has stopped; with its reason.
    """
    if problem := problem_of(place):
        raise TerminalError(problem)


def wait_for_dms(place: Place) -> None:
    """Wait until DMS has delivered what is committed now.

    Raises:
        TerminalError: DMS has stopped; with its reason.
        EnvironmentFault: MySQL does not answer.
    """
    from sandbox import control  # noqa: PLC0415 - not in the wheel
    from sandbox.errors import SandboxError  # noqa: PLC0415

    try:
        until = control.binlog_position(place.state)
    except SandboxError as error:
        raise EnvironmentFault(str(error)) from None
    while control.dms_position(place.state) < until:
        refuse_stopped(place)
        time.sleep(LOOK_EVERY_S)


@contextmanager
def told_when_it_stops(place: Place) -> Iterator[None]:
    """Say once, while something else goes on, that DMS has stopped."""
    ended = threading.Event()

    def watch() -> None:
        while not (problem := problem_of(place)):
            if ended.wait(LOOK_EVERY_S):
                return
        err.print(f"[bold red]error[/bold red] {escape(problem)}", soft_wrap=True)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
