"""Python as AWS Glue has it, for Spark and for the Python shell."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mysql.connector
import pytest

from freshet.cli.context import ROOT, Place
from freshet.deploy.bundles import pull_code, shell_bundle
from freshet.deploy.wheels import PYTHON_SHELL, STREAMING, download, pins, product_wheel
from sandbox.mysql import administrator as administrator_name
from tests.environments import environment, find_python
from tests.patience import HANGS_S

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


# What Glue adds for such a job. Source: Glue developer guide, "Python shell jobs", "Special parameters".
SHELLS = ["--library-set", "analytics", "--job-bookmark-option", "job-bookmark-disable", "--scriptLocation", "s3://b/s.py",
          "--TempDir", "s3://b/t/", "--job-language", "python"]  # fmt: skip


@dataclass(frozen=True)
class Shell:
    """A Python with an old boto3 that is imported already, the script, and the bundle and the authorities in S3."""

    python: Path
    requirements: Path
    is_glues_own: bool
    bundle: str
    authorities: str

    def environment(self, **more: str) -> dict[str, str]:
        """Give a process's environment: none of the tests' Python, and Glue's boto3 is imported before the script is."""
        kept = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
        recorder = {"PYTHONPATH": str(ROOT / "tests" / "recorder"), "FRESHET_TEST_BOTO3_FIRST": "yes"}
        return {"PATH": "/usr/bin:/bin", **kept, **recorder, **more}

    def run(self, program: str, *arguments: str, code: int = 0, temporary: Path | None = None, **more: str) -> str:
        """Run a program as the job does; give all that it said. Glue knows only whether it failed, and what it said last."""
        script = ROOT / "cloudformation/launchers/python_shell.py"
        run = subprocess.run(
            [str(self.python), str(script), "--bundle", self.bundle, "--program", program, *SHELLS, *arguments],
            cwd=self.python.parent, capture_output=True, text=True, timeout=HANGS_S, check=False,
            env=self.environment(**({"TMPDIR": str(temporary)} if temporary else {}), **more),
        )  # fmt: skip
        said = run.stdout + run.stderr
        assert (run.returncode != 0) == (code != 0), said
        assert not code or run.stderr.strip().endswith(f"(exit code {code})"), said
        return said


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the jobs of the Python shell bring along."""
    wheels = download(pins(ROOT / "simulators/constraints.txt"), PYTHON_SHELL, CACHE)
    return shell_bundle(ROOT, wheels, tmp_path_factory.mktemp("bundle") / "bundle.zip")


@pytest.fixture(scope="module")
def shell(place: Place, bundle: Path) -> Shell:
    """Glue's Python shell 3.9 and what is uploaded for it, anew for each module: S3 forgets when a test restarts it."""
    glues = find_python("3.9")
    # The boto3 of 2022 cannot be imported by Python 3.12 or newer; there the oldest that can takes its part.
    old = "shell.txt" if glues or sys.version_info < (3, 12) else "shell_newer.txt"
    requirements = Path(__file__).with_name(old)
    python = environment("shell", requirements, glues or sys.executable)
    s3, bucket = place.client("s3"), place.endpoints["staging_bucket"]
    s3.upload_file(str(bundle), bucket, "freshet/test/code/shell/bundle.zip")
    s3.upload_file(place.endpoints["mysql"]["tls_ca"], bucket, "freshet/test/code/shell/authorities.pem")
    base = f"s3://{bucket}/freshet/test/code/shell"
    return Shell(python, requirements, bool(glues), f"{base}/bundle.zip", f"{base}/authorities.pem")


# AWS Lambda calls a function in a process that has only its code, and boto3. Source: Lambda developer guide, "Python".
CALLS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from batch_jobs.pull.handler import handler
context = type("Context", (), {"get_remaining_time_in_millis": lambda self: 900_000})()
json.dump([handler(event, context) for event in json.load(sys.stdin)], sys.stderr, ensure_ascii=False)
"""


@dataclass(frozen=True)
class Function:
    """Lambda's Python with boto3 and nothing else, and where the code of a function is unpacked."""

    python: Path
    is_lambdas_own: bool
    folder: Path

    def calls(self, pulls: dict[str, Any], *events: Any, **more: str) -> list[dict[str, Any]]:
        """Deploy definitions, call the function with each event; give the answers."""
        code, folder = self.folder / f"{uuid.uuid4().hex}.zip", self.folder / uuid.uuid4().hex
        with zipfile.ZipFile(pull_code(ROOT, pulls, code)) as packed:
            packed.extractall(folder)
        kept = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
        run = subprocess.run(
            [str(self.python), "-c", CALLS, str(folder)], input=json.dumps(events), capture_output=True, text=True,
            timeout=HANGS_S, check=False, cwd=self.folder, env={"PATH": "/usr/bin:/bin", **kept, **more},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        return list(json.loads(run.stderr))


@pytest.fixture(scope="session")
def function(tmp_path_factory: pytest.TempPathFactory) -> Function:
    """AWS Lambda's Python 3.13."""
    lambdas = find_python("3.13")
    python = environment("lambda", Path(__file__).with_name("lambda.txt"), lambdas or sys.executable)
    return Function(python, bool(lambdas), tmp_path_factory.mktemp("function"))


def administrator(place: Place) -> Any:
    """Connect as the one who may do everything: the user of the system who made the server, through its socket."""
    socket = next(place.state.rglob("*.sock"))
    with contextlib.chdir(socket.parent):  # the path of a socket may have 107 bytes
        return mysql.connector.connect(user=administrator_name(), unix_socket=socket.name)


@pytest.fixture(scope="session")
def source_admin(place: Place) -> Iterator[dict[str, Any]]:
    """An administrator as RDS has one: the secret's username, password, host and port."""
    name, password = "dbmaster", uuid.uuid4().hex
    with administrator(place) as connection, connection.cursor() as cursor:
        cursor.execute(f"drop user if exists {name}@'%'")
        cursor.execute(f"create user {name}@'%' identified by '{password}'")
        cursor.execute(f"grant all on *.* to {name}@'%' with grant option")
    mysql = place.endpoints["mysql"]
    yield {"username": name, "password": password, "host": mysql["host"], "port": mysql["port"]}
    with administrator(place) as connection, connection.cursor() as cursor:
        cursor.execute(f"drop user {name}@'%'")
