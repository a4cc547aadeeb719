"""The sandbox's own command.

    python -m sandbox up | down | status | reset --state DIR [--json]

Exit codes: 0 done, 1 failed, 3 this machine lacks something.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox import control
from sandbox.errors import SandboxError
from sandbox.mysql_servers import KINDS, TITLES
from sandbox.names import MYSQL_DATABASE

INTERRUPTED = 130


def _up(options: argparse.Namespace) -> dict[str, Any]:
    if control.running(options.state):
        print("a sandbox runs here already")
    endpoints = control.start(
        options.state,
        tied=options.tied,
        database=options.database,
        mysql=options.mysql,
        shards=options.shards,
        on_progress=None if options.json else print,
    )
    return {"running": True, **endpoints}


def _down(options: argparse.Namespace) -> dict[str, Any]:
    print("stopped" if control.stop(options.state) else "no sandbox ran here")
    return {"running": False}


def _status(options: argparse.Namespace) -> dict[str, Any]:
    return control.status(options.state)


def _reset(options: argparse.Namespace) -> dict[str, Any]:
    control.reset(options.state)
    print("stopped and deleted")
    return {"running": False}


COMMANDS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "reset": _reset,
}


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--state", type=Path, default=Path(".freshet"), metavar="DIR", help="default: .freshet")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--database", default=MYSQL_DATABASE, help="MySQL database to begin with (default: sports)")
    parser.add_argument("--shards", type=int, default=2, help="shards of a new stream (default: 2)")
    parser.add_argument(
        "--mysql", choices=KINDS, help="server that stands for RDS MySQL (default: mysql where it is, else mariadb)"
    )
    parser.add_argument("--tied", action="store_true", help="up: run until standard input ends, then stop everything")
    options = parser.parse_args(arguments)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        answer = COMMANDS[options.command](options)
        _show(answer, options.json)
        if options.command == "up" and options.tied:
            _wait(options.state)
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _wait(state: Path) -> None:
    try:
        while sys.stdin.buffer.read(4096):
            pass
    finally:
        control.stop(state)


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer), flush=True)
    elif not answer["running"]:
        print("not running")
    else:
        mysql, aws, redshift = answer["mysql"], answer["aws"], answer["redshift"]
        place = f"{mysql['host']}:{mysql['port']}, user {mysql['user']}, database {mysql['database']}"
        print(f"MySQL      {TITLES[mysql['server']]} {mysql['version']} at {place}")
        print(f"AWS        {aws['endpoint_url']} ({aws['region']}), stream {answer['stream']}")
        print(f"Redshift   {redshift['endpoint_url']}, workgroup {redshift['workgroup']}", flush=True)
        if dms := answer.get("dms"):
            suspended = [".".join(table) for table in dms["suspended"] or ()]
            left_out = f", left out {dms['skipped']}" if dms["skipped"] else ""
            no_more = f", no longer replicates {', '.join(suspended)}" if suspended else ""
            print(
                f"DMS        {dms['problem'] or 'runs'}: delivered {dms['delivered'] or 0}{left_out}{no_more}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
