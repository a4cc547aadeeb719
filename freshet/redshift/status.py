"""What the ledgers say of every pipeline, for `freshet status` and the demo: counts and times only."""

from typing import Any

from freshet.redshift.control_tables import SCHEMA, ControlTables
from freshet.redshift.data_api import Row, Warehouse

COUNTS = (
    "batches",
    "starts",
    "received",
    "ignored",
    "deletes_ignored",
    "keys_moved",
    "merged",
    "superseded",
    "propagated",
    "quarantined",
)


def pipelines(warehouse: Warehouse) -> list[str]:
    """List the pipelines that have a ledger in this warehouse."""
    rows = warehouse.query(
        f"select table_name from svv_tables where table_schema = '{SCHEMA}' and table_name like '%_state' order by table_name"
    )
    return [str(row["table_name"]).removesuffix("_state") for row in rows]


def summary(warehouse: Warehouse, pipeline: str) -> dict[str, Any]:
    """Add up one pipeline's ledger.

    Returns:
        target, head, data_as_of, moved_at, age_s (seconds since data_as_of), batches, starts, and the sums of received,
        ignored, merged, superseded, propagated, quarantined.
    """
    tables = ControlTables(pipeline, "")
    row: Row = warehouse.query(
        "select s.target, s.head, s.data_as_of, s.moved_at, t.* "
        f"from {tables.state} as s left join (select "
        "sum(case when kind = 'batch' then 1 else 0 end) as batches, sum(case when kind = 'start' then 1 else 0 end) as starts, "
        f"{', '.join(f'sum({name}) as {name}' for name in COUNTS[2:])}, "
        f"max(committed_at) as last_step_at from {tables.steps}) as t on 1 = 1"
    )[0]
    return {"pipeline": pipeline, **row, **{name: int(row[name] or 0) for name in COUNTS}}


def shards(warehouse: Warehouse, pipeline: str) -> list[Row]:
    """Read where each shard stands."""
    tables = ControlTables(pipeline, "")
    return warehouse.query(f"select shard, kind, sequence, proved_at from {tables.positions} order by shard")
