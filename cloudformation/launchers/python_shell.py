"""AWS Glue's Python shell 3.9 runs this script: it fetches the bundle, and runs the program in it that it is told.

A private subnet has no way to a package index, so whatever a program imports is in the bundle; boto3 is Glue's own.

    python_shell.py --bundle s3://BUCKET/KEY.zip --program initial [arguments of the program ...]
"""

import argparse
import importlib
import io
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from typing import Optional

import boto3

PROGRAMS = ("bootstrap", "initial", "incremental", "upsert")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one program; give its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--bundle", required=True, metavar="URL", help="s3:// url of a zip with all that is imported")
    parser.add_argument("--program", required=True, choices=PROGRAMS)
    chosen, rest = parser.parse_known_args(argv)
    bucket, _, key = chosen.bundle.removeprefix("s3://").partition("/")
    with tempfile.TemporaryDirectory(prefix="bundle") as folder:
        packed = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
        sys.path.insert(0, folder)
        return int(importlib.import_module(chosen.program).main(rest))


if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
