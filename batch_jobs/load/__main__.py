"""`python -m batch_jobs.load`: the load as a job; AWS Glue's Python shell 3.9 runs it as program `batch_jobs.load.__main__`.

Each step is a line of JSON on standard output, the last one the result. Arguments that Glue adds are passed over.

    python -m batch_jobs.load --definition s3://BUCKET/load.json --workgroup NAME --database dev --copy_role ARN
        --staging s3://BUCKET/freshet [--secret ARN] [--bucket NAME] [--batch_size 500] [--retry] [--reload KEY ...] [--dry_run]

Exit codes: 0 done, 1 failed or files set aside, 2 the definition or an argument is wrong, 3 the environment is, 130 stopped.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from batch_jobs.load.job import FilesRefused, Job
from batch_jobs.load.listing import refusal
from batch_jobs.load.sizes import batch_size
from batch_jobs.load.specification import Load, check, read_load
from batch_jobs.load.staging import Staging
from freshet.errors import FreshetError, InputError
from freshet.glue_arguments import read
from freshet.redshift.data_api import Cancelled, Warehouse

STOPPED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one load; give its exit code."""
    chosen = read(_parser(), argv)
    stop: list[int] = []

    def on_signal(number: int, _frame: Any) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(number)

    with suppress(ValueError):  # not the main thread: nobody can stop it
        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
    try:
        job = _job(chosen, lambda: bool(stop))
        result = job.dry_run(chosen.retry) if chosen.dry_run else job.run(chosen.retry, chosen.reload)
    except FilesRefused as refused:
        _say({"event": "done", **refused.summary, "error": str(refused)})
        return refused.exit_code
    except (KeyboardInterrupt, Cancelled):
        _say({"event": "stopped", "error": "stopped; whatever is not in the files table is not loaded: run it again"})
        return STOPPED
    except FreshetError as error:
        _say({"event": "failed", "kind": type(error).__name__, "error": str(error)})
        return error.exit_code
    _say({"event": "would do" if chosen.dry_run else "done", **result})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m batch_jobs.load",
        description="Load files from S3 into Redshift, each exactly once.",
        allow_abbrev=False,
    )
    parser.add_argument("--definition", required=True, help="s3:// url or path of the load's JSON")
    parser.add_argument("--workgroup", required=True, help="Redshift Serverless workgroup")
    parser.add_argument("--database", required=True)
    parser.add_argument("--secret", help="secret to sign in with; else the job's own role does")
    parser.add_argument("--copy_role", required=True, help="ARN of the role with which Redshift reads the files")
    parser.add_argument("--staging", required=True, help="s3:// url of a folder for lists and manifests")
    parser.add_argument("--bucket", help="where the files are, when the definition's prefix names no bucket")
    parser.add_argument("--batch_size", help="files or bytes a batch: 500, 1GB")
    parser.add_argument("--retry", action="store_true", help="try files again that were set aside")
    parser.add_argument(
        "--reload", action="append", default=[], metavar="KEY", help="load a file again, replacing its rows"
    )
    parser.add_argument("--dry_run", action="store_true", help="say what would be done")
    return parser


def _job(chosen: argparse.Namespace, stopping: Any) -> Job:
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, read_timeout=60)
    try:
        s3, data = boto3.client("s3", config=config), boto3.client("redshift-data", config=config)
    except (ClientError, BotoCoreError) as error:
        raise InputError(f"AWS cannot be reached ({type(error).__name__}): set a region and credentials") from None
    load = complete(read_load(_read(s3, chosen.definition)), chosen.bucket, chosen.batch_size)
    bucket, prefix = _split(chosen.staging)
    return Job(
        load,
        Warehouse(data, chosen.workgroup, chosen.database, chosen.secret),
        s3,
        Staging(s3, bucket, prefix),
        chosen.copy_role,
        tell=_say,
        stopping=stopping,
    )


def complete(load: Load, bucket: str | None, size: str | None) -> Load:
    """Give the load with the bucket and the batch size that somebody named.

    Raises:
        InputError: There is no bucket, or two; the size is none.
    """
    if bucket and load.bucket and bucket != load.bucket:
        raise InputError(f"load {load.name}: load.yaml names bucket {load.bucket}, --bucket {bucket}: take one away")
    load = replace(load, bucket=load.bucket or bucket or "")
    if not load.bucket:
        raise InputError(f"load {load.name}: prefix names no bucket: write s3://BUCKET/{load.prefix}, or say --bucket")
    if size is not None:
        files, size_bytes = batch_size(size)
        load = replace(load, files_max=files or load.files_max, bytes_max=size_bytes or load.bytes_max)
    check(load)
    return load


def _read(s3: Any, where: str) -> str:
    if not where.startswith("s3://"):
        try:
            return Path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--definition {where} cannot be read ({type(error).__name__})") from None
    bucket, key = _split(where)
    try:
        return str(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())
    except (ClientError, BotoCoreError) as error:
        raise refusal(error, f"read {where}", bucket) from None


def _split(url: str) -> tuple[str, str]:
    if not url.startswith("s3://"):
        raise InputError(f"{url} is no s3:// url")
    bucket, _, key = url[len("s3://") :].partition("/")
    return bucket, key


def _say(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
