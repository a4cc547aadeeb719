"""`verify` finds what was done behind Freshet's back, and names keys and columns."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from freshet.verify.compare import Difference, beyond
from tests.river import River


@pytest.fixture
def river(place: Place, spark: SparkSession, tmp_path: Path) -> River:
    river = River(place, spark, tmp_path)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    river.simulate("incremental", "--count", "30")
    river.wait_for_dms()
    river.drain()
    return river


def test_a_changed_a_missing_and_a_foreign_row_are_named(river: River) -> None:
    """Three rows differ, each in its own way; the comparison by ranges of seven rows finds the same as a whole one."""
    assert river.verify().verified
    keys = [int(row["ticket_id"]) for row in river.target()]
    table = f"public.{river.name}"
    river.warehouse_run(f"update {table} set name = 'x', ticket_price = 1.5 where ticket_id = {keys[3]}")
    river.warehouse_run(f"delete from {table} where ticket_id = {keys[29]}")
    one_row = f"create temp table t as select * from {table} limit 1; update t set ticket_id = 1000000"
    river.warehouse_run(f"{one_row}; insert into {table} select * from t")
    expected = [
        Difference((keys[3],), "different", ("ticket_price", "name")),
        Difference((keys[29],), "missing"),
        Difference((1000000,), "extra"),
    ]
    for rows_per_range in (7, 20_000):
        found = river.verify(rows_per_range=rows_per_range)
        assert not found.verified
        assert found.rounds == 3
        assert sorted(expected, key=repr) == sorted(found.differences, key=repr)


def test_a_row_that_is_there_twice_is_found(river: River) -> None:
    """No constraint of Redshift would object."""
    river.warehouse_run(f"insert into public.{river.name} select * from public.{river.name} order by ticket_id limit 1")
    found = river.verify()
    assert [difference.kind for difference in found.differences] == ["doubled"]


def test_rows_of_deleted_facts_are_counted_apart(river: River) -> None:
    """Under `deletes: ignore` they stay; the ledger knows how many there can be."""
    key = river.target()[5]["ticket_id"]
    river.run_sql(f"delete from ticket_activity where ticket_id = {key}")
    river.wait_for_dms()
    river.drain()
    found = river.verify()
    assert found.verified
    assert found.left_by_deletes == 1


def test_an_empty_source_and_an_empty_target_agree(place: Place, spark: SparkSession, tmp_path: Path) -> None:
    """Nothing is nothing."""
    river = River(place, spark, tmp_path)
    river.make_tables()
    river.drain()
    found = river.verify()
    assert (found.verified, found.rows) == (True, 0)


@pytest.mark.parametrize(
    ("expected", "operator"),
    [
        ('(("a" > :x_0) or ("a" = :x_0 and "b" > :x_1))', ">"),
        ('(("a" < :x_0) or ("a" = :x_0 and "b" <= :x_1))', "<="),
    ],
)
def test_a_key_of_two_columns_is_compared_column_by_column(expected: str, operator: str) -> None:
    """Redshift has no row values."""
    assert expected == beyond(("a", "b"), operator, "x")
