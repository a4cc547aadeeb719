"""Every point between two statements of a round: what a job asks of MySQL, S3, Kinesis and Redshift is counted, and something
happens at the n-th.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ConnectionClosedError

from freshet.errors import EnvironmentFault
from freshet.mysql.asking import CutOff, Held, Source
from streaming_job.job import Job
from streaming_job.running import Running

ASK = "ask"  # of MySQL
NO_STATEMENT = frozenset({"GetShardIterator"})  # its answer says nothing of the world


class Killed(BaseException):
    """What kill -9 is to a process: nothing after it is carried out."""


@dataclass
class Points:
    """Counts the statements of a job from its start until its first round that commits is over.

    Attributes:
        at: The statement before which `action` is called; 0: none.
        action: May raise, or do something and return.
        afterwards: It is called after the statement instead: what was asked for has been done, and its answer is lost.
        only: Only statements of this name count.
        reached: The action was called.
        seen: What was asked, in order.
    """

    at: int = 0
    action: Callable[[str], None] = lambda _: None
    afterwards: bool = False
    only: str = ""
    reached: bool = False
    seen: list[str] = field(default_factory=list)
    _counts: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def pass_by(self, name: str, ask: Callable[[], Any]) -> Any:
        """Carry out one statement, or what is to happen at it."""
        with self._lock:
            counts = self._counts and name not in NO_STATEMENT and self.only in ("", name)
            if counts:
                self.seen.append(name)
            here = counts and len(self.seen) == self.at and not self.reached
            self.reached |= here
        if not here:
            return ask()
        if self.afterwards:
            answer = ask()
            self.action(name)
            return answer
        self.action(name)
        return ask()

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Watch the jobs of this process."""
        call, ask, work, one_round = BaseClient._make_api_call, Source.ask, Job.work, Running.round

        def calling(client: Any, operation: str, arguments: Any) -> Any:
            return self.pass_by(operation, lambda: call(client, operation, arguments))

        def asking(source: Source, columns: str, rest: str) -> Any:
            return self.pass_by(ASK, lambda: ask(source, columns, rest))

        def rounding(running: Running, *arguments: Any) -> int:
            taken = one_round(running, *arguments)
            self._counts &= running.told is None
            return taken

        def working(job: Job) -> None:
            self._counts = not self.seen
            work(job)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", calling)
            patch.setattr(Source, "ask", asking)
            patch.setattr(Running, "round", rounding)
            patch.setattr(Job, "work", working)
            yield


def kill(_: str) -> None:
    """End the process, as far as it can tell."""
    raise Killed


def lose(name: str) -> None:
    """No answer comes."""
    if name == ASK:
        raise EnvironmentFault("MySQL does not answer")
    raise ConnectionClosedError(endpoint_url="https://away")


def cut_off(_: str) -> None:
    """MySQL ends the statement after its time."""
    raise CutOff


def keep_waiting(_: str) -> None:
    """A table lock is in the way."""
    raise Held
