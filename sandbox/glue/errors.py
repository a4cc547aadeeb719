"""The errors of the Glue API, by their names on the wire."""


class GlueError(Exception):
    """An answer other than success; `name` is what boto3 shows as the error's code."""

    name = "InternalServiceException"
    http_status = 400


class EntityNotFound(GlueError):
    """No such job or run."""

    name = "EntityNotFoundException"


class AlreadyExists(GlueError):
    """A job of this name exists."""

    name = "AlreadyExistsException"


class InvalidInput(GlueError):
    """An argument is missing, or does not fit."""

    name = "InvalidInputException"


class ConcurrentRunsExceeded(GlueError):
    """As many runs of the job as it allows are going on."""

    name = "ConcurrentRunsExceededException"


class UnknownOperation(GlueError):
    """An operation that this Glue does not have."""

    name = "UnknownOperationException"
