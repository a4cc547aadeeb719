"""What runs inside Spark's tasks: connections kept for the worker's life, and errors that hold no values.

Spark carries a task's exception, with its text, into logs and event logs. So whatever fails in a task leaves it as
`StepFailed`, which names the step and the class of the error, and nothing of its text.
"""

import functools
import gc
import re
import zipimport
from collections.abc import Callable, Iterable
from typing import Any

import boto3
import pyarrow as pa
from botocore.config import Config

Batches = Iterable[pa.RecordBatch]
FAILED_STEP = re.compile(r"step ([a-z_]+) failed in a task with ([A-Za-z_]+)")


class StepFailed(Exception):
    """A step failed inside a task."""

    def __init__(self, step: str, error: str) -> None:
        super().__init__(f"step {step} failed in a task with {error}")


def guarded(step: str, work: Callable[[Batches], Batches]) -> Callable[[Batches], Batches]:
    """Wrap a task's function so that its errors carry the step's name and no values."""

    @functools.wraps(work)
    def run(batches: Batches) -> Batches:
        try:
            yield from work(batches)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text must not leave the task
            raise StepFailed(step, type(error).__name__) from None

    return run


def prepare_to_fork() -> None:
    """Spare the workers that Spark forks from this process what PySpark's worker does around each task.

    After it, PySpark collects garbage: what is there now, all modules that were imported, is no longer looked through.
    Before it, PySpark empties Python's import caches: it lies in an archive, and until Python 3.13 each of its packages then
    reads the archive's whole directory again, although no archive changes while a job runs. Each of the two is a tenth of a
    second a task, more than most tasks work.

    Source: Python library reference, "gc.freeze" (which names forking); pyspark/daemon.py, pyspark/worker_util.py.
    """
    zipimport.zipimporter.invalidate_caches = _keep  # type: ignore[method-assign, assignment]
    gc.collect()
    gc.freeze()


def _keep(_: zipimport.zipimporter) -> None:
    """Do nothing."""


@functools.cache
def aws_client(service: str, retries_max: int = 3) -> Any:
    """Give this worker's client of an AWS service."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": retries_max},
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=64,
    )
    return _session().client(service, config=config)


_session = functools.cache(boto3.Session)
