"""CPU seconds and memory of a job and of the emulators that it talks to, by part."""

import os
import threading
from pathlib import Path

from freshet.cli.context import Place
from sandbox import control

TICK_S = 0.2
PARTS = ("driver", "jvm", "workers", "mysql", "redshift", "data_api", "kinesis_s3", "dms")
OF_JOB = ("driver", "jvm", "workers")


class Watch(threading.Thread):
    """Samples CPU seconds, user and system, of every part since it began to watch, and the peak of the job's memory.

    Args:
        place: The sandbox.
        session: Process id of the job, which leads a session.
    """

    def __init__(self, place: Place, session: int) -> None:
        super().__init__(daemon=True)
        self.session, self.done = session, threading.Event()
        services = control.status(place.state)["services"]
        names = {"mysql": "mysql", "aws": "kinesis_s3", "redshift": "data_api", "dms": "dms"}
        self.services = {services[name]["pid"]: part for name, part in names.items()}
        self.peak_mb = 0.0
        self._cpu: dict[int, tuple[str, float]] = {}
        self._before = dict[int, float]()
        self._lock = threading.Lock()
        self.sample()
        self._before = {pid: seconds for pid, (_, seconds) in self._cpu.items()}

    def run(self) -> None:
        """Sample until told to stop."""
        while not self.done.wait(TICK_S):
            self.sample()

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds by part, of all its processes, also those that have ended."""
        self.sample()
        spent = dict.fromkeys(PARTS, 0.0)
        with self._lock:
            for pid, (part, seconds) in self._cpu.items():
                spent[part] += seconds - self._before.get(pid, 0.0)
        return {part: round(spent[part], 2) for part in PARTS}

    def sample(self) -> None:
        """Read every process once."""
        processes = dict(_processes())
        with self._lock:
            resident = 0.0
            for pid, process in processes.items():
                part = self._part(pid, processes)
                if part:
                    self._cpu[pid] = (part, process.cpu_s)
                    resident += process.resident_mb if part in OF_JOB else 0.0
            self.peak_mb = max(self.peak_mb, resident)

    def _part(self, pid: int, processes: dict[int, "Process"]) -> str | None:
        if processes[pid].session == self.session:
            return "driver" if pid == self.session else "jvm" if processes[pid].name == "java" else "workers"
        up: int | None = pid
        while up in processes:
            if up in self.services:
                part = self.services[up]
                return "redshift" if part == "data_api" and processes[pid].name == "postgres" else part
            up = processes[up].parent
        return None


class Process:
    """One process, from /proc/PID/stat: fields 2, 4, 6, 14, 15 and 24; see proc(5)."""

    def __init__(self, stat: str) -> None:
        head, _, rest = stat.rpartition(")")
        fields = rest.split()
        self.name = head.partition("(")[2]
        self.parent, self.session = int(fields[1]), int(fields[3])
        self.cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        self.resident_mb = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _processes() -> list[tuple[int, Process]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found.append((int(entry.name), Process((entry / "stat").read_text())))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
