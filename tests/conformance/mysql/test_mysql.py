"""The sandbox's MySQL is set up as DMS and the product need the source to be.

Documents: DMS user guide, "Using MySQL as a source"; MySQL reference manual and MariaDB documentation for the variables.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import pytest

from sandbox import mysql as source
from sandbox import mysql_servers, processes
from sandbox.errors import SandboxError
from sandbox.mysql_servers import MARIADB, MYSQL
from sandbox.state import State
from tests.servers import MYSQL_SERVERS


@pytest.fixture(scope="module", params=MYSQL_SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    state = State(tmp_path_factory.mktemp("mysql"))
    state.make()
    connection = source.connection(state, "sports", request.param)
    process = processes.spawn(["sandbox.mysql", "--state", str(state.root)], state.logs / "mysql.log")
    while not source.ready(connection):
        assert process.poll() is None
        time.sleep(0.02)
    yield connection
    processes.stop([process])


def ask(server: dict[str, Any], *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
    with source.connect(server, database=database, autocommit=True) as link, link.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("time_zone", "+00:00"),
        ("character_set_server", "utf8mb4"),
    ],
)
def test_the_binlog_is_as_dms_needs_it(server: dict[str, Any], variable: str, value: str) -> None:
    """Row format, full images, names of the columns, no compression ("Using a MySQL-compatible database as a source")."""
    ((_, found),) = ask(server, f"show variables like '{variable}'")
    assert value == found


def test_the_binlog_is_not_compressed(server: dict[str, Any]) -> None:
    """DMS reads no compressed events; each server has its own name for them."""
    variable = "binlog_transaction_compression" if server["server"] == MYSQL else "log_bin_compress"
    assert [(variable, "OFF")] == ask(server, f"show variables like '{variable}'")


def test_it_is_the_server_that_was_asked_for(server: dict[str, Any]) -> None:
    """What `status` says is what the server says of itself."""
    ((version,),) = ask(server, "select version()")
    assert version.startswith(server["version"])
    assert (server["server"] == MARIADB) == ("mariadb" in version.lower())


def test_the_certificate_holds_for_the_address_and_the_name(server: dict[str, Any]) -> None:
    """A client that verifies the chain and the host connects, by 127.0.0.1."""
    link = mysql.connector.connect(
        host=server["host"], port=server["port"], user=server["user"], password=server["password"],
        ssl_ca=server["tls_ca"], ssl_verify_cert=True, ssl_verify_identity=True,
    )  # fmt: skip
    cursor = link.cursor()
    cursor.execute("show status like 'Ssl_version'")
    assert cursor.fetchall()[0][1] == "TLSv1.3"
    cursor.close()
    link.close()


def test_a_foreign_authority_is_refused(server: dict[str, Any], tmp_path: Path) -> None:
    """Another CA does not verify this server."""
    source.certificates.make(tmp_path)
    with pytest.raises(mysql.connector.Error, match=r"(?i)certificate"):
        mysql.connector.connect(
            host=server["host"], port=server["port"], user=server["user"], password=server["password"],
            ssl_ca=str(tmp_path / "ca.pem"), ssl_verify_cert=True,
        )  # fmt: skip


def test_the_user_makes_databases_and_sees_its_own_only_by_password(server: dict[str, Any]) -> None:
    """`sports` is there and empty; other databases can be made; a wrong password is refused."""
    assert ask(server, "show tables", database="sports") == []
    ask(server, "create database another", "create table another.t (id int primary key)")
    with pytest.raises(source.pymysql.err.OperationalError):
        source.connect({**server, "password": "wrong"})


def test_nobody_else_can_connect(server: dict[str, Any]) -> None:
    """No account takes a connection over TCP without a password."""
    for user in ("root", "", "mariadb.sys"):
        with pytest.raises(source.pymysql.err.OperationalError):
            source.connect({**server, "user": user, "password": ""})


@pytest.mark.parametrize(
    ("words", "hint"),
    [([], "apt-get install mariadb-server"), (["--mysql", "mariadb"], "apt-get"), (["--mysql", "mysql"], "make mysql")],
)
def test_a_machine_without_a_server_is_told_what_to_install(tmp_path: Path, words: list[str], hint: str) -> None:
    """Exit code 3, and the command that installs it; asked for one, the sandbox does not take the other."""
    code = (
        "import pathlib, shutil, sys; shutil.which = lambda *a, **k: None\n"
        "from sandbox import mysql_servers; mysql_servers.FETCHED = pathlib.Path('/nowhere')\n"
        "from sandbox.__main__ import main; sys.exit(main(['up', *sys.argv[2:], '--state', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *words],
        env=processes.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert hint in done.stderr


def test_a_folder_keeps_its_server(server: dict[str, Any]) -> None:
    """Data that one server made are not opened by the other; without a wish the one that made them is taken."""
    state = State(Path(server["tls_ca"]).parents[1])
    other = MARIADB if server["server"] == MYSQL else MYSQL
    with pytest.raises(SandboxError, match=r"(?s)reset"):
        mysql_servers.find(other, state)
    assert server["server"] == mysql_servers.find(None, state).kind
