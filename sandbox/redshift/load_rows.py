"""What the readers of COPY's files give: rows of texts by column, and the rows that could not be read.

Reads:  nothing.
Gives:  `Rows`, `BadRow`, and the text of a file.

Source: Redshift Developer Guide, "Load error reference", "STL_LOAD_ERRORS", "Multibyte character load errors".
"""

from dataclasses import dataclass, field
from typing import Final

ROWS_PER_PART: Final = 20_000


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be loaded: its place in the file, the column (-1: none), Redshift's code and reason."""

    line: int
    code: int
    reason: str
    raw: str = ""
    column: int = -1
    value: str = ""
    position: int = 0


@dataclass
class Rows:
    """Rows of one part of a file, column by column, and the rows beside them that are no rows.

    `scanned` counts both. `raws` are the rows as they are written in the file, for the messages.
    """

    columns: list[list[str | None]]
    lines: list[int] = field(default_factory=list)
    raws: list[str] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    @property
    def scanned(self) -> int:
        """Rows that were read, good ones and bad ones."""
        return len(self.lines) + len(self.bad)


def decoded(body: bytes) -> str:
    """Read UTF-8; bytes that are none stand as lone surrogates, which `load_values` finds."""
    return body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
