"""How every simulator starts and ends: its options, one connection, an exit code, a clean stop.

Reads:  argv, the password's environment variable, or a secret of Secrets Manager.
Gives:  counts and ids on stdout; no message holds a row's values, so MySQL's texts about rows are not passed on.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable

from mysql.connector import Error as MySQLError
from mysql.connector import errorcode

from shop.connection import connect
from shop.errors import NoDatabase, SimulatorError, WrongInput

ALIKE = 0.8  # databse and database are
SLICE_S = 0.1


def options(doc: str, example: str) -> argparse.ArgumentParser:
    """Make a parser that knows the connection's options.

    Args:
        doc: The script's docstring; its first line is the help.
        example: What to type after `python simulators/`.
    """
    parser = argparse.ArgumentParser(
        description=doc.partition("\n")[0],
        epilog=f"Example: python simulators/{example} --user freshet --database sports --password_env MYSQL_PASSWORD",
        allow_abbrev=False,
    )
    place = parser.add_argument_group("where the MySQL database is (--secret, perhaps --database; or the others)")
    place.add_argument("--secret", metavar="NAME", help="a secret: {host, port, username, password, dbname, ssl_ca}")
    place.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    place.add_argument("--port", type=int, default=3306, help="default: %(default)s")
    place.add_argument("--user", help="a user who may create tables and change rows")
    place.add_argument("--database", help="the database of the four tables")
    place.add_argument("--password_env", metavar="VARIABLE", help="the environment variable that holds the password")
    place.add_argument(
        "--ssl_ca", metavar="FILE", help="CA file, or its s3:// url; the server must then prove who it is"
    )
    return parser


def at_least(smallest: int) -> Callable[[str], int]:
    """Make an argparse type: a whole number, not below the smallest."""

    def number(text: str) -> int:
        if (value := int(text)) < smallest:
            raise argparse.ArgumentTypeError(f"{value} is below {smallest}")
        return value

    return number


def positive(text: str) -> float:
    """Read a number above 0 (an argparse type)."""
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def seconds(text: str) -> float:
    """Read 60 or 60s as seconds (an argparse type)."""
    return positive(text.removesuffix("s"))


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None, work: Callable[..., None]) -> int:
    """Parse, connect, work, tell what went wrong.

    Args:
        parser: Made by `options`.
        argv: The arguments; the process's own when None.
        work: Called with the open connection, the parsed options and a `Stop`.

    Returns:
        The exit code: 0 done or stopped, 1 failed, 2 wrong input, 3 no database.
    """
    try:
        chosen = read(parser, argv)
    except SystemExit as end:  # argparse has told why
        return int(end.code or 0)
    try:
        with stoppable() as stop, contextlib.closing(connect(chosen)) as connection:
            work(connection, chosen, stop)
    except SimulatorError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except MySQLError as error:
        known = told(error)
        print(f"error: {known}", file=sys.stderr)
        return known.exit_code
    return 0


def read(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read our arguments, pass over those that Glue adds to them, and refuse what is almost one of ours."""
    chosen, passed_over = parser.parse_known_args(argv)
    ours = [word[2:] for action in parser._actions for word in action.option_strings if word.startswith("--")]
    for word in passed_over:
        name = word[2:].partition("=")[0]
        if word.startswith("--") and (
            meant := difflib.get_close_matches(name.replace("-", "_").lower(), ours, 1, ALIKE)
        ):
            parser.error(f"--{name} is no argument: is --{meant[0]} meant?")
    return chosen


def told(error: MySQLError) -> SimulatorError:
    """Say what MySQL said, without its text, which may quote a row."""
    if error.errno == errorcode.ER_NO_SUCH_TABLE:
        return WrongInput("the four tables are not in this database; run initial.py first")
    if error.errno in {errorcode.CR_SERVER_LOST, errorcode.CR_SERVER_GONE_ERROR}:
        return NoDatabase("the database closed the connection; what was committed stays, run it again")
    return SimulatorError(
        f"MySQL answered error {error.errno} (SQLSTATE {error.sqlstate}); the last transaction is undone"
    )


class Stop:
    """Whether someone asked the simulator to end; asked between transactions, never in one."""

    def __init__(self) -> None:
        self.asked = False

    def sleep_until(self, moment: float) -> None:
        """Sleep until a moment of time.monotonic(), or until asked to stop."""
        while not self.asked and (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_S))


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Turn SIGTERM and SIGINT into a request to stop; signals reach only a process's main thread."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(_number: int, _frame: Any) -> None:
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """Tells how far a long work is, at most every two seconds."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._told = time.monotonic()

    def add(self, count: int) -> None:
        """Count, and tell if it is time."""
        self.done += count
        if time.monotonic() - self._told >= 2:
            self._told = time.monotonic()
            print(f"{self.what}: {self.done:,} of {self.total:,}", flush=True)
