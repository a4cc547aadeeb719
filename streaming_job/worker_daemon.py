"""What Spark forks its Python workers from: a process that has already imported what every task needs.

Without it each new worker imports Arrow, boto3 and the MySQL client for itself, and reads botocore's models of the services:
some seconds of CPU before the first row.
"""

import contextlib

from botocore.exceptions import BotoCoreError
from pyspark.daemon import manager

import streaming_job.evaluate  # noqa: F401
from freshet.pipeline.tasks import aws_client, prepare_to_fork

if __name__ == "__main__":
    with contextlib.suppress(BotoCoreError):  # a region or credential that is missing is told by the task that needs it
        aws_client("s3")
        aws_client("secretsmanager")
    prepare_to_fork()
    manager()  # type: ignore[no-untyped-call]  # PySpark's own main
