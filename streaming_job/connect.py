"""Connect everything that a job needs: secrets, MySQL, the pipelines, Redshift, the stream."""

import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import boto3
from botocore.config import Config
from pyspark.sql import SparkSession

from freshet.errors import EnvironmentFault
from freshet.ledger.ledger import Ledger
from freshet.mysql.keys import KeyColumns
from freshet.pipeline.build import build_pipeline
from freshet.pipeline.connection import MySQLSettings, connect, read_mysql_settings
from freshet.pipeline.ddl import target_ddl
from freshet.pipeline.definition import Definition, load_definition
from freshet.pipeline.protection import read_token_key
from freshet.pipeline.source import SourceSchema, read_source
from freshet.pipeline.source_checks import check_source
from freshet.pipeline.spark import register_functions
from freshet.redshift.data_api import Warehouse
from streaming_job.answers import Connection
from streaming_job.arguments import Arguments
from streaming_job.fetch import local_folder, text_of
from streaming_job.followed import Followed
from streaming_job.job import Job
from streaming_job.kinesis import kinesis_client
from streaming_job.metrics import Metrics
from streaming_job.patience import awaited
from streaming_job.records import reader
from streaming_job.running import Around, Running
from streaming_job.start import describe_stream
from streaming_job.stopping import Stopping


def connect_job(arguments: Arguments, session: Callable[[], SparkSession], stopping: Stopping) -> Job:
    """Make a job that is ready to work; targets and control tables are made where they are missing.

    What is away is waited for, half an hour each; see `patience`.

    Args:
        arguments: The command line.
        session: Gives the session, from `open_session`; it is asked for late, as Java may still be starting.
        stopping: Says when to stop.

    Raises:
        InputError: A pipeline's folder is wrong, or its target does not fit.
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
    source_ca = arguments.source_ca
    if source_ca:
        ca_pem = awaited("S3", lambda: text_of(source_ca, s3), stopping)
        mysql = mysql.model_copy(update={"ca_pem": ca_pem})
    definitions = _definitions(arguments, s3, stopping)
    warehouse = Warehouse(aws.client("redshift-data", config=once), arguments.workgroup, arguments.warehouse_database)
    kinesis = kinesis_client()
    stream = awaited("the stream", lambda: describe_stream(kinesis, arguments.stream), stopping)
    sources = [_source(definition, mysql, arguments.source_database, stopping) for definition in definitions]
    spark = session()
    register_functions(spark, tokens)
    run = str(uuid.uuid4())
    around = Around(
        spark=spark,
        connection=Connection(mysql),
        tokens=tokens,
        s3=s3,
        bucket=arguments.staging_bucket,
        prefix=arguments.staging_prefix,
        run=run,
        tasks=min(arguments.connections, spark.sparkContext.defaultParallelism),
        renew_proofs_s=stream.retention.total_seconds() / 4,
        stopping=stopping.expired,
    )
    pipelines: dict[str, Running] = {}
    for definition, source in zip(definitions, sources, strict=True):
        followed = Followed(build_pipeline(definition, source, spark))
        ledger = Ledger(warehouse, followed.pipeline, arguments.copy_role)
        ddl = target_ddl(followed.pipeline)
        awaited("Redshift", lambda: ledger.create(ddl, rebuild=arguments.rebuild), stopping)  # noqa: B023 - called at once
        memory = awaited("Redshift", ledger.read, stopping)
        pipelines[definition.name] = Running(followed, ledger, memory, around)
    metrics = None
    if arguments.metrics_namespace:
        quick = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
        cloudwatch = aws.client("cloudwatch", config=quick)
        metrics = Metrics(cloudwatch, arguments.metrics_namespace, warehouse, stream.retention.total_seconds())
    parents = {name for running in pipelines.values() for name in running.followed.pipeline.sweeping_parents}
    read = reader(arguments.source_database, _tables(pipelines), parents)
    job = Job(pipelines, read, kinesis, stream, arguments, stopping, run, metrics)
    job.closing = [s3, warehouse.client, around.connection]
    return job


def _definitions(arguments: Arguments, s3: object, stopping: Stopping) -> list[Definition]:
    definitions = []
    for place in arguments.folders:
        with tempfile.TemporaryDirectory(prefix="freshet-") as scratch:
            folder = awaited("S3", lambda: local_folder(place, s3, Path(scratch)), stopping)  # noqa: B023 - called at once
            definitions.append(load_definition(folder))
    return definitions


def _tables(pipelines: Mapping[str, Running]) -> dict[str, KeyColumns]:
    return {name: columns for running in pipelines.values() for name, columns in running.followed.tables.items()}


def _source(definition: Definition, mysql: MySQLSettings, database: str, stopping: Stopping) -> SourceSchema:
    """Read a pipeline's tables; what is wrong with a server whose changes shall be followed is not waited for."""
    source, wrong = awaited("MySQL", lambda: _look_at_source(mysql, database, definition), stopping)
    if wrong:
        raise EnvironmentFault(f"pipeline {definition.name}: the source cannot be followed: {'; '.join(wrong)}")
    return source


def _look_at_source(mysql: MySQLSettings, database: str, definition: Definition) -> tuple[SourceSchema, list[str]]:
    with connect(mysql, database) as connection:
        source = read_source(connection, database, definition.tables)
        findings = check_source(connection, definition, source)
    return source, [finding.message for finding in findings if finding.level == "error"]
