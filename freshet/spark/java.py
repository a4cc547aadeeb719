"""The Java that Spark runs on, on this machine: which one, and how it is started wherever the clone lies.

On AWS Glue none of this is used: Glue chooses its Java and how to start it.

Source: Spark 4.1 overview ("Spark runs on Java 17/21"); Spark configuration, spark.driver.extraJavaOptions.
"""

import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Final

HOME_FILE: Final = Path(sys.prefix, "java_home")  # `make setup` notes there which Java it found
# One machine, a few cores: half the CPU until the first batch is the JVM compiling and collecting in parallel.
# PerfData would be a file in /tmp, which may be full.
QUICK: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


def prepare_environment() -> None:
    """Set the variables with which Spark finds Java and Python, and with which Java can open any path.

    Java reads and writes file names in the locale's encoding: in the locale C a folder with an accent is not there.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if HOME_FILE.is_file():
        os.environ.setdefault("JAVA_HOME", HOME_FILE.read_text().strip())
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
    options = [*QUICK, *more]
    if work_folder:
        work_folder.mkdir(parents=True, exist_ok=True)
        options += [f"-Djava.io.tmpdir={work_folder}", *_hosts(work_folder)]
    return shlex.join(options)


def _hosts(work_folder: Path) -> list[str]:
    """Give the option for a machine that does not know its own name: Spark asks for that name's address, and then stops.

    Nothing that Java calls here is another machine, so the file may be all that it knows.
    """
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None, socket.AF_INET)
    except OSError:
        hosts = work_folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {name}\n", encoding="utf-8")
        return [f"-Djdk.net.hosts.file={hosts}"]
    return []
