"""A MySQL server of its own, whose commits can be logged and not yet visible; a place that has it for its source."""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from freshet.cli.context import Place
from sandbox import mysql as source
from sandbox import processes
from sandbox.mysql_servers import MYSQL
from sandbox.state import State
from tests.patience import HANGS_S
from tests.servers import semi_sync

WAITS_MS = 600_000  # for a replica that never comes; a test ends the wait


@contextlib.contextmanager
def own_server(home: Path, place: Place, kind: str) -> Iterator[Place]:
    """Start a server in a folder, and give a place whose source it is. What its binlog says, the test puts into the stream."""
    state = State(home)
    state.make()
    off = (f"--{semi_sync_of(kind)}-timeout={WAITS_MS}", f"--{semi_sync_of(kind)}-enabled=OFF")
    connection = source.connection(state, "sports", kind, [*semi_sync(kind), *(word.replace("_", "-") for word in off)])
    process = processes.spawn(["sandbox.mysql", "--state", str(home)], state.logs / "mysql.log")
    deadline = time.monotonic() + HANGS_S
    try:
        while not source.ready(connection):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        secret = f"source-{uuid.uuid4()}"
        account = {name: connection[name] for name in ("host", "port", "password")}
        account |= {"username": connection["user"], "ssl_ca": connection["tls_ca"]}
        place.client("secretsmanager").create_secret(Name=secret, SecretString=json.dumps(account))
        yield Place(home, {**place.endpoints, "mysql": connection, "mysql_secret": secret})
    finally:
        processes.stop([process])


def semi_sync_of(kind: str) -> str:
    """Give what the names of the server's variables of semi-synchronous replication begin with."""
    return f"rpl_semi_sync_{'source' if kind == MYSQL else 'master'}"
