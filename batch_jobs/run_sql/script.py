"""A file of SQL that was read and found right, before Redshift sees any of it.

Reads:  a `.sql` file from S3 or disk, the values of its `:parameters`.
Gives:  its statements as they will be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from batch_jobs.run_sql.modes import check_mode, check_sizes
from batch_jobs.run_sql.statements import Statement, WrongFile, bound, check_name, check_parameters, statements_of
from freshet.errors import EnvironmentFault, InputError
from freshet.unsent import refused


@dataclass(frozen=True)
class Script:
    """A file that can run.

    Attributes:
        name: What errors call it: its path or s3:// url, or a shorter name.
        mode: TRANSACTION or EACH.
        statements: What is in it.
        texts: The same with the parameters put in, as they are sent.
    """

    name: str
    mode: str
    statements: Sequence[Statement]
    texts: Sequence[str]


def read_script(
    place: str, values: Mapping[str, str], mode: str, s3: Callable[[], Any], name: str | None = None
) -> Script:
    """Read a file and check all that can be checked here.

    Args:
        place: Path or s3:// url.
        values: The parameters.
        mode: TRANSACTION or EACH.
        s3: Gives a boto3 client of S3; asked for an s3:// url only.
        name: What errors call it; else its place.

    Raises:
        InputError: The file cannot be read or cannot run so; says file and line.
        EnvironmentFault: S3 refuses.
    """
    content = _fetch(place, s3)
    place = name or place
    text = _text(place, content)
    try:
        for parameter in values:
            check_name(parameter)
        statements = statements_of(text)
        check_mode(statements, mode)
        check_parameters(statements, values)
        texts = [bound(statement, values) for statement in statements]
        check_sizes(statements, texts)
    except WrongFile as error:
        line = "" if error.line is None else f":{error.line}"
        raise InputError(f"{place}{line}: {error}") from None
    return Script(place, mode, statements, texts)


def parameters_of(written: Sequence[str]) -> dict[str, str]:
    """Read parameters that are written `name=value`.

    Raises:
        InputError: One is not, or is given twice.
    """
    values: dict[str, str] = {}
    for each in written:
        name, sign, value = each.partition("=")
        if not sign:
            raise InputError("a parameter is written name=value")
        if check_name(name) in values:
            raise InputError(f"the parameter {name} is given twice")
        values[name] = value
    return values


def _fetch(place: str, s3: Callable[[], Any]) -> bytes:
    if not place.startswith("s3://"):
        try:
            return Path(place).read_bytes()
        except OSError as error:
            raise InputError(f"{place} cannot be read ({error.strerror})") from None
    bucket, _, key = place[len("s3://") :].partition("/")
    if not bucket or not key:
        raise InputError(f"{place} is no s3://BUCKET/KEY")
    try:
        return bytes(s3().get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in {"NoSuchKey", "NoSuchBucket", "404"}:
            raise InputError(f"{place} is not there ({code})") from None
        raise EnvironmentFault(f"S3 refused to give {place} ({code}): check the rights of who asks") from None
    except ParamValidationError as error:
        raise InputError(f"{place} is no s3://BUCKET/KEY ({refused(error)})") from None
    except BotoCoreError as error:
        raise EnvironmentFault(f"S3 did not give {place} ({type(error).__name__})") from None


def _text(place: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{place}:{content.count(10, 0, error.start) + 1}: this line is not UTF-8") from None
