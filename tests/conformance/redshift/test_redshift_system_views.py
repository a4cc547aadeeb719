"""What the system views tell, as the Redshift Developer Guide describes them."""

import datetime as dt

import boto3
import pytest
from conftest import BUCKET, KEYS, ROLE

from sandbox.redshift.server import Redshift

NINE = "c1, c2, c3, c4, c5, c6, c7, c8, c9"
HISTORY = "select trim(query_type), trim(status) from sys_query_history where transaction_id = {} order by query_id"


def transaction(warehouse, statement):
    query = warehouse.describe(f"{statement}:1")["RedshiftQueryId"]
    ((number,),) = warehouse.rows(f"select transaction_id from sys_query_history where query_id = {query}")
    return number


def test_every_statement_is_in_the_history(warehouse, table):
    """'SYS_QUERY_HISTORY': a row for each, with its type, times, rows, text; one transaction for a batch."""
    began = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    statement = warehouse.run(
        f"create table {table} (n int)",
        f"insert into {table} values (1), (2)",
        f"update {table} set n = 3 where n = 2",
        f"select n from {table} order by n",
        f"create table {table}_2 as select n from {table}",
        f"delete from {table}",
        f"lock {table}",
    )
    number = transaction(warehouse, statement)
    types = ["DDL", "INSERT", "UPDATE", "SELECT", "CTAS", "DELETE", "UTILITY"]
    assert [[kind, "success"] for kind in types] == warehouse.rows(HISTORY.format(number))
    query = warehouse.describe(f"{statement}:4")["RedshiftQueryId"]
    ((text, rows, size, start, end, elapsed, database),) = warehouse.rows(
        "select trim(query_text), returned_rows, returned_bytes, start_time, end_time, elapsed_time, trim(database_name) "
        f"from sys_query_history where query_id = {query}"
    )
    assert (f"select n from {table} order by n", 2, 2, "dev") == (text, rows, size, database)
    start, end = (dt.datetime.fromisoformat(moment) for moment in (start, end))
    assert began - dt.timedelta(seconds=1) <= start <= end
    assert elapsed == (end - start) // dt.timedelta(microseconds=1)


def test_what_failed_or_was_canceled_is_in_the_history(warehouse, table):
    """'SYS_QUERY_HISTORY': status and reason; what never began has no row, and nothing rolls back."""
    failed = warehouse.submit(f"create table {table} (n int)", "select 1 / 0", "select 2")
    assert "FAILED" == warehouse.describe(failed)["Status"]
    number = transaction(warehouse, failed)
    assert [["DDL", "success"], ["SELECT", "failed"]] == warehouse.rows(HISTORY.format(number))
    reason = f"select trim(error_message) from sys_query_history where transaction_id = {number} and status = 'failed'"
    assert [["division by zero"]] == [[text.lower()] for (text,) in warehouse.rows(reason)]
    warehouse.run(f"create table {table} (n int)")
    digits = " union all ".join(f"select {digit} as d" for digit in range(10))
    tables = ", ".join(f"({digits}) as {name}" for name in "abcdefghijkl")
    running = warehouse.submit(f"select count(*) from {tables}")
    while warehouse.describe(running, None)["SubStatements"][0]["Status"] != "STARTED":
        pass
    warehouse.data_api.cancel_statement(Id=running)
    assert "ABORTED" == warehouse.describe(running)["Status"]
    assert [["SELECT", "canceled"]] == warehouse.rows(HISTORY.format(transaction(warehouse, running)))


def test_loads_are_in_the_load_history(warehouse, table):
    """'SYS_LOAD_HISTORY', 'SYS_LOAD_DETAIL', 'STL_LOAD_COMMITS': rows, bytes and errors of a COPY, and its files."""
    for name, body in (("a", b"1\nx\n"), ("b", b"2\n3\n")):
        warehouse.s3.put_object(Bucket=BUCKET, Key=f"{table}/{name}", Body=body)
    source = f"s3://{BUCKET}/{table}/"
    copy = f"copy {table} from '{source}' iam_role '{ROLE}' csv maxerror 5"
    statement = warehouse.run(f"create table {table} (n int)", copy)
    query = warehouse.describe(f"{statement}:2")["RedshiftQueryId"]
    told = warehouse.rows(
        "select status, table_name, data_source, file_format, loaded_rows, source_file_count, source_file_bytes, error_count "
        f"from sys_load_history where query_id = {query}"
    )
    assert [["completed", table, source, "csv", 3, 2, 8, 1]] == told
    files = (
        f"select trim(file_name), lines_scanned, bytes_scanned from sys_load_detail where query_id = {query} order by 1"
    )
    assert [[f"{source}a", 2, 4], [f"{source}b", 2, 4]] == warehouse.rows(files)
    commits = f"select trim(filename), lines_scanned from stl_load_commits where query = {query} order by 1"
    assert [[f"{source}a", 2], [f"{source}b", 2]] == warehouse.rows(commits)
    warehouse.refusal(copy.replace("maxerror 5", ""))
    both = (
        f"select status, loaded_rows, error_count from sys_load_history where table_name = '{table}' order by query_id"
    )
    assert [["completed", 3, 1], ["aborted", 0, 1]] == warehouse.rows(both)


def test_everybody_sees_his_own(warehouse, redshift, table):
    """'Visibility of data in system tables and views': a superuser sees all rows, a regular user his own."""
    once = {**KEYS, "aws_access_key_id": table}
    client = boto3.client("redshift-data", endpoint_url=redshift.endpoint_url, **once)

    def rows(sql):
        answer = client.execute_statement(WorkgroupName="freshet", Database="dev", Sql=sql, WaitTimeSeconds=30)
        state = client.describe_statement(Id=answer["Id"])
        assert "FINISHED" == state["Status"], state.get("Error")
        return client.get_statement_result(Id=answer["Id"])["Records"]

    warehouse.run("select 1")
    rows("select 7 as mine")
    assert [["select 7 as mine"]] == [
        [field["stringValue"] for field in record] for record in rows("select trim(query_text) from sys_query_history")
    ]
    everything = "select count(distinct user_id) > 1 from sys_query_history"
    assert [[True]] == warehouse.rows(everything)
    with pytest.raises(AssertionError, match="permission denied"):
        rows("select * from svv_table_info")
    with pytest.raises(AssertionError, match="permission denied"):
        rows("select * from redshift_compat.history_query")
    client.close()


@pytest.mark.parametrize(
    ("attributes", "diststyle", "sortkey", "count"),
    [
        ("", "AUTO(ALL)", "AUTO(SORTKEY)", 0),
        ("diststyle even", "EVEN", "AUTO(SORTKEY)", 0),
        ("diststyle all sortkey (v, n)", "ALL", "v", 2),
        ("distkey (n) compound sortkey (n)", "KEY(n)", "n", 1),
        ("diststyle key distkey (n) interleaved sortkey (n, v)", "KEY(n)", "INTERLEAVED", 2),
    ],
)
@pytest.mark.parametrize("form", ["create table {} (n int, v varchar(7)) {}", "create table {} {} as {}"])
def test_tables_tell_how_they_are_kept(warehouse, table, form, attributes, diststyle, sortkey, count):
    """'SVV_TABLE_INFO', 'CREATE TABLE', 'CREATE TABLE AS': distribution, sort keys, rows, size in MB."""
    query = "select 1 as n, cast('x' as varchar(7)) as v"
    warehouse.run(form.format(table, attributes, query))
    if "as {}" not in form:
        assert [] == warehouse.rows(f"select * from svv_table_info where \"table\" = '{table}'")  # none of empty tables
        warehouse.run(f"insert into {table} {query}")
    told = warehouse.rows(
        'select "schema", diststyle, sortkey1, sortkey_num, tbl_rows, size >= 1, max_varchar '
        f"from svv_table_info where \"table\" = '{table}'"
    )
    assert [["public", diststyle, sortkey, count, "1", True, 7]] == told


def test_like_keeps_distribution_and_sorting(warehouse, table):
    """'CREATE TABLE', LIKE: distribution and sort keys are those of the source; inline ones count as well."""
    warehouse.run(
        f"create table {table} (n int distkey sortkey, v int)",
        f"create table {table}_2 (like {table})",
        f"insert into {table}_2 values (1, 2)",
    )
    told = f"select diststyle, sortkey1 from svv_table_info where \"table\" = '{table}_2'"
    assert [["KEY(n)", "n"]] == warehouse.rows(told)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("create table {} distkey (b) as select 1 as a", 'column "b" named in DISTKEY or SORTKEY does not exist'),
        ("create table {} sortkey (b) as select 1 as a", 'column "b" named in DISTKEY or SORTKEY does not exist'),
        ("create table {} diststyle key as select 1 as a", "requires a DISTKEY"),
        ("create table {} (a, b) as select 1 as a", "too many column names"),
        ("create table {} (a int) as select 1 as a", 'syntax error at or near "int"'),
        ("create table {} as values (1)", 'syntax error at or near "values"'),
        ("create table {} as", "syntax error at end of input"),
        ("create table {} as delete from x", 'syntax error at or near "delete"'),
        ("create table {} as select 1 as a, 2 as a", 'column "a" specified more than once'),
        ("create table {} as select sum(1.5) as a", "CAST it to DECIMAL"),
        ("create table {} (a int, b int) distkey (a, b)", 'syntax error at or near ","'),
        ("create table {} (a int sortkey) sortkey (a)", "conflicting or redundant"),
        (f"create table {{}} ({NINE.replace(',', ' int,')} int) interleaved sortkey ({NINE})", "at most 8 columns"),
    ],
)
def test_keys_that_are_none(warehouse, table, statement, message):
    """'CREATE TABLE', 'CREATE TABLE AS': keys name columns; no definitions, no constraints, no VALUES."""
    assert message in warehouse.refusal(statement.format(table))


def test_a_table_as_a_query(warehouse, table):
    """'CREATE TABLE AS': names and types come from the query or a list; limits hold; nothing else comes along."""
    warehouse.run(f"create table {table} (n int not null default 5, v varchar(3), d decimal(8,2), primary key (n))")
    warehouse.run(f"insert into {table} values (1, 'abc', 1.5)")
    warehouse.run(f"create table {table}_2 (a, b, c, e) distkey (a) as (select *, len(v) from {table})")
    columns = (
        f"select column_name, data_type, is_nullable, column_default from svv_columns where table_name = '{table}_2'"
    )
    assert [
        ["a", "integer", "YES", None],
        ["b", "character varying", "YES", None],
        ["c", "numeric", "YES", None],
        ["e", "integer", "YES", None],
    ] == warehouse.rows(f"{columns} order by ordinal_position")
    assert [[1, "abc", "1.50", 3]] == warehouse.rows(f"select * from {table}_2")
    assert "too long for type character varying(3)" in warehouse.refusal(f"insert into {table}_2 (b) values ('abcd')")
    warehouse.run("create temp table x as with w as (select 1 as n) select n from w", "select n from x")


def test_checksum_is_the_same_for_the_same_value(warehouse, table):
    """'CHECKSUM': an integer for text, whole numbers and decimals; other types it does not take."""
    ((a, b, c, d),) = warehouse.rows(
        "select checksum('x'), checksum(cast('x' as varchar(9))), checksum('y'), checksum(cast(null as varchar))"
    )
    assert (a, True, None) == (b, a != c, d)
    numbers = "select checksum(1), checksum(cast(1 as bigint)), checksum(cast(1 as smallint))"
    assert 1 == len(set(warehouse.rows(numbers)[0]))
    decimals = "select checksum(cast(1.5 as decimal(8,1))) = checksum(cast(1.5 as decimal(9,4)))"
    assert [[True]] == warehouse.rows(decimals)
    warehouse.run(f"create table {table} (n int, v char(3))", f"insert into {table} values (1, 'a'), (2, 'b')")
    ((total,),) = warehouse.rows(f"select sum(checksum(n)) + sum(checksum(v)) from {table}")
    assert isinstance(total, int)
    assert "checksum" in warehouse.refusal("select checksum(true)")
    assert "checksum" in warehouse.refusal("select checksum(cast('2024-01-01' as date))")


def test_the_history_outlives_a_restart(tmp_path, s3_endpoint_url):
    """'SYS_QUERY_HISTORY': ids grow on; what was written before is there."""
    with Redshift(tmp_path, s3_endpoint_url) as first:
        before = number_of("select 1 as before_it", first)
    with Redshift(tmp_path, s3_endpoint_url) as second:
        assert number_of("select 2 as after_it", second) > before
        assert number_of(
            "select 1 from sys_query_history where query_text like 'select 1 as before_it%'", second, rows=1
        )


def number_of(sql, redshift, rows=None):
    """Run a query; give its number."""
    client = boto3.client("redshift-data", endpoint_url=redshift.endpoint_url, **KEYS)
    answer = client.execute_statement(WorkgroupName="freshet", Database="dev", Sql=sql, WaitTimeSeconds=30)
    state = client.describe_statement(Id=answer["Id"])
    client.close()
    assert "FINISHED" == state["Status"], state.get("Error")
    assert rows in (None, state["ResultRows"])
    return state["RedshiftQueryId"]
