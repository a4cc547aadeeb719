"""The Python packages that a job on AWS needs, as wheels: a private subnet has no way to a package index.

Reads:  the clone, and requirements with one version each.
Gives:  wheels; of the same content always the same bytes, so that an upload by content changes nothing when nothing changed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from freshet.errors import EnvironmentFault

# AWS Glue 6.0 runs Amazon Linux 2023 with glibc 2.34; its Python shell 3.9 has an older one, and gets pure Python only.
# Source: Glue developer guide, "Using Python libraries with AWS Glue".
STREAMING = (
    "--python-version", "3.13", "--implementation", "cp", "--abi", "cp313", "--abi", "abi3", "--abi", "none",
    "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64", "--platform", "any",
)  # fmt: skip
PYTHON_SHELL = ("--python-version", "3.9", "--implementation", "py", "--abi", "none", "--platform", "any")
PACKAGES = ("freshet", "streaming_job", "batch_jobs")
EPOCH = "1577836800"  # 2020-01-01: the time of every file in a wheel


def product_wheel(root: Path, out: Path) -> Path:
    """Build the wheel of Freshet from a clone; what only a laptop needs is not in it.

    Args:
        root: The clone.
        out: A folder for it.

    Raises:
        EnvironmentFault: It cannot be built; the message ends with what the builder said.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in PACKAGES:
            shutil.copytree(root / name, Path(scratch, name), ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copyfile(root / name, Path(scratch, name))
        for path in Path(scratch).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(Path(scratch, "out")), scratch)
        (wheel,) = Path(scratch, "out").glob("*.whl")
        return Path(shutil.copyfile(wheel, out / wheel.name))


def download(requirements: Sequence[str], target: Sequence[str], cache: Path) -> list[Path]:
    """Fetch wheels from the package index, once.

    Args:
        requirements: Such as "six==1.17.0".
        target: STREAMING or PYTHON_SHELL.
        cache: Where they are kept.

    Raises:
        EnvironmentFault: The index does not answer, or has no such wheel.
    """
    kept = cache / hashlib.sha256("\n".join([*requirements, *target]).encode()).hexdigest()[:16]
    if not kept.is_dir():
        part = kept.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        _pip("download", "--no-deps", "--only-binary=:all:", *target, "--dest", str(part), *requirements)
        part.rename(kept)
    return sorted(kept.glob("*.whl"))


def pins(file: Path) -> list[str]:
    """Read a requirements file: one exact version a line."""
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def _pip(command: str, *arguments: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-input", *arguments],
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if run.returncode:
        said = run.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise EnvironmentFault(f"pip {command} failed: {said[0]}")
