"""The pinned packages of the jobs on AWS exist there, and need nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from freshet.cli.context import ROOT
from freshet.deploy.wheels import PYTHON_SHELL, STREAMING, download, pins
from tests.launchers.conftest import CACHE

JOBS = {
    "streaming": (ROOT / "streaming_job/requirements.txt", STREAMING),
    "shell": (ROOT / "simulators/constraints.txt", PYTHON_SHELL),
}


def name_of(text: str) -> str:
    """A package's name, spelled one way."""
    return text.partition("==")[0].lower().replace("_", "-")


@pytest.mark.parametrize("job", JOBS)
def test_every_pin_is_a_wheel_for_its_python(job: str) -> None:
    """CPython 3.13 on Linux, and pure Python for 3.9; nothing is compiled there."""
    file, target = JOBS[job]
    wanted = pins(file)
    wheels = download(wanted, target, CACHE)
    assert {name_of(pin) for pin in wanted} == {name_of(wheel.name.partition("-")[0]) for wheel in wheels}


@pytest.mark.parametrize("job", JOBS)
def test_the_pins_are_whole(job: str, tmp_path: Path) -> None:
    """pip, asked for these alone, would install nothing beside them."""
    file, target = JOBS[job]
    wanted = pins(file)
    run = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "--ignore-installed",
            "--target", str(tmp_path), "--only-binary=:all:", "--disable-pip-version-check", *target, *wanted,
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    installed = {name_of(one["metadata"]["name"]) for one in json.loads(run.stdout)["install"]}
    assert set() == installed - {name_of(pin) for pin in wanted}


def test_the_jobs_versions_are_those_of_the_tests() -> None:
    """What is tested here is what is installed there."""
    ours = set((ROOT / "constraints.txt").read_text().lower().replace("_", "-").splitlines())
    assert set() == {pin.lower().replace("_", "-") for pin in pins(ROOT / "streaming_job/requirements.txt")} - ours
