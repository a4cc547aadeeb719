"""`python -m streaming_job.class_archive`: keep Spark's loaded classes in a file, so that the next Spark starts in half the
time.

Run once by `make setup`. The JVM ignores the file without a word when Java or Spark changed; nothing depends on it.

Source: JDK 17 and 21, "Class Data Sharing", dynamic archive (-XX:ArchiveClassesAtExit, -XX:SharedArchiveFile).
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from streaming_job import session


def write(path: Path) -> None:
    """Start Spark, do what a round does, and let the JVM write the archive as it ends."""
    part = path.with_name(f"{path.name}.part")
    options = (*session.SILENT, f"-XX:ArchiveClassesAtExit={part}")
    with tempfile.TemporaryDirectory() as folder:
        spark = session.open_session("local[2]", Path(folder), java_options=options)
        session.rehearse(spark)
        gateway: Any = spark.sparkContext._gateway
        process = gateway.proc
        spark.stop()
        process.stdin.close()
        process.wait(120)
    part.replace(path)


if __name__ == "__main__":
    session.CLASS_ARCHIVE.unlink(missing_ok=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    write(session.CLASS_ARCHIVE)
    sys.stderr.write(f"{session.CLASS_ARCHIVE.stat().st_size // 2**20} MB\n")
