"""The two servers that can stand for RDS MySQL: MySQL itself, where this machine has it, and MariaDB.

They differ in their programs, in how a data folder is made, in a few settings and in the names of rights.

Gives:  a `Server` of a kind, with its command; what a data folder was made by.

Source: MySQL reference manual, "Initializing the data directory", "Server command options"; MariaDB, "mariadb-install-db".
"""

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import MissingPart, SandboxError
from sandbox.state import State

MYSQL, MARIADB = "mysql", "mariadb"
KINDS = (MYSQL, MARIADB)
TITLES = {MYSQL: "MySQL", MARIADB: "MariaDB"}
# `make mysql` unpacks one there.
FETCHED = Path(__file__).resolve().parent.parent / ".freshet" / "mysql-server"
INSTALL_HINTS = {
    MYSQL: "fetch it with `make mysql`, or `brew install mysql` (macOS); or say --mysql mariadb",
    MARIADB: "install it: `apt-get install mariadb-server` (Debian, Ubuntu) or `brew install mariadb` (macOS)",
}
PLACES = (
    "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin", "/opt/homebrew/opt/mysql/bin", "/usr/local/opt/mysql/bin",
)  # fmt: skip
# What a user of RDS can do and a pipeline's tests need, in any database.
RIGHTS = (
    "select, insert, update, delete, create, drop, alter, index, references, lock tables, create temporary tables, "
    "create view, show view, trigger, create routine, alter routine, execute, reload, process, replication slave"
)
MORE_RIGHTS = {MYSQL: "replication client", MARIADB: "binlog monitor"}
SOCKETS = "auth_socket.so"
# MariaDB has no binlog_order_commits: it always commits in binlog order. MySQL does by default.
SETTINGS = {
    MYSQL: (
        "--mysqlx=OFF", "--gtid-mode=OFF", "--log-bin-trust-function-creators=ON", "--binlog-expire-logs-seconds=0",
    ),
    MARIADB: ("--collation-server=utf8mb4_unicode_ci", "--binlog-annotate-row-events=OFF"),
}  # fmt: skip


@dataclass(frozen=True)
class Server:
    """One program that can be the sandbox's MySQL.

    `kind` is mysql or mariadb; `version` such as 9.7.4; `command` what goes before its options; `options` what it must be
    told on each start, after --no-defaults.
    """

    kind: str
    version: str
    command: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name it as people do."""
        return f"{TITLES[self.kind]} {self.version}"

    @property
    def rights(self) -> str:
        """What the sandbox's user may do, in this server's words."""
        return f"{RIGHTS}, {MORE_RIGHTS[self.kind]}"

    @property
    def settings(self) -> tuple[str, ...]:
        """What only this kind is told."""
        return (*SETTINGS[self.kind], *([f"--plugin-load-add={SOCKETS}"] if self.knows_sockets else []))

    @property
    def knows_sockets(self) -> bool:
        """Whether MySQL has the plugin that knows a user of the system by the socket; macOS has none."""
        prefix = Path(self.command[-1]).resolve().parent.parent
        places = (prefix / "lib/mysql/plugin", prefix / "lib/plugin")
        return self.kind == MYSQL and any((place / SOCKETS).exists() for place in places)


def program(*names: str) -> str:
    """Find a program, in the places too that a user's PATH may lack.

    Raises:
        MissingPart: It is not installed.
    """
    found = _which(*names)
    if not found:
        raise MissingPart(f"{names[0]} is not on this machine; {INSTALL_HINTS[MARIADB]}")
    return found


def _which(*names: str) -> str | None:
    places = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    return next((found for name in names if (found := shutil.which(name, path=places))), None)


def administrator() -> str:
    """Name who may do everything, through the server's socket: the system's user that runs the sandbox."""
    return pwd.getpwuid(os.geteuid()).pw_name


def available() -> list[str]:
    """List the kinds that this machine has, the preferred one first."""
    return [kind for kind in KINDS if _found(kind)]


def find(kind: str | None = None, state: State | None = None) -> Server:
    """Find a server.

    Args:
        kind: mysql or mariadb; None: what the data folder was made by, else MySQL if it is there, else MariaDB.
        state: Whose data folder it shall run on.

    Raises:
        MissingPart: This machine has no such server.
        SandboxError: The data folder was made by the other one.
    """
    made_by = _made_by(state.mysql) if state else None
    if kind and made_by and kind != made_by:
        raise SandboxError(
            f"the data in {state and state.mysql} are {TITLES[made_by]}'s, and {TITLES[kind]} cannot read them: "
            "delete the sandbox with `reset`, or name another folder"
        )
    for one in [kind or made_by] if kind or made_by else KINDS:
        if one and (server := _found(one)):
            return server
    missing = kind or made_by or MARIADB
    raise MissingPart(f"{TITLES[missing]} is not on this machine; {INSTALL_HINTS[missing]}")


def _made_by(data: Path) -> str | None:
    if (data / "mysql.ibd").exists():  # MySQL's own tables, since 8.0
        return MYSQL
    return MARIADB if data.exists() else None


def _found(kind: str) -> Server | None:
    if kind == MARIADB:
        mariadbd = _which("mariadbd")
        return _described((mariadbd,)) if mariadbd and _which("mariadb-install-db") else None
    if fetched := _fetched():
        return fetched
    mysqld = _which("mysqld")
    server = _described((mysqld,)) if mysqld else None
    # MariaDB's packages have a mysqld too.
    return server if server and server.kind == MYSQL else None


def _fetched() -> Server | None:
    """Find the server that `make mysql` unpacked; it runs by its own loader, on its own libraries."""
    loader = next(FETCHED.glob("**/ld-linux*.so*"), None)
    if loader is None:
        return None
    usr = FETCHED / "usr"
    libraries = [*sorted(usr.glob("lib/*-linux-gnu*")), *sorted(FETCHED.glob("lib/*-linux-gnu*"))]
    libraries += [folder for folder in (usr / "lib/mysql/private",) if folder.exists()]
    command = (str(loader), "--library-path", ":".join(map(str, libraries)), str(usr / "sbin/mysqld"))
    return _described(
        command,
        (
            f"--plugin-dir={usr / 'lib/mysql/plugin'}", f"--lc-messages-dir={usr / 'share/mysql'}",
            f"--character-sets-dir={usr / 'share/mysql/charsets'}", "--secure-file-priv=NULL",
        ),
    )  # fmt: skip


def _described(command: tuple[str, ...], options: tuple[str, ...] = ()) -> Server | None:
    """Ask a program what it is; None when it does not say."""
    done = subprocess.run([*command, "--no-defaults", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"Ver (\d+\.\d+\.\d+)", done.stdout)
    if done.returncode or not version:
        return None
    return Server(MARIADB if "mariadb" in done.stdout.lower() else MYSQL, version[1], command, options)


def temporary(state: State) -> Path:
    """Make the server's own folder for temporary files: in a shared one, two that start at once take each other's names."""
    folder = state.root / "mysql.tmp"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def as_root() -> list[str]:
    """Tell a server that root may run it, which it else refuses."""
    return ["--user=root"] if os.geteuid() == 0 else []


def install(state: State, server: Server | None = None) -> None:
    """Make the data folder; a half-made one, of an interrupted start, is thrown away.

    Args:
        state: Where.
        server: Whose; MariaDB's unless said.

    Raises:
        MissingPart: MariaDB is not installed.
        SandboxError: The program that makes it failed.
    """
    server = server or find(MARIADB)
    part = state.root / "mysql.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    if server.kind == MYSQL:
        # No password yet: the first statements of the first start set one, before connections are taken.
        command = [
            *server.command,
            "--no-defaults",
            *server.options,
            "--initialize-insecure",
            f"--datadir={part}",
            *as_root(),
        ]
    else:
        command = [
            program("mariadb-install-db"), "--no-defaults", f"--datadir=./{part.name}", "--skip-test-db",
            "--skip-name-resolve", "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={administrator()}", *as_root(),
        ]  # fmt: skip
    # mariadb-install-db is a shell script: it cuts its arguments at blanks, so the folder is named from where it is, and the
    # other in a variable.
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
        raise SandboxError(f"{Path(command[0]).name} ended with {done.returncode}; see {log}")
    part.replace(state.mysql)
