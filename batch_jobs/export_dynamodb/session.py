"""Spark for this job: quiet, encrypted on disk, each task once at a time.

On Glue, executors are other machines, with their own Python and Java: which ones is Glue's choice, and only what is true of
every machine is set. Spark quotes values in its logs: they are off, and so is the UI.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, TypeVar

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from freshet.pipeline.spark import SESSION_SETTINGS
from freshet.spark import java

SETTINGS: Final = {
    "spark.app.name": "freshet-export",
    "spark.ui.enabled": "false",
    "spark.log.level": "OFF",
    "spark.io.encryption.enabled": "true",
    "spark.python.daemon.module": "batch_jobs.export_dynamodb.worker_daemon",
    "spark.speculation": "false",  # a second copy of a task would spend its share of the rate twice
    "spark.ui.showConsoleProgress": "false",
    **SESSION_SETTINGS,
}
T = TypeVar("T")
NOISY: Final = ("SQLQueryContextLogger", "DataFrameQueryContextLogger", "py4j", "pyspark")


def open_session(master: str | None, work_folder: Path | None) -> SparkSession:
    """Open the session.

    Args:
        master: Such as local[2]; None when Glue or spark-submit has chosen.
        work_folder: Where Spark keeps its temporary files; None for its default.
    """
    builder = SparkSession.builder
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    if master:
        java.prepare_environment()
        builder = builder.master(master).config(
            "spark.driver.extraJavaOptions", java.driver_options(work_folder=work_folder)
        )
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    if work_folder:
        work_folder.mkdir(parents=True, exist_ok=True)
        builder = builder.config("spark.local.dir", str(work_folder))
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    for name in NOISY:
        logger = logging.getLogger(name)
        logger.disabled, logger.propagate = True, False
    return session


def warm_up(spark: SparkSession) -> None:
    """Fork Spark's Python workers while Redshift still copies and unloads; the first pass then finds them."""

    def work() -> None:
        parts = spark.sparkContext.defaultParallelism
        with contextlib.suppress(PySparkException, Py4JError):  # what is really wrong will be told by the first pass
            spark.range(0, parts, 1, parts).mapInArrow(lambda batches: batches, "id long").collect()

    threading.Thread(target=work, daemon=True).start()


def in_its_thread(spark: SparkSession, work: Callable[[], T]) -> T:
    """Let Spark work in a thread of its own, so that a signal finds the main thread waiting.

    One that came in the midst of py4j's talk with Java would break off that talk, and end as an error of py4j.

    Raises:
        KeyboardInterrupt: A signal came, and Spark was told to end its tasks.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            while not future.done():
                spark.sparkContext.cancelAllJobs()
                wait([future], 0.2)
            raise
