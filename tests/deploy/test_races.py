"""What AWS still tells of the moment before is waited for, and what it never leaves is told."""

# ruff: noqa: ARG002, N803 - the signatures are boto3's

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from freshet.deploy.alarms import let_ring, ring
from freshet.deploy.dms import OLD_LOOKS_MAX, CaptureFailed, check_connections, start_task, stop_task
from freshet.deploy.glue import START_TRIES, start_run
from tests.deploy.conftest import Person
from tests.deploy.test_deploy import client, runs_of


class Dms:
    """A task, or a connection, whose states are told one a look; the last one for ever."""

    def __init__(self, *states: str) -> None:
        self.states, self.asked = list(states), 0

    def _look(self) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"Status": state, "LastFailureMessage": "no route"}

    def describe_replication_tasks(self, Filters: Any) -> dict[str, Any]:
        """Look at the task."""
        return {"ReplicationTasks": [self._look()]}

    def describe_connections(self, Filters: Any) -> dict[str, Any]:
        """Look at the connection."""
        return {"Connections": [self._look()]}

    def start_replication_task(self, **_: str) -> None:
        """Begin to start."""
        self.asked += 1

    stop_replication_task = test_connection = start_replication_task


def start(dms: Dms, sleep: Callable[[float], None]) -> object:
    """Start the task."""
    return start_task(dms, "arn", sleep)


def stop(dms: Dms, sleep: Callable[[float], None]) -> object:
    """Stop the task."""
    return stop_task(dms, "arn", sleep)


def connect(dms: Dms, sleep: Callable[[float], None]) -> object:
    """Let DMS try a connection."""
    return check_connections(dms, "instance", ["endpoint"], sleep)


@pytest.mark.parametrize(
    ("act", "states"),
    [
        (start, ["ready", "ready", "ready", "starting", "running"]),
        (start, ["stopped", "stopped", "starting", "running"]),
        (start, ["failed", "failed", "failed", "running"]),
        (stop, ["running", "running", "running", "running", "stopping", "stopped"]),
        (connect, ["failed", "failed", "testing", "successful"]),
    ],
)
def test_the_old_state_is_waited_out(
    act: Callable[[Dms, Callable[[float], None]], object], states: Sequence[str]
) -> None:
    """The first looks after DMS was asked may still tell what was before."""
    waits: list[float] = []
    dms = Dms(*states)
    act(dms, waits.append)
    assert 1 == dms.asked
    assert waits
    assert [states[-1]] == dms.states


@pytest.mark.parametrize(
    ("act", "states", "told"),
    [
        (start, ["failed"], "the DMS task is failed after resume-processing: no route"),
        (start, ["ready", "starting", "failed"], "the DMS task is failed after start-replication: no route"),
        (stop, ["running"], "still runs a minute after"),
        (connect, ["failed"], "does not reach its endpoint endpoint: no route"),
    ],
)
def test_what_never_leaves_it_is_told(
    act: Callable[[Dms, Callable[[float], None]], object], states: Sequence[str], told: str
) -> None:
    """After a minute it is no race but a failure."""
    waits: list[float] = []
    with pytest.raises(CaptureFailed, match=told):
        act(Dms(*states), waits.append)
    assert len(waits) <= OLD_LOOKS_MAX


class Glue:
    """Refuses to start runs."""

    def __init__(self, code: str, times: int) -> None:
        self.code, self.times, self.tries = code, times, 0

    def start_job_run(self, JobName: str) -> dict[str, str]:
        """Start a run once that is allowed."""
        self.tries += 1
        if self.tries <= self.times:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "StartJobRun")
        return {"JobRunId": "jr_1"}


def test_a_run_that_has_just_ended_is_waited_out() -> None:
    """Glue counts it for some seconds more; any other refusal, and one that stays, is told."""
    waits: list[float] = []
    assert "jr_1" == start_run(Glue("ConcurrentRunsExceededException", 3), "job", waits.append)
    assert 3 == len(waits)
    for glue, tries in (
        (Glue("ConcurrentRunsExceededException", 99), START_TRIES),
        (Glue("EntityNotFoundException", 99), 1),
    ):
        with pytest.raises(ClientError):
            start_run(glue, "job", waits.append)
        assert tries == glue.tries


def test_an_update_goes_on_when_glue_still_counts_the_old_run(person: Person) -> None:
    """The streaming job is stopped, and started on the new code, though Glue refuses at first."""
    person.deploys("--yes")
    person.cloud.refusals["glue.start_job_run"] = "ConcurrentRunsExceededException"
    person.deploys("--yes", "--set", "MaxWorkers=5")
    assert 2 == person.cloud.calls.count("glue.start_job_run")
    assert ["RUNNING", "STOPPED"] == sorted(runs_of("streaming-cdc-kinesis2redshift-demo"))


# ---- alarms on silence


def rings() -> dict[str, bool]:
    """Which of the stack's alarms tell somebody."""
    found = client("cloudwatch").describe_alarms(AlarmNamePrefix="demo-")["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["ActionsEnabled"] for alarm in found}


ON_SILENCE = {"demo-job-not-running", "demo-dms-target-latency"}


def test_alarms_on_silence_are_quiet_until_all_is_started(person: Person) -> None:
    """No mail about a job that nobody has started; from the start on each rings. The others ring from the beginning."""
    person.deploys("--yes", "--no-start")
    assert ON_SILENCE == {name for name, enabled in rings().items() if not enabled}
    said = person.deploys("--yes")
    assert "alarms: demo-dms-target-latency, demo-job-not-running ring from now on" in said
    assert all(rings().values())


def test_an_update_leaves_them_as_they_were(person: Person) -> None:
    """CloudFormation makes an alarm that it changes quiet again: one that rang rings afterwards, without a start too."""
    person.deploys("--yes")
    person.cloud.quieted = sorted(ON_SILENCE)
    person.deploys("--yes", "--no-start", "--set", "FreshnessAlarmSeconds=600")
    assert "cloudwatch.enable_alarm_actions" in person.cloud
    assert all(rings().values())
    client("cloudwatch").disable_alarm_actions(AlarmNames=sorted(ON_SILENCE))
    person.deploys("--yes", "--no-start", "--set", "FreshnessAlarmSeconds=500")
    assert ON_SILENCE == {name for name, enabled in rings().items() if not enabled}


def test_only_alarms_on_silence_are_touched() -> None:
    """Whoever switched another one off has a reason."""
    asked: list[list[str]] = []

    class CloudWatch:
        def get_paginator(self, _: str) -> "CloudWatch":
            return self

        def paginate(self, AlarmNamePrefix: str, AlarmTypes: list[str]) -> list[dict[str, Any]]:
            alarm = {"TreatMissingData": "breaching", "ActionsEnabled": False}
            return [
                {"MetricAlarms": [{**alarm, "AlarmName": f"{AlarmNamePrefix}{number}"} for number in range(101)]},
                {"MetricAlarms": [{**alarm, "AlarmName": "demo-off", "TreatMissingData": "missing"}]},
            ]

        def enable_alarm_actions(self, AlarmNames: list[str]) -> None:
            asked.append(AlarmNames)

    assert not ring(CloudWatch(), "demo-")
    assert 101 == len(let_ring(CloudWatch(), "demo-"))
    assert [100, 1] == [len(names) for names in asked]
