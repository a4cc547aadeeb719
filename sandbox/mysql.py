"""The sandbox's MySQL: a MariaDB of its own folder and port, with a row binlog that DMS can read.

    python -m sandbox.mysql --state DIR

Makes the data folder when it is missing, then becomes mariadbd.

Reads:  DIR/mysql.json {"host", "port", "user", "password", "database", "tls_ca"}, which `connection` makes.
Gives:  a server with that database (empty at first), that user, and a certificate for 127.0.0.1 and localhost.
"""

import argparse
import os
import pwd
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]  # has no types

from sandbox import certificates
from sandbox.errors import MissingPart, SandboxError
from sandbox.names import MYSQL_USER
from sandbox.state import State, free_port, read_json, write_json, write_private

INSTALL_HINT = "install it: `apt-get install mariadb-server` (Debian, Ubuntu) or `brew install mariadb` (macOS)"
# What a user of RDS can do and a pipeline's tests need, in any database.
RIGHTS = (
    "select, insert, update, delete, create, drop, alter, index, references, lock tables, create temporary tables, "
    "create view, show view, trigger, create routine, alter routine, execute, reload, process, "
    "replication slave, binlog monitor"
)


def program(*names: str) -> str:
    """Find a program, in the places too that a user's PATH may lack.

    Raises:
        MissingPart: It is not installed.
    """
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"])
    for name in names:
        found = shutil.which(name, path=places)
        if found:
            return found
    raise MissingPart(f"{names[0]} is not on this machine; {INSTALL_HINT}")


def administrator() -> str:
    """Name who may do everything, through the server's socket: the system's user that runs the sandbox."""
    return pwd.getpwuid(os.geteuid()).pw_name


def check_programs() -> None:
    """Find what the server needs, before anything is started.

    Raises:
        MissingPart: MariaDB is not installed.
    """
    program("mariadbd")
    program("mariadb-install-db")


def connection(state: State, database: str) -> dict[str, Any]:
    """Give the connection of this sandbox: the same user, password and (when it is free) port at every start."""
    kept = read_json(state.mysql_connection) or {}
    made = {
        "host": "127.0.0.1",
        "port": free_port(kept.get("port", 0)),
        "user": MYSQL_USER,
        "password": kept.get("password") or secrets.token_urlsafe(18),
        "database": database,
        "tls_ca": str(state.keys / "ca.pem"),
    }
    certificates.make(state.keys)
    write_json(state.mysql_connection, made)
    return made


def connect(mysql: dict[str, Any], **options: object) -> Any:
    """Connect as the sandbox's user, with the server's certificate verified.

    Raises:
        pymysql.err.OperationalError: The server does not answer.
    """
    settings: dict[str, object] = {"host": mysql["host"], "port": mysql["port"], "user": mysql["user"]}
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
        with link.cursor() as cursor:
            cursor.execute("show master status")
            file, position, *_ = cursor.fetchone()
    finally:
        link.close()
    return str(file), int(position)


def temporary(state: State) -> Path:
    """Make the server's own folder for temporary files: in a shared one, two that start at once take each other's names."""
    folder = state.root / "mysql.tmp"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def install(state: State) -> None:
    """Make the data folder; a half-made one, of an interrupted start, is thrown away.

    Raises:
        SandboxError: mariadb-install-db failed.
    """
    part = state.root / "mysql.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    user = ["--user=root"] if os.geteuid() == 0 else []
    command = [
        program("mariadb-install-db"), "--no-defaults", f"--datadir=./{part.name}", "--skip-test-db",
        "--skip-name-resolve", "--auth-root-authentication-method=socket",
        f"--auth-root-socket-user={administrator()}", *user,
    ]  # fmt: skip
    # A shell script: it cuts its arguments at blanks, so the folder is named from where it is, and the other in a variable.
    environment = os.environ | {"TMPDIR": str(temporary(state))}
    log = state.logs / "mysql-install.log"
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            cwd=state.root,
            env=environment,
        )
    if done.returncode:
        raise SandboxError(f"mariadb-install-db ended with {done.returncode}; see {log}")
    part.replace(state.mysql)


def first_statements(mysql: dict[str, Any]) -> str:
    """Write what the server carries out at each start, before it takes connections; one statement a line."""
    user = f"'{mysql['user']}'@'127.0.0.1'"
    database = str(mysql["database"]).replace("`", "``")
    lines = [
        "set sql_log_bin = 0;",
        f"create user if not exists {user};",
        f"alter user {user} identified by '{mysql['password']}';",
        f"grant {RIGHTS} on *.* to {user};",
        f"create database if not exists `{database}`;",
    ]
    return "\n".join(lines) + "\n"


def server_command(state: State, mysql: dict[str, Any], first: Path) -> list[str]:
    """Write the command line of the server.

    Each commit reaches the operating system in InnoDB's log and in the binlog, so a killed mariadbd loses nothing; only
    the fsyncs are spared, which a power cut needs. MariaDB has no binlog_order_commits: it always commits in binlog order.
    """
    user = ["--user=root"] if os.geteuid() == 0 else []
    return [
        program("mariadbd"), "--no-defaults", *user, f"--datadir={state.mysql}", f"--tmpdir={temporary(state)}",
        "--bind-address=127.0.0.1",
        f"--port={mysql['port']}", "--socket=mysql.sock", "--pid-file=mysql.pid", f"--log-error={state.logs / 'mysql.log'}",
        f"--init-file={first}", "--skip-name-resolve", "--default-time-zone=+00:00", "--max-allowed-packet=64M",
        "--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci", "--local-infile=0",
        "--server-id=1", "--log-bin=binlog", "--binlog-format=ROW", "--binlog-row-image=FULL",
        "--binlog-row-metadata=FULL", "--binlog-annotate-row-events=OFF", "--sync-binlog=0",
        "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=128M", "--performance-schema=OFF",
        f"--ssl-ca={mysql['tls_ca']}", f"--ssl-cert={state.keys / 'server-cert.pem'}",
        f"--ssl-key={state.keys / 'server-key.pem'}",
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Install if needed, then become the server; ends with 3 when MariaDB is missing."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.mysql", description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    state = State(parser.parse_args(arguments).state)
    mysql = read_json(state.mysql_connection)
    if mysql is None:
        print(f"{state.mysql_connection} is missing: the supervisor writes it", file=sys.stderr)
        return 1
    try:
        if not state.mysql.exists():
            install(state)
        first = state.keys / "mysql-first.sql"
        write_private(first, first_statements(mysql).encode())
        command = server_command(state, mysql, first)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    sys.stdout.flush()
    return os.execv(command[0], command)  # noqa: S606  # the process becomes the server


if __name__ == "__main__":
    sys.exit(main())
