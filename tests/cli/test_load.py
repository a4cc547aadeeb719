"""`freshet load` as a person sees it."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freshet.cli import run_command
from freshet.cli.context import ROOT, Place
from tests.faults.control import inject
from tests.patience import HANGS_S

COMMAND = importlib.import_module("freshet.cli.load")  # the package's attribute of this name is the function
Say = Callable[..., tuple[int, str]]


@pytest.fixture
def definition(place: Place, tmp_path: Path) -> Path:
    """The shipped load under a name, table and prefix of this test's own."""
    name = f"load_{uuid.uuid4().hex[:8]}"
    folder = tmp_path / name
    folder.mkdir()
    shipped = ROOT / "sql/loads/news_feed_impression"
    for file in ("table.sql", "load.yaml"):
        text = (shipped / file).read_text().replace("public.news_feed_impression", f"public.{name}")
        (folder / file).write_text(text.replace("currents/news_feed_impression/", f"currents/{name}/"))
    return folder


@pytest.fixture
def say(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Say:
    """Runs a command on the tests' sandbox; gives its exit code and output."""
    monkeypatch.setattr(COMMAND, "find_place", lambda *_: place)

    def run(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        code = run_command(list(words))
        heard = capfd.readouterr()
        return code, heard.out + heard.err

    return run


def currents(place: Place, name: str, files: int, rows: int) -> None:
    """Let the simulator write files."""
    subprocess.run(
        [sys.executable, str(ROOT / "simulators/currents.py"), "--bucket", place.endpoints["staging_bucket"],
         "--prefix", f"currents/{name}/", "--files", str(files), "--rows", str(rows)],
        env={**os.environ, **place.environment}, check=True, capture_output=True,
    )  # fmt: skip


def test_the_shipped_load_from_its_simulator(place: Place, definition: Path, say: Say) -> None:
    """Files as Braze Currents writes them: a plan, the load, nothing the second time; the status knows the run."""
    name, folder = definition.name, str(definition)
    currents(place, name, 12, 50)
    code, text = say("load", folder, "--dry-run")
    assert (0, True) == (code, "would load 12 files" in text)
    code, text = say("load", folder, "--batch-size", "5")
    assert (0, True) == (code, "loaded 12 files, 600 rows" in text and "in 3 transactions" in text)
    code, text = say("load", folder, "--json")
    assert (0, 0, 12) == (code, json.loads(text)["files"], json.loads(text)["known"])
    (row,) = place.warehouse.query(
        f"select count(*) as n, count(distinct id) as ids, count(distinct _freshet_batch) as batches, min(time) as first, "
        f"count(platform) as platforms from public.{name}"
    )
    assert (600, 600, 3, 600) == (row["n"], row["ids"], row["batches"], row["platforms"])
    assert row["first"] > "2020-01-01"


def test_what_needs_a_look_is_said(place: Place, definition: Path, say: Say) -> None:
    """A bad file: exit 1, its name and place; a changed one: what to do."""
    name, folder = definition.name, str(definition)
    currents(place, name, 3, 20)
    s3, bucket = place.client("s3"), place.endpoints["staging_bucket"]
    s3.put_object(Bucket=bucket, Key=f"currents/{name}/z-bad.avro", Body=b"nothing")
    code, text = say("load", folder)
    assert 1 == code
    assert f"set aside s3://{bucket}/currents/{name}/z-bad.avro" in text
    assert "--retry" in text
    code, text = say("load", folder, "--retry", "--json")
    assert (1, ["z-bad.avro"]) == (code, [one["file"].split("/")[-1] for one in json.loads(text)["set_aside"]])
    key = s3.list_objects_v2(Bucket=bucket, Prefix=f"currents/{name}/date")["Contents"][0]["Key"]
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.delete_object(Bucket=bucket, Key=f"currents/{name}/z-bad.avro")
    currents(place, name, 1, 7)
    other = s3.list_objects_v2(Bucket=bucket, Prefix=f"currents/{name}/date")["Contents"][-1]["Key"]
    s3.put_object(Bucket=bucket, Key=key, Body=s3.get_object(Bucket=bucket, Key=other)["Body"].read())
    code, text = say("load", folder)
    assert (0, True) == (code, "1 file changed since loaded" in text and "--reload KEY" in text and key in text)
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    assert 0 == say("load", folder, "--reload", key)[0]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["no_such_load"], 2, "there is no load no_such_load"),
        (["--batch-size", "many"], 2, "no batch size"),
        (["--retry", "--reload", "x"], 2, "say one of them"),
        (["--bucket", "no-such-bucket-here"], 2, "no bucket no-such-bucket-here"),
        (["--reload", "nothing"], 2, "there is no file"),
        ([], 2, "there is no file that ends with .avro below"),
    ],
)
def test_wrong_input_ends_with_2(definition: Path, say: Say, words: list[str], code: int, message: str) -> None:
    """And says what to write."""
    named = words if words[:1] == ["no_such_load"] else [str(definition), *words]
    found, text = say("load", *named)
    assert (code, True) == (found, message in text), text


def test_ctrl_c_ends_with_130_and_leaves_nothing_half(place: Place, definition: Path) -> None:
    """A real process, in the middle of a batch."""
    currents(place, definition.name, 4, 10)
    code = (
        "import sys, importlib; command = importlib.import_module('freshet.cli.load'); "
        "from freshet.cli import run_command; from freshet.cli.context import Place; "
        "from pathlib import Path; import json; "
        "place = Place(Path(sys.argv[1]), json.loads(sys.argv[2])); command.find_place = lambda *_: place; "
        "sys.exit(run_command(['load', sys.argv[3]]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place.state), json.dumps(place.endpoints), str(definition)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **place.environment},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "files to load" in line:
                break
        inject(
            place.endpoints["redshift"]["endpoint_url"],
            operation="BatchExecuteStatement", fault="delay_s", value=20, times=1,
        )  # fmt: skip
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert 130 == process.wait(HANGS_S)
    rows: list[dict[str, Any]] = place.warehouse.query(f"select count(*) as n from public.{definition.name}")
    files = place.warehouse.query(f"select count(*) as n from freshet.{definition.name}_files")
    assert (rows[0]["n"], files[0]["n"]) in {(0, 0), (40, 4)}


def test_the_help_has_an_example_that_runs() -> None:
    """One sentence, one example."""
    assert "Example: freshet simulate currents && freshet load news_feed_impression" in (COMMAND.load.__doc__ or "")
