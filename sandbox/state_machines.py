"""What moto's Step Functions lacks: it is told to interpret, waits for Glue runs, and stops those of a stopped execution.

moto fails at the end of every `glue:startJobRun.sync`: it wakes the waiters for a task token, which it makes only for services
that know one. An execution that is stopped within a Map ends as FAILED, not ABORTED. And the Glue run, which Step Functions
would cancel, is left running.

Source: Step Functions developer guide, "Run a job (.sync)": "best-effort to cancel the task".
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from moto.core.config import default_user_config
from moto.stepfunctions.exceptions import ExecutionDoesNotExist
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_glue
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from sandbox.names import ACCOUNT, REGION

STOP_OPERATION = "AWSStepFunctions.StopExecution"
PAUSE_S, PATIENCE_S = 0.02, 10.0


def interpret(port: int) -> None:
    """Let moto really run state machines, with the services at a port of this machine."""
    os.environ["MOTO_PORT"] = str(port)
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    patterns: set[Any] = state_task_service_glue._SUPPORTED_INTEGRATION_PATTERNS
    patterns.add(ResourceCondition.WaitForTaskToken)
    # What comes of a stop is no error.
    environments: Any = Environment
    set_error = environments.set_error

    def keep_stopped(environment: Environment, error: Any) -> None:
        if not isinstance(environment.program_state(), ProgramStopped):
            set_error(environment, error)

    environments.set_error = keep_stopped
    # It logs each state that fails with the whole parsed definition, several pages.
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)


def stop_runs_later(body: bytes, stop: Callable[[set[str]], None]) -> None:
    """Stop the Glue runs of an execution as soon as moto has carried out its StopExecution.

    Args:
        body: The request, JSON.
        stop: Told the ids of the runs.
    """
    try:
        arn = str(json.loads(body)["executionArn"])
        execution: Any = stepfunctions_parser_backends[ACCOUNT][REGION].describe_execution(arn)
    except (ValueError, KeyError, ExecutionDoesNotExist):
        return  # moto says what is wrong with it

    def wait_and_stop() -> None:
        until = time.monotonic() + PATIENCE_S
        while execution.status == "RUNNING" and time.monotonic() < until:
            time.sleep(PAUSE_S)
        stop(set(started_runs(execution.to_history_output()["events"])))

    threading.Thread(target=wait_and_stop, name="stop runs", daemon=True).start()


def started_runs(events: list[dict[str, Any]]) -> Iterator[str]:
    """Give the ids of the Glue runs that an execution started."""
    for event in events:
        details = event.get("taskSubmittedEventDetails") or {}
        if details.get("resourceType") == "glue":
            yield str(json.loads(details["output"])["JobRunId"])
