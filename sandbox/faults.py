"""Faults that tests ask for, and how many were injected: a fault test that injected none has tested nothing.

Outside every AWS protocol: POST /_sandbox/faults {"operation", "fault", "value", "times"} plans one,
GET /_sandbox/faults tells what was injected and what is still planned, DELETE forgets what is planned.
"""

import threading
from dataclasses import asdict, dataclass

KINDS = {"throttle", "lose_response", "fail_entries", "expire_iterator", "empty_page", "delay_s"}


@dataclass
class Fault:
    """One planned fault: what happens to the next `times` calls of an operation."""

    operation: str
    fault: str
    value: float = 1
    times: int = 1

    def __post_init__(self) -> None:
        if self.fault not in KINDS:
            raise ValueError(f"no such fault {self.fault}; known: {', '.join(sorted(KINDS))}")


class Faults:
    """What is planned and what happened, for all threads of a server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []
        self.injected: dict[str, int] = {}

    def plan(self, fault: Fault) -> None:
        """Plan a fault behind those of the same operation that are planned already."""
        with self._lock:
            self._planned.append(fault)

    def take(self, operation: str) -> Fault | None:
        """Take the fault of this call, if one is planned, and count it."""
        if not self._planned:
            return None
        with self._lock:
            for fault in self._planned:
                if fault.operation == operation:
                    break
            else:
                return None
            fault.times -= 1
            if fault.times <= 0:
                self._planned.remove(fault)
            name = f"{operation}.{fault.fault}"
            self.injected[name] = self.injected.get(name, 0) + 1
            return fault

    def clear(self) -> None:
        """Forget what is planned; the counts stay."""
        with self._lock:
            self._planned.clear()

    def report(self) -> dict[str, object]:
        """Tell how often each fault was injected, and what is still planned."""
        with self._lock:
            return {"injected": dict(self.injected), "planned": [asdict(fault) for fault in self._planned]}
