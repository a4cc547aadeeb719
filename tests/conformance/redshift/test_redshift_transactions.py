"""Transactions as Redshift has them by default: snapshots, colliding writers, LOCK before the snapshot."""

import json
import time
import urllib.request

import pytest

SLOW_S = 600


@pytest.fixture
def held(warehouse):
    """Give a way to submit a batch that keeps its transaction open; the rest is canceled at the end."""
    open_batches = []

    def submit(*sqls):
        url = f"{warehouse.redshift.endpoint_url}/_sandbox/faults"
        fault = {"operation": "BatchExecuteStatement", "fault": "delay_s", "value": SLOW_S}
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(fault).encode(), method="POST")).close()
        statement = warehouse.submit(*sqls)
        while warehouse.describe(statement, None)["SubStatements"][-1]["Status"] not in ("FINISHED", "FAILED"):
            time.sleep(0.01)
        open_batches.append(statement)
        return statement

    yield submit
    for statement in open_batches:
        if warehouse.describe(statement, 1)["Status"] == "STARTED":
            warehouse.data_api.cancel_statement(Id=statement)


def test_nobody_sees_half_a_transaction(warehouse, held, table):
    """'Isolation levels': a reader sees what was committed, and does not wait."""
    warehouse.run(f"create table {table} (id int)")
    held(f"insert into {table} values (1)")
    assert [[0]] == warehouse.rows(f"select count(*) from {table}")


def test_lock_comes_before_the_snapshot(warehouse, table):
    """'Serializable isolation': no snapshot is taken by LOCK, so the one who waited sees what the other committed."""
    warehouse.run(
        f"create table {table}_lock (nothing int)", f"create table {table} (id int)", f"insert into {table} values (1)"
    )
    with warehouse.redshift.postgres.connect() as other:
        other.execute(f"lock table {table}_lock in access exclusive mode")
        waiting = warehouse.submit(f"lock {table}_lock", f"select count(*) from {table}")
        assert "STARTED" == warehouse.describe(waiting, 1)["Status"]
        other.execute(f"insert into {table} values (2)")
        other.commit()
    assert "FINISHED" == warehouse.describe(waiting)["Status"]
    assert [[{"longValue": 2}]] == warehouse.data_api.get_statement_result(Id=f"{waiting}:2")["Records"]


def test_two_writers_of_one_row_collide(warehouse, table):
    """'Serializable isolation violation errors': the later of two writers fails with 1023 and changes nothing."""
    warehouse.run(f"create table {table} (head varchar(9))", f"insert into {table} values ('a')")
    with warehouse.redshift.postgres.connect() as other:
        other.execute(f"update {table} set head = 'b'")
        waiting = warehouse.submit(f"update {table} set head = 'c'")
        assert "STARTED" == warehouse.describe(waiting, 1)["Status"]
        other.commit()
    state = warehouse.describe(waiting)
    assert "FAILED" == state["Status"]
    assert state["Error"].startswith("ERROR: 1023 DETAIL: Serializable isolation violation on table - ")
    assert state["Error"] == state["SubStatements"][0]["Error"]
    assert [["b"]] == warehouse.rows(f"select head from {table}")


def test_a_snapshot_taken_before_the_lock_does_not_help(warehouse, table):
    """'Isolation levels': two transactions that both insert a new key both keep it, when LOCK does not come first."""
    warehouse.run(f"create table {table}_lock (nothing int)", f"create table {table} (id int primary key)")
    with warehouse.redshift.postgres.connect() as other:
        other.execute(f"lock table {table}_lock in access exclusive mode")
        waiting = warehouse.submit(
            f"select count(*) from {table}",
            f"lock {table}_lock",
            f"delete from {table} where id = 7",
            f"insert into {table} values (7)",
        )
        while warehouse.describe(waiting, None)["SubStatements"][0]["Status"] != "FINISHED":
            time.sleep(0.01)
        other.execute(f"insert into {table} values (7)")
        other.commit()
    assert "FINISHED" == warehouse.describe(waiting)["Status"]
    assert [[2]] == warehouse.rows(f"select count(*) from {table}")


def test_a_temporary_table_lives_for_one_batch(warehouse, table):
    """Management Guide, 'Data API': without a kept session, temporary tables end with the batch; they may differ."""
    for kind in ("int", "varchar(9)", "bigint", "date", "boolean", "int"):
        warehouse.run(
            f"create temp table {table} (a {kind})", f"insert into {table} values (null)", f"select a from {table}"
        )
    assert "does not exist" in warehouse.refusal(f"select a from {table}")


def test_definitions_roll_back(warehouse, table):
    """'CREATE TABLE': definitions are part of the transaction."""
    warehouse.refusal(f"create table {table} (a int)", f"insert into {table} values ('x'::int)")
    assert "does not exist" in warehouse.refusal(f"select a from {table}")


def test_not_null_over_an_aggregate_fences(warehouse, table):
    """'CREATE TABLE', NOT NULL: the one constraint that is enforced stops a step that follows another head."""
    warehouse.run(
        f"create table {table}_state (head varchar(36))",
        f"insert into {table}_state values ('a')",
        f"create table {table} (step varchar(36) not null)",
    )
    step = f"insert into {table} (step) select max(case when head = '{{}}' then 'b' end) from {table}_state"
    warehouse.run(step.format("a"))
    assert "Cannot insert a NULL value into column step" in warehouse.refusal(step.format("z"))
