"""Run the DMS stand-in in the foreground until SIGTERM.

python -m sandbox.dms --state DIR [--task FILE] [--full-load]
"""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox.dms import settings
from sandbox.dms.delivery import Delivery
from sandbox.dms.errors import TaskError
from sandbox.dms.task import Task
from sandbox.names import STREAM
from sandbox.state import State, read_json


def source(state: State) -> dict[str, Any]:
    """Say how to connect to the source."""
    mysql = read_json(state.mysql_connection)
    if mysql is None:
        raise TaskError(f"{state.mysql_connection} is missing: start the sandbox first")
    # Without TLS: the two are on one machine, and the whole binlog passes here.
    return {
        "host": mysql["host"], "port": mysql["port"], "user": mysql["user"], "password": mysql["password"],
        "charset": "utf8mb4", "connect_timeout": 5, "autocommit": True, "ssl_disabled": True,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the task; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.dms", description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    parser.add_argument("--task", type=Path, metavar="FILE", help="settings and table mappings, in DMS's own JSON")
    parser.add_argument("--stream", default=STREAM)
    parser.add_argument("--full-load", action="store_true", help="load all rows again, then go on with the changes")
    options = parser.parse_args(arguments)
    state, stopped = State(options.state), False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    def stopping() -> bool:
        return stopped

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    delivery = Delivery(state.aws, options.stream, stopping)
    try:
        Task(settings.load(options.task), source(state), delivery, state.dms, stopping).run(options.full_load)
    except TaskError as error:
        print(f"the DMS task stopped: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        delivery.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
