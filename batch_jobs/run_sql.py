"""Run a file of SQL against Redshift: `freshet sql run`, and a Glue Python shell 3.9 job by itself.

    python -m batch_jobs.run_sql --db dev --db_creds warehouse-admin --bucket my-bucket --file sql/daily.sql \
        --parameters '{"day": "2026-05-01"}'

Reads:  a `.sql` file from S3 or disk, and values of its `:parameters`.
Gives:  one line a statement on stdout (place, first words, rows, seconds), one record in the ledger of runs; exit code 0 done,
        1 Redshift refused, 2 the file or the arguments are wrong, 3 something around it is missing, 130 stopped.

Not promised: that a run which was killed left nothing. As one transaction it left all or nothing, the statement may even go on
without us; statement by statement the first ones are committed. So write files that may be run again.
"""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from batch_jobs.sql_file import Statement, Stop, WrongInput, bound, check_name, check_parameters, statements_of
from batch_jobs.sql_modes import EACH, TRANSACTION, check_mode, check_sizes
from batch_jobs.statements import Cancelled, Done, Redshift, Refused, UnknownOutcome, Unreachable

Report = Callable[[Statement, Done], None]


@dataclass(frozen=True)
class Script:
    """A file that was read and found right.

    Attributes:
        name: How errors call it.
        mode: TRANSACTION or EACH.
        statements: What is in it.
        texts: The same with the parameters put in, as they are sent.
    """

    name: str
    mode: str
    statements: Sequence[Statement]
    texts: Sequence[str]


def read_script(place: str, values: Mapping[str, str], mode: str, s3: Callable[[], Any]) -> Script:
    """Read a file and check all that can be checked before Redshift sees it.

    Args:
        place: Path or s3:// url.
        values: The parameters.
        mode: TRANSACTION or EACH.
        s3: Gives a boto3 client of S3; asked for an s3:// url only.

    Raises:
        WrongInput: The file cannot be read or cannot run so; says file and line.
        Unreachable: S3 refuses.
    """
    text = _text(place, fetch(place, s3))
    try:
        for name in values:
            check_name(name)
        statements = statements_of(text)
        check_mode(statements, mode)
        check_parameters(statements, values)
        texts = [bound(statement, values) for statement in statements]
        check_sizes(statements, texts)
    except WrongInput as error:
        line = "" if error.line is None else f":{error.line}"
        raise WrongInput(f"{place}{line}: {error}") from None
    return Script(place, mode, statements, texts)


def run_script(
    redshift: Redshift, script: Script, report: Report, stopping: Callable[[], bool] = lambda: False
) -> Sequence[Done]:
    """Run a file; the first error ends it.

    Args:
        redshift: Where.
        script: What.
        report: Told of every statement as it ends; of a transaction nothing is committed before the last.
        stopping: Asked while waiting; once it answers True, what runs is cancelled.

    Returns:
        What each statement did.

    Raises:
        Stop: Says file, line, statement, Redshift's message, and what is now written.
    """
    written = [statement.text for statement in script.statements]
    done: "list[Done]" = []
    try:
        for one in _done(redshift, script, written, stopping):
            done.append(one)
            report(script.statements[one.place], one)
    except Refused as error:
        raise Refused(error.place, _refusal(script, error, len(done))) from None
    except Cancelled:
        raise Cancelled(f"{_where(script, len(done))}: stopped and cancelled; {_left(script, len(done))}") from None
    except UnknownOutcome as error:
        raise UnknownOutcome(f"{_where(script, len(done))}: {error}") from None
    return done


def _done(
    redshift: Redshift, script: Script, written: Sequence[str], stopping: Callable[[], bool]
) -> Iterator[Done]:
    if script.mode == TRANSACTION:
        yield from redshift.run(script.texts, written, one_transaction=True, stopping=stopping)
        return
    for place, text in enumerate(script.texts):
        if stopping():
            raise Cancelled("cancelled")
        try:
            for one in redshift.run([text], [written[place]], one_transaction=False, stopping=stopping):
                yield Done(place, one.rows, one.seconds)
        except Refused as error:
            raise Refused(place, error.reason) from None


def _refusal(script: Script, error: Refused, done: int) -> str:
    again = " Another transaction was in the way: run the file again." if error.conflict else ""
    place = error.place if error.place is not None else done
    return f"{_where(script, place)}: Redshift refused it: {error.reason}. {_left(script, done).capitalize()}.{again}"


def _where(script: Script, place: int) -> str:
    statement = script.statements[min(place, len(script.statements) - 1)]
    return f"{script.name}:{statement.line}: statement {statement.number} of {len(script.statements)} ({statement.title})"


def _left(script: Script, done: int) -> str:
    if script.mode == TRANSACTION:
        return "nothing was written, the transaction was rolled back"
    return f"{_count(done, 'statement')} before it {'is' if done == 1 else 'are'} committed" if done else "nothing was written"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def line_of(script: Script, statement: Statement, done: Done) -> str:
    """Tell what a statement did in one line."""
    rows = "" if done.rows is None else f"{_count(done.rows, 'row')}, "
    place = f"{statement.number}/{len(script.statements)}"
    return f"statement {place}, line {statement.line}: {statement.title}: {rows}{done.seconds:.1f} s"


def parameters_of(written: Sequence[str]) -> "dict[str, str]":
    """Read parameters that are written `name=value`.

    Raises:
        WrongInput: One is not, or is given twice.
    """
    values: "dict[str, str]" = {}
    for each in written:
        name, sign, value = each.partition("=")
        if not sign:
            raise WrongInput("a parameter is written name=value")
        if check_name(name) in values:
            raise WrongInput(f"the parameter {name} is given twice")
        values[name] = value
    return values


def fetch(place: str, s3: Callable[[], Any]) -> bytes:
    """Read a file, here or in S3.

    Raises:
        WrongInput: There is no such file, or it cannot be read.
        Unreachable: S3 refuses or does not answer.
    """
    if not place.startswith("s3://"):
        try:
            return Path(place).read_bytes()
        except OSError as error:
            raise WrongInput(f"{place} cannot be read ({error.strerror})") from None
    bucket, _, key = place[len("s3://") :].partition("/")
    if not bucket or not key:
        raise WrongInput(f"{place} is no s3://BUCKET/KEY")
    try:
        return bytes(s3().get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in {"NoSuchKey", "NoSuchBucket", "404"}:
            raise WrongInput(f"{place} is not there ({code})") from None
        raise Unreachable(f"S3 refused to give {place} ({code}): check the rights of who asks") from None
    except BotoCoreError as error:
        raise Unreachable(f"S3 did not give {place} ({type(error).__name__})") from None


def _text(place: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongInput(f"{place}:{content.count(10, 0, error.start) + 1}: this line is not UTF-8") from None


@contextmanager
def signals() -> Iterator[Callable[[], bool]]:
    """Give what tells whether Ctrl-C or SIGTERM came; a second one ends the process at once."""
    came = threading.Event()

    def note(_number: int, _frame: object) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
