"""A MySQL, an empty database for each test, and the simulators as a person starts them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox import mysql as sandbox_mysql
from sandbox.state import State

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The sandbox's MySQL: host, port, user, password, tls_ca."""
    state = State(tmp_path_factory.mktemp("mysql"))
    state.make()
    connection = sandbox_mysql.connection(state, "sports")
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox.mysql", "--state", str(state.root)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            while not sandbox_mysql.ready(connection):
                assert server.poll() is None, (state.logs / "mysql.log").read_text()
                time.sleep(0.1)
            yield connection
        finally:
            server.send_signal(signal.SIGTERM)


class Shop:
    """One database, and the simulators that run on it."""

    def __init__(self, mysql: dict[str, Any], name: str) -> None:
        self.mysql = mysql
        self.name = name
        self.environment = {**os.environ, "SHOP_PASSWORD": mysql["password"]}

    def command(self, kind: str, *options: object) -> list[str]:
        """Write a simulator's command line."""
        return [
            sys.executable, str(ROOT / "simulators" / f"{kind}.py"), "--port", str(self.mysql["port"]),
            "--user", self.mysql["user"], "--database", self.name, "--password_env", "SHOP_PASSWORD",
            "--ssl_ca", self.mysql["tls_ca"], *map(str, options),
        ]  # fmt: skip

    def start(self, kind: str, *options: object) -> subprocess.Popen[str]:
        """Start a simulator."""
        return subprocess.Popen(
            self.command(kind, *options),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, kind: str, *options: object, code: int = 0) -> str:
        """Run a simulator to its end; give what it printed, on stderr too."""
        with self.start(kind, *options) as process:
            out, err = process.communicate()
        assert code == process.returncode, out + err
        return out + err

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read rows."""
        with closing(sandbox_mysql.connect(self.mysql, database=self.name)) as link, link.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def number(self, query: str) -> Any:
        """Read one value."""
        return self.rows(query)[0][0]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Read all rows of all tables."""
        tables = [row[0] for row in self.rows("show tables")]
        return {table: self.rows(f"select * from {table} order by 1") for table in tables}


@pytest.fixture
def new_shop(mysql: dict[str, Any]) -> Iterator[Callable[[], Shop]]:
    """Make empty databases; they are dropped at the end."""
    made: list[Shop] = []

    def make() -> Shop:
        shop = Shop(mysql, f"shop_{os.getpid()}_{len(made)}")
        with closing(sandbox_mysql.connect(mysql)) as link, link.cursor() as cursor:
            cursor.execute(f"create database {shop.name}")
        made.append(shop)
        return shop

    yield make
    with closing(sandbox_mysql.connect(mysql)) as link, link.cursor() as cursor:
        for shop in made:
            cursor.execute(f"drop database {shop.name}")


@pytest.fixture
def shop(new_shop: Callable[[], Shop]) -> Shop:
    """An empty database."""
    return new_shop()


@pytest.fixture
def small_shop(shop: Shop) -> Shop:
    """A database with 100 tickets and 20 customers."""
    shop.run("initial", "--events", 5, "--tickets_per_event", 20, "--customers", 20)
    return shop


@pytest.fixture
def changes_since(mysql: dict[str, Any]) -> Callable[[tuple[str, int], str], dict[str, int]]:
    """Count the row changes of one database in the binlog, as DMS sees them."""
    from pymysqlreplication import BinLogStreamReader
    from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

    def count(position: tuple[str, int], database: str) -> dict[str, int]:
        settings = {"host": mysql["host"], "port": mysql["port"], "user": mysql["user"]}
        stream = BinLogStreamReader(
            connection_settings=settings | {"password": mysql["password"], "ssl_ca": mysql["tls_ca"]},
            server_id=4711,
            log_file=position[0],
            log_pos=position[1],
            resume_stream=True,
            only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
        )
        counted: dict[str, int] = {}
        with closing(stream):
            for event in (event for event in stream if event.schema == database):
                kind = type(event).__name__
                counted[kind] = counted.get(kind, 0) + len(event.rows)
        return counted

    return count
