"""What was submitted and what became of it: statements, their ids, tokens and states.

A statement lives here and not in a request, so it goes on when its caller dies.

Source: Redshift Management Guide, "Using the Amazon Redshift Data API" (considerations, idempotency); API reference,
"StatementData", "SubStatementData".
"""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.redshift.errors import ApiError, invalid, not_found
from sandbox.redshift.results import Result

KEPT_S: Final = 24 * 3600.0
TOKEN_KEPT_S: Final = 8 * 3600.0
ACTIVE_MAX: Final = 500
DONE: Final = frozenset({"FINISHED", "FAILED", "ABORTED"})


@dataclass
class Part:
    """One SQL statement of a job."""

    sql: str
    status: str = "SUBMITTED"
    error: str | None = None
    rows: int = -1
    result: Result | None = None
    began_at: float = 0.0
    ended_at: float = 0.0
    query_id: int = 0

    @property
    def duration_ns(self) -> int:
        """Time it ran; -1 when it did not end."""
        return int((self.ended_at - self.began_at) * 1e9) if self.ended_at else -1


@dataclass
class Job:
    """What one ExecuteStatement or BatchExecuteStatement submitted."""

    parts: list[Part]
    database: str
    workgroup: str
    parameters: dict[str, str]
    is_batch: bool
    name: str
    user: str | None = None  # None: the administrator
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    status: str = "SUBMITTED"
    error: str | None = None
    pid: int = 0
    cancelled: bool = False
    interrupt: Callable[[], None] | None = None
    delay_s: float = 0.0

    @property
    def done(self) -> bool:
        """Tell whether nothing will change any more."""
        return self.status in DONE


class Jobs:
    """All jobs of the last 24 hours, for all threads.

    Args:
        now_s: The clock of ages.
    """

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self.now_s = now_s
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._active: set[str] = set()
        self._tokens: dict[str, tuple[str, float]] = {}  # in the order of their first use, as the jobs are

    def add(self, job: Job, token: str | None) -> tuple[Job, bool]:
        """Keep a job, unless its token was used: then give the job of that token.

        Returns:
            The job, and whether it is new.

        Raises:
            ApiError: 500 statements are active.
        """
        with self._changed:
            self._forget()
            if token is not None and token in self._tokens:
                return self._jobs[self._tokens[token][0]], False
            if len(self._active) >= ACTIVE_MAX:
                raise ApiError(
                    "ActiveStatementsExceededException", f"Active statements exceeded the allowed quota ({ACTIVE_MAX})."
                )
            job.created_at = job.updated_at = self.now_s()
            self._jobs[job.id] = job
            self._active.add(job.id)
            if token is not None:
                self._tokens[token] = (job.id, job.created_at)
            return job, True

    def find(self, statement: str) -> tuple[Job, int | None]:
        """Find a job by its id, or by the id of one of its parts.

        Returns:
            The job, and the part's place if it was a part's id.

        Raises:
            ApiError: There is no such statement, or no more.
        """
        job_id, _, number = statement.partition(":")
        with self._changed:
            self._forget()
            job = self._jobs.get(job_id)
        if job is None or (number and not (job.is_batch and number.isdigit() and 1 <= int(number) <= len(job.parts))):
            raise not_found(f"Query does not exist: {statement}", statement)
        return job, int(number) - 1 if number else None

    def wait(self, job: Job, seconds: float) -> None:
        """Wait until a job is done, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: job.done, seconds)

    def newest_first(self) -> Sequence[Job]:
        """Give all jobs."""
        with self._changed:
            self._forget()
            return list(self._jobs.values())[::-1]

    def set(self, job: Job, **values: Any) -> None:
        """Change a job in one step, and wake who waits for it."""
        with self._changed:
            for name, value in values.items():
                setattr(job, name, value)
            job.updated_at = self.now_s()
            if job.done:
                self._active.discard(job.id)
            self._changed.notify_all()

    def pick(self, job: Job) -> bool:
        """Take a job that waited; False when it was cancelled meanwhile."""
        with self._changed:
            if job.done:
                return False
            self.set(job, status="PICKED")
            return True

    def cancel(self, job: Job) -> None:
        """Ask a job to stop, again and again until it has: a word between two of its statements is lost.

        Raises:
            ApiError: It is done.
        """
        with self._changed:
            if job.done:
                raise invalid(f"Could not cancel a query that is already in {job.status} state")
            waits = job.status == "SUBMITTED"
            self.set(job, cancelled=True, **({"status": "ABORTED"} if waits else {}))
        while not job.done:
            interrupt = job.interrupt
            if interrupt is not None:
                interrupt()
            self.wait(job, 0.05)

    def _forget(self) -> None:
        """Drop what is too old; called with the lock held."""
        now = self.now_s()
        while self._tokens and now - next(iter(self._tokens.values()))[1] > TOKEN_KEPT_S:
            del self._tokens[next(iter(self._tokens))]
        while self._jobs and (first := next(iter(self._jobs.values()))).done and now - first.updated_at > KEPT_S:
            del self._jobs[first.id]
