"""Virtual environments beside the one of the tests: for tools that need other versions, and for what runs as AWS runs it.

Made once for each content of a requirements file and each Python, and kept below the tests' own environment, so that
`make clean` removes them too.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(sys.prefix, "environments")


def environment(name: str, requirements: Path, python: str = sys.executable, options: Sequence[str] = ()) -> Path:
    """Give the Python of an environment that holds exactly the packages of a requirements file.

    Args:
        name: Of the environment.
        requirements: Every package with its version.
        python: The Python to make it with.
        options: More options for pip.
    """
    version = subprocess.run([python, "-VV"], capture_output=True, text=True, check=True).stdout
    told = f"{version}{requirements.read_text()}{' '.join(options)}{Path(sys.prefix).resolve()}"
    place = FOLDER / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([python, "-m", "venv", str(place)], check=True, capture_output=True)
            pip = [
                str(place / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
            ]
            run = subprocess.run(
                [*pip, *options, "-r", str(requirements)], capture_output=True, text=True, check=False,
                env={**os.environ, "PYTHONPATH": ""},
            )  # fmt: skip
            assert run.returncode == 0, run.stderr[-2000:]
            (place / "complete").touch()
    return place / "bin" / "python"


def find_python(version: str) -> str | None:
    """Find a Python such as 3.13: on the PATH, or among the versions that pyenv keeps; None when there is none."""
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [str(path) for path in sorted(kept.glob(f"{version}.*/bin/python{version}"))]
    for candidate in (shutil.which(f"python{version}"), *found):
        if (
            candidate
            and subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    return None
