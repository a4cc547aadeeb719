"""What every command needs: on what it acts, how to reach it, how to print.

Commands act on the sandbox that is running: the one of `freshet sandbox up`, else the demo's. Some act on a stack on AWS
too, when they are told so: by `--aws`, or by FRESHET_TARGET=aws.
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

from freshet.deploy.account import Account, aws_errors, open_account
from freshet.deploy.settings import read_settings
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


@dataclass(frozen=True)
class AwsPlace:
    """A stack on AWS: the account, what the stack tells, its warehouse."""

    account: Account
    outputs: dict[str, str]

    @cached_property
    def warehouse(self) -> Warehouse:
        """The Redshift database."""
        return Warehouse(
            self.account.client("redshift-data"), self.outputs["WorkgroupName"], self.outputs["WarehouseDatabase"]
        )

    def close(self) -> None:
        """Close the clients' connections."""
        self.account.close()


def wants_aws(flag: bool) -> bool:
    """Tell whether a command shall act on AWS.

    Raises:
        InputError: FRESHET_TARGET says something unknown.
    """
    target = os.environ.get("FRESHET_TARGET", "sandbox")
    if target not in {"sandbox", "aws"}:
        raise InputError(f"FRESHET_TARGET is {target!r}: write sandbox or aws")
    return flag or target == "aws"


def find_place(aws: bool, stack: str | None) -> Place | AwsPlace:
    """Find what a command acts on that can act on either.

    Raises:
        InputError: A stack is named for the sandbox.
        EnvironmentFault: No sandbox is running, or there is no such stack.
    """
    if wants_aws(aws):
        return aws_place(stack)
    if stack is not None:
        raise InputError(f"--stack {stack} is for AWS: say --aws too")
    return running_place()


def aws_place(stack: str | None) -> AwsPlace:
    """Find a stack on AWS and read what it tells.

    Raises:
        EnvironmentFault: There are no credentials, or there is no such stack.
    """
    from freshet.deploy.events import stack_of  # noqa: PLC0415 - not needed on the sandbox
    from freshet.deploy.stack import outputs_of  # noqa: PLC0415
    from freshet.deploy.start import refuse_without_outputs  # noqa: PLC0415

    account = open_account(read_settings(Path.cwd(), stack))
    with aws_errors():
        found = stack_of(account.client("cloudformation"), account.stack)
    if found is None or not outputs_of(found):
        state = "is not there" if found is None else f"is in {found['StackStatus']}, with nothing to look at yet"
        raise EnvironmentFault(
            f"stack {account.stack} {state} (account {account.id}, {account.region}): freshet deploy PIPELINE"
        )
    outputs = outputs_of(found)
    refuse_without_outputs(outputs)
    return AwsPlace(account, outputs)


def running_place() -> Place:
    """Find the running sandbox.

    Raises:
        InputError: FRESHET_TARGET says that AWS is meant.
        EnvironmentFault: None is running.
    """
    if wants_aws(False):
        raise InputError("this command acts on the sandbox only, and FRESHET_TARGET says aws: unset it")
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


def announce(place: Place | AwsPlace, json_output: bool) -> None:
    """Say on the first line what the command acts on."""
    if isinstance(place, AwsPlace):
        announce_aws(place.account, json_output)
    elif not json_output:
        out.print(f"[dim]sandbox {_short(place.state)}[/dim]")


def announce_aws(account: Account, json_output: bool) -> None:
    """Say on the first line which account, region and stack a command acts on."""
    if not json_output:
        out.print(
            f"[bold yellow]AWS[/bold yellow] account [bold]{account.id}[/bold], region [bold]{account.region}[/bold], "
            f"stack [bold]{account.stack}[/bold]"
        )


def can_ask() -> bool:
    """Tell whether a person sits there who can answer."""
    return sys.stdin.isatty() and out.is_terminal


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


AWS_OPTION = typer.Option(
    False, "--aws", help="Act on the stack on AWS, not on the sandbox; FRESHET_TARGET=aws says the same."
)
STACK_OPTION = typer.Option(
    None,
    "--stack",
    metavar="NAME",
    help="Name of the stack; else the one of freshet.yaml, else freshet.",
    show_default=False,
)
JSON_OPTION = typer.Option(False, "--json", help="One JSON object on the last line, for scripts.")
