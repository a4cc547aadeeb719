"""A MySQL server of its own, whose commits can be logged and not yet visible; a place that has it for its source."""

import contextlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mysql.connector as mysql_connector
import pytest

from freshet.cli.context import Place
from sandbox.mysql import administrator, install, program, temporary
from sandbox.state import State, free_port
from tests.patience import HANGS_S

PASSWORD = "only-here"  # of a server that lives as long as a test
LONG_MS = 600_000
SEMI_SYNC = (f"--rpl-semi-sync-master-timeout={LONG_MS}", "--rpl-semi-sync-master-wait-point=AFTER_SYNC")


@contextlib.contextmanager
def own_server(home: Path, place: Place, *options: str) -> Iterator[Place]:
    """Start a server in a folder, and give a place whose source it is. What its binlog says, the test puts into the stream."""
    state, port = State(home), free_port(0)
    state.make()
    install(state)
    user = ["--user=root"] if os.geteuid() == 0 else []
    command = [
        program("mariadbd"), "--no-defaults", *user, f"--datadir={state.mysql}", f"--tmpdir={temporary(state)}",
        "--bind-address=127.0.0.1", f"--port={port}", "--socket=mysql.sock", "--skip-name-resolve", "--log-bin=binlog",
        "--binlog-format=ROW", "--binlog-row-metadata=FULL", "--character-set-server=utf8mb4", "--server-id=7",
        "--expire-logs-days=2", *options,
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(state.mysql)
        secret = f"source-{uuid.uuid4()}"
        account = {"host": "127.0.0.1", "port": port, "username": "freshet", "password": PASSWORD}
        place.client("secretsmanager").create_secret(Name=secret, SecretString=json.dumps(account))
        yield Place(home, {**place.endpoints, "mysql": endpoint(port), "mysql_secret": secret})
    finally:
        server.terminate()
        server.wait(HANGS_S)


def endpoint(port: int) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "user": "freshet",
        "password": PASSWORD,
        "database": "none",
        "tls_ca": None,
    }


def wait_for(data: Path) -> None:
    """Wait until the server answers, and make the user."""
    for _ in range(int(HANGS_S * 10)):
        try:
            with (
                contextlib.chdir(data),  # the path of a socket may have 107 bytes
                mysql_connector.connect(unix_socket="mysql.sock", user=administrator(), autocommit=True) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(f"create user 'freshet'@'127.0.0.1' identified by '{PASSWORD}'")
                cursor.execute("grant all on *.* to 'freshet'@'127.0.0.1'")
                return
        except mysql_connector.Error:
            time.sleep(0.1)
    pytest.fail("mariadbd did not answer")
