"""The errors of the Kinesis API, by their names on the wire."""


class KinesisError(Exception):
    """An answer other than success; `name` is what boto3 shows as the error's code."""

    name = "InternalFailure"
    http_status = 400


class ResourceNotFound(KinesisError):
    """No such stream or shard."""

    name = "ResourceNotFoundException"


class ResourceInUse(KinesisError):
    """A stream of this name exists, or the shard is closed already."""

    name = "ResourceInUseException"


class InvalidArgument(KinesisError):
    """An argument does not fit the stream."""

    name = "InvalidArgumentException"


class ValidationFailed(KinesisError):
    """An argument breaks the API's own model."""

    name = "ValidationException"


class ProvisionedThroughputExceeded(KinesisError):
    """A shard's quota is used up for now."""

    name = "ProvisionedThroughputExceededException"


class LimitExceeded(KinesisError):
    """A limit of the stream or the account does not allow it."""

    name = "LimitExceededException"


class ExpiredIterator(KinesisError):
    """An iterator is older than five minutes."""

    name = "ExpiredIteratorException"


class ExpiredNextToken(KinesisError):
    """A paging token is older than five minutes."""

    name = "ExpiredNextTokenException"


class UnknownOperation(KinesisError):
    """An operation that this Kinesis does not have."""

    name = "UnknownOperationException"


class InternalFailure(KinesisError):
    """The server's own fault."""

    name = "InternalFailure"
    http_status = 500
