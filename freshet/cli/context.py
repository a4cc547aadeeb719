"""What every command needs: which sandbox, how to reach it, how to print.

Commands act on the sandbox that is running: the one of `freshet sandbox up`, else the demo's.
"""

import json
import os
import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import boto3
import typer
from botocore.config import Config
from rich.console import Console

from freshet.errors import EnvironmentFault, InputError
from freshet.pipeline.connection import MySQLSettings
from freshet.redshift.data_api import Warehouse

ROOT: Final = Path(__file__).resolve().parents[2]
out: Final = Console(highlight=False)
err: Final = Console(stderr=True, highlight=False)


def home() -> Path:
    """Where all state lives: FRESHET_HOME, else `.freshet` in the current folder."""
    return Path(os.environ.get("FRESHET_HOME", ".freshet")).resolve()


def sandbox_folder() -> Path:
    """Where `freshet sandbox` keeps its state."""
    return home() / "sandbox"


def demo_folder() -> Path:
    """Where the demo keeps its own sandbox, made anew each time."""
    return home() / "demo"


@dataclass(frozen=True)
class Place:
    """A running sandbox: its folder, its endpoints, clients for them."""

    state: Path
    endpoints: dict[str, Any]
    _clients: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def environment(self) -> dict[str, str]:
        """Variables with which boto3 finds the sandbox instead of AWS."""
        from sandbox import control  # noqa: PLC0415 - not in the wheel; only commands on the sandbox need it

        return control.environment(self.endpoints)

    def client(self, service: str) -> Any:
        """Give the boto3 client of a service."""
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def close(self) -> None:
        """Close the clients' connections."""
        while self._clients:
            self._clients.popitem()[1].close()

    def _new_client(self, service: str) -> Any:
        environment = self.environment
        url = self.endpoints["redshift" if service == "redshift-data" else "aws"]["endpoint_url"]
        return boto3.Session().client(
            service,
            endpoint_url=url,
            region_name=self.endpoints["aws"]["region"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"mode": "standard", "total_max_attempts": 3}, read_timeout=60),
        )

    @cached_property
    def warehouse(self) -> Warehouse:
        """The Redshift database."""
        redshift = self.endpoints["redshift"]
        return Warehouse(self.client("redshift-data"), redshift["workgroup"], redshift["database"])

    @cached_property
    def mysql(self) -> MySQLSettings:
        """The source database."""
        mysql = self.endpoints["mysql"]
        return MySQLSettings(
            host=mysql["host"],
            port=mysql["port"],
            username=mysql["user"],
            password=mysql["password"],
            ssl_ca=mysql.get("tls_ca"),
        )

    @property
    def source_database(self) -> str:
        """The MySQL database of the pipelines' tables."""
        return str(self.endpoints["mysql"]["database"])


def running_place() -> Place:
    """Find the running sandbox.

    Raises:
        EnvironmentFault: None is running.
    """
    from sandbox import control  # noqa: PLC0415 - not in the wheel

    for folder in (sandbox_folder(), demo_folder()):
        status = control.status(folder)
        if status.get("running"):
            return Place(folder, status)
    raise EnvironmentFault(f"no sandbox is running under {home().name}/: start one with `freshet sandbox up`")


def start_sandbox(state: Path, **how: Any) -> Place:
    """Start the sandbox of a folder; see `sandbox.control.start`.

    Raises:
        EnvironmentFault: This machine lacks a program, or a part did not start.
    """
    from sandbox import control  # noqa: PLC0415 - not in the wheel
    from sandbox.errors import SandboxError  # noqa: PLC0415

    try:
        return Place(state, control.start(state, **how))
    except SandboxError as error:
        raise EnvironmentFault(str(error)) from None


def announce(place: Place, json_output: bool) -> None:
    """Say on the first line what the command acts on."""
    if not json_output:
        out.print(f"[dim]sandbox {_short(place.state)}[/dim]")


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return path.name


def last_line(content: dict[str, Any]) -> None:
    """Write the one JSON object of `--json`."""
    sys.stdout.write(json.dumps(content, default=str) + "\n")
    sys.stdout.flush()


def seconds(text: str) -> float:
    """Read a duration such as `60s`, `1.5s`, `2m`, `1h` or `30`.

    Raises:
        InputError: It is none.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|)", text.strip())
    if not found:
        raise InputError(f"{text!r} is not a duration: write 60s, 1.5s, 2m or 1h")
    return float(found[1]) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}[found[2]]


JSON_OPTION = typer.Option(False, "--json", help="One JSON object on the last line, for scripts.")
