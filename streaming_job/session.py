"""Spark for micro-batches: quiet, encrypted on disk, one meaning of every function, and no second attempt of a task's twin.

On Glue, executors are other machines, with their own Python and Java: which ones is Glue's choice, and only what is true
of every machine is set. The worker daemon is found there because Glue installs `--additional-python-modules` everywhere. They
register after the session is open, so how many cores there will be is told, not looked at.
Spark quotes values in its logs: they are off, and so is the UI. Its event log is off unless the environment asks for it.
"""

import contextlib
import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from freshet.pipeline.spark import SESSION_SETTINGS
from freshet.spark import java

SETTINGS = {
    "spark.app.name": "freshet",
    "spark.ui.enabled": "false",
    "spark.log.level": "OFF",
    "spark.io.encryption.enabled": "true",  # shuffle and spill files hold customers' values
    "spark.python.daemon.module": "streaming_job.worker_daemon",
    "spark.speculation": "false",  # a second copy of a task would stage its rows twice
    "spark.sql.adaptive.enabled": "false",  # a batch is too small to learn from its first half
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.ui.retainedExecutions": "1",
    "spark.ui.retainedJobs": "1",
    "spark.ui.retainedStages": "1",
}
SILENT = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")
CLASS_ARCHIVE = Path(sys.prefix, "spark.jsa")  # from `streaming_job.class_archive`
NOISY = ("SQLQueryContextLogger", "DataFrameQueryContextLogger", "py4j", "pyspark")


# vCPUs of a worker. Source: Glue developer guide, "Worker types".
CORES = {"G.025X": 2, "G.1X": 4, "G.2X": 8, "G.4X": 16, "G.8X": 32, "R.1X": 4, "R.2X": 8}


def cores_of(worker_type: str | None, workers: int | None) -> int | None:
    """Say how many cores a Glue job's executors have: one of its workers is the driver; None when it runs elsewhere."""
    return CORES[worker_type] * (workers - 1) if worker_type and workers else None


def open_session(
    master: str | None, work_folder: Path | None, cores: int | None = None, java_options: Sequence[str] = ()
) -> SparkSession:
    """Open the session.

    Args:
        master: Such as local[2]; None when Glue or spark-submit has chosen.
        work_folder: Where Spark keeps its temporary files; None for its default.
        cores: How many cores there will be, which is the number of parts of a batch; None for those that Spark sees now.
        java_options: Options for a Java on this machine; by default those that use the class archive.
    """
    builder = SparkSession.builder
    for name, value in {**SETTINGS, **SESSION_SETTINGS}.items():
        builder = builder.config(name, value)
    if master:
        java.prepare_environment()
        builder = builder.master(master)
        options = java_options or (
            (*SILENT, f"-XX:SharedArchiveFile={CLASS_ARCHIVE}") if CLASS_ARCHIVE.is_file() else ()
        )
        builder = builder.config(
            "spark.driver.extraJavaOptions", java.driver_options(*options, work_folder=work_folder)
        )
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    if work_folder:
        work_folder.mkdir(parents=True, exist_ok=True)
        builder = builder.config("spark.local.dir", str(work_folder)).config(
            "spark.sql.warehouse.dir", str(work_folder)
        )
    if cores:
        builder = builder.config("spark.default.parallelism", str(cores))
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    session.conf.set("spark.sql.shuffle.partitions", str(session.sparkContext.defaultParallelism))  # one wave
    for name in NOISY:
        logger = logging.getLogger(name)
        logger.disabled, logger.propagate = True, False
    return session


def warm_up(spark: SparkSession) -> threading.Thread:
    """Fork Spark's Python workers while the driver still asks MySQL and Redshift; the first batch then finds them."""

    def work() -> None:
        with contextlib.suppress(PySparkException, Py4JError):  # what is really wrong will be told by the first batch
            rehearse(spark).localCheckpoint(eager=True)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def rehearse(spark: SparkSession) -> DataFrame:
    """Give a tiny frame that comes out of Python, as a batch does."""
    parts = spark.sparkContext.defaultParallelism
    return spark.range(0, parts, 1, parts).mapInArrow(lambda batches: batches, "id long")
