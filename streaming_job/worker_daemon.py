"""What Spark forks its Python workers from: a process that has already imported what every task needs.

Without it each new worker imports Arrow, boto3 and the MySQL client for itself, some seconds of CPU before the first row.
"""

from pyspark.daemon import manager

import streaming_job.kinesis
import streaming_job.stage  # noqa: F401

if __name__ == "__main__":
    manager()  # type: ignore[no-untyped-call]  # PySpark's own main
