"""AWS Glue's Python shell 3.9 runs this script: it fetches the bundle, and runs the program in it that it is told.

A private subnet has no way to a package index, so whatever a program imports is in the bundle. That is boto3 too: Glue's own is
of 2022 (library set "analytics": boto3 1.21.21) and knows no Redshift Serverless; it fetches the bundle and is then forgotten.

    python_shell.py --bundle s3://BUCKET/KEY.zip --program initial [arguments of the program ...]

Of a program that failed, Glue keeps as the run's error message what its exit said. So the last line that the program wrote to
stderr (to stdout, if it wrote none) is said again at the exit: it reaches whoever reads the run, without the log.
"""

import argparse
import importlib
import io
import json
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from typing import Optional

import boto3

PROGRAMS = {
    "bootstrap": "bootstrap",
    "initial": "initial",
    "incremental": "incremental",
    "upsert": "upsert",
    "run_sql": "batch_jobs.run_sql.__main__",
    "load": "batch_jobs.load.__main__",
}
LINE_MAX = 100_000


class LastLine(io.TextIOBase):
    """Hands a text on, and remembers its last line that is not empty."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self.stream, self.line, self._open = stream, "", ""

    def write(self, text: str) -> int:
        """Write, and remember."""
        *lines, self._open = (self._open + text)[-LINE_MAX:].split("\n")
        self.line = next((line.strip() for line in reversed([*lines, self._open]) if line.strip()), self.line)
        return self.stream.write(text)

    def flush(self) -> None:
        """Hand on what is written."""
        self.stream.flush()


def cause(line: str) -> str:
    """Give what a line tells of an error: of a JSON object its `error`."""
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    error = told.get("error") if isinstance(told, dict) else None
    return str(error or line or "the program said nothing")


def forget(packages: "set[str]") -> None:
    """Let the next import of these packages look at sys.path again, although others of their names are imported already."""
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
    importlib.invalidate_caches()


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one program; give its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--bundle", required=True, metavar="URL", help="s3:// url of a zip with all that is imported")
    parser.add_argument("--program", required=True, choices=list(PROGRAMS))
    chosen, rest = parser.parse_known_args(argv)
    bucket, _, key = chosen.bundle.removeprefix("s3://").partition("/")
    with tempfile.TemporaryDirectory(prefix="bundle") as folder:
        packed = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(packed)) as bundle:
            bundle.extractall(folder)
            sys.path.insert(0, folder)
            forget({name.partition("/")[0].removesuffix(".py") for name in bundle.namelist()})
        return int(importlib.import_module(PROGRAMS[chosen.program]).main(rest))


if __name__ == "__main__":
    out, err = sys.stdout, sys.stderr = LastLine(sys.stdout), LastLine(sys.stderr)
    try:
        code = main()
    except SystemExit as ended:  # argparse
        code = ended.code if isinstance(ended.code, int) else 1
    sys.stdout, sys.stderr = out.stream, err.stream
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(f"{cause(err.line or out.line)} (exit code {code})")
