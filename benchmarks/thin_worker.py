"""Spark's Python workers without the hash of a row: random numbers stand in, so that no row counts as unchanged."""

import random
import runpy
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from streaming_job import stage


def _no_hashes(columns: Sequence[Any]) -> Any:
    return pa.array([random.getrandbits(63) for _ in range(len(columns[0]))], pa.int64())


if __name__ == "__main__":
    stage.hashes = _no_hashes
    runpy.run_module("streaming_job.worker_daemon", run_name="__main__")
