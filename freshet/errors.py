"""Every error that Freshet raises on purpose.

    FreshetError
    ├── TransientError       try again: throttling, a dropped connection
    ├── InputError           what the user wrote is wrong                     exit 2
    │   └── DefinitionError  ... in a pipeline's folder, with line and column; DefinitionErrors: several at once
    ├── EnvironmentFault     a missing Java, port, credential, sandbox        exit 3
    └── TerminalError        stop; a person decides                           exit 1
        ├── StaleBatch       another job moved the ledger's head
        ├── LostData         the stream no longer holds what was not yet read
        ├── WrongStream      the ledger belongs to another stream
        ├── SourceChanged    a table or column that a pipeline reads is not what it was
        └── MissingSetting   the DMS task lacks a setting that Freshet needs

A message says what, where, the state we are in, and what to do. It holds identifiers, never row values.
"""

from __future__ import annotations


class FreshetError(Exception):
    """Base of the tree; `exit_code` is what the command line ends with."""

    exit_code = 1


class TransientError(FreshetError):
    """A fault that passes by itself: try again."""


class InputError(FreshetError):
    """What the user wrote is wrong."""

    exit_code = 2


class DefinitionError(InputError):
    """A pipeline's folder is wrong at a place.

    Args:
        message: What is wrong, and what to write instead.
        file: File name within the pipeline's folder.
        line: Line in that file, from 1; None when the whole file is meant.
        column: Column in that line, from 1.
    """

    def __init__(self, message: str, file: str, line: int | None = None, column: int | None = None) -> None:
        self.message, self.file, self.line, self.column = message, file, line, column
        place = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(f"{place}: {message}")


class EnvironmentFault(FreshetError):
    """Something that Freshet needs around it is missing or refuses."""

    exit_code = 3


class TerminalError(FreshetError):
    """Going on would lose or spoil data: stop, a person decides."""


class StaleBatch(TerminalError):
    """Another job, or another start of this one, moved the ledger's head."""


class LostData(TerminalError):
    """The stream no longer holds what the ledger says was not yet read."""


class WrongStream(TerminalError):
    """The ledger's positions belong to another stream, or to one that was created anew."""


class SourceChanged(TerminalError):
    """A table, a column or a key that a pipeline reads is gone or another."""


class MissingSetting(TerminalError):
    """The DMS task does not send what Freshet needs."""
