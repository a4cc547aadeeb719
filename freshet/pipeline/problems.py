"""What is wrong with a definition, each thing at its place, all of one pass together.

Someone who fixes five mistakes wants to read five messages, not one message five times.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from freshet.errors import DefinitionError

SELECT_FILE = "select.sql"
YAML_FILE = "pipeline.yaml"


@dataclass(frozen=True)
class Place:
    """A character in one of the pipeline's two files; lines and columns count from 1."""

    file: str
    line: int | None = None
    column: int | None = None


class DefinitionErrors(DefinitionError):
    """Several mistakes of one definition; as an exception it speaks for the first."""

    def __init__(self, errors: tuple[DefinitionError, ...]) -> None:
        first = errors[0]
        super().__init__(first.message, first.file, first.line, first.column)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class Problems:
    """Collects mistakes until a pass is over."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Place], DefinitionError] = {}

    def add(self, message: str, place: Place) -> None:
        """Note a mistake; the same one at the same place counts once."""
        error = DefinitionError(message, place.file, place.line, place.column)
        self._found.setdefault((message, place), error)

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """End the pass.

        Raises:
            DefinitionError: One mistake.
            DefinitionErrors: Several, in the order of the files' lines.
        """
        errors = sorted(self._found.values(), key=lambda error: (error.file, error.line or 0, error.column or 0))
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise DefinitionErrors(tuple(errors))


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Give "; did you mean X?" for the known name that is nearest to the written one, or nothing."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(written.lower(), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""
