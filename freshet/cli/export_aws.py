"""`freshet export dynamodb --aws`: start the deployed Glue job, follow it to its end, tell what the ledger of runs says of it.

The job runs the definitions that were deployed; its log stays in CloudWatch, where fewer people may look than into the ledger.
"""

import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final

from botocore.exceptions import ClientError
from rich.markup import escape
from rich.status import Status

from batch_jobs.export_dynamodb.definition import YAML_FILE
from batch_jobs.stopping import signals
from freshet.__main__ import INTERRUPTED
from freshet.cli.context import AwsPlace, err, last_line, out
from freshet.deploy import glue as jobs
from freshet.deploy.account import error_code
from freshet.errors import EnvironmentFault, FreshetError, InputError
from freshet.redshift.data_api import Row, Warehouse
from freshet.redshift.runs import TABLE
from freshet.words import counted

POLL_S: Final = 5.0
EXIT_CODE: Final = re.compile(r"\(exit code (\d+)\)")
pause = time.sleep


def export_on_aws(place: AwsPlace, name: str, arguments: Mapping[str, str], json_output: bool) -> int:
    """Run a deployed export; gives the exit code.

    Args:
        place: The stack.
        name: Of the export.
        arguments: More arguments of the job.
        json_output: Whether one JSON object is all that is said.

    Raises:
        InputError: There is no such export in the stack.
        EnvironmentFault: The stack has no job for exports.
    """
    job = place.outputs.get("ExportJobName")
    if not job:
        raise EnvironmentFault(
            f"stack {place.account.stack} has no job for exports: freshet deploy PIPELINE makes it when "
            "there are some in sql/exports/"
        )
    folder = f"{place.outputs['SqlPrefix']}/exports/{name}"
    bucket = place.outputs["StagingBucket"]
    if not _is_there(place.account.client("s3"), bucket, f"{folder}/{YAML_FILE}"):
        raise InputError(f"the export {name} is not deployed: freshet deploy PIPELINE uploads sql/exports/{name}")
    glue, before, began = place.account.client("glue"), _newest(place.warehouse, name), time.monotonic()
    told = {"--export_folder": f"s3://{bucket}/{folder}", **arguments}
    run = str(glue.start_job_run(JobName=job, Arguments=told)["JobRunId"])
    follower = _Follower(place.warehouse, name, before.get("run"), json_output)
    if not json_output:
        out.print(f"[dim]job {job}, run {run}[/dim]")
    ended = follower.to_the_end(glue, job, run)
    return _tell(name, job, ended, follower.ours(), time.monotonic() - began, json_output)


class _Follower:
    """Follows one run of the job, by Glue and by the ledger of runs."""

    def __init__(self, warehouse: Warehouse, name: str, before: str | None, silent: bool) -> None:
        self.warehouse, self.name, self.before, self.silent = warehouse, name, before, silent

    def ours(self) -> Row:
        """Read what the ledger says of this run; nothing before it began, or when it may not be read."""
        found = _newest(self.warehouse, self.name)
        return found if found.get("run") != self.before else {}

    def to_the_end(self, glue: Any, job: str, run: str) -> dict[str, Any]:
        """Wait for the end; Ctrl-C stops the run. Gives the run as Glue tells it."""
        asked, said = False, ""
        with signals() as stopping, ExitStack() as stack:
            status = stack.enter_context(Status("", console=out)) if out.is_terminal and not self.silent else None
            while True:
                if stopping() and not asked:
                    asked = True
                    err.print("stopping")
                    glue.batch_stop_job_run(JobName=job, JobRunIds=[run])
                found = dict(glue.get_job_run(JobName=job, RunId=run)["JobRun"])
                if found["JobRunState"] not in jobs.LIVE:
                    return found
                rows = self.ours() if found["JobRunState"] == "RUNNING" else {}
                words = str(found["JobRunState"]).lower() + (
                    f", {counted(rows['rows'], 'row')} written" if rows.get("rows") else ""
                )
                if status:
                    status.update(words)
                elif words != said and not self.silent:
                    out.print(words)
                said = words
                pause(POLL_S)


def _tell(name: str, job: str, ended: Mapping[str, Any], row: Row, seconds: float, json_output: bool) -> int:
    state = str(ended["JobRunState"])
    error = "" if state == "SUCCEEDED" else jobs.tell(job, ended)
    if json_output:
        told = {"rows": row.get("rows"), "bytes": row.get("bytes"), "message": row.get("message") or None}
        head = {"export": name, "job": job, "run": ended["Id"], "state": state, "seconds": round(seconds, 3)}
        last_line({**head, **told, "error": error or None})
    elif error:
        err.print(f"[bold red]error[/bold red] {escape(error)}", soft_wrap=True)
    else:
        moved = (
            f"{counted(row['rows'], 'row')}, {row['bytes']:,} bytes; {row['message']}"
            if row
            else "its ledger may not be read"
        )
        out.print(f"[green]done[/green]: {name}, {seconds:.0f} s; {escape(moved)}", soft_wrap=True)
    if state in {"STOPPED", "STOPPING"}:
        return INTERRUPTED
    code = EXIT_CODE.search(str(ended.get("ErrorMessage", "")))
    return 0 if not error else int(code[1]) if code else 1


def _newest(warehouse: Warehouse, name: str) -> Row:
    asked = f"select run, rows, bytes, message from {TABLE} where kind = 'export' and name = :name "
    asked += "order by started_at desc limit 1"
    try:
        found = warehouse.query(asked, {"name": name})
    except FreshetError:  # there is none yet, or it may not be read: the job's end is told by Glue
        return {}
    return found[0] if found else {}


def _is_there(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error_code(error) in {"404", "NoSuchKey", "NotFound"}:
            return False
        raise
    return True
