"""Runs of Glue jobs and their triggers: which to start, stop or leave, and waiting for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from freshet.deploy.account import error_code
from freshet.errors import FreshetError

LIVE: Final = frozenset({"STARTING", "RUNNING", "WAITING", "STOPPING"})
POLL_S: Final = 5.0
START_TRIES: Final = 24  # for two minutes: a run that has just ended still counts for a while
Wait = Callable[[float], None]


class JobFailed(FreshetError):
    """A Glue job ended with an error; the message says which, and where its log is."""


@dataclass(frozen=True)
class Runs:
    """A job as it is, and its runs, the newest first."""

    job: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]

    @property
    def newest(self) -> Mapping[str, Any]:
        """The newest run; empty when there was none."""
        return self.runs[0] if self.runs else {}

    @property
    def live(self) -> list[str]:
        """Ids of the runs that have not ended."""
        return [str(run["Id"]) for run in self.runs if run["JobRunState"] in LIVE]


def read_runs(glue: Any, name: str) -> Runs:
    """Read a job and its latest runs."""
    job = glue.get_job(JobName=name)["Job"]
    runs = glue.get_job_runs(JobName=name, MaxResults=50)["JobRuns"]
    return Runs(job, sorted(runs, key=lambda run: run["StartedOn"], reverse=True))


def what_to_do_with(runs: Runs) -> Literal["start", "restart", "leave"]:
    """Decide about the streaming job: a run that began before its job was last changed runs old code."""
    if not runs.live:
        return "start"
    live = [run for run in runs.runs if run["JobRunState"] in LIVE]
    is_old = any(run["JobRunState"] == "STOPPING" or run["StartedOn"] < runs.job["LastModifiedOn"] for run in live)
    return "restart" if is_old else "leave"


def has_done_its_work(runs: Runs, *, as_it_is_now: bool) -> bool:
    """Tell whether a job that ends has succeeded; `as_it_is_now` asks for a run after the job's last change."""
    return any(
        run["JobRunState"] == "SUCCEEDED" and (not as_it_is_now or run["StartedOn"] >= runs.job["LastModifiedOn"])
        for run in runs.runs
    )


def start_run(glue: Any, name: str, sleep: Wait) -> str:
    """Start a run of a job whose runs have ended; gives its id.

    A run that was stopped counts as running for some seconds after it says that it has ended.

    Raises:
        ClientError: Glue refused for another reason, or for two minutes.
    """
    tries = 1
    while True:
        try:
            return str(glue.start_job_run(JobName=name)["JobRunId"])
        except ClientError as error:
            if error_code(error) != "ConcurrentRunsExceededException" or tries == START_TRIES:
                raise
        tries += 1
        sleep(POLL_S)


def run_to_the_end(glue: Any, name: str, sleep: Wait) -> None:
    """Start a job, or join the run that is on, and wait until it has succeeded.

    Raises:
        JobFailed: It did not; with the job's own error.
    """
    live = read_runs(glue, name).live
    run = live[0] if live else start_run(glue, name, sleep)
    while True:
        found = glue.get_job_run(JobName=name, RunId=run)["JobRun"]
        if found["JobRunState"] == "SUCCEEDED":
            return
        if found["JobRunState"] not in LIVE:
            raise JobFailed(tell(name, found))
        sleep(POLL_S)


def stop_runs(glue: Any, name: str, sleep: Wait) -> int:
    """Stop a job's runs and wait until they have ended; gives how many there were.

    The streaming job ends between two batches; what it had read and not written is read again from its positions.
    """
    runs = read_runs(glue, name).live
    if runs:
        glue.batch_stop_job_run(JobName=name, JobRunIds=runs)
    while any(glue.get_job_run(JobName=name, RunId=run)["JobRun"]["JobRunState"] in LIVE for run in runs):
        sleep(POLL_S)
    return len(runs)


def check_alive(glue: Any, name: str) -> str:
    """Give the state of a job's newest run.

    Raises:
        JobFailed: It has ended.
    """
    newest = read_runs(glue, name).newest
    if newest.get("JobRunState") not in LIVE:
        raise JobFailed(tell(name, newest))
    return str(newest["JobRunState"])


def tell(name: str, run: Mapping[str, Any]) -> str:
    """Say how a run ended."""
    error = f": {run['ErrorMessage']}" if run.get("ErrorMessage") else ""
    return f"job {name} ended with {run.get('JobRunState', 'no run')}{error} (run {run.get('Id', '-')}; its log tells more)"


def start_trigger(glue: Any, name: str) -> bool:
    """Start a trigger that does not run yet; gives whether it had to be."""
    if glue.get_trigger(Name=name)["Trigger"]["State"] in {"ACTIVATED", "ACTIVATING"}:
        return False
    glue.start_trigger(Name=name)
    return True


def stop_trigger(glue: Any, name: str) -> bool:
    """Stop a trigger that runs; gives whether it did."""
    try:
        if glue.get_trigger(Name=name)["Trigger"]["State"] not in {"ACTIVATED", "ACTIVATING"}:
            return False
        glue.stop_trigger(Name=name)
    except ClientError as error:
        if error_code(error) == "EntityNotFoundException":
            return False
        raise
    return True
