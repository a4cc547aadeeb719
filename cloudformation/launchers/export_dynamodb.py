"""AWS Glue 6.0 runs this script; the job itself comes with the wheel in --additional-python-modules.

Of a run that failed, Glue keeps as its error message what the exit said: so the last error of the log is said again there.
"""

import logging
import sys

from batch_jobs.export_dynamodb.__main__ import main


class LastError(logging.Handler):
    """Remembers the last error of the log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said = "the job said nothing"

    def emit(self, record: logging.LogRecord) -> None:
        """Remember it."""
        self.said = record.getMessage()


if __name__ == "__main__":
    last = LastError()
    logging.getLogger("batch_jobs").addHandler(last)
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(f"{last.said} (exit code {code})")
