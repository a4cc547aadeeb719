"""A small change of a large table that was just filled does not read all of it.

Documents: Redshift Developer Guide, "Automatic analyze".
"""

import psycopg
import pyarrow as pa
import pytest

from tests.conformance.redshift.conftest import Warehouse, copy

ROWS = 300_000


def target(first: int, count: int) -> pa.Table:
    keys = range(first, first + count)
    return pa.table({"id": pa.array(keys, pa.int64()), "note": pa.array([f"note {key}" for key in keys])})


def plan(warehouse: Warehouse, table: str) -> str:
    """How PostgreSQL deletes the rows of a few staged keys, as a merge does."""
    with psycopg.connect(warehouse.redshift.postgres.uri) as connection:
        connection.execute("create temporary table staged (id bigint not null, note varchar(99)) on commit drop")
        connection.execute("insert into staged select n, 'x' from generate_series(1, 50) as n")
        lines = connection.execute(
            f"explain delete from {table} using staged where {table}.id = staged.id".encode()
        ).fetchall()
    return "\n".join(line for (line,) in lines)


@pytest.mark.parametrize("times", [1, 2])
def test_a_filled_table_is_analyzed(warehouse: Warehouse, table: str, times: int) -> None:
    """After one COPY, and after each doubling, the statistics know the rows, and the merge goes by the index."""
    warehouse.run(f"create table {table} (id bigint not null, note varchar(99), primary key (id))")
    for time in range(times):
        warehouse.run(copy(table, warehouse.stage(target(time * ROWS, ROWS))))
    with psycopg.connect(warehouse.redshift.postgres.uri) as connection:
        ((known, columns),) = connection.execute(
            "select reltuples, (select count(*) from pg_stats where tablename = relname) from pg_class where relname = %s",
            [table],
        ).fetchall()
    assert (times * ROWS, 2) == (pytest.approx(known, rel=0.05), columns)
    assert f"Index Scan using {table}_id_idx" in plan(warehouse, table)


def test_a_table_that_did_not_double_is_left_alone(warehouse: Warehouse, table: str) -> None:
    """A few rows more, or a small table, cost no ANALYZE."""
    warehouse.run(f"create table {table} (id bigint not null, note varchar(99), primary key (id))")
    warehouse.run(f"insert into {table} values (1, 'a'), (2, 'b')")
    with psycopg.connect(warehouse.redshift.postgres.uri) as connection:
        assert [(0,)] == connection.execute("select count(*) from pg_stats where tablename = %s", [table]).fetchall()
