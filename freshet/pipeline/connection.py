"""Connect to the source database in the one way that look-ups may use.

Every statement sees a fresh snapshot (autocommit, READ COMMITTED): a pooled REPEATABLE READ connection answers with old
rows for as long as it lives, and a row written from them would be stale for ever. The session's time zone is UTC,
as in the binlog. The password comes from a secret, never from an argument.
"""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from freshet.errors import EnvironmentFault


class MySQLSettings(BaseModel):
    """Where the source database is, as RDS's secrets spell it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str
    port: int = 3306
    username: str
    password: SecretStr
    dbname: str | None = None
    ssl_ca: str | None = Field(
        default=None, description="File of certificate authorities that the server must be signed by"
    )
    ca_pem: str | None = Field(
        default=None,
        description="These authorities themselves, for workers on other machines, which do not have the file",
    )


def read_mysql_settings(secretsmanager: Any, secret: str) -> MySQLSettings:
    """Read the source's address and password from a secret.

    Args:
        secretsmanager: A boto3 client.
        secret: Name or ARN; its text is JSON with host, port, username, password and perhaps dbname, ssl_ca.

    Raises:
        EnvironmentFault: The secret cannot be read, or lacks a field.
    """
    try:
        text = secretsmanager.get_secret_value(SecretId=secret)["SecretString"]
        return MySQLSettings.model_validate(json.loads(text))
    except (ValidationError, json.JSONDecodeError):
        raise EnvironmentFault(
            f"secret {secret} does not describe a MySQL server: it must be JSON with host, port, username and password"
        ) from None
    except secretsmanager.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        raise EnvironmentFault(
            f"secret {secret} cannot be read ({code}): check its name and the role's rights"
        ) from None


def connect(settings: MySQLSettings, database: str | None = None) -> MySQLConnectionAbstract:
    """Open a connection whose statements each see the newest commits, in UTC.

    Raises:
        EnvironmentFault: The server does not answer, or refuses.
    """
    tls: dict[str, Any] = {}
    ca = _file_of(settings.ca_pem) if settings.ca_pem else settings.ssl_ca
    if ca:
        tls = {"ssl_ca": ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
    try:
        connection = mysql.connector.connect(
            host=settings.host,
            port=settings.port,
            user=settings.username,
            password=settings.password.get_secret_value(),
            database=database,
            charset="utf8mb4",
            autocommit=True,
            time_zone="+00:00",
            connection_timeout=10,
            **tls,
        )
    except mysql.connector.Error as error:
        raise EnvironmentFault(
            f"MySQL at {settings.host}:{settings.port} cannot be used as {settings.username} (error {error.errno}): "
            "check that it runs, and the secret"
        ) from None
    assert isinstance(connection, MySQLConnectionAbstract)  # noqa: S101 - connect() gives a pooled one only when asked
    with connection.cursor() as cursor:
        cursor.execute("set session transaction isolation level read committed")
    return connection


@functools.cache
def _file_of(pem: str) -> str:
    """Write the authorities into a file of this process, since the client takes nothing but a file."""
    folder = tempfile.mkdtemp(prefix="freshet-ca-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "ca.pem")
    path.write_text(pem)
    return str(path)
