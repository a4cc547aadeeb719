"""Run jobs on PostgreSQL, each in one transaction at REPEATABLE READ.

Redshift's default is SNAPSHOT isolation: two transactions that change the same row collide, and nobody sees half of one.
PostgreSQL's default would hide both.

Source: Redshift Developer Guide, "Isolation levels in Amazon Redshift"; correct only as long as nothing runs before the
first statement of a job, for a LOCK must come before the snapshot.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import IsolationLevel

from sandbox.redshift.errors import Refused, error_text
from sandbox.redshift.history import History
from sandbox.redshift.jobs import Job, Jobs, Part
from sandbox.redshift.lexer import quoted
from sandbox.redshift.postgres import Postgres
from sandbox.redshift.session import Plan, Session
from sandbox.redshift.statements import plan
from sandbox.redshift.statistics import analyze_grown
from sandbox.redshift.trace import Trace

WORKERS: Final = 16
Connection = psycopg.Connection[tuple[Any, ...]]


class _Cancelled(Exception):
    """The job was asked to stop."""


class Workers:
    """Threads that take jobs in the order of their arrival, each with a connection of its own.

    Args:
        postgres: The running server.
        jobs: Where states are told.
        s3: Gives the client for COPY; not called before the first COPY.
    """

    def __init__(self, postgres: Postgres, jobs: Jobs, s3: Callable[[], Any]) -> None:
        self.postgres, self.jobs, self.s3 = postgres, jobs, s3
        self.history = History(postgres)
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._users: set[str] = set()
        self._making_users = threading.Lock()
        self._threads = [threading.Thread(target=self._work, name=f"redshift-{n}", daemon=True) for n in range(WORKERS)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Run a job some time soon."""
        self._queue.put(job)

    def stop(self) -> None:
        """End all threads; what runs is cancelled and rolled back."""
        for _ in self._threads:
            self._queue.put(None)
        for job in self.jobs.newest_first():
            if not job.done:
                self.jobs.set(job, cancelled=True)
        while any(thread.is_alive() for thread in self._threads):
            for job in self.jobs.newest_first():
                if job.interrupt is not None and not job.done:
                    job.interrupt()
            for thread in self._threads:
                thread.join(0.01)
        self.history.close()

    def _work(self) -> None:
        connection: Connection | None = None
        while (job := self._queue.get()) is not None:
            if not self.jobs.pick(job):
                continue
            if job.database != self.postgres.database:
                self._fail(job, None, f'FATAL: database "{job.database}" does not exist')
                continue
            try:
                if connection is None or connection.closed:
                    connection = self.postgres.connect()
                    connection.isolation_level = IsolationLevel.REPEATABLE_READ
                    connection.prepare_threshold = None  # temporary tables of one name differ from job to job
            except psycopg.OperationalError:
                self._fail(job, None, "ERROR: the database does not answer")
                continue
            self._run(job, connection)
        if connection is not None:
            connection.close()

    def _run(self, job: Job, connection: Connection) -> None:
        self.jobs.set(job, status="STARTED", pid=connection.info.backend_pid, interrupt=partial(_interrupt, connection))
        session = Session(connection, self.s3, in_block=job.is_batch)
        transaction_id = self.history.transaction()
        traced: list[tuple[Part, Trace]] = []
        part: Part | None = None
        try:
            plans = [_planned(part.sql, job.parameters) for part in job.parts]
            if job.user:
                self._become(job.user, session)
            for part, planned in zip(job.parts, plans, strict=True):
                self._check_cancelled(job)
                session.trace = self.history.trace(transaction_id, self.jobs.now_s())
                traced.append((part, session.trace))
                self._run_part(part, planned, session)
            part = None
            if job.delay_s:
                session.rows("select 1 from pg_catalog.pg_sleep($1)", [job.delay_s])
            self._check_cancelled(job)
            connection.commit()
        except (psycopg.Error, Refused, _Cancelled) as error:
            _roll_back(connection)
            self._end(job, traced, **self._failed(job, part, error))
        else:
            if any(part.result is None for part in job.parts):  # not only questions
                _analyze(connection)
            self._end(job, traced, status="FINISHED")
        finally:
            if not job.done:  # a fault of ours, which goes on to end this thread
                connection.close()
                self._fail(job, part, "ERROR: the sandbox itself failed, see its output")

    def _become(self, user: str, session: Session) -> None:
        """Go on as a user of the database, made at its first call; SET takes no snapshot, so a LOCK still comes before it."""
        with self._making_users:
            if user not in self._users:
                with self.postgres.connect() as connection:
                    known = connection.execute("select 1 from pg_roles where rolname = %s", (user,)).fetchone()
                    if not known:
                        connection.execute(f"create role {quoted(user)} login".encode())
                self._users.add(user)
        session.run(f"set local role {quoted(user)}")

    def _run_part(self, part: Part, planned: Plan | Refused, session: Session) -> None:
        part.status, part.began_at, part.query_id = "STARTED", session.trace.began_at, session.trace.query_id
        try:
            if isinstance(planned, Refused):
                raise planned
            outcome = planned(session)
        finally:
            part.ended_at = session.trace.ended_at = self.jobs.now_s()
        part.rows, part.result, part.status = outcome.rows, outcome.result, "FINISHED"

    def _end(self, job: Job, traced: Sequence[tuple[Part, Trace]], **state: str) -> None:
        """Write what was done before it is told, so that who waits for the end finds it in the system views."""
        with suppress(psycopg.Error):  # the database died, which its next statement will tell
            self.history.write(job, self.postgres.database, traced)
        self.jobs.set(job, interrupt=None, **state)

    def _failed(self, job: Job, part: Part | None, error: psycopg.Error | Refused | _Cancelled) -> dict[str, str]:
        if job.cancelled and isinstance(error, (_Cancelled, psycopg.errors.QueryCanceled)):
            for other in job.parts:
                other.status = "ABORTED" if other.status != "FINISHED" else other.status
            return {"status": "ABORTED"}
        assert not isinstance(error, _Cancelled), "only a cancelled job raises it"  # noqa: S101
        return self._state_of(job, part, error_text(error))

    def _fail(self, job: Job, part: Part | None, error: str) -> None:
        self.jobs.set(job, interrupt=None, **self._state_of(job, part, error))

    @staticmethod
    def _state_of(job: Job, part: Part | None, error: str) -> dict[str, str]:
        """Give the state of a job that failed, after telling its parts."""
        for other in job.parts:
            other.result = None  # rolled back
            if other.status != "FINISHED":
                other.status = "ABORTED"
        if part is not None:
            part.status, part.error = "FAILED", error
        return {"status": "FAILED", "error": error}

    @staticmethod
    def _check_cancelled(job: Job) -> None:
        if job.cancelled:
            raise _Cancelled


def _planned(sql: str, parameters: dict[str, str]) -> Plan | Refused:
    """Plan a statement before the transaction begins; a refusal counts when its turn comes."""
    try:
        return plan(sql, parameters)
    except Refused as refused:
        return refused


def _analyze(connection: Connection) -> None:
    try:
        analyze_grown(connection)
    except psycopg.Error:  # cancelled, or a table went away: what the job did is committed
        _roll_back(connection)


def _interrupt(connection: Connection) -> None:
    try:
        connection.cancel_safe(timeout=5)
    except psycopg.Error:
        return  # it ended meanwhile


def _roll_back(connection: Connection) -> None:
    try:
        connection.rollback()
    except psycopg.Error:
        connection.close()
