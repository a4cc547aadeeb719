"""The parts of a sandbox as processes: how each is started, what it waits for, when it is ready."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox import mysql
from sandbox.names import (
    BUCKET,
    COPY_ROLE_ARN,
    MYSQL_SECRET,
    REGION,
    STREAM,
    TOKEN_SECRET,
)
from sandbox.state import State, free_port, read_json

Ready = Callable[[int], bool]


@dataclass(frozen=True)
class Service:
    """One part.

    `arguments` follow `python -m`; `ready` tells, given the process's id, whether it does its work; `needs` are the
    services that must be ready before it starts.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    ready: Ready
    needs: tuple[str, ...] = ()


def services(state: State, connection: dict[str, Any], shards: int) -> list[Service]:
    """List the parts, in the order in which they start; those that need others are stopped before them."""
    folder = ("--state", str(state.root))
    known = read_json(state.endpoints) or {}
    aws_port = free_port(_kept_port(known.get("aws")))
    parts = [
        Service("mysql", "MySQL", ("sandbox.mysql", *folder), lambda _pid: mysql.ready(connection)),
        Service(
            "aws",
            "Kinesis, S3, Glue and the others",
            ("sandbox.aws", *folder, "--port", str(aws_port), "--shards", str(shards)),
            lambda pid: _written_by(state.aws, pid),
        ),
        Service("dms", "DMS", ("sandbox.dms", *folder), lambda pid: _written_by(state.dms, pid), ("mysql", "aws")),
    ]
    if Path(__file__).with_name("redshift").joinpath("__main__.py").exists():
        port = str(free_port(_kept_port(known.get("redshift"))))
        where = ("--s3-endpoint", f"http://127.0.0.1:{aws_port}", "--port", port)
        redshift = ("sandbox.redshift", *folder, *where)
        parts.insert(2, Service("redshift", "Redshift", redshift, lambda pid: _written_by(state.redshift, pid)))
    return parts


def endpoints(state: State) -> dict[str, Any]:
    """Say where everything is, once all is ready."""
    aws, redshift = read_json(state.aws) or {}, read_json(state.redshift) or {}
    return {
        "mysql": read_json(state.mysql_connection),
        "aws": {"endpoint_url": aws.get("endpoint_url"), "region": REGION},
        "redshift": {name: redshift.get(name) for name in ("endpoint_url", "workgroup", "database", "postgres_uri")},
        "stream": STREAM,
        "staging_bucket": BUCKET,
        "token_secret": TOKEN_SECRET,
        "mysql_secret": MYSQL_SECRET,
        "copy_role_arn": COPY_ROLE_ARN,
    }


def _kept_port(endpoint: dict[str, Any] | None) -> int:
    """Give the port of the time before, so that addresses stay the same over `down` and `up`."""
    return urlsplit((endpoint or {}).get("endpoint_url") or "").port or 0


def _written_by(file: Path, pid: int) -> bool:
    return (read_json(file) or {}).get("pid") == pid
