"""`python -m streaming_job --pipeline_folders ... --stream ...`: what `freshet run` starts, and what Glue runs."""

import logging
import shutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from freshet.errors import FreshetError
from freshet.logs import write_json_lines
from streaming_job.arguments import Arguments, parse
from streaming_job.lock_file import held, lock_files
from streaming_job.session import Opening, cores_of
from streaming_job.stopping import Stopping

log = logging.getLogger("streaming_job")

SWITCH_S: Final = 0.0005  # a round's small questions wait that long at most for the thread that parses the next records


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; give the exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    write_json_lines()
    try:
        with held(lock_files(arguments), arguments.take_over) as alone:
            if alone and arguments.work_folder:  # what a killed job left
                shutil.rmtree(arguments.work_folder, ignore_errors=True)
            run(arguments)
    except FreshetError as error:
        log.error(str(error), extra={"fields": {"error": type(error).__name__}})
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - its text may hold values: only its class and place may be told
        at = traceback.extract_tb(error.__traceback__)[-1]
        log.error("ended by an unforeseen %s at %s:%d", type(error).__name__, Path(at.filename).name, at.lineno)
        return 1
    log.info("ended")
    return 0


def run(arguments: Arguments) -> None:
    """Open Spark, connect, work, and close. Java starts while everything else is imported and asked."""
    sys.setswitchinterval(SWITCH_S)
    stopping = Stopping()
    cores = cores_of(arguments.worker_type, arguments.workers)
    session = Opening(arguments.spark_master, arguments.work_folder, cores)
    stopping.on_signals(session.cancel)
    try:
        from streaming_job.connect import connect_job  # noqa: PLC0415 - a second of imports, beside Java's start

        with closing(connect_job(arguments, session.result, stopping)) as job:
            job.work()
    finally:
        session.stop()


if __name__ == "__main__":
    sys.exit(main())
