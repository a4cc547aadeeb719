"""The order in which the parts of a stack are started, and stopped.

Both databases are prepared before DMS reads one; the tables are filled before it loads them; the job starts once DMS
writes; the simulators once the table is current. All of it can be run again: what runs as it should is left alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from freshet.deploy import alarms, schedule
from freshet.deploy import dms as capture
from freshet.deploy import glue as jobs
from freshet.deploy.account import Account
from freshet.errors import FreshetError

FIRST_BATCH_WAIT_S: Final = 1200.0
POLL_S: Final = 5.0


@dataclass(frozen=True)
class Work:
    """What the ledger says that a job has done: its batches, and the runs that began."""

    batches: int = 0
    starts: int = 0


@dataclass(frozen=True)
class Starter:
    """Starts and stops the parts of a stack.

    Args:
        account: Where.
        outputs: Of the root stack.
        say: Told what begins, and what had happened: "doing ..." and "done: ...".
        sleep: Waits.
    """

    account: Account
    outputs: Mapping[str, str]
    say: Callable[[str], None]
    sleep: Callable[[float], None]

    @property
    def glue(self) -> Any:
        """Client of the jobs."""
        return self.account.client("glue")

    @property
    def dms(self) -> Any:
        """Client of the capture."""
        return self.account.client("dms")

    def prepare(self) -> None:
        """Prepare both databases, and fill the example's tables once.

        Raises:
            JobFailed: With the job's own error.
        """
        bootstrap = self.outputs["BootstrapJobName"]
        if jobs.has_done_its_work(jobs.read_runs(self.glue, bootstrap), as_it_is_now=True):
            self.say("databases: prepared before")
        else:
            self.say("databases: users, rights and tables are being made (a minute or two)")
            jobs.run_to_the_end(self.glue, bootstrap, self.sleep)
        initial = self.outputs.get("InitialJobName")
        if initial and not jobs.has_done_its_work(jobs.read_runs(self.glue, initial), as_it_is_now=False):
            self.say("example: the source's tables are being filled")
            jobs.run_to_the_end(self.glue, initial, self.sleep)

    def start_capture(self) -> None:
        """Start the DMS task, or let it go on.

        Raises:
            CaptureFailed: With DMS's own reason.
        """
        arn = self.outputs["ReplicationTaskArn"]
        task = capture.rested_task(self.dms, arn, self.sleep)
        if task["Status"] != "running":
            endpoints = [self.outputs["SourceEndpointArn"], self.outputs["KinesisEndpointArn"]]
            if capture.keep_big_integers(self.dms, endpoints[1]):
                self.say("capture: big integers keep all their digits")
            self.say("capture: DMS tries its connections to the source and the stream")
            capture.check_connections(self.dms, task["ReplicationInstanceArn"], endpoints, self.sleep)
        self.say(
            {
                "start-replication": "capture: started, with the first load",
                "resume-processing": "capture: goes on from where it stopped",
                "leave": "capture: runs",
            }[capture.start_task(self.dms, arn, self.sleep)]
        )

    def start_job(self) -> bool:
        """Let the streaming job run on the newest code; it goes on from its positions. Gives whether a run was started."""
        name = self.outputs["StreamingJobName"]
        todo = jobs.what_to_do_with(jobs.read_runs(self.glue, name))
        if todo == "leave":
            self.say("job: runs on this code already")
        restart = self.outputs["RestartScheduleName"]
        if todo == "restart":
            self.say("job: the run on older code is being stopped")
            schedule.disable(self.account.client("scheduler"), restart)
            jobs.stop_runs(self.glue, name, self.sleep)
        if todo != "leave":
            run = jobs.start_run(self.glue, name, self.sleep)
            self.say(f"job: started (run {run})")
        schedule.enable(self.account.client("scheduler"), restart)
        return todo != "leave"

    def wait_for_work(self, read: Callable[[], Work], before: Work, *, started: bool) -> bool:
        """Wait until the ledger has a batch, and the start of the run if one was started; gives False after twenty minutes.

        Args:
            read: Reads the ledger.
            before: What it said before a run was started.
            started: Whether one was.

        Raises:
            JobFailed: The job ended meanwhile.
        """

        def works() -> bool:
            now = read()
            return now.batches > 0 and (now.starts > before.starts or not started)

        if not started and works():
            return True
        self.say("job: waiting for it (Spark needs a minute or two)")
        waited = 0.0
        while not works():
            if waited >= FIRST_BATCH_WAIT_S:
                return False
            jobs.check_alive(self.glue, self.outputs["StreamingJobName"])
            self.sleep(POLL_S)
            waited += POLL_S
        self.say("job: it goes on from its positions" if before.batches else "job: the first batch is in the table")
        return True

    def start_simulators(self) -> None:
        """Let the example's shop sell something each minute."""
        name = self.outputs.get("TriggerName")
        if name and jobs.start_trigger(self.glue, name):
            self.say("example: one sale a minute from now on")

    def alarms_ring(self) -> bool:
        """Tell whether the alarms that ring on silence tell anybody."""
        return alarms.ring(self.account.client("cloudwatch"), self.outputs["AlarmPrefix"])

    def let_alarms_ring(self) -> None:
        """Let the alarms that ring on silence tell somebody: from now on there is something to hear."""
        quiet = alarms.let_ring(self.account.client("cloudwatch"), self.outputs["AlarmPrefix"])
        if quiet:
            self.say(f"alarms: {', '.join(quiet)} ring from now on")

    def stop_capture(self) -> bool:
        """Stop the DMS task; gives whether it ran."""
        ran = capture.stop_task(self.dms, self.outputs["ReplicationTaskArn"], self.sleep)
        if ran:
            self.say("capture: stopped; it keeps its place in the binlog")
        return ran

    def stop_everything(self) -> None:
        """Stop in the order of the stream: what writes first, the job, the capture."""
        restart, trigger = self.outputs.get("RestartScheduleName"), self.outputs.get("TriggerName")
        if restart and schedule.disable(self.account.client("scheduler"), restart):
            self.say(f"schedule {restart}: disabled")
        if trigger and jobs.stop_trigger(self.glue, trigger):
            self.say(f"trigger {trigger}: stopped")
        machine = self.outputs.get("WorkflowStateMachineArn")
        if machine and stop_executions(self.account.client("stepfunctions"), machine):
            self.say("workflows: stopped")
        names = ("RunSqlJobName", "LoadJobName", "ExportJobName", "IncrementalJobName", "UpsertJobName", "InitialJobName",
                 "BootstrapJobName", "StreamingJobName")  # fmt: skip
        for output in names:
            name = self.outputs.get(output)
            if name and jobs.stop_runs(self.glue, name, self.sleep):
                self.say(f"job {name}: stopped")
        self.stop_capture()


def stop_executions(stepfunctions: Any, machine: str) -> int:
    """Stop the executions of a state machine that are running; gives how many there were."""
    pages = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
    running = [execution["executionArn"] for page in pages for execution in page["executions"]]
    for execution in running:
        stepfunctions.stop_execution(executionArn=execution, error="Freshet.Stopped", cause="the stack is destroyed")
    return len(running)


def where_to_look(account: Account, outputs: Mapping[str, str]) -> dict[str, str]:
    """Give the console's pages of a stack's parts."""
    region = account.region
    home = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}.get(
        account.partition, "console.aws.amazon.com"
    )
    base = f"https://{region}.{home}"
    log = outputs["OutputLogName"].replace("$", "$2524").replace("/", "$252F")
    task = outputs["ReplicationTaskArn"].rpartition(":")[2]
    return {
        "dashboard": f"{base}/cloudwatch/home?region={region}#dashboards/dashboard/{outputs['DashboardName']}",
        "job": f"{base}/gluestudio/home?region={region}#/editor/job/{outputs['StreamingJobName']}/runs",
        "log": f"{base}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{log}",
        "capture": f"{base}/dms/v2/home?region={region}#taskDetails/{task}",
    }


def refuse_without_outputs(outputs: Mapping[str, str]) -> None:
    """Check that a stack is one of ours.

    Raises:
        FreshetError: It lacks what a Freshet stack tells.
    """
    missing = {"StreamingJobName", "BootstrapJobName", "ReplicationTaskArn", "WorkgroupName"} - set(outputs)
    if missing:
        raise FreshetError(f"this stack is not one of `freshet deploy`: it does not tell {', '.join(sorted(missing))}")
