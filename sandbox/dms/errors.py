"""What ends a DMS task on purpose."""


class TaskError(Exception):
    """The task cannot go on: a setting, the source, or what the binlog holds; says what to do."""
