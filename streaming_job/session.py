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
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

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


REHEARSED = (
    "select id, lower(name) as name, cast(price as decimal(12, 2)) as price, coalesce(at, timestamp_ntz'2000-01-01') as at, "
    "concat_ws(' ', name, 'x') as text, case when id > 1 then day end as day from rehearsed where id is not null"
)

# vCPUs of a worker. Source: Glue developer guide, "Worker types".
CORES = {"G.025X": 2, "G.1X": 4, "G.2X": 8, "G.4X": 16, "G.8X": 32, "R.1X": 4, "R.2X": 8}


def cores_of(worker_type: str | None, workers: int | None) -> int | None:
    """Say how many cores a Glue job's executors have: one of its workers is the driver; None when it runs elsewhere."""
    return CORES[worker_type] * (workers - 1) if worker_type and workers else None


def open_session(
    master: str | None,
    work_folder: Path | None,
    cores: int | None = None,
    java_options: Sequence[str] = (),
    beside: Callable[[Any], None] | None = None,
) -> SparkSession:
    """Open the session.

    Args:
        master: Such as local[2]; None when Glue or spark-submit has chosen.
        work_folder: Where Spark keeps its temporary files; None for its default.
        cores: How many cores there will be, which is the number of parts of a batch; None for those that Spark sees now.
        java_options: Options for a Java on this machine; by default those that use the class archive.
        beside: Is given Java as soon as it runs on this machine, in a thread of its own, while Spark still starts in it.
    """
    settings = {**SETTINGS, **SESSION_SETTINGS}
    if master:
        java.prepare_environment()
        archive = (*SILENT, f"-XX:SharedArchiveFile={CLASS_ARCHIVE}") if CLASS_ARCHIVE.is_file() else ()
        options = java.driver_options(*(java_options or archive), work_folder=work_folder)
        settings |= {"spark.master": master, "spark.driver.extraJavaOptions": options}
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    if work_folder:
        work_folder.mkdir(parents=True, exist_ok=True)
        settings |= {"spark.local.dir": str(work_folder), "spark.sql.warehouse.dir": str(work_folder)}
    if cores:
        settings["spark.default.parallelism"] = str(cores)
    conf = SparkConf().setAll(list(settings.items()))
    if master and beside:
        gateway = launch_gateway(conf)  # type: ignore[no-untyped-call]
        threading.Thread(target=beside, args=(gateway.jvm,), daemon=True).start()
        SparkContext(conf=conf, gateway=gateway)
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    session.conf.set("spark.sql.shuffle.partitions", str(session.sparkContext.defaultParallelism))  # one wave
    for name in NOISY:
        logger = logging.getLogger(name)
        logger.disabled, logger.propagate = True, False
    return session


def load_case_mappings(jvm: Any) -> None:
    """Let Java build the tables behind `lower` and `initcap`: more than a second of one core, else in the first round."""
    with contextlib.suppress(Py4JError):  # only the time of the first round depends on it
        jvm.java.lang.Class.forName("org.apache.spark.sql.catalyst.util.CollationAwareUTF8String")


class Opening:
    """A session that is being opened, in a thread of its own; see `open_session`."""

    def __init__(self, master: str | None, work_folder: Path | None, cores: int | None) -> None:
        self._opened: Future[SparkSession] = Future()
        arguments = (master, work_folder, cores)
        threading.Thread(target=self._open, args=arguments, daemon=True).start()

    def _open(self, master: str | None, work_folder: Path | None, cores: int | None) -> None:
        try:
            spark = open_session(master, work_folder, cores, beside=load_case_mappings)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the session is asked for
            self._opened.set_exception(error)
            return
        self._opened.set_result(spark)
        # While the driver still asks MySQL and Redshift, Java loads what a round needs, and Spark forks its Python workers.
        with contextlib.suppress(PySparkException, Py4JError):  # what is really wrong will be told by the first round
            rehearse(spark)

    def result(self) -> SparkSession:
        """Give the session once it is open."""
        return self._opened.result()

    def cancel(self) -> None:
        """Cancel what runs in it."""
        if self._opened.done() and not self._opened.exception():
            self._opened.result().sparkContext.cancelAllJobs()

    def stop(self) -> None:
        """Close it, once it is open."""
        if not self._opened.exception():
            self._opened.result().stop()


def rehearse(spark: SparkSession) -> None:
    """Do what a small round does, and then what a large one does, over two rows of nobody."""
    own = spark.newSession()  # a view of the same name would be taken for the round's
    rows = pa.table({
        "id": [1, 2], "name": ["a", None], "price": [1.5, None],
        "at": pa.array([0, None], pa.timestamp("us")), "day": pa.array([0, None], pa.date32()),
    })  # fmt: skip
    small = own.createDataFrame(rows)
    small.createOrReplaceTempView("rehearsed")
    own.sql(REHEARSED).toArrow()
    parts = spark.sparkContext.defaultParallelism
    tasks = own.range(0, parts, 1, parts).mapInArrow(
        lambda batches: (rows.to_batches()[0] for _ in batches), small.schema
    )
    tasks.createOrReplaceTempView("rehearsed")
    selected = own.sql(REHEARSED)
    selected.mapInArrow(lambda batches: batches, selected.schema).collect()
