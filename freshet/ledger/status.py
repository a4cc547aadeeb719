"""What the ledgers say of every pipeline and batch run, for `freshet status` and the demo: counts and times only."""

from typing import Any

from freshet.ledger.tables import ControlTables
from freshet.redshift import runs
from freshet.redshift.catalogue import SCHEMA, tables_of
from freshet.redshift.data_api import Row, Warehouse

COUNTS = (
    "batches",
    "starts",
    "received",
    "ignored",
    "looked_at",
    "written",
    "unchanged",
    "removed",
    "marked",
)
STATE = ("target", "head", "data_as_of", "pending", "pending_since", "moved_at")
NOT_BEGUN = (*STATE, *COUNTS, "quarantined", "last_commit_at")


def pipelines(warehouse: Warehouse) -> list[str]:
    """List the pipelines that have a ledger in this warehouse."""
    return sorted(name.removesuffix("_state") for name in tables_of(warehouse, SCHEMA) if name.endswith("_state"))


def summary(warehouse: Warehouse, pipeline: str) -> dict[str, Any]:
    """Add up one pipeline's ledger; that of a job which has made its tables and not begun yet is empty.

    Returns:
        target, head, data_as_of, pending, pending_since, moved_at, batches (rounds), starts, the sums of received, ignored,
        looked_at, written, unchanged, removed, marked, and quarantined: records and keys that are in quarantine now.
    """
    tables = ControlTables(pipeline, "")
    rows = warehouse.query(
        f"select {', '.join(f's.{name}' for name in STATE)}, t.*, "
        f"(select count(*) from {tables.quarantine}) as quarantined "
        f"from {tables.state} as s left join (select "
        "sum(case when kind = 'round' then 1 else 0 end) as batches, sum(case when kind = 'start' then 1 else 0 end) as starts, "
        f"{', '.join(f'sum({name}) as {name}' for name in COUNTS[2:])}, "
        f"max(committed_at) as last_commit_at from {tables.commits}) as t on 1 = 1"
    )
    row: Row = rows[0] if rows else dict.fromkeys(NOT_BEGUN)
    numbers = (*COUNTS, "quarantined", "pending")
    return {"pipeline": pipeline, **row, **{name: int(row[name] or 0) for name in numbers}}


def shards(warehouse: Warehouse, pipeline: str) -> list[Row]:
    """Read where each shard stands."""
    tables = ControlTables(pipeline, "")
    return warehouse.query(f"select shard, kind, sequence, proved_at from {tables.positions} order by shard")


def recent_runs(warehouse: Warehouse, known: list[str], limit: int = 10) -> list[Row]:
    """Read the newest runs of the streaming job and of the batch jobs, newest first.

    Args:
        warehouse: Where.
        known: The pipelines that have a ledger here.
        limit: How many at most.

    Returns:
        kind (stream, load, sql, ...), name, started_at, seconds, rows, bytes, outcome, message. A run of the streaming job is
        as long as its commits; the newest of a pipeline is `current` (its ledger does not know whether it still runs), the
        others `ended`.
    """
    found = runs.recent(warehouse, limit)
    for pipeline in known:
        commits = warehouse.query(
            "select run, min(committed_at) as started_at, datediff(second, min(committed_at), max(committed_at)) as seconds, "
            f"sum(received) as rows, sum(bytes) as bytes from {ControlTables(pipeline, '').commits} "
            f"group by run order by 2 desc limit {int(limit)}"
        )
        for place, commit in enumerate(commits):
            outcome = {"outcome": "ended" if place else "current", "message": ""}
            numbers = {name: int(commit[name] or 0) for name in ("seconds", "rows", "bytes")}
            found.append({**commit, **numbers, **outcome, "kind": "stream", "name": pipeline})
    return sorted(found, key=lambda row: str(row["started_at"]), reverse=True)[:limit]
