"""Connect everything that a job needs: secrets, MySQL, the pipeline, Redshift, the stream."""

import tempfile
from contextlib import closing
from pathlib import Path

import boto3
from botocore.config import Config
from pyspark.sql import SparkSession

from freshet.errors import EnvironmentFault
from freshet.pipeline.build import build_pipeline
from freshet.pipeline.connection import MySQLSettings, connect, read_mysql_settings
from freshet.pipeline.ddl import target_ddl
from freshet.pipeline.definition import Definition, load_definition
from freshet.pipeline.protection import read_token_key
from freshet.pipeline.source import SourceSchema, check_source, read_source
from freshet.pipeline.spark import register_functions
from freshet.redshift.data_api import Warehouse
from freshet.redshift.ledger import Ledger
from streaming_job.arguments import Arguments
from streaming_job.fetch import local_folder, text_of
from streaming_job.job import Job
from streaming_job.metrics import Metrics
from streaming_job.patience import awaited
from streaming_job.start import describe_stream
from streaming_job.stopping import Stopping


def connect_job(arguments: Arguments, spark: SparkSession, stopping: Stopping) -> Job:
    """Make a job that is ready to work; the target and the control tables are made where they are missing.

    What is away is waited for, half an hour each; see `patience`.

    Args:
        arguments: The command line.
        spark: From `open_session`.
        stopping: Says when to stop.

    Raises:
        InputError: The pipeline's folder is wrong, or its target does not fit.
        EnvironmentFault: A secret, a server or a stream is not there, or the source hides its changes.
        Cancelled: The job was asked to stop while it waited.
    """
    aws = boto3.Session()
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=30)
    once = config.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    s3 = aws.client("s3", config=config)
    with closing(aws.client("secretsmanager", config=config)) as secrets:
        mysql = awaited("Secrets Manager", lambda: read_mysql_settings(secrets, arguments.source_secret), stopping)
        tokens = awaited("Secrets Manager", lambda: read_token_key(secrets, arguments.token_secret), stopping)
    register_functions(spark, tokens)
    source_ca = arguments.source_ca
    if source_ca:
        ca_pem = awaited("S3", lambda: text_of(source_ca, s3), stopping)
        mysql = mysql.model_copy(update={"ca_pem": ca_pem})
    with tempfile.TemporaryDirectory(prefix="freshet-") as scratch:
        folder = awaited("S3", lambda: local_folder(arguments.pipeline_folder, s3, Path(scratch)), stopping)
        definition = load_definition(folder)
    source, wrong = awaited("MySQL", lambda: _look_at_source(mysql, arguments.source_database, definition), stopping)
    if wrong:
        raise EnvironmentFault(f"the source cannot be followed: {'; '.join(wrong)}")
    pipeline = build_pipeline(definition, source, spark)
    warehouse = Warehouse(aws.client("redshift-data", config=once), arguments.workgroup, arguments.warehouse_database)
    ledger = Ledger(warehouse, pipeline, arguments.copy_role)
    awaited("Redshift", lambda: ledger.create(target_ddl(pipeline)), stopping)
    kinesis = aws.client("kinesis", config=config)
    stream = awaited("the stream", lambda: describe_stream(kinesis, arguments.stream), stopping)
    metrics = None
    if arguments.metrics_namespace:
        quick = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
        cloudwatch = aws.client("cloudwatch", config=quick)
        metrics = Metrics(cloudwatch, arguments.metrics_namespace, ledger, stream.retention.total_seconds())
    return Job(spark, pipeline, ledger, mysql, kinesis, s3, stream, arguments, stopping, metrics)


def _look_at_source(mysql: MySQLSettings, database: str, definition: Definition) -> tuple[SourceSchema, list[str]]:
    """Read the tables, and what is wrong with a server whose changes shall be followed."""
    with connect(mysql, database) as connection:
        source = read_source(connection, database, definition.tables)
        findings = check_source(connection, definition, source)
    return source, [finding.message for finding in findings if finding.level == "error"]
