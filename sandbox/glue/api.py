"""Answer the operations of the Glue API (JSON 1.1) that are about jobs and their runs.

Reads:  an operation's name and its request body.
Gives:  the response body; or a GlueError.

Source: Glue API reference, "Jobs API"; Glue developer guide, "Configuring job properties for Python shell jobs in AWS Glue",
"Using job parameters in AWS Glue jobs".
"""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sandbox.glue.errors import (
    AlreadyExists,
    ConcurrentRunsExceeded,
    EntityNotFound,
    GlueError,
    InvalidInput,
    UnknownOperation,
)
from sandbox.glue.runs import LIVE, Fetch, Run

Json = dict[str, Any]
NAME = re.compile(r"[ -~\t\x80-\U0010ffff]{1,255}")
TIMEOUT_MINUTES = 2880
CAPACITIES = (0.0625, 1.0)
RUNS_PER_PAGE_MAX = 200
STOPPED_AT_ONCE_MAX = 25
ARGUMENT_BYTES_MAX = 260 * 1024
RESERVED = ("--JOB_NAME", "--mode", "--debug", "--endpoint")
KNOWN = frozenset({
    "Name", "Description", "Role", "Command", "DefaultArguments", "ExecutionProperty", "MaxRetries", "Timeout", "MaxCapacity",
    "Connections", "SecurityConfiguration", "Tags", "GlueVersion", "NotificationProperty", "NonOverridableArguments",
})  # fmt: skip
KNOWN_OF_A_RUN = frozenset({"JobName", "Arguments", "Timeout", "MaxCapacity", "SecurityConfiguration"})


class Glue:
    """Jobs, and their runs as processes.

    Args:
        fetch: Reads an s3:// URL; raises OSError.
        environment: Variables of the runs' processes, asked at each start.
        logs: A folder for what they say.
    """

    def __init__(self, fetch: Fetch, environment: Callable[[], dict[str, str]], logs: Path) -> None:
        self._fetch, self._environment, self._logs = fetch, environment, logs
        self._jobs: dict[str, Json] = {}
        self._runs: dict[str, list[Run]] = {}
        self._lock = threading.Lock()
        self._operations: dict[str, Callable[[Json], Json]] = {
            "CreateJob": self._create_job,
            "UpdateJob": self._update_job,
            "GetJob": self._get_job,
            "DeleteJob": self._delete_job,
            "StartJobRun": self._start_job_run,
            "GetJobRun": self._get_job_run,
            "GetJobRuns": self._get_job_runs,
            "BatchStopJobRun": self._batch_stop_job_run,
        }

    def answer(self, operation: str, body: bytes) -> bytes:
        """Carry out one operation.

        Raises:
            GlueError: What the API answers instead.
        """
        try:
            handler = self._operations[operation]
        except KeyError:
            raise UnknownOperation(f"the sandbox's Glue has no operation {operation}") from None
        try:
            request = json.loads(body or b"{}")
        except ValueError:
            raise InvalidInput("the request is not JSON") from None
        try:
            with self._lock:
                return json.dumps(handler(request)).encode()
        except KeyError as missing:
            raise InvalidInput(f"{missing.args[0]} is missing") from None

    def stop(self, run_ids: "set[str] | None" = None) -> None:
        """Stop these runs, or all, and wait for their end."""
        with self._lock:
            runs = [run for runs in self._runs.values() for run in runs if run_ids is None or run.id in run_ids]
        for run in [run for run in runs if run.stop()]:
            run.join(10.0)

    # ---- jobs

    def _create_job(self, request: Json) -> Json:
        name = _text(request, "Name")
        if not NAME.fullmatch(name):
            raise InvalidInput("Name must have 1 to 255 characters")
        job = checked_job(request)
        if name in self._jobs:
            raise AlreadyExists(f"Job with name {name} already exists")
        now = time.time()
        self._jobs[name] = {**job, "Name": name, "CreatedOn": now, "LastModifiedOn": now}
        self._runs.setdefault(name, [])
        return {"Name": name}

    def _update_job(self, request: Json) -> Json:
        before = self._job(request)
        job = checked_job({**request["JobUpdate"], "Name": before["Name"]})
        # What an update does not name gets its default again.
        self._jobs[before["Name"]] = {
            **job, "Name": before["Name"], "CreatedOn": before["CreatedOn"], "LastModifiedOn": time.time(),
        }  # fmt: skip
        return {"JobName": before["Name"]}

    def _get_job(self, request: Json) -> Json:
        return {"Job": self._job(request)}

    def _delete_job(self, request: Json) -> Json:
        name = _text(request, "JobName")
        self._jobs.pop(name, None)  # of one that is not there no error is told
        return {"JobName": name}

    def _job(self, request: Json) -> Json:
        name = _text(request, "JobName")
        if name not in self._jobs:
            raise EntityNotFound(f"Job {name} not found.")
        return self._jobs[name]

    # ---- runs

    def _start_job_run(self, request: Json) -> Json:
        if unknown := sorted(request.keys() - KNOWN_OF_A_RUN):
            raise InvalidInput(f"the sandbox's Glue does not know {', '.join(unknown)} of a run")
        job = self._job(request)
        own = checked_arguments(request.get("Arguments", {}))
        allowed = job["ExecutionProperty"]["MaxConcurrentRuns"]
        runs = self._runs[job["Name"]]
        if sum(run.state in LIVE for run in runs) >= allowed:
            raise ConcurrentRunsExceeded(f"Concurrent runs exceeded for {job['Name']}")
        fixed = job.get("NonOverridableArguments", {})
        timeout = _minutes(request.get("Timeout", job["Timeout"]))
        told = {
            "Arguments": own,
            "Timeout": timeout,
            "MaxCapacity": _capacity(request.get("MaxCapacity", job["MaxCapacity"])),
        }
        run = Run(
            job["Name"], job["Command"]["ScriptLocation"], {**job["DefaultArguments"], **own, **fixed}, told, timeout * 60.0,
            self._fetch, self._environment, self._logs,
        )  # fmt: skip
        runs.append(run)
        return {"JobRunId": run.id}

    def _get_job_run(self, request: Json) -> Json:
        job, run_id = self._job(request), _text(request, "RunId")
        found = next((run for run in self._runs[job["Name"]] if run.id == run_id), None)
        if found is None:
            raise EntityNotFound(f"Job run {run_id} of job {job['Name']} not found.")
        return {"JobRun": found.report()}

    def _get_job_runs(self, request: Json) -> Json:
        job, limit = self._job(request), int(request.get("MaxResults", RUNS_PER_PAGE_MAX))
        if not 1 <= limit <= RUNS_PER_PAGE_MAX:
            raise InvalidInput(f"MaxResults is {limit}, not 1 to {RUNS_PER_PAGE_MAX}")
        newest_first = self._runs[job["Name"]][::-1]
        first = int(request.get("NextToken") or 0)
        more = {"NextToken": str(first + limit)} if first + limit < len(newest_first) else {}
        return {"JobRuns": [run.report() for run in newest_first[first : first + limit]], **more}

    def _batch_stop_job_run(self, request: Json) -> Json:
        name, ids = _text(request, "JobName"), request["JobRunIds"]
        if not 1 <= len(ids) <= STOPPED_AT_ONCE_MAX:
            raise InvalidInput(f"JobRunIds has {len(ids)} ids, not 1 to {STOPPED_AT_ONCE_MAX}")
        known = {run.id: run for run in self._runs.get(name, ())}
        done, errors = [], []
        for run_id in ids:
            error: GlueError | None = None
            if run_id not in known:
                error = EntityNotFound(f"Job run {run_id} of job {name} not found.")
            elif not known[run_id].stop():
                error = InvalidInput(f"Job run {run_id} is in state {known[run_id].state}, and cannot be stopped.")
            if error:
                detail = {"ErrorCode": error.name, "ErrorMessage": str(error)}
                errors.append({"JobName": name, "JobRunId": run_id, "ErrorDetail": detail})
            else:
                done.append({"JobName": name, "JobRunId": run_id})
        return {"SuccessfulSubmissions": done, "Errors": errors}


def checked_job(request: Mapping[str, Any]) -> Json:
    """Check what a job is made or changed with, and give it whole.

    Raises:
        GlueError: It is not one that can be run here.
    """
    if unknown := sorted(request.keys() - KNOWN):
        raise InvalidInput(f"the sandbox's Glue does not know {', '.join(unknown)} of a job")
    _text(request, "Role")
    command = request["Command"]
    if command.get("Name") != "pythonshell":
        raise InvalidInput(f"the sandbox's Glue runs Python shell jobs (pythonshell), not {command.get('Name')}")
    if command.get("PythonVersion", "3") not in {"3", "3.9"}:
        raise InvalidInput(f"a Python shell job has PythonVersion 3.9 or 3, not {command['PythonVersion']}")
    if not str(command.get("ScriptLocation", "")).startswith("s3://"):
        raise InvalidInput("Command.ScriptLocation must be an s3:// URL")
    if int(request.get("MaxRetries", 0)) != 0:
        raise InvalidInput("the sandbox's Glue does not run again what failed: MaxRetries must be 0")
    concurrent = int(request.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1))
    if concurrent < 1:
        raise InvalidInput("MaxConcurrentRuns must be at least 1")
    return {
        **{name: value for name, value in request.items() if name != "Tags"},
        "DefaultArguments": checked_arguments(request.get("DefaultArguments", {})),
        "ExecutionProperty": {"MaxConcurrentRuns": concurrent},
        "MaxRetries": 0,
        "Timeout": _minutes(request.get("Timeout", TIMEOUT_MINUTES)),
        "MaxCapacity": _capacity(request.get("MaxCapacity", CAPACITIES[0])),
    }


def checked_arguments(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Check the arguments of a job or a run.

    Raises:
        GlueError: A value is no text, a name is Glue's own, or they are too long.
    """
    for name, value in arguments.items():
        if not isinstance(value, str):
            raise InvalidInput(f"the argument {name} is no text")
        if name in RESERVED:
            raise InvalidInput(f"the argument {name} is AWS Glue's own")
    if sum(len(name.encode()) + len(value.encode()) for name, value in arguments.items()) > ARGUMENT_BYTES_MAX:
        raise InvalidInput(f"the arguments have more than {ARGUMENT_BYTES_MAX} bytes")
    return dict(arguments)


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request[name]
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{name} must be a text")
    return value


def _minutes(value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise InvalidInput("Timeout must be at least 1 minute")
    return value


def _capacity(value: Any) -> float:
    if value not in CAPACITIES:
        raise InvalidInput("MaxCapacity of a Python shell job must be 0.0625 or 1")
    return float(value)
