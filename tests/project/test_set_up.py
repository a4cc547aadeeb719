"""The set-up and the CI run end as they should, also where something is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = (
    "sh",
    "bash",
    "dirname",
    "date",
    "cat",
    "cksum",
    "grep",
    "sed",
    "id",
    "tee",
    "tail",
    "mktemp",
    "rm",
    "mkdir",
    "cut",
)
# Where setup.sh looks beside the PATH.
OTHER_PLACES = "/usr/local/bin:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/opt/homebrew/sbin"


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder with a few plain tools, to be the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool, path=os.defpath)
        assert found
        (folder / tool).symlink_to(found)
    return folder


@pytest.mark.skipif(
    bool(shutil.which("mariadb-install-db", path=OTHER_PLACES)), reason="MariaDB is outside the PATH too"
)
def test_what_cannot_be_installed_is_named(tmp_path: Path, bare_path: Path) -> None:
    """Without a packager the set-up names what is missing, exits with 3 and writes nothing, stdout least of all."""
    clone = tmp_path / "a clone"
    clone.mkdir()
    for name in ("setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, clone)
    done = subprocess.run(
        [str(clone / "setup.sh")], env={"PATH": str(bare_path)}, capture_output=True, text=True, check=False
    )
    assert (3, "") == (done.returncode, done.stdout), done.stderr
    assert "missing: " in done.stderr
    assert "mariadb" in done.stderr
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    ("code", "after", "summary"),
    [
        (0, "", "======== 3 passed in 1.20s ========"),
        (2, "make: *** [Makefile:26: test] Error 1", "======== 1 failed, 2 passed in 1.20s ========"),
    ],
)
def test_ci_ends_with_the_summary(tmp_path: Path, bare_path: Path, code: int, after: str, summary: str) -> None:
    """The last line is pytest's, and the exit code is kept, when make has the last word too."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    make = bare_path / "make"
    make.write_text(f"#!/bin/sh\necho '{summary}'\necho '{after}' >&2\nexit {code}\n")
    make.chmod(0o755)
    done = subprocess.run(
        ["bash", str(tmp_path / ".ci/run")], env={"PATH": str(bare_path)}, capture_output=True, text=True, check=False
    )
    assert code == done.returncode
    assert summary == done.stdout.rstrip().splitlines()[-1]
