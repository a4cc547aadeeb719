"""What the stand-in refuses, in Redshift's words.

Two kinds that never mix: the Data API refuses a request (`ApiError`, an exception for the caller), or Redshift refuses a
statement (`Refused`, a text in the statement's `Error`). PostgreSQL's own errors are told as Redshift tells them.

Source: Redshift Data API reference, "Errors"; Redshift Developer Guide, "Serializable isolation violation errors".
"""

import re
import uuid
from typing import Any

import psycopg
from psycopg import errors as pg


class ApiError(Exception):
    """A request that the Data API answers with an error.

    Attributes:
        name: Name of the error on the wire.
        status: HTTP status.
        members: What its shape holds beside the message.
    """

    def __init__(self, name: str, message: str, status: int = 400, **members: str) -> None:
        super().__init__(message)
        self.name, self.status, self.members = name, status, members


def invalid(message: str) -> ApiError:
    """Make the error for an argument that the API does not take."""
    return ApiError("ValidationException", message)


def not_found(message: str, resource: str) -> ApiError:
    """Make the error for a statement or a result that is not there."""
    return ApiError("ResourceNotFoundException", message, ResourceId=resource)


class Refused(Exception):
    """A statement that Redshift (or this stand-in) does not take; the message is what follows `ERROR: `."""


def syntax_error(near: str, hint: str = "") -> Refused:
    """Make Redshift's syntax error, with a hint of ours."""
    return Refused(f'syntax error at or near "{near}"' + (f" ({hint})" if hint else ""))


def error_text(error: psycopg.Error | Refused) -> str:
    """Tell an error of a statement as Redshift's Data API would: one text that begins with `ERROR: `."""
    if isinstance(error, Refused):
        return f"ERROR: {error}"
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and error.sqlstate is None:
        return "ERROR: the connection to the database was lost"
    return f"ERROR: {_as_redshift(error)}"


def _as_redshift(error: psycopg.Error) -> str:
    said = error.diag
    message = said.message_primary or type(error).__name__
    if isinstance(error, pg.DataError):
        message = re.sub(r': ".*"', "", message)  # a value
    match error:
        case pg.SerializationFailure():
            return (
                f"1023 DETAIL: Serializable isolation violation on table - {said.table_name or 0}, transactions forming the "
                "cycle are: unknown (could not complete because of conflict with concurrent transaction)"
            )
        case pg.NotNullViolation():
            return f"Cannot insert a NULL value into column {said.column_name}{_error_id()}"
        case pg.CheckViolation() if kind := declared_limit(said.constraint_name):
            return kind
        case pg.QueryCanceled():
            return "Query cancelled on user's request"
        case pg.InvalidTextRepresentation() if "integer" in message or "numeric" in message:
            return f"Invalid digit, Value, Pos 0, Type: {_type_named(message)}{_error_id()}"
    parts = [message]
    if said.message_detail and not isinstance(error, (pg.IntegrityError, pg.DataError)):
        parts.append(f"DETAIL: {said.message_detail}")  # with those two classes it would quote the row
    return " ".join(parts)


def _type_named(message: str) -> str:
    return "Decimal" if "numeric" in message else "Long"


def _error_id() -> str:
    return f" [ErrorId: 1-{uuid.uuid4().hex[:24]}]"


def declared_limit(constraint: str | None) -> str | None:
    """Tell which limit of a column's type a check constraint of ours stands for.

    Args:
        constraint: Name of a constraint, as `types.checks` makes them.
    """
    if constraint is None or not (found := re.fullmatch(r"limit:(\w+):(\d+):\d+", constraint)):
        return None
    kind, size = found.groups()
    return {
        "varchar": f"value too long for type character varying({size})",
        "char": "Multibyte character not supported for CHAR (Hint: try using VARCHAR)",
        "decimal": f"Numeric data overflow (a DECIMAL({size},s) is stored in 64 bits)",
    }[kind]


def body_of(error: ApiError) -> dict[str, Any]:
    """Give the JSON body of an API error."""
    return {"__type": error.name, "Message": str(error), **error.members}
