"""The folder of one sandbox: where each part keeps what.

Everything a sandbox knows lives below one folder, so that two of them can run side by side and that deleting
the folder deletes the sandbox.
"""

import json
import os
import random
import socket
from pathlib import Path
from typing import Any

LISTENING_PORTS = range(20_000, 32_000)
DOWN = frozenset({"failed", "halted"})  # states of a part that stays down until somebody starts it again


class State:
    """Names of the files and folders below one sandbox's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.lock = self.root / "supervisor.lock"
        self.status = self.root / "supervisor.json"
        self.endpoints = self.root / "endpoints.json"
        self.stopped = self.root / "stopped"
        self.logs = self.root / "logs"
        self.keys = self.root / "keys"
        self.mysql = self.root / "mysql"
        self.mysql_connection = self.root / "mysql.json"
        self.kinesis = self.root / "kinesis.sqlite"
        self.aws = self.root / "aws.json"
        self.dms = self.root / "dms.json"
        self.redshift = self.root / "redshift.json"

    def make(self) -> None:
        """Make the folders, readable by their owner only: the sandbox keeps keys and copies of the data here."""
        for folder in (self.root, self.logs, self.keys, self.stopped):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_json(path: Path, value: object) -> None:
    """Replace a file in one step, readable by its owner only."""
    write_private(path, json.dumps(value, indent=1).encode() + b"\n")


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old or the new content, never a part of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    part.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a file that `write_json` wrote; None when there is none."""
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return content


def free_port(wanted: int = 0) -> int:
    """Find a free port of 127.0.0.1: the wanted one when it is free, else any below those that connections go out from.

    A port from the range of outgoing connections can be taken by any of them while the sandbox is down.
    """
    candidates = [wanted] if wanted else []
    for port in (*candidates, *random.sample(LISTENING_PORTS, 100)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")
