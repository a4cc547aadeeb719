"""What a statement leaves for the system views, whether it succeeds or not.

Reads:  nothing.
Gives:  the records that `history.py` writes.

Source: Redshift Developer Guide, "SYS_QUERY_HISTORY", "SYS_LOAD_HISTORY", "SYS_LOAD_ERROR_DETAIL", "SYS_LOAD_DETAIL".
"""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LoadError:
    """A row that COPY could not load."""

    file: str
    line: int
    column: str
    type: str
    length: str
    position: int
    code: int
    reason: str
    raw_line: str
    raw_value: str


@dataclass(frozen=True)
class LoadedFile:
    """A file that COPY read: its bytes, its lines, when it was begun and done."""

    url: str
    size: int
    lines: int
    began_at: float
    ended_at: float


@dataclass
class Load:
    """One COPY."""

    table: str
    table_id: int
    source: str
    format: str
    rows: int = 0
    files: list[LoadedFile] = field(default_factory=list)
    errors: list[LoadError] = field(default_factory=list)


@dataclass
class Trace:
    """One statement, from its begin."""

    query_id: int = 0
    transaction_id: int = 0
    began_at: float = field(default_factory=time.time)
    ended_at: float = 0.0
    load: Load | None = None
