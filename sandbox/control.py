"""Start, stop and ask a sandbox, from Python.

    endpoints = start(Path(".freshet"))
    os.environ.update(environment(endpoints))

Gives:  the endpoints {"mysql": {"host", "port", "user", "password", "database", "tls_ca", "server", "version", "options"},
        "aws": {"endpoint_url", "region"}, "redshift": {"endpoint_url", "workgroup", "database", "postgres_uri"},
        "stream", "staging_bucket", "token_secret", "mysql_secret", "copy_role_arn"}.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pymysql.err import OperationalError  # type: ignore[import-untyped]  # has no types

from sandbox import mysql as source
from sandbox import mysql_servers, processes
from sandbox.errors import MissingPart, SandboxError
from sandbox.names import ACCESS_KEY, MYSQL_DATABASE, REGION
from sandbox.state import DOWN, State, read_json

# A busy machine is slow; these are for what hangs.
START_S = 300.0
STOP_S = 40.0
SERVICE_S = 240.0
PAUSE_S = 0.03
# The supervisors that this process started: a tied one lives as long as its pipe is open here.
_started: dict[Path, subprocess.Popen[bytes]] = {}


def start(
    state: Path,
    *,
    tied: bool = False,
    database: str = MYSQL_DATABASE,
    on_progress: Callable[[str], None] | None = None,
    shards: int = 2,
    mysql: str | None = None,
    mysql_options: Sequence[str] = (),
) -> dict[str, Any]:
    """Start a sandbox, or find the one that runs, and wait until it is complete.

    Whatever interrupts this, even kill -9, leaves no process behind.

    Args:
        state: The sandbox's folder.
        tied: End the sandbox when this process ends, in whatever way.
        database: The MySQL database that exists from the start, and that the endpoints name.
        on_progress: Told each step, one line.
        shards: Of the stream, when it is made.
        mysql: mysql or mariadb; None: what the folder's data were made by, else MySQL if this machine has it, else MariaDB.
        mysql_options: More words of the server's command line, such as --binlog-row-image=MINIMAL.

    Returns:
        The endpoints.

    Raises:
        MissingPart: This machine lacks a program; the message names the command that installs it.
        SandboxError: A part did not start; the message names its log.
    """
    place = State(state)
    kind = mysql_servers.find(mysql, place).kind
    place.make()
    with _one_at_a_time(place):
        if running(state):
            return _wait_until_ready(place, None, None)
        options = ["--database", database, "--shards", str(shards), "--mysql", kind]
        options += [f"--mysql-option={option}" for option in mysql_options]
        return _start(place, tied, options, on_progress)


@contextlib.contextmanager
def _one_at_a_time(place: State) -> Iterator[None]:
    lock = os.open(place.root / "start.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _start(place: State, tied: bool, options: list[str], on_progress: Callable[[str], None] | None) -> dict[str, Any]:
    if before := _started.pop(place.root, None):
        _let_go(before)
        before.wait()
    _end_leftovers(place)
    for file in (place.status, *place.stopped.iterdir()):
        file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "sandbox.supervisor", "--state", str(place.root)]
    with (place.logs / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=processes.environment(),
            start_new_session=True,
        )
    try:
        endpoints = _wait_until_ready(place, process, on_progress)
        if not tied and process.stdin:
            process.stdin.write(b"detach\n")
            process.stdin.close()
    except BaseException:
        _let_go(process)
        processes.stop([process], STOP_S)
        raise
    _started[place.root] = process
    return endpoints


def _let_go(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def running(state: Path) -> bool:
    """Tell whether a sandbox runs in a folder (or is starting, or stopping)."""
    return _supervisor(State(state)) is not None


def _supervisor(place: State) -> int | None:
    """Give the supervisor's pid: of the process that holds the lock, so a stale file or a used-again pid misleads nobody."""
    try:
        lock = os.open(place.lock, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(lock, 32, 0) or b"0")
    else:
        return None
    finally:
        os.close(lock)


def _wait_until_ready(
    place: State, process: subprocess.Popen[bytes] | None, on_progress: Callable[[str], None] | None
) -> dict[str, Any]:
    told, until = 0, time.monotonic() + START_S
    while True:
        report = read_json(place.status) or {}
        for line in report.get("progress", [])[told:]:
            told += 1
            if on_progress:
                on_progress(line)
        if report.get("state") == "running":
            return read_json(place.endpoints) or {}
        ended = process.poll() is not None if process else not running(place.root)
        if ended or report.get("state") == "failed":
            report = read_json(place.status) or {}
            reason = report.get("message") or processes.last_line(place.logs / "supervisor.log")
            kind = MissingPart if report.get("exit_code") == MissingPart.exit_code else SandboxError
            raise kind(reason or "the sandbox was stopped while it started")
        if time.monotonic() > until:
            raise SandboxError(f"the sandbox was not complete after {START_S:.0f} s; see {place.logs}")
        time.sleep(PAUSE_S)


def stop(state: Path) -> bool:
    """Stop a sandbox and wait until nothing of it runs; False when none did."""
    place = State(state)
    pid = _supervisor(place)
    mine = _started.pop(place.root, None)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + STOP_S
        while _supervisor(place) == pid:
            if mine:
                mine.poll()
            if time.monotonic() > until:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                break
            time.sleep(PAUSE_S)
    if mine:
        _let_go(mine)
        mine.wait()
    _end_leftovers(place)
    return pid is not None


def _end_leftovers(place: State) -> None:
    """End the parts of a supervisor that died without ending them."""
    for service in (read_json(place.status) or {}).get("services", {}).values():
        if service.get("pid"):
            processes.end(service)


def reset(state: Path) -> None:
    """Stop a sandbox and delete everything of it; other files in the folder stay."""
    place = State(state)
    stop(state)
    for path in (
        place.logs,
        place.keys,
        place.stopped,
        place.mysql,
        place.root / "mysql.part",
        place.root / "mysql.tmp",
        place.root / "redshift",
    ):
        shutil.rmtree(path, ignore_errors=True)
    files = [
        place.status,
        place.endpoints,
        place.mysql_connection,
        place.aws,
        place.dms,
        place.redshift,
        place.lock,
        place.root / "start.lock",
    ]
    for file in (*files, *place.root.glob("kinesis.sqlite*"), *place.root.glob("*.part")):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        place.root.rmdir()


def status(state: Path) -> dict[str, Any]:
    """Say whether a sandbox runs, where everything is, how far DMS has come, and what it left out.

    `dms` has `problem`: why DMS stands still until somebody starts it again; None while it works.
    """
    place = State(state)
    report = read_json(place.status) or {}
    if not running(state) or report.get("state") != "running":
        return {"running": False}
    dms = read_json(place.dms) or {}
    told = {name: dms.get(name) for name in ("file", "position", "delivered", "skipped", "suspended")}
    return {
        "running": True,
        **(read_json(place.endpoints) or {}),
        "dms": {**told, "problem": dms_problem(state)},
        "services": report["services"],
    }


def environment(endpoints: dict[str, Any]) -> dict[str, str]:
    """Give the environment in which boto3 and the aws command line talk to a sandbox."""
    known = {
        "AWS_ENDPOINT_URL": endpoints["aws"]["endpoint_url"],
        "AWS_ENDPOINT_URL_REDSHIFT_DATA": endpoints["redshift"]["endpoint_url"],
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
    return {name: value for name, value in known.items() if value}


def dms_position(state: Path) -> tuple[str, int]:
    """Say up to where DMS has delivered: binlog file and position; ("", 0) when it has delivered nothing yet."""
    dms = read_json(State(state).dms) or {}
    return dms.get("file", ""), dms.get("position", 0)


def dms_problem(state: Path) -> str | None:
    """Say why DMS stands still until somebody starts it again; None while it works, or is about to."""
    service = _service(State(state), "dms")
    return str(service["message"]) if service.get("state") in DOWN else None


def binlog_position(state: Path) -> tuple[str, int]:
    """Ask MySQL where its binlog ends: file and position, comparable with `dms_position`.

    Raises:
        SandboxError: There is no sandbox, or its MySQL does not answer.
    """
    connection = read_json(State(state).mysql_connection)
    if connection is None:
        raise SandboxError(f"no sandbox in {state}")
    try:
        return source.binlog_position(connection)
    except OperationalError as error:
        raise SandboxError(f"the sandbox's MySQL does not answer (error {error.args[0]})") from None


def stop_service(state: Path, name: str, *, kill: bool = False) -> None:
    """Stop one part (`mysql`, `aws`, `redshift`, `dms`), with SIGKILL if asked; it stays down until `start_service`."""
    place = State(state)
    part = place.root / f"stopped.{name}.part"
    part.write_text("kill" if kill else "stop")
    part.replace(place.stopped / name)
    _wait_for_service(place, name, "stopped")


def start_service(state: Path, name: str) -> None:
    """Start one part again, at its old port, and wait until it is ready.

    Raises:
        SandboxError: It does not get ready; the message says why.
    """
    place = State(state)
    if _service(place, name).get("state") in DOWN:
        stop_service(state, name)
    (place.stopped / name).unlink(missing_ok=True)
    _wait_for_service(place, name, "ready")


def _service(place: State, name: str) -> dict[str, Any]:
    known: dict[str, Any] = (read_json(place.status) or {}).get("services", {}).get(name, {})
    return known


def _wait_for_service(place: State, name: str, wanted: str) -> None:
    until = time.monotonic() + SERVICE_S
    while True:
        service = _service(place, name)
        if service.get("state") == wanted:
            return
        if not running(place.root):
            raise SandboxError(f"no sandbox runs in {place.root}")
        if (wanted == "ready" and service.get("state") in DOWN) or time.monotonic() > until:
            said = f" ({service['message']})" if service.get("message") else ""
            raise SandboxError(f"{name} is {service.get('state')}, not {wanted}{said}; see {place.logs / name}.log")
        time.sleep(PAUSE_S)
