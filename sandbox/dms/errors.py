"""What ends a DMS task on purpose, and what its error policies decide about."""

from sandbox.errors import Halted


class TaskError(Halted):
    """The task cannot go on: a setting, the source, or what the binlog holds; says what to do."""


class RecordError(Exception):
    """One change cannot be written or delivered; the message says why, without values."""

    policy = "DataErrorPolicy"


class Undeliverable(RecordError):
    """The target refuses one record: an error of applying it, as an insert, an update or a delete."""


class TableError(Exception):
    """The rows of one table cannot be read at all."""
