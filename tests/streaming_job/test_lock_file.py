"""One job a pipeline on one machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from freshet.cli.context import ROOT
from freshet.errors import TerminalError
from streaming_job.arguments import parse
from streaming_job.lock_file import held, lock_files
from tests.streaming_job.test_arguments import NEEDED

HOLD = """
import sys
from pathlib import Path
from streaming_job.lock_file import held
with held([Path(sys.argv[1])], False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_each_pipeline_has_its_own_file(tmp_path: Path) -> None:
    """By the name of its folder, as Glue's S3 folder has it too; without a lock folder there are none."""
    pipelines = ["--pipeline_folders", f"sql/pipelines/orders,{tmp_path}/sales/"]
    words = [*NEEDED, *pipelines, "--lock_folder", str(tmp_path)]
    assert [tmp_path / "orders.lock", tmp_path / "sales.lock"] == lock_files(parse(words))
    assert [] == lock_files(parse([*NEEDED, *pipelines]))


def test_a_second_job_of_a_pipeline_is_refused(tmp_path: Path) -> None:
    """One of several is enough; the message names the pipeline and the process; nothing of the others stays held."""
    one, two, three = (tmp_path / "locks" / f"{name}.lock" for name in ("one", "two", "three"))
    with held([two], take_over=False) as alone:
        assert alone
        with (
            pytest.raises(TerminalError, match=rf"pipeline two is running \(process {os.getpid()}\)"),
            held([one, two, three], False),
        ):
            pytest.fail("two is held")
        with held([one, three], take_over=False) as others:
            assert others
    with held([one, two, three], take_over=False) as alone:
        assert alone


def test_taking_over_goes_on_and_is_not_alone(tmp_path: Path) -> None:
    """The other job still works in its folder: the newer one must not clear it; nor may one without a lock."""
    path = tmp_path / "orders.lock"
    with held([path], take_over=False), held([path, tmp_path / "sales.lock"], take_over=True) as alone:
        assert not alone
        assert f"{os.getpid()}\n" == path.read_text()
    with held([], take_over=False) as alone:
        assert not alone


def test_a_killed_job_holds_nothing(tmp_path: Path) -> None:
    """The kernel takes the lock back; the file that is left names a process that is gone, and does not matter."""
    path = tmp_path / "orders.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert "held\n" == other.stdout.readline()
        with pytest.raises(TerminalError, match=f"process {other.pid}"), held([path], take_over=False):
            pytest.fail("the other process holds it")
        other.kill()
        other.wait()
    with held([path], take_over=False) as alone:
        assert alone
