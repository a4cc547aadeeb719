"""`python -m streaming_job --pipeline_folder ... --stream ...`: what `freshet run` starts, and what Glue runs."""

import logging
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import boto3
from botocore.config import Config

from freshet.errors import FreshetError
from freshet.logs import write_json_lines
from freshet.pipeline.build import load_pipeline
from freshet.pipeline.connection import connect, read_mysql_settings
from freshet.pipeline.ddl import target_ddl
from freshet.pipeline.protection import read_token_key
from freshet.pipeline.spark import register_functions
from freshet.redshift.data_api import Warehouse
from freshet.redshift.ledger import Ledger
from streaming_job.arguments import Arguments, parse
from streaming_job.job import Job
from streaming_job.lock_file import held
from streaming_job.session import open_session
from streaming_job.start import describe_stream
from streaming_job.stopping import Stopping

log = logging.getLogger("streaming_job")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; give the exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    write_json_lines()
    try:
        with held(arguments.lock_file, arguments.take_over) as alone:
            if alone and arguments.work_folder:  # what a killed job left
                shutil.rmtree(arguments.work_folder, ignore_errors=True)
            run(arguments)
    except FreshetError as error:
        log.error(str(error), extra={"fields": {"error": type(error).__name__}})
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - its text may hold values: only its class and place may be told
        at = traceback.extract_tb(error.__traceback__)[-1]
        log.error("ended by an unforeseen %s at %s:%d", type(error).__name__, Path(at.filename).name, at.lineno)
        return 1
    log.info("ended")
    return 0


def run(arguments: Arguments) -> None:
    """Connect everything, then work."""
    stopping = Stopping()
    aws = boto3.Session()
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=30)
    once = config.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    secrets = aws.client("secretsmanager", config=config)
    mysql = read_mysql_settings(secrets, arguments.source_secret)
    tokens = read_token_key(secrets, arguments.token_secret)
    spark = open_session(arguments.spark_master, arguments.work_folder)
    try:
        stopping.on_signals(spark.sparkContext.cancelAllJobs)
        with connect(mysql, arguments.source_database) as connection:
            pipeline = load_pipeline(arguments.pipeline_folder, connection, arguments.source_database, spark)
        register_functions(spark, tokens)
        warehouse = Warehouse(
            aws.client("redshift-data", config=once), arguments.workgroup, arguments.warehouse_database
        )
        ledger = Ledger(warehouse, pipeline, arguments.copy_role)
        ledger.create(target_ddl(pipeline))
        kinesis = aws.client("kinesis", config=config)
        stream = describe_stream(kinesis, arguments.stream)
        Job(
            spark, pipeline, ledger, mysql, kinesis, aws.client("s3", config=config), stream, arguments, stopping
        ).work()
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(main())
