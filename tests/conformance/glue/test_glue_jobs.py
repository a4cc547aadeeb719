"""Glue's jobs and runs, as the Glue API reference and developer guide describe them; each test names its page."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from freshet.cli.context import Place
from sandbox import control
from sandbox.glue.runs import GUARD
from tests.patience import HANGS_S

ROLE = "arn:aws:iam::123456789012:role/any"
QUICK = "import sys; print(sys.argv[1:])"
SLOW = "import time; time.sleep(600)"


class Box:
    """The sandbox's Glue, and scripts in S3."""

    def __init__(self, place: Place) -> None:
        self.place, self.glue = place, place.client("glue")
        self.bucket = place.endpoints["staging_bucket"]

    def script(self, code: str) -> str:
        """Put a script into S3; give its URL."""
        key = f"scripts/{uuid.uuid4().hex}.py"
        self.place.client("s3").put_object(Bucket=self.bucket, Key=key, Body=code.encode())
        return f"s3://{self.bucket}/{key}"

    def job(self, code: str = QUICK, **more: Any) -> str:
        """Make a job of a script; give its name."""
        command = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": self.script(code)}
        told = {"Name": f"job-{uuid.uuid4().hex[:8]}", "Role": ROLE, "Command": command, **more}
        return str(self.glue.create_job(**told)["Name"])

    def start(self, job: str, **more: Any) -> str:
        """Start a run; give its id."""
        return str(self.glue.start_job_run(JobName=job, **more)["JobRunId"])

    def run(self, job: str, run: str) -> dict[str, Any]:
        """Read a run."""
        return dict(self.glue.get_job_run(JobName=job, RunId=run)["JobRun"])

    def ended(self, job: str, run: str) -> dict[str, Any]:
        """Read a run once it has ended."""
        return wait_for(lambda: (found := self.run(job, run)).get("CompletedOn") and found)  # type: ignore[no-any-return]

    def log(self, run: str, kind: str = "out") -> str:
        """Read what a run said."""
        return (self.place.state / "logs" / "glue" / f"{run}.{kind}").read_text()


@pytest.fixture
def box(place: Place) -> Box:
    """The sandbox of this test run."""
    return Box(place)


def wait_for(condition: Callable[[], Any]) -> Any:
    """Wait until something is so, three minutes at most."""
    end = time.monotonic() + HANGS_S
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.03)
    return found


def refusal(call: Callable[..., Any], **told: Any) -> str:
    """Give the code of what is refused."""
    with pytest.raises(ClientError) as refused:
        call(**told)
    return str(refused.value.response["Error"]["Code"])


# ---- jobs


def test_a_job_is_made_read_changed_and_deleted(box: Box) -> None:
    """Jobs API, 'CreateJob', 'GetJob', 'UpdateJob' (what is not named is reset), 'DeleteJob' (no error for none)."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    name = box.job(DefaultArguments={"--a": "1"}, Timeout=5, ExecutionProperty={"MaxConcurrentRuns": 3})
    job = box.glue.get_job(JobName=name)["Job"]
    assert (5, 3, {"--a": "1"}) == (
        job["Timeout"],
        job["ExecutionProperty"]["MaxConcurrentRuns"],
        job["DefaultArguments"],
    )
    assert before < job["CreatedOn"] <= datetime.now(UTC) + timedelta(seconds=1)
    box.glue.update_job(JobName=name, JobUpdate={"Role": ROLE, "Command": job["Command"]})
    changed = box.glue.get_job(JobName=name)["Job"]
    assert ({}, 1, 2880) == (
        changed["DefaultArguments"], changed["ExecutionProperty"]["MaxConcurrentRuns"], changed["Timeout"]
    )  # fmt: skip
    assert job["CreatedOn"] == changed["CreatedOn"] < changed["LastModifiedOn"]
    for _ in range(2):
        assert name == box.glue.delete_job(JobName=name)["JobName"]
    assert "EntityNotFoundException" == refusal(box.glue.get_job, JobName=name)


def test_the_defaults_of_a_python_shell_job(box: Box) -> None:
    """Developer guide, 'Configuring job properties for Python shell jobs': 0.0625 DPU, 2,880 minutes; one run at a time."""
    job = box.glue.get_job(JobName=box.job())["Job"]
    assert (0.0625, 2880, 1, 0) == (
        job["MaxCapacity"], job["Timeout"], job["ExecutionProperty"]["MaxConcurrentRuns"], job["MaxRetries"]
    )  # fmt: skip


def test_a_name_is_taken_once(box: Box) -> None:
    """Jobs API, 'CreateJob': AlreadyExistsException."""
    job = box.glue.get_job(JobName=box.job())["Job"]
    told = {"Name": job["Name"], "Role": ROLE, "Command": job["Command"]}
    assert "AlreadyExistsException" == refusal(box.glue.create_job, **told)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Command": {"Name": "glueetl", "ScriptLocation": "s3://b/s.py"}},
        {"Command": {"Name": "pythonshell", "PythonVersion": "3.13", "ScriptLocation": "s3://b/s.py"}},
        {"Command": {"Name": "pythonshell", "ScriptLocation": "s.py"}},
        {"MaxCapacity": 2.0},
        {"MaxRetries": 1},
        {"ExecutionProperty": {"MaxConcurrentRuns": 0}},
        {"WorkerType": "G.1X", "NumberOfWorkers": 2},
        {"DefaultArguments": {"--mode": "each"}},
        {"DefaultArguments": {"--JOB_NAME": "x"}},
    ],
)
def test_what_cannot_run_is_refused(box: Box, wrong: dict[str, Any]) -> None:
    """Jobs API, 'JobCommand', 'CreateJob'; 'Using job parameters': names of Glue's own; and what this Glue does not know."""
    command = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": "s3://b/s.py"}
    told = {"Name": f"job-{uuid.uuid4().hex[:8]}", "Role": ROLE, "Command": command, **wrong}
    assert "InvalidInputException" == refusal(box.glue.create_job, **told)


# ---- runs


def test_a_run_is_a_process_with_the_arguments(box: Box) -> None:
    """Jobs API, 'StartJobRun': Arguments replace DefaultArguments of the same name; 'JobRun': states and times."""
    job = box.job(DefaultArguments={"--a": "1", "--b": "a word"})
    run = box.start(job, Arguments={"--a": "2", "--c": '{"x": "y z"}'})
    found = box.ended(job, run)
    assert "SUCCEEDED" == found["JobRunState"]
    assert "['--a', '2', '--b', 'a word', '--c', '{\"x\": \"y z\"}']\n" == box.log(run)
    assert {"--a": "2", "--c": '{"x": "y z"}'} == found["Arguments"]
    assert found["StartedOn"] <= found["CompletedOn"]
    assert "ErrorMessage" not in found
    assert run.startswith("jr_")
    assert "/aws-glue/python-jobs" == found["LogGroupName"]


def test_arguments_that_no_run_can_replace(box: Box) -> None:
    """Jobs API, 'Job': NonOverridableArguments."""
    job = box.job(NonOverridableArguments={"--a": "1"})
    run = box.start(job, Arguments={"--a": "2"})
    box.ended(job, run)
    assert "['--a', '1']\n" == box.log(run)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; print('no'); print('such a table', file=sys.stderr); sys.exit(3)", "such a table"),
        ("raise ValueError('wrong value')", "ValueError: wrong value"),
        ("import sys; sys.exit('the cause')", "the cause"),
        ("import sys; sys.exit(4)", "the script ended with exit code 4"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the process was ended by SIGKILL"),
    ],
)
def test_a_script_that_fails_makes_a_failed_run(box: Box, code: str, message: str) -> None:
    """Developer guide, 'Job run statuses': FAILED, with an ErrorMessage; here the last line that it wrote to stderr."""
    job = box.job(code)
    found = box.ended(job, box.start(job))
    assert ("FAILED", message) == (found["JobRunState"], found["ErrorMessage"])


def test_a_script_that_is_missing(box: Box) -> None:
    """The run fails, not the call: the script is fetched when it starts."""
    command = {"Name": "pythonshell", "ScriptLocation": f"s3://{box.bucket}/nothing.py"}
    job = box.glue.create_job(Name=f"job-{uuid.uuid4().hex[:8]}", Role=ROLE, Command=command)["Name"]
    found = box.ended(job, box.start(job))
    assert "FAILED" == found["JobRunState"]
    assert "nothing.py" in found["ErrorMessage"]


def test_one_run_more_than_allowed_is_refused(box: Box) -> None:
    """Jobs API, 'StartJobRun', 'ExecutionProperty': ConcurrentRunsExceededException; a run that has ended makes room."""
    job = box.job(SLOW, ExecutionProperty={"MaxConcurrentRuns": 2})
    first, second = box.start(job), box.start(job)
    assert "ConcurrentRunsExceededException" == refusal(box.start, job=job)
    box.glue.batch_stop_job_run(JobName=job, JobRunIds=[first])
    assert "STOPPED" == box.ended(job, first)["JobRunState"]
    third = box.start(job)
    box.glue.batch_stop_job_run(JobName=job, JobRunIds=[second, third])


def test_a_run_is_stopped(box: Box) -> None:
    """Jobs API, 'BatchStopJobRun': STOPPING, then STOPPED; what cannot be stopped is told with its error."""
    job = box.job("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    run = box.start(job)
    pid = int(wait_for(lambda: box.run(job, run)["JobRunState"] == "RUNNING" and box.log(run)))
    answer = box.glue.batch_stop_job_run(JobName=job, JobRunIds=[run, "jr_nothing"])
    assert [{"JobName": job, "JobRunId": run}] == answer["SuccessfulSubmissions"]
    assert ["EntityNotFoundException"] == [error["ErrorDetail"]["ErrorCode"] for error in answer["Errors"]]
    assert "STOPPED" == box.ended(job, run)["JobRunState"]
    assert not psutil.pid_exists(pid)
    again = box.glue.batch_stop_job_run(JobName=job, JobRunIds=[run])
    assert [] == again["SuccessfulSubmissions"]
    assert ["InvalidInputException"] == [error["ErrorDetail"]["ErrorCode"] for error in again["Errors"]]


def test_runs_are_listed_newest_first(box: Box) -> None:
    """Jobs API, 'GetJobRuns': pages, the newest run first."""
    job = box.job(ExecutionProperty={"MaxConcurrentRuns": 3})
    ids = [box.start(job) for _ in range(3)]
    first = box.glue.get_job_runs(JobName=job, MaxResults=2)
    second = box.glue.get_job_runs(JobName=job, MaxResults=2, NextToken=first["NextToken"])
    assert ids[::-1] == [run["Id"] for page in (first, second) for run in page["JobRuns"]]
    assert "NextToken" not in second
    for run in ids:
        box.ended(job, run)


def test_what_is_not_there(box: Box) -> None:
    """Jobs API: EntityNotFoundException of jobs and runs; an operation that this Glue does not have."""
    job = box.job()
    assert "EntityNotFoundException" == refusal(box.glue.start_job_run, JobName="nothing")
    assert "EntityNotFoundException" == refusal(box.glue.get_job_run, JobName=job, RunId="jr_nothing")
    assert "EntityNotFoundException" == refusal(box.glue.get_job_runs, JobName="nothing")
    assert "InvalidInputException" == refusal(box.glue.start_job_run, JobName=job, Arguments={"--mode": "each"})
    assert "UnknownOperationException" == refusal(box.glue.get_databases)


def test_a_run_that_takes_too_long(box: Box, tmp_path: Path) -> None:
    """Jobs API, 'StartJobRun', Timeout: state TIMEOUT. A minute is the least, so the run itself is asked, with less."""
    from sandbox.glue.runs import Run

    run = Run("job", "s3://b/s.py", {}, {}, 0.3, lambda _: SLOW.encode(), dict, tmp_path)
    run.join(30)
    assert "TIMEOUT" == run.report()["JobRunState"]


def test_a_run_finds_the_sandbox_and_not_what_is_around_it(box: Box) -> None:
    """Developer guide, 'Python shell jobs': the role's credentials and the region are there; nothing of who started Glue."""
    job = box.job(
        "import boto3, os; print(boto3.client('s3').list_buckets()['Buckets'][0]['Name']); print(sorted(os.environ))"
    )
    os.environ["FRESHET_SECRET_OF_MINE"] = "x"
    run = box.start(job)
    assert "SUCCEEDED" == box.ended(job, run)["JobRunState"], box.log(run, "err")
    assert box.bucket in box.log(run)
    assert "FRESHET" not in box.log(run)
    del os.environ["FRESHET_SECRET_OF_MINE"]


# ---- processes


def test_no_process_is_left_when_the_sandbox_goes_down(tmp_path: Path) -> None:
    """Neither when it is stopped, nor when its AWS part is killed."""
    for kill in (False, True):
        place = Place(tmp_path / f"sandbox_{kill}", control.start(tmp_path / f"sandbox_{kill}", tied=True))
        try:
            box = Box(place)
            job = box.job("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
            run = box.start(job)
            pid = int(
                wait_for(
                    lambda box=box, job=job, run=run: box.run(job, run)["JobRunState"] == "RUNNING" and box.log(run)
                )
            )  # type: ignore[misc]
            if kill:
                control.stop_service(place.state, "aws", kill=True)
            place.close()
        finally:
            control.stop(place.state)
        wait_for(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]


def test_a_process_whose_parent_is_gone_does_not_begin(tmp_path: Path) -> None:
    """The guard looks whether who started it is still there."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(GUARD), "1", sys.executable, "-c", "print('ran')"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (1, "") == (done.returncode, done.stdout)
