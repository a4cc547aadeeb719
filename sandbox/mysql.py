"""The sandbox's MySQL: a MySQL or MariaDB of its own folder and port, with a row binlog that DMS can read.

    python -m sandbox.mysql --state DIR

Makes the data folder when it is missing, then becomes the server.

Reads:  DIR/mysql.json {"host", "port", "user", "password", "database", "tls_ca", "server", "version", "options"}, which
        `connection` makes.
Gives:  a server with that database (empty at first), that user, an administrator of the same password, and a certificate
        for 127.0.0.1 and localhost.
"""

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]  # has no types

from sandbox import certificates, mysql_servers
from sandbox.errors import SandboxError
from sandbox.mysql_servers import MARIADB, MYSQL, Server, administrator, as_root, install, program, temporary
from sandbox.names import MYSQL_ADMINISTRATOR, MYSQL_USER
from sandbox.state import State, free_port, read_json, write_json, write_private

__all__ = [
    "administrator",
    "binlog_end",
    "binlog_position",
    "connect",
    "connection",
    "install",
    "program",
    "ready",
    "temporary",
]
FIRST_BINARY_LOG_STATUS = (8, 2)


def connection(state: State, database: str, kind: str | None = None, options: Sequence[str] = ()) -> dict[str, Any]:
    """Give the connection of this sandbox: the same user, password and (when it is free) port at every start.

    Args:
        state: The sandbox's folder.
        database: The database that the server has from the start.
        kind: mysql or mariadb; None: see `mysql_servers.find`.
        options: More words of the server's command line, after all others.

    Raises:
        MissingPart: This machine has no such server.
        SandboxError: The data folder was made by the other one.
    """
    server = mysql_servers.find(kind, state)
    kept = read_json(state.mysql_connection) or {}
    made = {
        "host": "127.0.0.1",
        "port": free_port(kept.get("port", 0)),
        "user": MYSQL_USER,
        "password": kept.get("password") or secrets.token_urlsafe(18),
        "database": database,
        "tls_ca": str(state.keys / "ca.pem"),
        "server": server.kind,
        "version": server.version,
        "options": list(options),
    }
    certificates.make(state.keys)
    write_json(state.mysql_connection, made)
    return made


def connect(mysql: dict[str, Any], *, as_administrator: bool = False, **options: object) -> Any:
    """Connect as the sandbox's user, or as one who may set what RDS lets nobody set, with the server's certificate verified.

    Raises:
        pymysql.err.OperationalError: The server does not answer.
    """
    settings: dict[str, object] = {"host": mysql["host"], "port": mysql["port"], "user": mysql["user"]}
    if as_administrator:
        settings["user"] = MYSQL_ADMINISTRATOR
    settings |= {"password": mysql["password"], "ssl_ca": mysql["tls_ca"], "charset": "utf8mb4", "connect_timeout": 5}
    return pymysql.connect(**(settings | options))


def ready(mysql: dict[str, Any]) -> bool:
    """Tell whether the server takes connections."""
    try:
        connect(mysql, database=mysql["database"]).close()
    except (pymysql.err.MySQLError, OSError):
        return False
    return True


def binlog_position(mysql: dict[str, Any]) -> tuple[str, int]:
    """Ask where the binlog ends: file name and position."""
    link = connect(mysql)
    try:
        return binlog_end(link)
    finally:
        link.close()


def binlog_end(link: Any) -> tuple[str, int]:
    """Ask on a connection where the binlog ends; MySQL 8.2 gave the question another name, and 8.4 took the old one away."""
    with link.cursor() as cursor:
        cursor.execute("select version()")
        ((version,),) = cursor.fetchall()
        numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
        renamed = "mariadb" not in version.lower() and numbers >= FIRST_BINARY_LOG_STATUS
        cursor.execute("show binary log status" if renamed else "show master status")
        file, position, *_ = cursor.fetchone()
    return str(file), int(position)


def first_statements(mysql: dict[str, Any], server: Server) -> str:
    """Write what the server carries out at each start, before it takes connections; one statement a line."""
    user, helper = (f"'{name}'@'127.0.0.1'" for name in (mysql["user"], MYSQL_ADMINISTRATOR))
    database = str(mysql["database"]).replace("`", "``")
    lines = [
        "set sql_log_bin = 0;",
        f"create user if not exists {user};",
        f"alter user {user} identified by '{mysql['password']}';",
        f"grant {server.rights} on *.* to {user};",
        f"create user if not exists {helper};",
        f"alter user {helper} identified by '{mysql['password']}';",
        f"grant all privileges on *.* to {helper} with grant option;",
        f"create database if not exists `{database}`;",
    ]
    if server.kind == MYSQL:  # MariaDB's data folder is made so
        lines.append(f"alter user 'root'@'localhost' identified by '{mysql['password']}';")
        if server.knows_sockets:
            system_user = f"'{administrator()}'@'localhost'"
            lines += [
                f"create user if not exists {system_user};",
                f"alter user {system_user} identified with auth_socket;",
                f"grant all privileges on *.* to {system_user} with grant option;",
            ]
    return "\n".join(lines) + "\n"


def server_command(state: State, mysql: dict[str, Any], server: Server, first: Path) -> list[str]:
    """Write the command line of the server.

    Each commit reaches the operating system in InnoDB's log and in the binlog, so a killed server loses nothing; only
    the fsyncs are spared, which a power cut needs.
    """
    return [
        *server.command, "--no-defaults", *as_root(), *server.options, f"--datadir={state.mysql}",
        f"--tmpdir={temporary(state)}", "--bind-address=127.0.0.1",
        f"--port={mysql['port']}", "--socket=mysql.sock", "--pid-file=mysql.pid", f"--log-error={state.logs / 'mysql.log'}",
        f"--init-file={first}", "--skip-name-resolve", "--default-time-zone=+00:00", "--max-allowed-packet=64M",
        "--character-set-server=utf8mb4", "--local-infile=0",
        "--server-id=1", "--log-bin=binlog", "--binlog-format=ROW", "--binlog-row-image=FULL",
        "--binlog-row-metadata=FULL", "--sync-binlog=0",
        "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=128M", "--performance-schema=OFF",
        f"--ssl-ca={mysql['tls_ca']}", f"--ssl-cert={state.keys / 'server-cert.pem'}",
        f"--ssl-key={state.keys / 'server-key.pem'}", *server.settings, *mysql.get("options", ()),
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Install if needed, then become the server; ends with 3 when this machine has no such server."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.mysql", description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    state = State(parser.parse_args(arguments).state)
    mysql = read_json(state.mysql_connection)
    if mysql is None:
        print(f"{state.mysql_connection} is missing: the supervisor writes it", file=sys.stderr)
        return 1
    try:
        server = mysql_servers.find(mysql.get("server", MARIADB), state)
        if not state.mysql.exists():
            install(state, server)
        first = state.keys / "mysql-first.sql"
        write_private(first, first_statements(mysql, server).encode())
        command = server_command(state, mysql, server, first)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    sys.stdout.flush()
    return os.execv(command[0], command)  # noqa: S606  # the process becomes the server


if __name__ == "__main__":
    sys.exit(main())
