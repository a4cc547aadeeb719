"""Run a file of SQL against Redshift, as a job: an AWS Glue Python shell 3.9 job, or by itself.

    python -m batch_jobs.run_sql --db dev --db_creds "" --bucket my-bucket --file sql/daily.sql \
        --parameters '{"day": "2026-05-01"}'

Reads:  a `.sql` file from S3 (or from disk, with an empty --bucket), and values of its `:parameters`.
Gives:  one line a statement on stdout (line, first words, rows, seconds), one record in the ledger of runs; exit code 0 done,
        1 Redshift refused, 2 the file or the arguments are wrong, 3 something around it is missing, 130 stopped.

Not promised: that a run which was killed left nothing. As one transaction it left all or nothing, and may even be carried out
without us; statement by statement the first ones are committed. So write files that may be run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import boto3

from batch_jobs.run_sql.execute import execute, line_of, rows_moved
from batch_jobs.run_sql.modes import MODES
from batch_jobs.run_sql.script import read_script
from batch_jobs.run_sql.statements import Statement
from batch_jobs.stopping import signals
from freshet.errors import FreshetError, InputError
from freshet.glue_arguments import read
from freshet.redshift.data_api import Cancelled, Part, Warehouse
from freshet.redshift.runs import recorded

STOPPED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one file; give the exit code."""
    options = parse(argv)
    try:
        _run(options)
    except FreshetError as error:
        print(f"error: {error}", file=sys.stderr)
        return STOPPED if isinstance(error, Cancelled) else error.exit_code
    return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments; those that Glue adds of its own are left aside."""
    parser = argparse.ArgumentParser(
        prog="python -m batch_jobs.run_sql", description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--db", required=True, help="Redshift database")
    parser.add_argument(
        "--db_creds",
        nargs="?",
        const="",
        default="",
        help="name or ARN of the secret to sign in with; empty: the caller's role",
    )
    parser.add_argument("--bucket", required=True, help="S3 bucket of the file; empty: the file is on disk")
    parser.add_argument("--file", required=True, help="the file's key in the bucket, or its path on disk")
    parser.add_argument("--workgroup", default="freshet", help="Redshift serverless workgroup (%(default)s)")
    parser.add_argument("--parameters", default="{}", help='values of the file\'s :parameters, as {"name": "value"}')
    parser.add_argument("--name", help="what errors and the ledger of runs call the file; else where it is")
    parser.add_argument(  # not --mode, which Glue keeps for itself
        "--commit",
        choices=sorted(MODES),
        default="transaction",
        help="one transaction, or each statement alone",
    )
    return read(parser, argv)


def _run(options: argparse.Namespace) -> None:
    place = f"s3://{options.bucket}/{options.file}" if options.bucket else options.file
    script = read_script(
        place, _values(options.parameters), MODES[options.commit], lambda: boto3.client("s3"), options.name
    )
    warehouse = Warehouse(boto3.client("redshift-data"), options.workgroup, options.db, options.db_creds or None)

    def report(statement: Statement, part: Part) -> None:
        print(line_of(script, statement, part), flush=True)

    with signals() as stopping, recorded(warehouse, "sql", script.name) as run:
        run.rows = rows_moved(execute(warehouse, script, report, stopping))


def _values(written: str) -> dict[str, str]:
    try:
        values = json.loads(written)
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise InputError('--parameters is a JSON object of texts, such as {"day": "2026-05-01"}')
    return values


if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
