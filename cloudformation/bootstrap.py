"""Prepare both databases: who may read the source, how long it keeps its binlog, who may write the warehouse, the first key.

In the warehouse it also makes the ledger of batch runs, so that every job that runs there finds it.

It runs inside the VPC, as a Python shell job, once the stack is there; again whenever passwords or names changed. Each
step is safe to repeat. It tells names and numbers, never a password or a key.

Reads:  secrets of both administrators and of the two users to be made.
Gives:  one line a step on stdout; exit code 0 done, 1 failed, 3 something around it is missing or refuses.

Source: RDS user guide, "mysql.rds_set_configuration"; DMS user guide, "Using an AWS-managed MySQL-compatible database as a
source"; Redshift database developer guide, "CREATE USER", "GRANT", "ALTER DEFAULT PRIVILEGES".
"""

import argparse
import base64
import contextlib
import json
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import boto3
import mysql.connector
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from freshet.errors import FreshetError
from freshet.glue_arguments import read
from freshet.redshift import catalogue, data_api, runs
from freshet.unsent import unsent

SCHEMA = "freshet"  # of the ledger; the streaming job makes its tables there, since it knows their types
NO_PROCEDURE = 1305
WANTED = {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_image": "FULL"}


class Refused(Exception):
    """A step cannot be done; the message names no value."""

    exit_code = 3


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prepare everything; give the exit code."""
    chosen = parse(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            certificates = Path(folder, "authorities.pem")
            certificates.write_bytes(fetch(chosen.source_ca))
            prepare_source(chosen, str(certificates))
        make_first_key(chosen.token_secret)
        prepare_warehouse(chosen)
    except (Refused, FreshetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except mysql.connector.Error as error:
        print(f"error: MySQL answered error {error.errno} (SQLSTATE {error.sqlstate})", file=sys.stderr)
        return 1
    except ParamValidationError as error:
        print(f"error: {unsent(error, 'a call')}", file=sys.stderr)
        return 1
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        operation = getattr(error, "operation_name", "a call")
        print(f"error: AWS answered {code} to {operation}: check the job's role and network", file=sys.stderr)
        return 3
    print("both databases are prepared")
    return 0


def parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """Read the arguments; Glue's own among them are left alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    may_be_empty: dict[str, Any] = {
        "nargs": "?",
        "const": "",
        "default": "",
    }  # Glue may leave out a value that is empty
    source = parser.add_argument_group("source database")
    source.add_argument("--admin_secret", required=True, help="administrator: host, port, username, password")
    source.add_argument("--source_database", required=True)
    source.add_argument(
        "--source_ca", required=True, help="authorities that signed its certificate; a file or s3:// url"
    )
    source.add_argument("--replication_secret", required=True, help="user of DMS: username, password")
    source.add_argument("--reader_secret", required=True, help="user of the streaming job: username, password")
    source.add_argument("--binlog_retention_hours", type=int, default=72)
    source.add_argument("--create_example_tables", choices=("true", "false"), default="false")
    warehouse = parser.add_argument_group("warehouse")
    warehouse.add_argument("--workgroup", required=True)
    warehouse.add_argument("--warehouse_database", required=True)
    warehouse.add_argument("--warehouse_secret", required=True, help="administrator: username, password")
    warehouse.add_argument("--job_role", required=True, help="name of the streaming job's role")
    warehouse.add_argument("--target_schema", default="public")
    warehouse.add_argument("--readers", **may_be_empty, help="roles that may read the target, separated by commas")
    warehouse.add_argument(
        "--operators", **may_be_empty, help="users of those who look after it, such as IAM:alice, IAMR:admins"
    )
    warehouse.add_argument(
        "--workflow_roles",
        **may_be_empty,
        help="names of the roles of the jobs that run SQL and load files, in this order",
    )
    warehouse.add_argument("--pull_role", **may_be_empty, help="name of the role of the function for pullers")
    warehouse.add_argument("--export_role", **may_be_empty, help="name of the role of the job that exports")
    parser.add_argument("--token_secret", required=True, help="gets its first key if it has none")
    return read(parser, argv)


# ---- the source ---------------------------------------------------------------------------------------------------------


def prepare_source(chosen: argparse.Namespace, certificates: str) -> None:
    """Keep the binlog, make the users, and the example's tables where they are wanted."""
    admin = secret(chosen.admin_secret)
    settings = {"ssl_ca": certificates, "ssl_verify_cert": True, "ssl_verify_identity": True, "connection_timeout": 10}
    try:
        connection = mysql.connector.connect(
            host=admin["host"], port=int(admin["port"]), user=admin["username"], password=admin["password"],
            autocommit=True, **settings,
        )  # fmt: skip
    except mysql.connector.Error as error:
        raise Refused(f"no connection to MySQL at {admin['host']}:{admin['port']} (error {error.errno})") from None
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        check_binlog(cursor)
        keep_binlog(cursor, chosen.binlog_retention_hours)
        database = named(chosen.source_database)
        cursor.execute(f"create database if not exists {database}")
        replication, reader = secret(chosen.replication_secret), secret(chosen.reader_secret)
        make_user(cursor, replication, "replication client, replication slave on *.*", f"select on {database}.*")
        make_user(cursor, reader, f"select on {database}.*")
        if chosen.create_example_tables == "true":
            cursor.execute(f"use {database}")
            statements = Path(__file__).with_name("shop").joinpath("schema.sql").read_text().split(";")
            for statement in filter(str.strip, statements):
                cursor.execute(statement)
            print(f"{chosen.source_database} has the example's tables")


def check_binlog(cursor: Any) -> None:
    """Refuse a server whose binlog does not tell every change."""
    marks = ", ".join(["%s"] * len(WANTED))
    cursor.execute(f"show global variables where variable_name in ({marks})", tuple(WANTED))
    is_set = {name.lower(): value.upper() for name, value in cursor.fetchall()}
    wrong = [
        f"{name} is {is_set.get(name, 'unknown')}, not {value}"
        for name, value in WANTED.items()
        if is_set.get(name) != value
    ]
    if wrong:
        raise Refused(
            f"{'; '.join(wrong)}: set it in the server's parameter group (log_bin comes with automated backups), then restart it"
        )
    print("the binlog tells every change")


def keep_binlog(cursor: Any, hours: int) -> None:
    """Tell RDS how long to keep the binlog; no parameter of its parameter group does."""
    try:
        cursor.execute("call mysql.rds_set_configuration('binlog retention hours', %s)", (hours,))
    except mysql.connector.Error as error:
        if error.errno != NO_PROCEDURE:
            raise
        print(f"this is not RDS: see to it that the binlog is kept {hours} h (binlog_expire_logs_seconds)")
    else:
        print(f"the binlog is kept {hours} h")


def make_user(cursor: Any, user: "dict[str, Any]", *rights: str) -> None:
    """Make a user who needs TLS, or give it its password again, and grant it its rights."""
    name = user["username"]
    account = f"'{checked(name)}'@'%'"
    cursor.execute(f"create user if not exists {account} identified by %s require ssl", (user["password"],))
    cursor.execute(f"alter user {account} identified by %s require ssl", (user["password"],))
    for right in rights:
        cursor.execute(f"grant {right} to {account}")
    print(f"{name} may {', '.join(right.partition(' on ')[0] for right in rights)}")


def checked(name: str) -> str:
    """Take a name only if it needs no escape."""
    if not re.fullmatch("[A-Za-z0-9_-]{1,32}", name):
        raise Refused("a secret's username has more than 32 letters, digits, _ and -")
    return name


def named(name: str) -> str:
    """Quote a name for MySQL."""
    return "`" + name.replace("`", "``") + "`"


# ---- the keys -----------------------------------------------------------------------------------------------------------


def make_first_key(name: str) -> None:
    """Give the token secret its first key; one that is there is never touched."""
    client = boto3.client("secretsmanager")
    if client.describe_secret(SecretId=name).get("VersionIdsToStages"):
        print("the token key is there")
        return
    content = {"active": "1", "keys": {"1": base64.b64encode(secrets.token_bytes(32)).decode()}}
    client.put_secret_value(SecretId=name, SecretString=json.dumps(content))
    print("the first token key is made")


# ---- the warehouse ------------------------------------------------------------------------------------------------------


def prepare_warehouse(chosen: argparse.Namespace) -> None:
    """Make the job's user, the schemas in which it makes its tables, the readers' roles, and the operators."""
    warehouse = Warehouse(chosen.workgroup, chosen.warehouse_database, chosen.warehouse_secret)
    user = f"IAMR:{chosen.job_role}"
    workers = [f"IAMR:{role}" for role in several(chosen.workflow_roles)]
    puller, exporter = ([f"IAMR:{role}"] if role else [] for role in (chosen.pull_role, chosen.export_role))
    make_identities(warehouse, [user, *workers, *puller, *exporter, *several(chosen.operators)])
    for schema in catalogue.missing_schemas(through_the_data_api(chosen), (SCHEMA, chosen.target_schema)):
        owner = f" authorization {quoted(user)}" if schema == SCHEMA else ""
        warehouse.run(f"create schema {quoted(schema)}{owner}")
    for schema in (SCHEMA, chosen.target_schema):  # with the grant option the job can let its readers in
        warehouse.run(f"grant usage, create on schema {quoted(schema)} to {quoted(user)} with grant option")
    print(f"{user} makes its tables in {SCHEMA} and {chosen.target_schema}")
    make_run_ledger(chosen, [*workers, *exporter, *several(chosen.operators)])
    let_in(warehouse, user, several(chosen.readers), several(chosen.operators))
    let_workflows_in(warehouse, user, workers, chosen)
    makers = [user, *workers]
    for server in (*puller, *exporter):
        let_read(warehouse, server, chosen.target_schema, makers)
    for each in puller:  # a pipeline's ledger tells when its rows were committed
        let_read(warehouse, each, SCHEMA, [user])
    for each in exporter:
        warehouse.run(f"grant usage, create on schema {SCHEMA} to {quoted(each)}")


def make_identities(warehouse: "Warehouse", users: Sequence[str]) -> None:
    """Make the users as which identities of IAM come; they have no password."""
    there = set(map(str.lower, warehouse.names("select usename from pg_user")))
    for user in users:
        if user.lower() not in there:
            warehouse.run(f"create user {quoted(user)} password disable")


def let_in(warehouse: "Warehouse", user: str, readers: Sequence[str], operators: Sequence[str]) -> None:
    """Let readers read the target, through roles, and operators the ledger too; also what the job makes later."""
    roles = warehouse.names("select role_name from svv_roles")
    for reader in readers:
        if reader not in roles:
            warehouse.run(f"create role {quoted(reader)}")
        # A user sees only roles that it has: so the job finds that this one is there.
        for each in (user, *operators):
            warehouse.run(f"grant role {quoted(reader)} to {quoted(each)}")
        print(f"the role {reader} is there")
    for operator in operators:
        warehouse.run(f"grant usage on schema {SCHEMA} to {quoted(operator)}")
        warehouse.run(f"grant select on all tables in schema {SCHEMA} to {quoted(operator)}")
        later = f"alter default privileges for user {quoted(user)} in schema {SCHEMA}"
        warehouse.run(f"{later} grant select on tables to {quoted(operator)}")
        print(f"{operator} may read the ledger")


def make_run_ledger(chosen: argparse.Namespace, writers: Sequence[str]) -> None:
    """Make the ledger of batch runs, and let everyone write it who runs something."""
    runs.create(through_the_data_api(chosen), [quoted(writer) for writer in dict.fromkeys(writers)])
    print("the ledger of runs is there")


def through_the_data_api(chosen: argparse.Namespace) -> data_api.Warehouse:
    """Give the same warehouse to Freshet's own code."""
    client = boto3.client("redshift-data")
    return data_api.Warehouse(client, chosen.workgroup, chosen.warehouse_database, chosen.warehouse_secret)


def let_workflows_in(warehouse: "Warehouse", user: str, workers: Sequence[str], chosen: argparse.Namespace) -> None:
    """Let the jobs of workflows make tables beside the target, and read it; the first of them makes external schemas too."""
    for worker in workers:
        warehouse.run(f"grant usage, create on schema {quoted(chosen.target_schema)} to {quoted(worker)}")
        warehouse.run(f"grant usage, create on schema {SCHEMA} to {quoted(worker)}")
        print(f"{worker} makes its tables in {chosen.target_schema}")
    for reader in workers[:1]:
        warehouse.run(f"grant create on database {quoted(chosen.warehouse_database)} to {quoted(reader)}")
        warehouse.run(f"grant select on all tables in schema {quoted(chosen.target_schema)} to {quoted(reader)}")
        later = f"alter default privileges for user {quoted(user)} in schema {quoted(chosen.target_schema)}"
        warehouse.run(f"{later} grant select on tables to {quoted(reader)}")


def let_read(warehouse: "Warehouse", reader: str, schema: str, makers: Sequence[str]) -> None:
    """Let a user read all tables of a schema, also those that some users make later."""
    warehouse.run(f"grant usage on schema {quoted(schema)} to {quoted(reader)}")
    warehouse.run(f"grant select on all tables in schema {quoted(schema)} to {quoted(reader)}")
    for maker in makers:
        later = f"alter default privileges for user {quoted(maker)} in schema {quoted(schema)}"
        warehouse.run(f"{later} grant select on tables to {quoted(reader)}")
    print(f"{reader} may read {schema}")


def several(names: str) -> "list[str]":
    """Read names separated by commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


class Warehouse:
    """The Redshift database, as its administrator."""

    def __init__(self, workgroup: str, database: str, admin_secret: str) -> None:
        self._client = boto3.client("redshift-data")
        self._where = {"WorkgroupName": workgroup, "Database": database, "SecretArn": admin_secret}

    def run(self, sql: str) -> str:
        """Run one statement; give its id."""
        statement = str(self._client.execute_statement(Sql=sql, **self._where)["Id"])
        while True:
            state = self._client.describe_statement(Id=statement)
            if state["Status"] == "FINISHED":
                return statement
            if state["Status"] in ("FAILED", "ABORTED"):
                raise Refused(f"Redshift refused `{sql}`: {state.get('Error', state['Status'])}")
            time.sleep(0.2)

    def names(self, sql: str) -> "set[str]":
        """Run one query; give the values of its only column."""
        pages = self._client.get_paginator("get_statement_result").paginate(Id=self.run(sql))
        return {record[0]["stringValue"] for page in pages for record in page["Records"]}


def quoted(name: str) -> str:
    """Quote a name for Redshift."""
    return '"' + name.replace('"', '""') + '"'


# ---- what both need -----------------------------------------------------------------------------------------------------


def secret(name: str) -> "dict[str, Any]":
    """Read a secret whose text is a JSON object."""
    try:
        return dict(json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]))
    except (KeyError, TypeError, ValueError):  # the cause would quote the secret
        raise Refused(f"the secret {name} is not a JSON object") from None


def fetch(place: str) -> bytes:
    """Read a file, here or in S3."""
    if not place.startswith("s3://"):
        return Path(place).read_bytes()
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bytes(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
