"""The Data API as the Redshift Management Guide and its API reference describe it."""

import json
import time
import urllib.request
import uuid

import psycopg
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from sandbox.redshift.jobs import Job, Jobs, Part

WHERE = {"WorkgroupName": "freshet", "Database": "dev"}


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]


def plan_fault(warehouse, **fault):
    url = f"{warehouse.redshift.endpoint_url}/_sandbox/faults"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(fault).encode(), method="POST")) as answer:
        return json.load(answer)


def injected(warehouse):
    with urllib.request.urlopen(f"{warehouse.redshift.endpoint_url}/_sandbox/faults") as answer:
        return json.load(answer)["injected"]


def test_a_statement_is_described_and_its_rows_are_fetched(warehouse):
    """API reference, ExecuteStatement, DescribeStatement, GetStatementResult: fields keep their kinds."""
    sql = (
        "select 1 as i, 2.50::decimal(8,2) as d, 1.5::float8 as f, true as b, 'é' as s, null::int as n, "
        "date '2024-01-02' as day, timestamp '2024-01-02 03:04:05.5' as at"
    )
    submitted = warehouse.data_api.execute_statement(Sql=sql, StatementName="kinds", **WHERE)
    described = warehouse.describe(submitted["Id"])
    assert ("FINISHED", True, 1, sql) == tuple(
        described[name] for name in ("Status", "HasResultSet", "ResultRows", "QueryString")
    )
    result = warehouse.data_api.get_statement_result(Id=submitted["Id"])
    assert [
        {"longValue": 1},
        {"stringValue": "2.50"},
        {"doubleValue": 1.5},
        {"booleanValue": True},
        {"stringValue": "é"},
        {"isNull": True},
        {"stringValue": "2024-01-02"},
        {"stringValue": "2024-01-02 03:04:05.5"},
    ] == result["Records"][0]
    assert [
        ("i", "int4"),
        ("d", "numeric"),
        ("f", "float8"),
        ("b", "bool"),
        ("s", "varchar"),
        ("n", "int4"),
        ("day", "date"),
        ("at", "timestamp"),
    ] == [(column["name"], column["typeName"]) for column in result["ColumnMetadata"]]
    assert submitted["Id"] in [s["Id"] for s in warehouse.data_api.list_statements(StatementName="kin")["Statements"]]


def test_execute_waits_when_asked(warehouse):
    """API reference, ExecuteStatement: with WaitTimeSeconds the answer has Status and HasResultSet."""
    answer = warehouse.data_api.execute_statement(Sql="select 1", WaitTimeSeconds=30, **WHERE)
    assert ("FINISHED", True) == (answer["Status"], answer["HasResultSet"])


def test_a_batch_has_sub_statements(warehouse, table):
    """API reference, SubStatementData: ids `<uuid>:1`, own status, rows and result."""
    statement = warehouse.run(
        f"create table {table} (id int)", f"insert into {table} values (1), (2)", f"select id from {table} order by id"
    )
    state = warehouse.describe(statement)
    assert [(f"{statement}:{n}", "FINISHED") for n in (1, 2, 3)] == [
        (part["Id"], part["Status"]) for part in state["SubStatements"]
    ]
    assert [-1, 2, 2] == [part["ResultRows"] for part in state["SubStatements"]]
    assert [False, False, True] == [part["HasResultSet"] for part in state["SubStatements"]]
    rows = warehouse.data_api.get_statement_result(Id=f"{statement}:3")
    assert [[{"longValue": 1}], [{"longValue": 2}]] == rows["Records"]
    assert "FINISHED" == warehouse.describe(f"{statement}:3")["Status"]
    error = refused(warehouse.data_api.get_statement_result, Id=statement)
    assert (
        "ValidationException",
        "BatchExecuteStatement result can only be retrieved with sub-statement id.",
    ) == (error["Code"], error["Message"])


def test_a_batch_is_one_transaction(warehouse, table):
    """Management Guide, BatchExecuteStatement: the first failure rolls everything back and ends the batch."""
    warehouse.run(f"create table {table} (id int not null)")
    state = warehouse.describe(
        warehouse.submit(
            f"insert into {table} values (1)", f"insert into {table} values (null)", f"insert into {table} values (3)"
        )
    )
    assert ["FINISHED", "FAILED", "ABORTED"] == [part["Status"] for part in state["SubStatements"]]
    assert "Cannot insert a NULL value into column id" in state["SubStatements"][1]["Error"]
    assert "FAILED" == state["Status"]
    assert [[0]] == warehouse.rows(f"select count(*) from {table}")


def test_the_same_token_runs_once(warehouse, table):
    """Management Guide, idempotency: the same ClientToken gives the same id and runs nothing."""
    warehouse.run(f"create table {table} (id int)")
    token = str(uuid.uuid4())
    statements = {warehouse.run(f"insert into {table} values (1)", ClientToken=token) for _ in range(3)}
    assert 1 == len(statements)
    assert [[1]] == warehouse.rows(f"select count(*) from {table}")


def test_tokens_and_results_have_an_age():
    """Management Guide, considerations: a token counts for 8 hours, a result is kept for 24."""
    now = [0.0]
    jobs = Jobs(lambda: now[0])

    def job():
        return Job([Part("select 1")], "dev", "freshet", {}, is_batch=False, name="")

    first, _ = jobs.add(job(), "token")
    jobs.set(first, status="FINISHED")
    now[0] = 8 * 3600.0
    assert (first, False) == jobs.add(job(), "token")
    now[0] += 1
    second, is_new = jobs.add(job(), "token")
    assert (True, True) == (is_new, second is not first)
    now[0] = 24 * 3600.0
    assert (first, None) == jobs.find(first.id)
    now[0] += 1
    with pytest.raises(Exception, match="Query does not exist"):
        jobs.find(first.id)


def test_500_statements_may_be_active():
    """Management Guide, quotas: ActiveStatementsExceededException above 500 active statements."""
    jobs = Jobs()
    for _ in range(500):
        jobs.add(Job([Part("select 1")], "dev", "freshet", {}, is_batch=False, name=""), None)
    with pytest.raises(Exception, match="Active statements exceeded") as caught:
        jobs.add(Job([Part("select 1")], "dev", "freshet", {}, is_batch=False, name=""), None)
    assert "ActiveStatementsExceededException" == caught.value.name


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"Sqls": ["select 1"] * 41, **WHERE}, "between 1 and 40"),
        ({"Sqls": ["select '" + "x" * 100_000 + "'"], **WHERE}, "100 KB"),
        ({"Sqls": ["select 1"], "Database": "dev"}, "Either ClusterIdentifier or WorkgroupName needs to be specified."),
        ({"Sqls": ["select 1"], "Database": "dev", "WorkgroupName": "other"}, "Redshift endpoint doesn't exist"),
        ({"Sqls": ["select 1"], "ExecutionMode": "AUTO_COMMIT", **WHERE}, "TRANSACTION only"),
        ({"Sqls": ["select :a"], "Parameters": [{"name": "b", "value": "1"}], **WHERE}, "unused parameters"),
    ],
)
def test_what_the_api_does_not_take(warehouse, request_, message):
    """API reference, ValidationException: limits, a missing or unknown workgroup, an unused parameter."""
    error = refused(warehouse.data_api.batch_execute_statement, **request_)
    assert "ValidationException" == error["Code"]
    assert message in error["Message"]


def test_an_unknown_database_fails_the_statement(warehouse):
    """Management Guide, troubleshooting: the statement is accepted and fails when it connects."""
    answer = warehouse.data_api.execute_statement(
        Sql="select 1", WorkgroupName="freshet", Database="nope", WaitTimeSeconds=10
    )
    state = warehouse.describe(answer["Id"])
    assert ("FAILED", 'FATAL: database "nope" does not exist') == (state["Status"], state["Error"])


def test_unknown_statements_and_missing_results(warehouse, table):
    """API reference, ResourceNotFoundException."""
    nothing = str(uuid.uuid4())
    assert "ResourceNotFoundException" == refused(warehouse.data_api.describe_statement, Id=nothing)["Code"]
    assert "ResourceNotFoundException" == refused(warehouse.data_api.get_statement_result, Id=nothing)["Code"]
    statement = warehouse.run(f"create table {table} (id int)")
    assert "ResourceNotFoundException" == refused(warehouse.data_api.describe_statement, Id=f"{statement}:2")["Code"]
    error = refused(warehouse.data_api.get_statement_result, Id=f"{statement}:1")
    assert "Query does not have result" in error["Message"]


def test_parameters_are_texts_that_the_engine_types(warehouse, table):
    """API reference, SqlParameter: `:name` placeholders, shared by a batch; text in strings is no placeholder."""
    parameters = [{"name": "id", "value": "7"}, {"name": "said", "value": "it's :id; drop"}]
    warehouse.run(
        f"create table {table} (id bigint, said varchar(40))",
        f"insert into {table} values (:id, :said)",
        f"update {table} set said = :said where id = :id",
        Parameters=parameters,
    )
    assert [[7, "it's :id; drop", ":id"]] == warehouse.rows(
        f"select id, said, ':id' from {table} where id = :key", Parameters=[{"name": "key", "value": "7"}]
    )


def test_long_results_come_in_pages(warehouse, table):
    """API reference, GetStatementResult: NextToken."""
    digits = " union all ".join(f"select {n} as d" for n in range(10))
    warehouse.run(
        f"create table {table} (n int)",
        f"insert into {table} with d as ({digits}) "
        "select a.d + 10 * b.d + 100 * c.d + 1000 * e.d from d as a cross join d as b cross join d as c cross join d as e "
        "where e.d < 3",
    )
    assert [[n] for n in range(3000)] == warehouse.rows(f"select n from {table} order by n")


def test_cancel_stops_and_rolls_back(warehouse, table):
    """API reference, CancelStatement: ABORTED, and nothing of the batch stays; a done one cannot be canceled."""
    warehouse.run(f"create table {table} (id int)")
    plan_fault(warehouse, operation="BatchExecuteStatement", fault="delay_s", value=60)
    statement = warehouse.submit(f"insert into {table} values (1)")
    while warehouse.describe(statement, None)["SubStatements"][0]["Status"] != "FINISHED":
        time.sleep(0.01)
    assert warehouse.data_api.cancel_statement(Id=statement)["Status"]
    assert "ABORTED" == warehouse.describe(statement)["Status"]
    assert [[0]] == warehouse.rows(f"select count(*) from {table}")
    assert "ValidationException" == refused(warehouse.data_api.cancel_statement, Id=statement)["Code"]
    assert injected(warehouse)["BatchExecuteStatement.delay_s"] >= 1


def test_a_lost_answer_is_no_lost_statement(warehouse, table):
    """The fault that tests of the product need: the statement runs, its answer never comes; the token finds it."""
    warehouse.run(f"create table {table} (id int)")
    plan_fault(warehouse, operation="BatchExecuteStatement", fault="lose_response")
    token = str(uuid.uuid4())
    with pytest.raises(ConnectionClosedError):
        warehouse.submit(f"insert into {table} values (1)", ClientToken=token)
    warehouse.run(f"insert into {table} values (1)", ClientToken=token)
    assert [[1]] == warehouse.rows(f"select count(*) from {table}")
    assert injected(warehouse)["BatchExecuteStatement.lose_response"] >= 1


def test_throttling_runs_nothing(warehouse, table):
    """Management Guide, quotas: ThrottlingException above the rate of an operation."""
    warehouse.run(f"create table {table} (id int)")
    plan_fault(warehouse, operation="ExecuteStatement", fault="throttle")
    error = refused(warehouse.data_api.execute_statement, Sql=f"drop table {table}", **WHERE)
    assert "ThrottlingException" == error["Code"]
    assert [[0]] == warehouse.rows(f"select count(*) from {table}")


def test_a_long_poll_ends_when_its_time_is_over(warehouse):
    """API reference, WaitTimeSeconds: the answer comes when the statement is done, or when the time is over."""
    plan_fault(warehouse, operation="ExecuteStatement", fault="delay_s", value=600)
    answer = warehouse.data_api.execute_statement(Sql="select 1", WaitTimeSeconds=1, **WHERE)
    assert "STARTED" == answer["Status"]
    assert "STARTED" == warehouse.describe(answer["Id"], 1)["Status"]
    warehouse.data_api.cancel_statement(Id=answer["Id"])
    assert "ABORTED" == warehouse.describe(answer["Id"])["Status"]


def test_any_postgresql_client_can_look(warehouse, table):
    """The bare database, for looking: what the Data API committed is there."""
    warehouse.run(f"create table {table} (id int)", f"insert into {table} values (1)")
    with psycopg.connect(warehouse.redshift.postgres.uri) as connection:
        assert [(1,)] == connection.execute(f"select id from {table}").fetchall()
