"""The Java that Spark runs on, on this machine: which one, and how it is started wherever the clone lies.

On AWS Glue none of this is used: Glue chooses its Java and how to start it.

Source: Spark 4.1 overview ("Spark runs on Java 17/21"); Spark configuration, spark.driver.extraJavaOptions.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Final

HOME_FILE: Final = Path(sys.prefix, "java_home")  # `make setup` notes there which Java it found
# One machine, a few cores: half the CPU until the first batch is the JVM compiling and collecting in parallel.
# PerfData would be a file in /tmp, which may be full.
QUICK: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


def prepare_environment() -> None:
    """Set the variables with which Spark finds Java and Python, and with which Java can open any path.

    Java reads and writes file names in the locale's encoding: in the locale C a folder with an accent is not there. And Spark
    asks who this machine is before any of its settings is read, which a machine without a network cannot tell.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if HOME_FILE.is_file():
        os.environ.setdefault("JAVA_HOME", HOME_FILE.read_text().strip())
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    if sys.platform.startswith("linux"):
        os.environ["LC_ALL"] = "C.UTF-8"


def driver_options(*more: str, work_folder: Path | None) -> str:
    """Write the value of spark.driver.extraJavaOptions.

    Args:
        more: Options beside those for quick starts.
        work_folder: Where Java keeps its temporary files and unpacks native libraries; None for its default. The
            system's own folder may be small, or forbid programs.

    Returns:
        The options, quoted as Spark's launcher reads them, which is how a shell does.
    """
    temporary = (f"-Djava.io.tmpdir={work_folder}",) if work_folder else ()
    return shlex.join((*QUICK, *temporary, *more))
