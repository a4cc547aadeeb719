"""`freshet export dynamodb`, as a person or a script calls it."""

import json
import os
import subprocess
import sys
from typing import Any

from freshet.cli.context import ROOT
from tests.batch_jobs.export.mart import Mart, some_rows


def freshet(mart: Mart, *words: str) -> tuple[int, dict[str, Any]]:
    """Run the command on the sandbox of the tests; give its code and the last line."""
    home = mart.root / "home"
    home.mkdir(exist_ok=True)
    if not (home / "sandbox").exists():
        (home / "sandbox").symlink_to(mart.place.state)
    done = subprocess.run(
        [sys.executable, "-m", "freshet", "export", "dynamodb", *words, "--json"],
        env={**os.environ, "FRESHET_HOME": str(home)}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_the_command_exports(mart: Mart) -> None:
    """Exit 0, one object on the last line, the items in the table."""
    mart.make(some_rows(200, 60))
    code, told = freshet(mart, str(mart.folder), "--rate", "5000", "--parts", "2")
    assert (0, len(mart.expected()), 200) == (code, told["put"], told["rows"])
    assert mart.expected() == mart.items()


def test_the_command_tells_what_is_wrong(mart: Mart) -> None:
    """2 for a definition, with the reason; Spark is not started for it."""
    mart.define(parts=0)
    code, told = freshet(mart, str(mart.folder))
    assert (2, "DefinitionError") == (code, told["kind"])
    assert 2 == freshet(mart, "no_such_export")[0]
    mart.define()
    code, told = freshet(mart, str(mart.folder))
    assert 2 == code
    assert "there is no DynamoDB table" in told["error"]
