"""A MySQL whose settings a test may change, and folders of pipelines."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mysql.connector as mysql_connector
import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract

from sandbox.mysql import administrator, install, program, temporary
from sandbox.state import State
from tests.patience import HANGS_S

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "sql" / "pipelines" / "sport_event_activity"


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQLConnectionAbstract]:
    """A MySQL server of its own, with an empty database `sports`."""
    home = tmp_path_factory.mktemp("mysql")
    user = ["--user=root"] if os.geteuid() == 0 else []
    state = State(home)
    state.make()
    install(state)
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [
                program("mariadbd"),
                "--no-defaults",
                f"--datadir={state.mysql}",
                f"--tmpdir={temporary(state)}",
                "--socket=s",
                "--skip-networking",
                *user,
                "--log-bin=binlog",
                "--binlog-format=ROW",
                "--binlog-row-metadata=FULL",
                "--character-set-server=utf8mb4",
                "--server-id=1",
                "--expire-logs-days=2",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with _connected(state.mysql) as connection:
            for statement in ("create database sports", "use sports", *_source()):
                _run(connection, statement)
            yield connection
    finally:
        server.terminate()
        server.wait(HANGS_S)


@contextlib.contextmanager
def connected_as(admin: MySQLConnectionAbstract, user: str, *grants: str) -> Iterator[MySQLConnectionAbstract]:
    """A connection of a user who has some rights, "select on shop.*", and no others."""
    with admin.cursor() as cursor:
        cursor.execute(f"create user {user}@localhost identified by 'word'")
        for grant in grants:
            cursor.execute(f"grant {grant} to {user}@localhost")
        cursor.execute("select @@datadir")
        ((data,),) = cursor.fetchall()
    try:
        with contextlib.chdir(str(data)):
            connection = mysql_connector.connect(unix_socket="s", user=user, password="word", autocommit=True)
        with connection:
            assert isinstance(connection, MySQLConnectionAbstract)
            yield connection
    finally:
        _run(admin, f"drop user {user}@localhost")


def _connected(data: Path) -> MySQLConnectionAbstract:
    for _ in range(int(HANGS_S * 10)):
        try:
            with contextlib.chdir(data):  # the path of a socket may have 107 bytes
                return mysql_connector.connect(unix_socket="s", user=administrator(), autocommit=True)
        except mysql_connector.Error:
            time.sleep(0.1)
    pytest.fail("mariadbd did not answer")


def _source() -> list[str]:
    text = (ROOT / "sql" / "source" / "sport_events.sql").read_text()
    return [statement for statement in text.split(";") if statement.strip()]


def _run(connection: MySQLConnectionAbstract, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a pipeline's folder; the example's files unless others are given."""

    def write(select: str | None = None, yaml: str | None = None) -> Path:
        made = tmp_path / "sport_event_activity"
        made.mkdir(exist_ok=True)
        for file, text in (("select.sql", select), ("pipeline.yaml", yaml)):
            (made / file).write_text((EXAMPLE / file).read_text() if text is None else text)
        return made

    return write
