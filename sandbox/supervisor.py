"""Own every process of a sandbox: start them, watch them, start again what dies, end them all.

    python -m sandbox.supervisor --state DIR

`sandbox.control` starts it with a pipe as its standard input. Until the word "detach" arrives there, the end of the
pipe ends the sandbox: whoever was starting it is gone. A tied sandbox is never detached.

Reads:  DIR/stopped/NAME: that service shall not run ("kill" inside: end it with SIGKILL).
Gives:  DIR/supervisor.json {"state", "message", "exit_code", "progress", "services"}, DIR/endpoints.json; holds a lock
        on DIR/supervisor.lock as long as it lives, which is how others know that the sandbox runs.
"""

import argparse
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox import mysql, mysql_servers, processes
from sandbox.errors import Halted, MissingPart, SandboxError
from sandbox.services import Service, endpoints, services
from sandbox.state import DOWN, State, write_json

READY_S = 240.0
STARTING_PAUSE_S, RUNNING_PAUSE_S = 0.03, 0.1
RESTART_AFTER_S = 0.5
# A part that dies this often, each time before it was ready, stays down.
DEATHS_MAX = 5


class Part:
    """One service and its process, if it has one."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service, self.log = service, log
        self.process: subprocess.Popen[bytes] | None = None
        self.state, self.message = "waiting", ""
        self.restarts = self.deaths = 0
        self.since_s = time.monotonic()
        self._known: dict[str, Any] | None = None

    def start(self) -> None:
        """Start the process."""
        self.process = processes.spawn(self.service.arguments, self.log)
        self._known = processes.identity(self.process.pid)
        self.message = ""
        self.enter("starting")

    def enter(self, state: str) -> None:
        """Note a new state, and when it began."""
        self.state, self.since_s = state, time.monotonic()

    def stop(self, kill: bool = False) -> None:
        """End the process."""
        if self.process:
            if kill:
                self.process.kill()
            processes.stop([self.process])
            self.process = None
        self.enter("stopped")

    def report(self) -> dict[str, Any]:
        """Say how it is."""
        running = self._known if self.process and self._known else {"pid": None, "created": None}
        return {"state": self.state, "message": self.message, "restarts": self.restarts, **running}


class Supervisor:
    """All parts of one sandbox."""

    def __init__(self, state: State, parts: list[Part]) -> None:
        self.state, self.parts = state, parts
        self.progress: list[str] = []
        self.phase, self.message, self.exit_code = "starting", "", 0
        self._begun_s = time.monotonic()
        self._written: dict[str, Any] = {}

    def step(self) -> None:
        """Look at every part once.

        Raises:
            SandboxError: A part did not start, and the sandbox was not complete yet.
        """
        ready = {part.service.name for part in self.parts if part.state == "ready"}
        for part in self.parts:
            wish = self.state.stopped / part.service.name
            if wish.exists():
                if part.state != "stopped":
                    part.stop(kill=wish.read_text() == "kill")
            elif part.process is None:
                self._start(part, ready)
            elif part.process.poll() is not None:
                self._died(part)
            elif part.state == "starting" and part.service.ready(part.process.pid):
                part.deaths = 0
                part.enter("ready")
                self.progress.append(f"{part.service.title} is ready after {time.monotonic() - self._begun_s:.1f} s")
            elif part.state == "starting" and self.phase == "starting" and time.monotonic() - part.since_s > READY_S:
                raise SandboxError(f"{part.service.title} was not ready after {READY_S:.0f} s; see {part.log}")
        if self.phase == "starting" and all(part.state in {"ready", "halted"} for part in self.parts):
            write_json(self.state.endpoints, endpoints(self.state))
            self.phase = "running"
        self.report()

    def _start(self, part: Part, ready: set[str]) -> None:
        if part.state in DOWN or not ready.issuperset(part.service.needs):
            return
        if part.state == "dead" and time.monotonic() - part.since_s < RESTART_AFTER_S:
            return
        part.start()

    def _died(self, part: Part) -> None:
        process = part.process
        code = process.returncode if process else 0
        said = processes.last_line(part.log)
        reason = f"{part.service.title} ended with {code}: {said} (see {part.log})"
        part.process = None
        if code == Halted.exit_code:
            part.message = said
            part.enter("halted")
            self.progress.append(said)
            return
        if self.phase == "starting":
            raise MissingPart(reason) if code == MissingPart.exit_code else SandboxError(reason)
        print(reason, file=sys.stderr)
        part.restarts += 1
        part.deaths += 1
        part.message = reason
        part.enter("failed" if part.deaths >= DEATHS_MAX else "dead")

    def report(self) -> None:
        """Write the state, if it is another than before."""
        state = {
            "state": self.phase,
            "message": self.message,
            "exit_code": self.exit_code,
            "progress": self.progress,
            "services": {part.service.name: part.report() for part in self.parts},
        }
        if state != self._written:
            write_json(self.state.status, state)
            self._written = state | {"progress": list(self.progress)}

    def stop(self) -> None:
        """End every part: first those that work with the others, which so need not wait for an answer."""
        if self.phase != "failed":
            self.phase = "stopping"
        self.report()
        for part in self.parts:
            if part.service.needs:
                part.stop()
        processes.stop([part.process for part in self.parts if part.process])
        for part in self.parts:
            part.stop()
        self.report()


def take_lock(state: State) -> int:
    """Take the lock that says that this sandbox runs.

    Raises:
        SandboxError: Another supervisor has it.
    """
    lock = os.open(state.lock, os.O_CREAT | os.O_RDWR, 0o600)
    until = time.monotonic() + 1
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # Who asks whether it is held holds it for a moment.
            if time.monotonic() > until:
                raise SandboxError(f"a sandbox runs in {state.root} already") from None
            time.sleep(0.02)
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def watch(supervisor: Supervisor) -> None:
    """Run until the pipe of the one who started it ends, or a signal comes."""
    tied = True
    while True:
        supervisor.step()
        pause_s = STARTING_PAUSE_S if supervisor.phase == "starting" else RUNNING_PAUSE_S
        if not tied:
            time.sleep(pause_s)
        elif select.select([sys.stdin], [], [], pause_s)[0]:
            if not os.read(sys.stdin.fileno(), 64).startswith(b"detach"):
                return
            tied = False


def main(arguments: list[str] | None = None) -> int:
    """Run a sandbox; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.supervisor", description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    parser.add_argument("--database", required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--mysql", choices=mysql_servers.KINDS)
    parser.add_argument("--mysql-option", action="append", default=[])
    options = parser.parse_args(arguments)
    state = State(options.state)

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        lock = take_lock(state)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    try:
        connection = mysql.connection(state, options.database, options.mysql, options.mysql_option)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    parts = [
        Part(service, state.logs / f"{service.name}.log") for service in services(state, connection, options.shards)
    ]
    supervisor = Supervisor(state, parts)
    try:
        watch(supervisor)
    except KeyboardInterrupt:
        pass
    except SandboxError as error:
        supervisor.phase, supervisor.message, supervisor.exit_code = "failed", str(error), error.exit_code
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        supervisor.stop()
        os.close(lock)
    return supervisor.exit_code


if __name__ == "__main__":
    sys.exit(main())
