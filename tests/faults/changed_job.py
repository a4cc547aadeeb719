"""`python -m tests.faults.changed_job ...`: the job, with pipelines that their files cannot say yet.

TEST_CHANGES is JSON: pipeline -> {"deletes": ..., "inner": [aliases], "where": ...}.
"""

import json
import os
import sys
from typing import Any

import streaming_job.connect
from freshet.pipeline.build import build_pipeline
from freshet.pipeline.model import Pipeline
from streaming_job.__main__ import main
from tests.river import deletes, inner, where


def built(definition: Any, *arguments: Any) -> Pipeline:
    pipeline = build_pipeline(definition, *arguments)
    wanted = json.loads(os.environ["TEST_CHANGES"])[definition.name]
    pipeline = inner(*wanted.get("inner", ()))(deletes(wanted["deletes"])(pipeline))
    return where(wanted["where"])(pipeline) if "where" in wanted else pipeline


if __name__ == "__main__":
    streaming_job.connect.build_pipeline = built  # type: ignore[assignment]
    sys.exit(main())
