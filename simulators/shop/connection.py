"""One connection to MySQL, from options or from a secret; a password never stands in argv.

Raises NoDatabase for what the environment lacks, WrongInput for options that do not fit together.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Callable, TypeVar

import mysql.connector
from mysql.connector import errorcode

from shop.errors import NoDatabase, WrongInput

Result = TypeVar("Result")
TRIES = 5


def connect(chosen: argparse.Namespace) -> Any:
    """Connect: UTC, utf8mb4, transactions; TLS with the server's name verified when there is a CA.

    Args:
        chosen: The connection's options, see `shop.program.options`.

    Raises:
        NoDatabase: The server, or the secret, does not let us in.
        WrongInput: User, database or password is missing.
    """
    settings = from_secret(chosen.secret, chosen.database) if chosen.secret else from_options(chosen)
    if chosen.ssl_ca:
        settings["ssl_ca"] = chosen.ssl_ca
    if settings.get("ssl_ca"):
        settings["ssl_ca"] = local_file(settings["ssl_ca"])
        settings.update(ssl_verify_cert=True, ssl_verify_identity=True)
    else:
        settings.pop("ssl_ca", None)
    settings.update(charset="utf8mb4", time_zone="+00:00", autocommit=False, connection_timeout=10)
    try:
        return mysql.connector.connect(**settings)
    except mysql.connector.Error as error:  # no row is read yet: MySQL's own words are safe to show
        raise NoDatabase(f"no connection to {settings['host']}:{settings['port']}: {error}") from None


def from_options(chosen: argparse.Namespace) -> dict[str, Any]:
    """Read the connection from the options, the password from the environment."""
    missing = [name for name in ("user", "database", "password_env") if not getattr(chosen, name)]
    if missing:
        raise WrongInput(f"give --{' and --'.join(missing)}, or --secret")
    if chosen.password_env not in os.environ:
        raise WrongInput(f"the environment variable {chosen.password_env}, named by --password_env, is not set")
    return {
        "host": chosen.host,
        "port": chosen.port,
        "user": chosen.user,
        "database": chosen.database,
        "password": os.environ[chosen.password_env],
    }


def from_secret(name: str, database: str | None = None) -> dict[str, Any]:
    """Read the connection from Secrets Manager; boto3 finds the region and credentials as always.

    Args:
        name: The secret.
        database: Which database, when it is not the secret's dbname.
    """
    import boto3  # noqa: PLC0415  # slow to load, and not needed without a secret
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        text = boto3.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    except ClientError as error:
        raise NoDatabase(f"the secret {name} cannot be read: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise NoDatabase(f"the secret {name} cannot be read: {error}") from None
    try:
        secret = json.loads(text)
        return {
            "host": secret["host"],
            "port": int(secret["port"]),
            "user": secret["username"],
            "password": secret["password"],
            "database": database or secret["dbname"],
            "ssl_ca": secret.get("ssl_ca"),
        }
    except (KeyError, TypeError, ValueError):  # the cause would quote the secret
        raise WrongInput(f"the secret {name} is not JSON with host, port, username, password, dbname") from None


def local_file(place: str) -> str:
    """Give a path for a CA file; one in S3 is fetched, since a Python shell job brings no files of its own.

    Source: AWS Glue, "Python shell jobs": the --extra-files option cannot be used.
    """
    if not place.startswith("s3://"):
        if not Path(place).is_file():
            raise NoDatabase(f"the CA file {place} is not there")
        return place
    import boto3  # noqa: PLC0415  # as above
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    bucket, _, key = place[len("s3://") :].partition("/")
    path = Path(tempfile.mkdtemp(prefix="ssl_ca")) / "ca.pem"
    try:
        path.write_bytes(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    except (BotoCoreError, ClientError):
        raise NoDatabase(f"the CA file {place} cannot be read") from None
    return str(path)


def transaction(connection: Any, work: Callable[[Any], Result]) -> Result:
    """Do some work in one transaction; again when MySQL undid it for a deadlock or a lock it waited for too long.

    Args:
        connection: From `connect`.
        work: Called with a cursor; may be called again after a rollback.
    """
    for left in reversed(range(TRIES)):
        cursor = connection.cursor()
        try:
            result = work(cursor)
            connection.commit()
            return result
        except mysql.connector.Error as error:
            connection.rollback()
            if not left or error.errno not in {errorcode.ER_LOCK_DEADLOCK, errorcode.ER_LOCK_WAIT_TIMEOUT}:
                raise
        finally:
            cursor.close()
    raise AssertionError


def flat(rows: Iterable[Sequence[Any]]) -> list[Any]:
    """Give the values of rows one after the other."""
    return [value for row in rows for value in row]


def run_statement(connection: Any, statement: str, values: Sequence[Any] = ()) -> int:
    """Run one statement in its own transaction; give the number of rows it changed."""

    def work(cursor: Any) -> int:
        cursor.execute(statement, values)
        return int(cursor.rowcount)

    return transaction(connection, work)


def read(connection: Any, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Read rows, as they are now: nothing that was read earlier is held."""

    def work(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(query, values)
        return list(cursor.fetchall())

    return transaction(connection, work)
