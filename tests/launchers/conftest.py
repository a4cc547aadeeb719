"""Python as AWS Glue has it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from freshet.cli.context import ROOT
from freshet.deploy.wheels import STREAMING, download, pins, product_wheel
from tests.environments import environment, find_python

CACHE = Path(sys.prefix, "wheels")


@dataclass(frozen=True)
class Glue:
    """A Python with Glue's packages, ours installed over them, and nothing else."""

    python: Path
    is_glues_own: bool

    def environment(self, **more: str) -> dict[str, str]:
        """Give a process's environment: none of the tests' Python."""
        kept = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
        java = os.environ.get("JAVA_HOME") or Path(sys.prefix, "java_home").read_text().strip()
        return {"PATH": f"{self.python.parent}:/usr/bin:/bin", "JAVA_HOME": java, **kept, **more}


@pytest.fixture(scope="session")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Glue:
    """Glue 6.0's packages and, over them, exactly the wheels that are uploaded."""
    glues = find_python("3.13")
    python = environment("glue", Path(__file__).with_name("glue.txt"), glues or sys.executable)
    wheels = download(pins(ROOT / "streaming_job/requirements.txt"), STREAMING if glues else (), CACHE)
    wheels.append(product_wheel(ROOT, tmp_path_factory.mktemp("wheel")))
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall"]
    subprocess.run([*install, "--no-index", "--no-deps", *map(str, wheels)], check=True, capture_output=True)
    return Glue(python, bool(glues))
