"""The bootstrap job: both databases are prepared, with no more rights than are needed."""

import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import mysql.connector
import psycopg
import pytest

from freshet.cli.context import Place
from freshet.ledger.ledger import Ledger
from freshet.pipeline.connection import connect
from freshet.pipeline.protection import read_token_key
from freshet.redshift.data_api import Warehouse
from tests.launchers.conftest import Shell, administrator


class Prepared:
    """What one test's bootstrap is about."""

    def __init__(self, place: Place, admin: dict[str, Any]) -> None:
        self.place, mark = place, uuid.uuid4().hex[:8]
        self.database, self.role, self.schema = f"boot_{mark}", f"boot-{mark}-streaming", f"sales_{mark}"
        self.reader_role, self.operator = f"people_{mark}", f"Operators_{mark}"
        mysql = place.endpoints["mysql"]
        where = {"host": mysql["host"], "port": mysql["port"], "dbname": self.database}
        self.users = {
            kind: {**where, "username": f"{kind}_{mark}", "password": uuid.uuid4().hex} for kind in ("dms", "reader")
        }
        self.secrets = place.client("secretsmanager")
        for kind, user in self.users.items():
            self.secrets.create_secret(Name=f"{mark}/{kind}", SecretString=json.dumps(user))
        self.secrets.create_secret(Name=f"{mark}/admin", SecretString=json.dumps(admin))
        self.secrets.create_secret(Name=f"{mark}/tokens")
        self.secrets.create_secret(Name=f"{mark}/warehouse", SecretString='{"username": "admin", "password": "any"}')
        self.mark = mark

    def arguments(self, authorities: str) -> list[str]:
        """The arguments of the deployed job, for this place."""
        redshift = self.place.endpoints["redshift"]
        return [
            "--admin_secret", f"{self.mark}/admin", "--source_database", self.database, "--source_ca", authorities,
            "--replication_secret", f"{self.mark}/dms", "--reader_secret", f"{self.mark}/reader",
            "--token_secret", f"{self.mark}/tokens", "--binlog_retention_hours", "72", "--create_example_tables", "true",
            "--workgroup", redshift["workgroup"], "--warehouse_database", redshift["database"],
            "--warehouse_secret", f"{self.mark}/warehouse", "--job_role", self.role, "--target_schema", self.schema,
            "--readers", f"analysts, {self.reader_role}", "--operators", f"IAMR:{self.operator}, IAM:alice",
            "--workflow_roles", f"{self.role}-sql,{self.role}-load", "--pull_role", f"{self.role}-pull",
            "--export_role", f"{self.role}-export",
        ]  # fmt: skip

    def mysql(self, kind: str, **more: Any) -> Any:
        """Connect as one of the users that it made."""
        user = self.users[kind]
        return mysql.connector.connect(
            host=user["host"], port=user["port"], user=user["username"], password=user["password"],
            **{"ssl_ca": self.place.endpoints["mysql"]["tls_ca"], "ssl_verify_cert": True, **more},
        )  # fmt: skip


@pytest.fixture(scope="module")
def rds(place: Place) -> Iterator[None]:
    """A server with the one procedure of RDS that the job calls; it notes what it was told.

    Source: RDS user guide, "mysql.rds_set_configuration".
    """
    with administrator(place) as connection, connection.cursor() as cursor:
        cursor.execute("create table if not exists mysql.told (name varchar(30), value int)")
        cursor.execute("drop procedure if exists mysql.rds_set_configuration")
        cursor.execute(
            "create procedure mysql.rds_set_configuration(in name varchar(30), in value int) "
            "insert into mysql.told values (name, value)"
        )
    yield None
    with administrator(place) as connection, connection.cursor() as cursor:
        cursor.execute("drop procedure mysql.rds_set_configuration")
        cursor.execute("drop table mysql.told")


@pytest.fixture(scope="module")
def prepared(place: Place, shell: Shell, rds: None, source_admin: dict[str, Any]) -> Prepared:
    """Bootstrapped twice, as after a change of passwords."""
    prepared = Prepared(place, source_admin)
    first = shell.run("bootstrap", *prepared.arguments(shell.authorities))
    assert "the first token key is made" in first
    prepared.users["dms"]["password"] = uuid.uuid4().hex
    prepared.secrets.put_secret_value(SecretId=f"{prepared.mark}/dms", SecretString=json.dumps(prepared.users["dms"]))
    second = shell.run("bootstrap", *prepared.arguments(shell.authorities))
    assert "the token key is there" in second
    for said in (first, second):
        assert not [user for user in prepared.users.values() if user["password"] in said]
    return prepared


def grants(prepared: Prepared, kind: str) -> str:
    """What MySQL says that a user may do."""
    with prepared.mysql(kind) as connection, connection.cursor() as cursor:
        cursor.execute("show grants")
        return "\n".join(row[0] for row in cursor.fetchall())


def test_dms_may_follow_and_read(prepared: Prepared) -> None:
    """REPLICATION CLIENT and SLAVE, SELECT in one database, with the newest password; nothing else."""
    said = grants(prepared, "dms")
    assert f"GRANT SELECT ON `{prepared.database}`.*" in said
    assert "REPLICATION SLAVE" in said
    assert not [right for right in ("ALL", "INSERT", "UPDATE", "DELETE", "SUPER", "GRANT OPTION") if right in said]


def test_the_job_may_only_read(prepared: Prepared) -> None:
    """SELECT in one database; a write is refused."""
    assert "REPLICATION" not in grants(prepared, "reader")
    with prepared.mysql("reader", database=prepared.database) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from customer")
        assert [(0,)] == cursor.fetchall()
        with pytest.raises(mysql.connector.Error, match="denied"):
            cursor.execute("delete from customer")


@pytest.mark.parametrize("kind", ["dms", "reader"])
def test_nobody_comes_without_tls(prepared: Prepared, kind: str) -> None:
    """REQUIRE SSL."""
    with pytest.raises(mysql.connector.Error, match="denied"):
        prepared.mysql(kind, ssl_disabled=True, ssl_ca=None, ssl_verify_cert=False)


def test_the_binlog_is_kept(prepared: Prepared) -> None:
    """RDS was told so, in its own words."""
    with connect(prepared.place.mysql) as connection, connection.cursor() as cursor:
        cursor.execute("select distinct name, value from mysql.told")
        assert [("binlog retention hours", 72)] == cursor.fetchall()


def test_the_first_key_is_a_key(prepared: Prepared) -> None:
    """The streaming job takes it."""
    assert "1" == read_token_key(prepared.secrets, f"{prepared.mark}/tokens").key_id


def run_as(prepared: Prepared, sql: str, role: str | None = None) -> tuple[str, str]:
    """Run a statement as a role, the streaming job's if none is named; give status and error."""
    client = boto3.client(
        "redshift-data", endpoint_url=prepared.place.endpoints["redshift"]["endpoint_url"], region_name="us-east-1",
        aws_access_key_id=role or prepared.role, aws_secret_access_key="any",
    )  # fmt: skip
    redshift = prepared.place.endpoints["redshift"]
    statement = client.execute_statement(WorkgroupName=redshift["workgroup"], Database=redshift["database"], Sql=sql)[
        "Id"
    ]
    state = client.describe_statement(Id=statement, WaitTimeSeconds=20)
    client.close()
    return state["Status"], state.get("Error", "")


@pytest.mark.parametrize(("sql", "status"), [
    ("create table {schema}.t (id int)", "FINISHED"),
    ("create table freshet.t_{schema} (id int)", "FINISHED"),
    ("create table public.t (id int)", "FAILED"),
    ("create schema other", "FAILED"),
    ("grant usage on schema {schema} to role {reader}", "FINISHED"),
    ("create role more", "FAILED"),
])  # fmt: skip
def test_the_job_has_the_rights_it_needs_and_no_more(prepared: Prepared, sql: str, status: str) -> None:
    """Tables in the ledger's and the target's schema, and grants on them."""
    found, error = run_as(prepared, sql.format(schema=prepared.schema, reader=prepared.reader_role))
    assert status == found, error
    if status == "FAILED":
        assert "permission denied" in error


@pytest.mark.parametrize(("role", "sql", "status"), [
    ("sql", "create table {schema}.summary (id int)", "FINISHED"),
    ("sql", "create schema more_{schema}", "FINISHED"),
    ("sql", "create table public.summary (id int)", "FAILED"),
    ("sql", "select count(*) from {schema}.made_by_the_job", "FINISHED"),
    ("sql", "delete from {schema}.made_by_the_job", "FAILED"),
    ("sql", "insert into freshet.runs values ('{schema}', 'sql', 'x', sysdate, sysdate, 0, 0, 'done', '')", "FINISHED"),
    ("sql", "update freshet.runs set rows = 1 where run = '{schema}'", "FINISHED"),
    ("sql", "delete from freshet.runs", "FAILED"),
    ("load", "create table {schema}.loaded (id int)", "FINISHED"),
    ("load", "create table freshet.{schema}_files (id int)", "FINISHED"),
    ("load", "create schema other_{schema}", "FAILED"),
    ("load", "select count(*) from {schema}.made_by_the_job", "FAILED"),
    ("load", "update freshet.runs set rows = 1 where run = '{schema}'", "FINISHED"),
    ("pull", "select count(*) from {schema}.made_by_the_job", "FINISHED"),
    ("pull", "select count(*) from {schema}.made_by_sql", "FINISHED"),
    ("pull", "select count(*) from freshet.{schema}_steps", "FINISHED"),
    ("pull", "delete from {schema}.made_by_the_job", "FAILED"),
    ("pull", "create table {schema}.pulled (id int)", "FAILED"),
    ("pull", "create table freshet.{schema}_pulled (id int)", "FAILED"),
    ("pull", "update freshet.runs set rows = 1 where run = '{schema}'", "FAILED"),
    ("export", "select count(*) from {schema}.made_by_sql", "FINISHED"),
    ("export", "create table freshet.{schema}_export as select * from {schema}.made_by_the_job", "FINISHED"),
    ("export", "create table {schema}.exported (id int)", "FAILED"),
    ("export", "delete from {schema}.made_by_the_job", "FAILED"),
    ("export", "update freshet.runs set rows = 1 where run = '{schema}'", "FINISHED"),
    ("export", "select count(*) from freshet.{schema}_steps", "FAILED"),
])  # fmt: skip
def test_the_other_jobs_have_the_rights_they_need(prepared: Prepared, role: str, sql: str, status: str) -> None:
    """Those of workflows: tables beside the target, the ledger of runs; the one that runs SQL reads the target, makes schemas.

    What serves reads what the others made; the job that exports has tables of its own beside the ledger.
    """
    for table in (f"{prepared.schema}.made_by_the_job", f"freshet.{prepared.schema}_steps"):
        run_as(prepared, f"create table {table} (id int)")
    run_as(prepared, f"create table {prepared.schema}.made_by_sql (id int)", f"{prepared.role}-sql")
    found, error = run_as(prepared, sql.format(schema=prepared.schema), f"{prepared.role}-{role}")
    assert status == found, error
    if status == "FAILED":
        assert "permission denied" in error


def test_who_looks_after_it_may_run_things_too(prepared: Prepared) -> None:
    """`freshet sql run --aws` and the others write the ledger as the one who runs them."""
    sql = f"insert into freshet.runs values ('o_{prepared.mark}', 'sql', 'x', sysdate, sysdate, 0, 0, 'done', '')"
    assert ("FINISHED", "") == run_as(prepared, sql, prepared.operator)


def test_the_readers_are_there(prepared: Prepared) -> None:
    """Old and new roles; the job has them, so that it sees them."""
    with psycopg.connect(prepared.place.endpoints["redshift"]["postgres_uri"]) as postgres:
        found = postgres.execute("select rolname from pg_roles where rolname = %s", (prepared.reader_role,)).fetchall()
    assert [(prepared.reader_role,)] == found
    assert "FINISHED" == run_as(prepared, "select role_name from svv_roles")[0]


def test_an_operator_reads_what_the_job_makes(prepared: Prepared) -> None:
    """Tables of the ledger that are made later, and the target as a reader; it writes neither."""
    table, target = f"freshet.later_{prepared.mark}", f"{prepared.schema}.target"
    for sql in (
        f"create table {table} (id int)", f"create table {target} (id int)",
        f"grant usage on schema {prepared.schema} to role {prepared.reader_role}",
        f"grant select on {target} to role {prepared.reader_role}",
    ):  # fmt: skip
        assert "FINISHED" == run_as(prepared, sql)[0]
    for name in (table, target):
        assert ("FINISHED", "") == run_as(prepared, f"select count(*) from {name}", prepared.operator)
        assert "permission denied" in run_as(prepared, f"insert into {name} values (1)", prepared.operator)[1]
    assert "permission denied" in run_as(prepared, "create table freshet.own (id int)", prepared.operator)[1]


def test_a_view_of_another_user_stops_no_job(prepared: Prepared, caplog: pytest.LogCaptureFixture) -> None:
    """The first job of a warehouse owns `freshet.freshness`; the next one's job goes on, and says whose it is."""
    redshift = prepared.place.endpoints["redshift"]
    admin = prepared.place.warehouse
    there = admin.query("select 1 as found from svv_tables where table_schema = 'freshet' and table_name = 'freshness'")
    if not there:
        admin.run(["create view freshet.freshness as select 1 as x"])
    client = boto3.client(
        "redshift-data", endpoint_url=redshift["endpoint_url"], region_name="us-east-1",
        aws_access_key_id=prepared.role, aws_secret_access_key="any",
    )  # fmt: skip
    pipeline = SimpleNamespace(name=f"second_{prepared.mark}", target=f"{prepared.schema}.second", readers=())
    ledger = Ledger(Warehouse(client, redshift["workgroup"], redshift["database"]), pipeline, "")  # type: ignore[arg-type]
    ledger.warehouse.run([*ledger.tables.create()])
    ledger._make_view()
    client.close()
    if not there:
        admin.run(["drop view freshet.freshness"])
    assert "belongs to another user" in caplog.text


def test_a_server_that_hides_changes_is_refused(prepared: Prepared, shell: Shell) -> None:
    """It says which setting, and the passwords stay secret."""
    with administrator(prepared.place) as connection, connection.cursor() as cursor:
        cursor.execute("set global binlog_row_image = minimal")
        try:
            said = shell.run("bootstrap", *prepared.arguments(shell.authorities), code=3)
        finally:
            cursor.execute("set global binlog_row_image = full")
    assert "binlog_row_image is MINIMAL, not FULL" in said


def test_a_secret_that_is_missing_is_named(prepared: Prepared, shell: Shell) -> None:
    """Exit code 3, the operation and the code."""
    arguments = [word.replace(f"{prepared.mark}/reader", "no/such") for word in prepared.arguments(shell.authorities)]
    assert "ResourceNotFoundException to GetSecretValue" in shell.run("bootstrap", *arguments, code=3)
