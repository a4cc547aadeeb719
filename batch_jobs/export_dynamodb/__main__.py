"""`python -m batch_jobs.export_dynamodb --export_folder ...`: what `freshet export dynamodb` starts, and what Glue runs."""

import logging
import signal
import sys
import tempfile
import traceback
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from batch_jobs.export_dynamodb import files
from batch_jobs.export_dynamodb.arguments import Arguments, parse
from batch_jobs.export_dynamodb.definition import SELECT_FILE, YAML_FILE, Definition, load_definition
from batch_jobs.export_dynamodb.job import Export, Result, Settings, with_changes
from batch_jobs.export_dynamodb.session import open_session, warm_up
from batch_jobs.export_dynamodb.table import describe
from freshet.errors import EnvironmentFault, FreshetError
from freshet.logs import write_json_lines
from freshet.redshift.data_api import Warehouse
from freshet.unsent import unsent

log = logging.getLogger("batch_jobs.export_dynamodb")
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; give the exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    write_json_lines()
    logging.getLogger("batch_jobs").setLevel(logging.INFO)
    try:
        signal.signal(signal.SIGTERM, _stop)
        result = run(arguments)
    except FreshetError as error:
        log.error(str(error), extra={"fields": {"error": type(error).__name__}})
        return error.exit_code
    except KeyboardInterrupt:
        log.error(
            "stopped; what was written is noted, and the next run goes on", extra={"fields": {"error": "Stopped"}}
        )
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - its text may hold values: only its class and place may be told
        at = traceback.extract_tb(error.__traceback__)[-1]
        log.error("ended by an unforeseen %s at %s:%d", type(error).__name__, Path(at.filename).name, at.lineno)
        return 1
    log.info("exported", extra={"fields": asdict(result)})
    return 0


def run(arguments: Arguments) -> Result:
    """Open Spark, connect, export, and close."""
    aws = boto3.Session()
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=30)
    once = config.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=32))
    s3, dynamodb = aws.client("s3", config=config), aws.client("dynamodb", config=config)
    definition = with_changes(read_definition(arguments.export_folder, s3), arguments.rate, arguments.parts)
    describe(dynamodb, definition)  # before Spark is started for nothing
    warehouse = Warehouse(aws.client("redshift-data", config=once), arguments.workgroup, arguments.warehouse_database)
    spark = open_session(arguments.spark_master, arguments.work_folder)
    signal.signal(signal.SIGINT, _stop)  # PySpark has put its own there
    try:
        warm_up(spark)
        return Export(spark, warehouse, s3, dynamodb, definition, settings_of(arguments, definition)).run()
    finally:
        spark.stop()


def settings_of(arguments: Arguments, definition: Definition) -> Settings:
    """Give one run's settings, with an id that no other run has."""
    name = str(uuid.uuid4())
    prefix = f"{arguments.staging_prefix}/exports/{definition.name}/"
    folder = files.Folder(arguments.staging_bucket, prefix, name)
    return Settings(name, arguments.incremental, arguments.dry_run, folder, arguments.copy_role, arguments.hold_s)


def read_definition(place: str, s3: Any) -> Definition:
    """Read a definition from a folder here or in S3; select.sql may be missing."""
    if not place.startswith("s3://"):
        return load_definition(Path(place))
    with tempfile.TemporaryDirectory(prefix="freshet-") as scratch:
        folder = Path(scratch, place.rstrip("/").rpartition("/")[2])
        folder.mkdir()
        try:
            # Listed, not tried: to who may not list the bucket, S3 does not tell a missing file from a forbidden one.
            for url in files.listed(s3, f"{place.rstrip('/')}/"):
                bucket, key = files.split(url)
                if (name := key.rpartition("/")[2]) in {YAML_FILE, SELECT_FILE}:
                    (folder / name).write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise EnvironmentFault(f"{place} cannot be read ({code}): check the role's rights") from None
        except ParamValidationError as error:
            raise unsent(error, "a call to S3") from None
        except BotoCoreError as error:
            raise EnvironmentFault(
                f"{place} cannot be read ({type(error).__name__}): check region and network"
            ) from None
        return load_definition(folder)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
