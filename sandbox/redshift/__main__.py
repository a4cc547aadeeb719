"""Run the stand-in in the foreground: `python -m sandbox.redshift --state DIR --s3-endpoint URL`.

Writes DIR/redshift.json when it answers; ends cleanly on SIGTERM or SIGINT.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.redshift.server import Redshift
from sandbox.state import State, write_json

_LOOK_S = 0.5


def main() -> int:
    """Start, tell where it is, wait for a signal; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.redshift", description="The sandbox's Redshift.")
    parser.add_argument("--state", type=Path, required=True, help="folder in which everything is kept")
    parser.add_argument("--s3-endpoint", required=True, help="where COPY finds S3")
    parser.add_argument("--port", type=int, default=0, help="port of the Data API (a free one)")
    parser.add_argument("--database", default="dev")
    parser.add_argument("--workgroup", default="freshet")
    wanted = parser.parse_args()
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # one that comes while starting waits for its turn
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # its warnings quote statements
    state = State(wanted.state)
    state.make()
    state.redshift.unlink(missing_ok=True)  # of one that was killed
    redshift = Redshift(state.root / "redshift", wanted.s3_endpoint, wanted.port, wanted.database, wanted.workgroup)
    try:
        redshift.start()
    except (SandboxError, OSError) as error:
        print(f"redshift: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, SandboxError) else 1
    write_json(state.redshift, redshift.describe() | {"pid": os.getpid(), "postgres_pid": redshift.postgres.pid})
    try:
        while signal.sigtimedwait(stops, _LOOK_S) is None:
            if not redshift.postgres.alive:
                print(f"redshift: PostgreSQL ended by itself; see {redshift.postgres.log}", file=sys.stderr)
                return 1
    finally:
        state.redshift.unlink(missing_ok=True)
        redshift.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
